/* The cluster map and its changes from any bytes. What is taken is written again and must be taken
 * again, the same; and no sequence of changes makes a map that is not. The first byte says which of
 * the two, the rest is a map without its check sum, or changes with a byte of length before each.
 */
#include <base/hash.h>
#include <cluster/placement.h>

#include <stdlib.h>

static void must(bool held)
{
    if (!held)
        abort();
}

static void must_come_back(const struct cluster_map *m)
{
    static struct cluster_map back;
    struct buf one = {0}, two = {0};
    cluster_map_encode(m, &one);
    must(cluster_map_decode(buf_bytes(&one), &back, NULL) == ERR_OK);
    cluster_map_encode(&back, &two);
    must(bytes_equal(buf_bytes(&one), buf_bytes(&two)));
    buf_free(&one);
    buf_free(&two);
}

/* Whatever the map, each of these gives another one, or an error and the same one. */
static void try_on(struct cluster_map *m)
{
    uint32_t task;
    for (int kind = MAP_TASK_ADD; kind < MAP_TASK_KINDS && m->n_nodes > 0; kind++) {
        const struct placement_request q = {.kind = (enum map_task_kind)kind,
                                            .node = m->nodes[0].id,
                                            .other = kind == MAP_TASK_REPLACE ? 9 : 0};
        (void)placement_begin(m, &q, 1, &task, NULL);
        must_come_back(m);
    }
    if (m->n_tasks > 0) {
        (void)placement_cancel(m, m->tasks[0].id, 1, NULL);
        must_come_back(m);
    }
    for (shard_id i = 0; i < m->n_shards && i < 4; i++) {
        (void)placement_settle(m, i, m->shards[i].changed, 1);
        must_come_back(m);
    }
}

static void try_map(struct bytes in)
{
    static struct cluster_map m;
    struct buf sealed = {0};
    (void)cluster_map_decode(in, &m, NULL);
    buf_put(&sealed, in.data, in.len);
    buf_put_u32(&sealed, hash_checksum(in));
    if (cluster_map_decode(buf_bytes(&sealed), &m, NULL) == ERR_OK) {
        must_come_back(&m);
        try_on(&m);
    }
    buf_free(&sealed);
}

static void first_map(struct cluster_map *m)
{
    static struct cluster_node nodes[] = {{.id = 1, .listen = "tcp://127.0.0.1:1"},
                                          {.id = 2, .listen = "tcp://127.0.0.1:2"},
                                          {.id = 3, .listen = "tcp://127.0.0.1:3"}};
    const struct cluster_config c = {
        .name = "fuzz", .n_shards = 4, .n_replicas = 3, .nodes = nodes, .n_nodes = 3};
    cluster_map_init(m, &c);
}

static void try_change(struct bytes in, struct cluster_map *m)
{
    struct placement_change c, again;
    struct buf out = {0};
    uint32_t task;
    if (placement_change_decode(in, &c, NULL) != ERR_OK)
        return;
    placement_change_encode(&c, &out);
    must(placement_change_decode(buf_bytes(&out), &again, NULL) == ERR_OK);
    must(again.op == c.op && bytes_equal(again.map, c.map));
    uint64_t epoch = m->epoch;
    enum error_code rc = placement_apply(m, &again, 1, &task, NULL);
    must(m->epoch == epoch || (rc == ERR_OK && m->epoch == epoch + 1));
    must_come_back(m);
    buf_free(&out);
}

static void try_changes(struct bytes in)
{
    static struct cluster_map m;
    struct reader r = reader_of(in);
    first_map(&m);
    while (r.ok && reader_left(&r) > 0) {
        struct bytes change = reader_take(&r, reader_u8(&r));
        if (r.ok)
            try_change(change, &m);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct bytes in = bytes_of(data + 1, size - 1);
    if (data[0] & 1)
        try_changes(in);
    else
        try_map(in);
    return 0;
}
