#include <cluster/schema.h>

enum { PHONE_MIN = 5, PHONE_MAX = 15, MOBILE_LEN = 11, REPEATED_MIN = 4 };

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

static bool is_space(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* U+3000, the space of Chinese and Japanese input methods. */
static const uint8_t IDEOGRAPHIC_SPACE[3] = {0xE3, 0x80, 0x80};

static size_t space_before(struct bytes b)
{
    if (b.len > 0 && is_space(b.data[0]))
        return 1;
    return b.len >= 3 && memcmp(b.data, IDEOGRAPHIC_SPACE, 3) == 0 ? 3 : 0;
}

static size_t space_after(struct bytes b)
{
    if (b.len > 0 && is_space(b.data[b.len - 1]))
        return 1;
    return b.len >= 3 && memcmp(b.data + b.len - 3, IDEOGRAPHIC_SPACE, 3) == 0 ? 3 : 0;
}

static struct bytes trim(struct bytes b)
{
    for (size_t n; (n = space_before(b)) > 0;)
        b = bytes_of(b.data + n, b.len - n);
    for (size_t n; (n = space_after(b)) > 0;)
        b.len -= n;
    return b;
}

static bool equal_lower(struct bytes v, struct bytes lower_case)
{
    if (v.len != lower_case.len)
        return false;
    for (size_t i = 0; i < v.len; i++) {
        if (lower(v.data[i]) != lower_case.data[i])
            return false;
    }
    return true;
}

/* One of 0 - x * again and again, as forms are filled in that insist on a value. */
static bool is_filler(struct bytes v)
{
    if (v.len < REPEATED_MIN || !memchr("0-x*", lower(v.data[0]), 4))
        return false;
    for (size_t i = 1; i < v.len; i++) {
        if (lower(v.data[i]) != lower(v.data[0]))
            return false;
    }
    return true;
}

enum { WORD_MAX = 9 };

static bool is_placeholder(struct bytes v)
{
    static const char WORDS[][WORD_MAX + 1] = {"empty",     "null",    "none",      "nil",
                                               "undefined", "unknown", "anonymous", "guest",
                                               "n/a",       "na",      "nan",       "-"};
    for (size_t i = 0; v.len <= WORD_MAX && i < sizeof WORDS / sizeof *WORDS; i++) {
        if (equal_lower(v, bytes_of_str(WORDS[i])))
            return true;
    }
    return is_filler(v);
}

static bool is_blocked(const struct schema_namespace *ns, struct bytes v)
{
    for (size_t i = 0; i < ns->n_block; i++) {
        if (equal_lower(v, ns->block[i]))
            return true;
    }
    return false;
}

static enum identity_verdict to_lower(struct bytes v, struct arena *arena, struct bytes *out)
{
    size_t i = 0;
    while (i < v.len && lower(v.data[i]) == v.data[i])
        i++;
    *out = v;
    if (i == v.len)
        return IDENTITY_OK;
    uint8_t *p = arena_alloc(arena, v.len);
    if (!p)
        return IDENTITY_TOO_LONG;
    for (i = 0; i < v.len; i++)
        p[i] = lower(v.data[i]);
    *out = bytes_of(p, v.len);
    return IDENTITY_OK;
}

static enum identity_verdict to_email(struct bytes v, struct arena *arena, struct bytes *out)
{
    const uint8_t *at = memchr(v.data, '@', v.len);
    if (!at || at == v.data)
        return IDENTITY_BAD_FORM;
    size_t behind = v.len - (size_t)(at - v.data) - 1;
    if (behind == 0 || memchr(at + 1, '@', behind))
        return IDENTITY_BAD_FORM;
    return to_lower(v, arena, out);
}

/* Copies the digits of `v` to `digits`, which has room for v.len; false when it has anything else
 * than digits, separators and a plus in front of the first digit. */
static bool phone_digits(struct bytes v, uint8_t *digits, size_t *n)
{
    bool plus = false;
    *n = 0;
    for (size_t i = 0; i < v.len; i++) {
        uint8_t c = v.data[i];
        if (c >= '0' && c <= '9') {
            digits[(*n)++] = c;
        } else if (c == '+') {
            if (plus || *n > 0)
                return false;
            plus = true;
        } else if (!memchr(" -().", c, 5)) {
            return false;
        }
    }
    return true;
}

static enum identity_verdict to_phone(struct bytes v, struct arena *arena, struct bytes *out)
{
    uint8_t digits[IDENTITY_VALUE_MAX];
    size_t n;
    if (!phone_digits(v, digits, &n))
        return IDENTITY_BAD_FORM;
    struct bytes d = bytes_of(digits, n);
    if (is_placeholder(d))
        return IDENTITY_BLOCKED;
    /* Every leading 00 goes, and only then 86, so that a second pass finds nothing more to drop. */
    while (d.len >= 2 && d.data[0] == '0' && d.data[1] == '0')
        d = bytes_of(d.data + 2, d.len - 2);
    if (d.len == 2 + MOBILE_LEN && memcmp(d.data, "861", 3) == 0)
        d = bytes_of(d.data + 2, d.len - 2);
    if (d.len < PHONE_MIN || d.len > PHONE_MAX)
        return IDENTITY_BAD_FORM;
    *out = v;
    if (bytes_equal(d, v))
        return IDENTITY_OK;
    *out = arena_copy(arena, d);
    return out->data ? IDENTITY_OK : IDENTITY_TOO_LONG;
}

static enum identity_verdict apply(enum normalize how, struct bytes v, struct arena *arena,
                                   struct bytes *out)
{
    switch (how) {
    case NORMALIZE_NONE:
        break;
    case NORMALIZE_LOWER:
        return to_lower(v, arena, out);
    case NORMALIZE_PHONE:
        return to_phone(v, arena, out);
    case NORMALIZE_EMAIL:
        return to_email(v, arena, out);
    }
    *out = v;
    return IDENTITY_OK;
}

enum identity_verdict schema_normalize(const struct schema_namespace *ns, struct bytes raw,
                                       struct arena *arena, struct bytes *out)
{
    if (!bytes_is_utf8(raw))
        return IDENTITY_NOT_UTF8;
    struct bytes v = trim(raw), result;
    if (v.len == 0)
        return IDENTITY_EMPTY;
    /* No normalisation makes a value longer; a phone number may lose much, but not this much. */
    if (v.len > IDENTITY_VALUE_MAX)
        return IDENTITY_TOO_LONG;
    /* Before the form is judged, so that "null" counts as blocked in a phone column too. */
    if (is_placeholder(v))
        return IDENTITY_BLOCKED;
    enum identity_verdict verdict = apply(ns->normalize, v, arena, &result);
    if (verdict != IDENTITY_OK)
        return verdict;
    if (is_blocked(ns, result) || (result.data != v.data && is_placeholder(result)))
        return IDENTITY_BLOCKED;
    *out = result;
    return IDENTITY_OK;
}
