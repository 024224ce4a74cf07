#include <meta/meta.h>

#include <base/hash.h>

static const char MAP_NAME[] = "cluster_map";

enum error_code meta_put_map(struct wal *w, struct bytes map, struct error *err)
{
    return wal_put_meta(w, MAP_NAME, map, err);
}

enum error_code meta_store_map(struct wal *w, const struct cluster_map *map, struct error *err)
{
    struct buf b = {0};
    cluster_map_encode(map, &b);
    enum error_code rc = wal_begin(w, err);
    if (rc == ERR_OK) {
        rc = meta_put_map(w, buf_bytes(&b), err);
        if (rc == ERR_OK)
            rc = wal_commit(w, err);
        else
            wal_abort(w);
    }
    buf_free(&b);
    return rc;
}

static enum error_code check_map(const struct cluster_map *m, const struct cluster_config *c,
                                 struct error *err)
{
    if (m->cluster_id != hash64(bytes_of_str(c->name)))
        return error_set(err, ERR_MISMATCH, "the data folder belongs to another cluster than '%s'",
                         c->name);
    if (m->n_shards != c->n_shards)
        return error_set(err, ERR_MISMATCH,
                         "%s says shards: %u, but the data folder was made with %u; put it back",
                         c->path, (unsigned)c->n_shards, (unsigned)m->n_shards);
    if (m->n_replicas != c->n_replicas)
        return error_set(err, ERR_MISMATCH,
                         "%s says replicas: %u, but the data folder was made with %u; put it back",
                         c->path, (unsigned)c->n_replicas, (unsigned)m->n_replicas);
    return ERR_OK;
}

enum error_code meta_load_map(struct wal *w, const struct cluster_config *c,
                              struct cluster_map *out, struct error *err)
{
    struct buf b = {0};
    enum error_code rc = wal_get_meta(w, MAP_NAME, &b, err);
    if (rc == ERR_OK)
        rc = cluster_map_decode(buf_bytes(&b), out, err);
    if (rc == ERR_OK)
        rc = check_map(out, c, err);
    buf_free(&b);
    return rc;
}
