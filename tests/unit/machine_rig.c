#include "machine_rig.h"

#include <retail_yaml.h>
#include <base/hash.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void emit_to_index(void *ctx, const struct index_op *op)
{
    index_apply(ctx, op);
}

static void open_machine(struct world *w, unsigned shard)
{
    struct error err;
    w->options.store = w->stores[shard];
    w->options.shard = (shard_id)shard;
    w->options.emit = emit_to_index;
    w->options.emit_ctx = w->indexes[shard];
    assert_int_equal(machine_open(&w->options, &w->machines[shard], &err), ERR_OK);
}

int world_setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    struct error err;
    *state = w;
    if (!w || cluster_config_parse("retail.yml", bytes_of_str(RETAIL_YAML), &w->config, &err))
        return -1;
    w->schema = &w->config->schema;
    w->map = calloc(1, sizeof *w->map);
    if (!w->map)
        return -1;
    w->config->n_shards = WORLD_SHARDS;
    cluster_map_init(w->map, w->config);
    w->options = (struct machine_options){.schema = w->schema,
                                          .map = w->map,
                                          .dedup_hours = 72,
                                          .dedup_min = 4096,
                                          .dedup_max = 65536,
                                          .redirect_days = 400,
                                          .watch_idle_days = 7};
    w->now = WORLD_NOW;
    for (unsigned i = 0; i < WORLD_SHARDS; i++) {
        struct store_options o = {.map_bytes = 1 << 20, .shard = (uint16_t)i};
        w->last[i] = &w->first[i];
        w->indexes[i] = index_new(w->schema);
        if (!w->indexes[i] || store_open(&o, &w->stores[i], &err))
            return -1;
        open_machine(w, i);
    }
    return 0;
}

int world_teardown(void **state)
{
    struct world *w = *state;
    for (unsigned i = 0; i < WORLD_SHARDS; i++) {
        machine_close(w->machines[i]);
        store_close(w->stores[i]);
        index_free(w->indexes[i]);
        for (struct logged *l = w->first[i], *next; l; l = next) {
            next = l->next;
            free(l->data);
            free(l);
        }
    }
    cluster_config_close(w->config);
    free(w->map);
    arena_close(&w->arena);
    free(w);
    return 0;
}

void world_reopen(struct world *w)
{
    for (unsigned i = 0; i < WORLD_SHARDS; i++) {
        machine_close(w->machines[i]);
        open_machine(w, i);
    }
}

struct identity world_id(struct world *w, const char *ns, unsigned shard, unsigned k)
{
    struct identity id = {.ns = name_id_of(NAME_NAMESPACE, bytes_of_str(ns))};
    for (unsigned n = 0;; n++) {
        char text[64];
        int len = snprintf(text, sizeof text, "%s-%u-%u", ns, k, n);
        id.value = bytes_of(text, (size_t)len);
        if (shard_of_id(w, id) == shard) {
            id.value = arena_copy(&w->arena, id.value);
            return id;
        }
    }
}

unsigned shard_of_id(const struct world *w, struct identity id)
{
    return w->map->shard_of_slot[slot_of_identity(id)];
}

unsigned shard_of_profile(const struct world *w, one_id p)
{
    return w->map->shard_of_slot[slot_of_one_id(p)];
}

static unsigned shard_of_command(const struct world *w, const struct command *c)
{
    bool by_id = c->type == COMMAND_CLAIM || c->type == COMMAND_REPAIR || c->profile == 0;
    if (!by_id)
        return shard_of_profile(w, c->profile);
    if (c->n_ids == 0)
        fail_msg("a command without a profile and without an identity has no shard");
    return shard_of_id(w, c->ids[0]);
}

static void keep(struct world *w, unsigned shard, struct bytes data)
{
    struct logged *l = calloc(1, sizeof *l);
    assert_non_null(l);
    l->data = malloc(data.len);
    assert_non_null(l->data);
    memcpy(l->data, data.data, data.len);
    l->len = data.len;
    l->now = w->now;
    *w->last[shard] = l;
    w->last[shard] = &l->next;
}

struct reply world_run_at(struct world *w, unsigned shard, const struct command *c)
{
    struct buf wire = {0}, back = {0};
    struct command *got;
    struct reply out, *seen;
    size_t n;
    struct error err;
    bool read = command_is_read(c->type);
    command_encode(c, &wire);
    struct bytes data = arena_copy(&w->arena, buf_bytes(&wire));
    assert_int_equal(command_decode(data, 1, &w->arena, &got, &n, &err), ERR_OK);
    if (read) {
        machine_read(w->machines[shard], w->now, got, &w->arena, &out);
    } else {
        keep(w, shard, data);
        machine_apply(w->machines[shard], w->now, got, &w->arena, &out);
        machine_end_entry(w->machines[shard]);
        index_publish(w->indexes[shard]);
    }
    buf_free(&wire);
    reply_encode(&out, &back);
    data = arena_copy(&w->arena, buf_bytes(&back));
    buf_free(&back);
    assert_int_equal(reply_decode(data, 1, &w->arena, &seen, &n, &err), ERR_OK);
    return *seen;
}

