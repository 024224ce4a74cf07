#include "sim.h"

#include <base/hash.h>

#include <stdlib.h>

struct store *state_new(uint32_t shard)
{
    struct store_options o = {.shard = (uint16_t)shard};
    struct store *s = NULL;
    struct error err;

    if (store_open(&o, &s, &err) != ERR_OK) {
        fprintf(stderr, "store: %s\n", err.msg);
        abort();
    }
    return s;
}

static bool copy_row(void *ctx, struct bytes key, struct bytes value)
{
    store_put(ctx, key, value);
    return true;
}

struct store *state_copy(struct store *from, uint32_t shard)
{
    struct store *to = state_new(shard);

    if (from)
        store_scan(from, bytes_of(NULL, 0), copy_row, to);
    return to;
}

static bool add_row(void *ctx, struct bytes key, struct bytes value)
{
    uint64_t *sum = ctx;

    *sum += hash64_seed(value, hash64(key));
    return true;
}

uint64_t state_digest(struct store *s)
{
    uint64_t sum = 0;

    store_scan(s, bytes_of(NULL, 0), add_row, &sum);
    return sum;
}

struct machine *state_machine(struct world *w, uint32_t shard, struct store *store)
{
    bool forget = w->mutation == MUTATION_FORGET_IDS;
    struct machine_options o = {.store = store,
                                .schema = &w->config->schema,
                                .map = &w->map,
                                .shard = (shard_id)shard,
                                .dedup_hours = forget ? 0 : 24 * 365,
                                .dedup_min = forget ? 0 : 4096,
                                .dedup_max = forget ? 1 : 65536,
                                .redirect_days = 1};
    struct machine *m = NULL;
    struct error err;

    if (machine_open(&o, &m, &err) != ERR_OK) {
        fprintf(stderr, "machine: %s\n", err.msg);
        abort();
    }
    return m;
}
