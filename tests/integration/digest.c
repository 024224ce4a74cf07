/* Prints for each shard of a node that does not run: its number, how many rows its state has, and a
 * sum of them all that does not depend on their order. Two replicas that have applied the same log
 * print the same. Usage: oneid-test-digest CLUSTER_FILE NODE */
#include <base/hash.h>
#include <cluster/config.h>
#include <store/store.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct digest {
    uint64_t rows, sum;
};

static bool add(void *ctx, struct bytes key, struct bytes value)
{
    struct digest *d = ctx;
    d->rows++;
    d->sum += hash64_seed(value, hash64(key));
    return true;
}

static int fail(const struct error *err)
{
    (void)fprintf(stderr, "oneid-test-digest: %s\n", err->msg);
    return 1;
}

/* Nothing where the node does not hold the shard. */
static int print_shard(const struct cluster_config *c, node_id node, shard_id shard)
{
    char path[1024];
    struct error err = {0};
    struct digest d = {0};
    struct store *s;
    (void)snprintf(path, sizeof path, "%s/node-%u/shard-%u", c->data, node, shard);
    struct store_options o = {.path = path,
                              .map_bytes = (uint64_t)c->map_gb << 30,
                              .cluster_id = hash64(bytes_of_str(c->name)),
                              .shard = shard};
    if (access(path, F_OK) != 0)
        return 0;
    if (store_open(&o, &s, &err) != ERR_OK)
        return fail(&err);
    store_scan(s, bytes_of(NULL, 0), add, &d);
    if (store_error(s, &err) != ERR_OK)
        return fail(&err);
    (void)printf("%u %" PRIu64 " %016" PRIx64 "\n", shard, d.rows, d.sum);
    store_close(s);
    return 0;
}

int main(int argc, char **argv)
{
    struct cluster_config *c;
    struct error err = {0};
    int rc = 0;
    if (argc != 3)
        return 2;
    if (cluster_config_open(argv[1], &c, &err) != ERR_OK)
        return fail(&err);
    node_id node = (node_id)strtoul(argv[2], NULL, 10);
    for (shard_id i = 0; i < c->n_shards && rc == 0; i++)
        rc = print_shard(c, node, i);
    cluster_config_close(c);
    return rc;
}