struct reply world_run(struct world *w, const struct command *c)
{
    return world_run_at(w, shard_of_command(w, c), c);
}

/* --- making commands --- */

struct bytes world_facts(struct world *w, int64_t points, const char *city, const char *tag,
                         msec_t ts)
{
    struct facts_builder b;
    struct buf out = {0};
    facts_builder_init(&b, &w->arena);
    if (points) {
        struct fact f = {.kind = FACT_SUM,
                         .name = name_id_of(NAME_TRAIT, bytes_of_str("points")),
                         .type = FACT_NUMBER,
                         .number = points};
        facts_builder_add(&b, &f);
    }
    if (city) {
        struct fact f = {.kind = FACT_LATEST,
                         .name = name_id_of(NAME_TRAIT, bytes_of_str("city")),
                         .ts = ts,
                         .type = FACT_TEXT,
                         .text = bytes_of_str(city)};
        facts_builder_add(&b, &f);
    }
    if (tag) {
        bool off = tag[0] == '-';
        struct fact f = {.kind = FACT_TAG,
                         .sub = bytes_of_str(tag + off),
                         .ts = ts,
                         .type = FACT_NUMBER,
                         .number = !off};
        facts_builder_add(&b, &f);
    }
    assert_true(facts_builder_finish(&b, &out));
    struct bytes copy = arena_copy(&w->arena, buf_bytes(&out));
    buf_free(&out);
    return copy;
}

static int by_field(const void *a, const void *b)
{
    const struct behaviour_field *x = a, *y = b;
    return x->id < y->id ? -1 : x->id > y->id;
}

struct bytes world_order(struct world *w, int32_t day, int64_t amount, const char *category)
{
    struct behaviour b = {.event = name_id_of(NAME_EVENT, bytes_of_str("order")),
                          .ts = (msec_t)day * MSEC_PER_DAY,
                          .day = day,
                          .count = 1,
                          .n_fields = 2};
    const struct schema_event *e = schema_event_by_id(w->schema, b.event);
    struct buf out = {0};
    b.fields[0] = (struct behaviour_field){
        .id = schema_field_by_name(e, bytes_of_str("amount"))->id, .number = amount};
    b.fields[1] =
        (struct behaviour_field){.id = schema_field_by_name(e, bytes_of_str("category"))->id,
                                 .type = FIELD_ENUM,
                                 .text = bytes_of_str(category)};
    qsort(b.fields, b.n_fields, sizeof b.fields[0], by_field);
    behaviour_encode(&b, &out);
    struct bytes copy = arena_copy(&w->arena, buf_bytes(&out));
    buf_free(&out);
    return copy;
}

struct command world_event(struct world *w, one_id p, unsigned message, const struct identity *ids,
                           size_t n, int64_t points)
{
    char text[32];
    int len = snprintf(text, sizeof text, "m%u", message);
    struct command c = {.type = COMMAND_APPLY,
                        .profile = p,
                        .n_ids = n,
                        .message_id = arena_copy(&w->arena, bytes_of(text, (size_t)len)),
                        .ts = w->now,
                        .source = bytes_of_str("crm"),
                        .facts = world_facts(w, points, NULL, NULL, w->now)};
    c.ids = arena_alloc(&w->arena, n * sizeof *c.ids);
    assert_non_null(c.ids);
    memcpy(c.ids, ids, n * sizeof *c.ids);
    return c;
}

struct reply world_apply(struct world *w, one_id p, unsigned message, const struct identity *ids,
                         size_t n, int64_t points)
{
    struct command c = world_event(w, p, message, ids, n, points);
    return world_run(w, &c);
}

one_id world_open(struct world *w, struct identity id)
{
    struct reply r = world_apply(w, 0, 1000000 + w->next_message++, &id, 1, 1);
    assert_int_equal(r.status, REPLY_OK);
    assert_true(r.created);
    return r.profile;
}

struct command world_pair(enum command_type type, one_id profile, one_id other, uint32_t epoch,
                          struct identity *pair)
{
    return (struct command){.type = type,
                            .profile = profile,
                            .other = other,
                            .epoch = epoch,
                            .ids = pair,
                            .n_ids = 2,
                            .message_id = bytes_of_str("link"),
                            .source = bytes_of_str("crm")};
}

struct reply world_locate(struct world *w, one_id p, struct identity id, bool want_content)
{
    struct command c = {.type = COMMAND_LOCATE,
                        .profile = p,
                        .ids = &id,
                        .n_ids = id.ns != 0,
                        .want_content = want_content};
    return world_run(w, &c);
}

