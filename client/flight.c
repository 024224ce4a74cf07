#include "flight.h"

#include <base/hash.h>

#include <assert.h>
#include <stdlib.h>

enum { ITEM_KEEP_BYTES = 4096, BUCKETS_MIN = 64, CACHE_LINE = 64 };

void call_list_push(struct call_list *l, struct call *c)
{
    c->next = NULL;
    c->prev = l->last;
    if (l->last)
        l->last->next = c;
    else
        l->first = c;
    l->last = c;
    l->bytes += c->item.len;
}

void call_list_remove(struct call_list *l, struct call *c)
{
    if (c->prev)
        c->prev->next = c->next;
    else
        l->first = c->next;
    if (c->next)
        c->next->prev = c->prev;
    else
        l->last = c->prev;
    c->next = c->prev = NULL;
    assert(l->bytes >= c->item.len);
    l->bytes -= c->item.len;
}

bool flight_open(struct flight *f, size_t max)
{
    *f = (struct flight){.max = max, .n_buckets = BUCKETS_MIN};
    while (f->n_buckets < max)
        f->n_buckets *= 2;
    f->calls = calloc(max, sizeof *f->calls);
    f->buckets = calloc(f->n_buckets, sizeof(struct sent *));
    if (f->calls && f->buckets)
        return true;
    flight_close(f);
    return false;
}

void flight_close(struct flight *f)
{
    assert(f->n == 0);
    for (size_t i = 0; i < f->touched; i++)
        buf_free(&f->calls[i].item);
    free(f->calls);
    free(f->buckets);
    *f = (struct flight){0};
}

/* Of thousands of calls each is away from the processor's cache when its turn comes. */
static void prefetch_call(const struct call *c)
{
    for (size_t at = 0; at < sizeof *c; at += CACHE_LINE)
        __builtin_prefetch((const char *)c + at, 1);
}

struct call *flight_take(struct flight *f)
{
    struct call *c = f->free_calls;
    if (!c && f->touched == f->max)
        return NULL;
    if (!c)
        c = &f->calls[f->touched++];
    else
        f->free_calls = c->next;
    if (f->free_calls)
        prefetch_call(f->free_calls);
    struct buf item = c->item;
    *c = (struct call){.item = item};
    buf_reset(&c->item);
    f->n++;
    return c;
}

/* --- messages --- */

static struct sent **bucket_of(const struct flight *f, uint64_t request_id)
{
    return &f->buckets[hash_u64(request_id) & (f->n_buckets - 1)];
}

static struct sent *find_sent(const struct flight *f, uint64_t request_id)
{
    struct sent *s = *bucket_of(f, request_id);
    while (s && s->request_id != request_id)
        s = s->next;
    return s;
}

static void forget_sent(struct flight *f, struct sent *s)
{
    struct sent **at = bucket_of(f, s->request_id);
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    free(s->calls);
    free(s);
}

/* The answer to this copy will not be recognised any more. */
static void drop_attempt(struct flight *f, struct attempt a)
{
    assert(a.sent->calls[a.item] && a.sent->open > 0);
    a.sent->calls[a.item] = NULL;
    if (--a.sent->open == 0)
        forget_sent(f, a.sent);
}

static void add_attempt(struct flight *f, struct call *c, struct attempt a)
{
    if (c->n_attempts == ATTEMPTS_KEPT) {
        drop_attempt(f, c->attempts[0]);
        memmove(c->attempts, c->attempts + 1, (ATTEMPTS_KEPT - 1) * sizeof a);
        c->n_attempts--;
    }
    c->attempts[c->n_attempts++] = a;
}

static void remove_attempt(struct call *c, const struct sent *s)
{
    for (size_t i = 0; i < c->n_attempts; i++) {
        if (c->attempts[i].sent != s)
            continue;
        c->n_attempts--;
        memmove(c->attempts + i, c->attempts + i + 1, (c->n_attempts - i) * sizeof c->attempts[0]);
        return;
    }
}

uint64_t flight_send(struct flight *f, struct call *const *calls, size_t n)
{
    assert(n > 0 && n <= UINT32_MAX);
    struct sent *s = malloc(sizeof *s);
    struct call **copy = malloc(n * sizeof(struct call *));
    if (!s || !copy) {
        free(s);
        free(copy);
        return 0;
    }
    struct sent **bucket = bucket_of(f, ++f->last_request_id);
    *s = (struct sent){f->last_request_id, copy, (uint32_t)n, (uint32_t)n, *bucket};
    *bucket = s;
    for (size_t i = 0; i < n; i++) {
        s->calls[i] = calls[i];
        add_attempt(f, calls[i], (struct attempt){s, (uint32_t)i});
    }
    return s->request_id;
}

void flight_unsend(struct flight *f, uint64_t request_id)
{
    struct sent *s = find_sent(f, request_id);
    if (!s)
        return;
    for (uint32_t i = 0; i < s->n; i++) {
        if (s->calls[i])
            remove_attempt(s->calls[i], s);
    }
    forget_sent(f, s);
}

struct call *flight_find(const struct flight *f, uint64_t request_id, uint32_t item)
{
    const struct sent *s = find_sent(f, request_id);
    return s && item < s->n ? s->calls[item] : NULL;
}

void flight_expect(const struct flight *f, uint64_t request_id, uint32_t item)
{
    const struct call *c = flight_find(f, request_id, item);
    if (c)
        prefetch_call(c);
}

void flight_expect_callback(const struct flight *f, uint64_t request_id, uint32_t item)
{
    const struct call *c = flight_find(f, request_id, item);
    if (c)
        __builtin_prefetch(c->ctx, 1);
}

uint32_t flight_items(const struct flight *f, uint64_t request_id)
{
    const struct sent *s = find_sent(f, request_id);
    return s ? s->n : 0;
}

void flight_end(struct flight *f, struct call *c)
{
    assert(c->state != CALL_FREE && !c->next && !c->prev);
    for (size_t i = 0; i < c->n_attempts; i++)
        drop_attempt(f, c->attempts[i]);
    c->n_attempts = 0;
    free(c->why);
    c->why = NULL;
    if (c->item.cap > ITEM_KEEP_BYTES)
        buf_free(&c->item);
    c->state = CALL_FREE;
    c->next = f->free_calls;
    f->free_calls = c;
    f->n--;
}
