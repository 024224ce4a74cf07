/* The cluster map ('M' row): shard 0 has it and nobody else, so that its log is where the map
 * changes, in one order for all. In RAM as it is in the row. */
#include "state.h"

#include <cluster/placement.h>

#include <stdlib.h>

static const char ROW_KEY[] = "M";

static bool is_authority(const struct machine *m)
{
    return m->o.shard == MAP_AUTHORITY;
}

/* Another cluster's, or one whose slots are elsewhere, would be taken for the truth by all. */
static enum error_code check_cluster(const struct machine *m, const struct cluster_map *map,
                                     struct error *err)
{
    const struct cluster_map *of = m->o.map;
    if (map->cluster_id != of->cluster_id || map->n_shards != of->n_shards ||
        memcmp(map->shard_of_slot, of->shard_of_slot, sizeof map->shard_of_slot) != 0)
        return error_set(err, ERR_MISMATCH, "the cluster map is of another cluster");
    return ERR_OK;
}

static enum error_code decode(const struct machine *m, struct bytes b, struct cluster_map *out,
                              struct error *err)
{
    enum error_code rc = cluster_map_decode(b, out, err);
    return rc == ERR_OK ? check_cluster(m, out, err) : rc;
}

static void put_map(struct machine *m)
{
    buf_reset(&m->row);
    cluster_map_encode(m->map, &m->row);
    store_put(m->o.store, bytes_of_str(ROW_KEY), buf_bytes(&m->row));
}

enum error_code map_row_load(struct machine *m, struct error *err)
{
    struct bytes value;
    if (!is_authority(m))
        return ERR_OK;
    m->map = calloc(1, sizeof *m->map);
    if (!m->map)
        return error_set(err, ERR_NOMEM, "no memory for the cluster map");
    if (!store_get(m->o.store, bytes_of_str(ROW_KEY), &value))
        return ERR_OK;
    if (decode(m, value, m->map, err) != ERR_OK)
        return error_wrap(err, "row of the cluster map");
    return ERR_OK;
}

const struct cluster_map *machine_map(const struct machine *m)
{
    return m->map && m->map->epoch > 0 ? m->map : NULL;
}

const char *map_row_finding(struct machine *m)
{
    struct bytes value;
    bool is_there = store_get(m->o.store, bytes_of_str(ROW_KEY), &value);
    if (!is_authority(m))
        return is_there ? "a cluster map is here, which belongs to shard 0" : NULL;
    if (is_there != (machine_map(m) != NULL))
        return is_there ? "the cluster map is not known" : "the row of the cluster map is missing";
    if (!is_there)
        return NULL;
    buf_reset(&m->row);
    cluster_map_encode(m->map, &m->row);
    return bytes_equal(value, buf_bytes(&m->row)) ? NULL
                                                  : "the row of the cluster map is another one";
}

/* --- the command --- */

static enum error_code seed(struct machine *m, struct bytes map, struct error *err)
{
    if (machine_map(m))
        return ERR_OK; /* another leader was first */
    enum error_code rc = decode(m, map, m->map, err);
    if (rc == ERR_OK)
        put_map(m);
    else
        m->map->epoch = 0;
    return rc;
}

static enum error_code change(struct machine *m, const struct placement_change *c, uint32_t *task,
                              struct error *err)
{
    *task = 0;
    if (c->op == PLACEMENT_SEED)
        return seed(m, c->map, err);
    if (!machine_map(m))
        return error_set(err, ERR_BUSY, "the cluster has no map yet: ask again");
    uint64_t epoch = m->map->epoch;
    enum error_code rc = placement_apply(m->map, c, m->clock, task, err);
    if (m->map->epoch != epoch)
        put_map(m);
    return rc;
}

/* With the whole map, as it is now. */
static void answer(struct machine *m, uint32_t task, struct arena *arena, struct reply *out)
{
    struct buf b = {0};
    cluster_map_encode(m->map, &b);
    *out = (struct reply){
        .status = REPLY_OK, .version = task, .content = arena_copy(arena, buf_bytes(&b))};
    buf_free(&b);
    if (!out->content.data)
        reply_fail(out, ERR_NOMEM, "no memory for the reply");
}

void map_change(struct machine *m, const struct command *c, struct arena *arena, struct reply *out)
{
    struct placement_change what;
    struct error err;
    uint32_t task = 0;
    if (!is_authority(m)) {
        *out = (struct reply){.status = REPLY_WRONG_SHARD};
        return;
    }
    enum error_code rc = placement_change_decode(c->content, &what, &err);
    if (rc == ERR_OK)
        rc = change(m, &what, &task, &err);
    if (rc == ERR_OK)
        answer(m, task, arena, out);
    else
        reply_fail_copy(out, rc, err.msg, arena);
}
