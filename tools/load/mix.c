#include <load/mix.h>

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { WEIGHT_MAX = 1000000 };

static const char *const names[OP_KINDS] = {"ingest", "update", "get", "resolve", "count"};

const char *op_name(enum op op)
{
    return names[op];
}

enum op op_of_name(const char *name, size_t len)
{
    for (unsigned i = 0; i < OP_KINDS; i++)
        if (strlen(names[i]) == len && memcmp(names[i], name, len) == 0)
            return (enum op)i;
    return OP_KINDS;
}

/* The digits at `text` up to `end`; false: not a whole number from 1 to WEIGHT_MAX. */
static bool parse_weight(const char *text, const char *end, uint32_t *out)
{
    uint64_t v = 0;
    for (const char *c = text; c < end; c++) {
        if (!isdigit((unsigned char)*c) || v > WEIGHT_MAX)
            return false;
        v = v * 10 + (uint64_t)(*c - '0');
    }
    *out = (uint32_t)v;
    return v >= 1 && v <= WEIGHT_MAX;
}

static enum error_code parse_part(const char *part, size_t len, struct mix *out, struct error *err)
{
    const char *equals = memchr(part, '=', len);
    uint32_t weight;
    if (!equals)
        return error_set(err, ERR_USAGE, "--mix: expected KIND=WEIGHT, not '%.*s'",
                         (int)(len < 64 ? len : 64), part);
    size_t name = (size_t)(equals - part);
    enum op op = op_of_name(part, name);
    if (op == OP_KINDS)
        return error_set(err, ERR_USAGE,
                         "--mix: unknown kind '%.*s', expected ingest, update, get, resolve or "
                         "count",
                         (int)(name < 64 ? name : 64), part);
    if (out->weight[op])
        return error_set(err, ERR_USAGE, "--mix: %s stands there twice", names[op]);
    if (!parse_weight(equals + 1, part + len, &weight))
        return error_set(err, ERR_USAGE, "--mix: the weight of %s is a whole number from 1 to %d",
                         names[op], WEIGHT_MAX);
    out->weight[op] = weight;
    out->total += weight;
    return ERR_OK;
}

enum error_code mix_parse(const char *text, struct mix *out, struct error *err)
{
    *out = (struct mix){.total = 0};
    for (const char *part = text;; part++) {
        size_t len = strcspn(part, ",");
        enum error_code rc = parse_part(part, len, out, err);
        if (rc)
            return rc;
        part += len;
        if (!*part)
            return ERR_OK;
    }
}

struct mix mix_of_one(enum op op)
{
    struct mix m = {.total = 1};
    m.weight[op] = 1;
    return m;
}

enum op mix_draw(const struct mix *m, struct rng *r)
{
    uint64_t at = rng_below(r, m->total);
    unsigned op = 0;
    while (at >= m->weight[op])
        at -= m->weight[op++];
    return (enum op)op;
}
