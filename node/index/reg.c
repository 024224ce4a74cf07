#include "reg.h"

#include <string.h>

void reg_clear(struct reg *r)
{
    r->is_list = true;
    r->n = 0;
}

void reg_copy(struct reg *to, const struct reg *from)
{
    to->is_list = from->is_list;
    to->n = from->n;
    if (from->is_list)
        memcpy(to->list, from->list, from->n * sizeof *from->list);
    else
        memcpy(to->words, from->words, sizeof from->words);
}

void reg_spread(struct reg *r)
{
    if (!r->is_list)
        return;
    memset(r->words, 0, sizeof r->words);
    for (uint32_t i = 0; i < r->n; i++)
        bit_set(r->words, r->list[i]);
    r->is_list = false;
}

uint32_t reg_count(const struct reg *r, const struct kernels *k)
{
    return r->is_list ? r->n : k->count(r->words);
}

/* Keeps list members whose bit is `want`. */
static bool list_filter(struct reg *r, const uint64_t *words, int want)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->n; i++) {
        uint16_t low = r->list[i];
        r->list[n] = low;
        n += bit_get(words, low) == want;
    }
    r->n = n;
    return n > 0;
}

static bool list_filter_view(struct reg *r, const struct set_view *v, bool want)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->n; i++) {
        uint16_t low = r->list[i];
        r->list[n] = low;
        n += set_view_has(v, low) == want;
    }
    r->n = n;
    return n > 0;
}

/* Keeps the view's positions that are candidates; they become the list. */
static bool dense_to_list(struct reg *r, const struct set_view *v)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < v->n; i++) {
        uint32_t low = set_view_at(v, i);
        r->list[n] = (uint16_t)low;
        n += (uint32_t)bit_get(r->words, low);
    }
    r->is_list = true;
    r->n = n;
    return n > 0;
}

static bool dense_and_view(struct reg *r, const struct set_view *v, const struct kernels *k)
{
    uint64_t words[CHUNK_WORDS] = {0};
    words_or_view(words, v, k);
    return k->and (r->words, words) != 0;
}

bool reg_and_view(struct reg *r, const struct set_view *v, const struct kernels *k)
{
    if (v->kind == VIEW_EMPTY) {
        reg_clear(r);
        return false;
    }
    if (v->kind == VIEW_BITMAP)
        return reg_and_words(r, v->bitmap, k);
    if (r->is_list)
        return list_filter_view(r, v, true);
    /* A vector may have more in one chunk than a list has room for. */
    return v->n <= CONTAINER_ARRAY_MAX ? dense_to_list(r, v) : dense_and_view(r, v, k);
}

static bool has_any(const struct reg *r)
{
    if (r->is_list)
        return r->n > 0;
    uint64_t any = 0;
    for (uint32_t i = 0; i < CHUNK_WORDS; i++)
        any |= r->words[i];
    return any != 0;
}

bool reg_and_not_view(struct reg *r, const struct set_view *v, const struct kernels *k)
{
    if (v->kind == VIEW_EMPTY)
        return has_any(r);
    if (v->kind == VIEW_BITMAP)
        return reg_and_not_words(r, v->bitmap, k);
    if (r->is_list)
        return list_filter_view(r, v, false);
    for (uint32_t i = 0; i < v->n; i++)
        bit_clear(r->words, set_view_at(v, i));
    return has_any(r);
}

bool reg_and_words(struct reg *r, const uint64_t *words, const struct kernels *k)
{
    return r->is_list ? list_filter(r, words, 1) : k->and (r->words, words) != 0;
}

bool reg_and_not_words(struct reg *r, const uint64_t *words, const struct kernels *k)
{
    return r->is_list ? list_filter(r, words, 0) : k->and_not(r->words, words) != 0;
}

bool reg_and_not(struct reg *r, const struct reg *other, const struct kernels *k)
{
    if (!other->is_list)
        return reg_and_not_words(r, other->words, k);
    struct set_view v = {
        .kind = other->n ? VIEW_ARRAY : VIEW_EMPTY, .array = other->list, .n = other->n};
    return reg_and_not_view(r, &v, k);
}

void words_or_view(uint64_t *words, const struct set_view *v, const struct kernels *k)
{
    if (v->kind == VIEW_BITMAP) {
        k->or (words, v->bitmap);
        return;
    }
    for (uint32_t i = 0; i < v->n; i++)
        bit_set(words, set_view_at(v, i));
}

uint32_t reg_count_view(const struct reg *r, const struct set_view *v, const struct kernels *k)
{
    uint32_t n = 0;
    if (v->kind == VIEW_EMPTY)
        return 0;
    if (r->is_list) {
        for (uint32_t i = 0; i < r->n; i++)
            n += set_view_has(v, r->list[i]);
        return n;
    }
    if (v->kind == VIEW_BITMAP)
        return k->and_count(r->words, v->bitmap);
    for (uint32_t i = 0; i < v->n; i++)
        n += (uint32_t)bit_get(r->words, set_view_at(v, i));
    return n;
}