struct reply world_simple(struct world *w, enum command_type type, one_id p, uint32_t epoch)
{
    struct command c = {.type = type, .profile = p, .epoch = epoch};
    return world_run(w, &c);
}

struct reply world_repair(struct world *w, struct identity id, one_id p, uint32_t version)
{
    struct command c = {
        .type = COMMAND_REPAIR, .profile = p, .version = version, .ids = &id, .n_ids = 1};
    return world_run(w, &c);
}

/* --- looking --- */

struct profile_view *world_view(struct world *w, one_id from, struct identity id)
{
    struct profile_view *v;
    struct error err;
    for (int hops = 0; hops < 20; hops++) {
        struct command c = {.type = COMMAND_GET, .profile = from, .ids = &id, .n_ids = id.ns != 0};
        struct reply r = world_run(w, &c);
        if (r.status == REPLY_GOTO) {
            from = r.profile;
            continue;
        }
        if (r.status != REPLY_HERE && r.status != REPLY_MERGING)
            return NULL;
        assert_int_equal(profile_decode(r.content, &w->arena, &v, &err), ERR_OK);
        return v;
    }
    return NULL;
}

int64_t view_counter(const struct profile_view *v, const char *name)
{
    for (size_t i = 0; i < v->n_counters; i++) {
        if (bytes_equal(v->counters[i].name, bytes_of_str(name)))
            return v->counters[i].integer;
    }
    return 0;
}

struct bytes view_trait(const struct profile_view *v, const char *name)
{
    for (size_t i = 0; i < v->n_traits; i++) {
        if (bytes_equal(v->traits[i].name, bytes_of_str(name)))
            return v->traits[i].text;
    }
    return bytes_of(NULL, 0);
}

const struct shard_stats *world_stats(struct world *w, unsigned shard)
{
    struct command c = {.type = COMMAND_STATS};
    struct reply r = world_run_at(w, shard, &c);
    assert_int_equal(r.status, REPLY_OK);
    assert_non_null(r.stats);
    return r.stats;
}

static void check_shard(struct world *w, unsigned shard)
{
    struct command c = {.type = COMMAND_CHECK};
    struct reply r = world_run_at(w, shard, &c);
    assert_int_equal(r.status, REPLY_OK);
    for (size_t i = 0; i < r.n_counts; i++)
        print_error("shard %u: %.*s\n", shard, (int)r.counts[i].value.len,
                    (const char *)r.counts[i].value.data);
    assert_int_equal(r.n_counts, 0);
    struct index *fresh = index_new(w->schema);
    assert_non_null(fresh);
    machine_rebuild(w->machines[shard], emit_to_index, fresh);
    assert_true(index_publish(fresh));
    assert_true(index_publish(w->indexes[shard]));
    assert_true(index_digest(fresh) == index_digest(w->indexes[shard]));
    struct index_stats stats;
    index_get_stats(fresh, &stats);
    assert_int_equal(stats.members, world_stats(w, shard)->profiles);
    index_free(fresh);
}

void world_check(struct world *w)
{
    for (unsigned i = 0; i < WORLD_SHARDS; i++)
        check_shard(w, i);
}

static bool add_to_digest(void *ctx, struct bytes key, struct bytes value)
{
    uint64_t *sum = ctx;
    *sum += hash_u64(hash64_seed(value, hash64(key)));
    return true;
}

uint64_t store_digest(struct store *s)
{
    uint64_t sum = 0;
    store_scan(s, bytes_of(NULL, 0), add_to_digest, &sum);
    return sum;
}

void world_replay(struct world *w)
{
    for (unsigned i = 0; i < WORLD_SHARDS; i++) {
        struct store_options o = {.map_bytes = 1 << 20, .shard = (uint16_t)i};
        struct machine_options mo = w->options;
        struct machine *m;
        struct arena arena = {0};
        struct error err;
        assert_int_equal(store_open(&o, &mo.store, &err), ERR_OK);
        mo.shard = (shard_id)i;
        mo.emit = NULL;
        assert_int_equal(machine_open(&mo, &m, &err), ERR_OK);
        for (struct logged *l = w->first[i]; l; l = l->next) {
            struct command *c;
            struct reply out;
            size_t n;
            arena_reset(&arena);
            assert_int_equal(command_decode(bytes_of(l->data, l->len), 1, &arena, &c, &n, &err),
                             ERR_OK);
            machine_apply(m, l->now, c, &arena, &out);
            machine_end_entry(m);
        }
        assert_true(store_digest(mo.store) == store_digest(w->stores[i]));
        machine_close(m);
        store_close(mo.store);
        arena_close(&arena);
    }
}
