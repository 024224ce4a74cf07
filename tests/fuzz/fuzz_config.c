/* The reader of the cluster file on any text; what it accepts must be usable. */
#include <cluster/map.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(what)                                                                              \
    do {                                                                                           \
        if (!(what))                                                                               \
            abort();                                                                               \
    } while (0)

static void check_schema(const struct schema *s)
{
    REQUIRE(s->n_namespaces > 0);
    for (size_t i = 0; i < s->n_namespaces; i++) {
        const struct schema_namespace *n = &s->namespaces[i];
        REQUIRE(schema_namespace_by_name(s, bytes_of_str(n->name)) == n);
        REQUIRE(i == 0 || s->namespaces[i - 1].priority < n->priority);
    }
    for (size_t i = 0; i < s->n_traits; i++)
        REQUIRE(schema_trait_by_name(s, bytes_of_str(s->traits[i].name)) == &s->traits[i]);
    for (size_t i = 0; i < s->n_events; i++)
        REQUIRE(schema_event_by_name(s, bytes_of_str(s->events[i].name)) == &s->events[i]);
    for (size_t i = 1; i < s->n_levels; i++)
        REQUIRE(s->levels[i - 1].at_least < s->levels[i].at_least);
    REQUIRE(s->n_levels == 0 || s->level_by);
}

static void check_map(const struct cluster_config *c)
{
    struct cluster_map m, back;
    struct buf b = {0};
    cluster_map_init(&m, c);
    cluster_map_encode(&m, &b);
    REQUIRE(cluster_map_decode(buf_bytes(&b), &back, NULL) == ERR_OK);
    REQUIRE(memcmp(m.shard_of_slot, back.shard_of_slot, sizeof m.shard_of_slot) == 0);
    buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cluster_config *c = NULL;
    struct error err = {0};
    enum error_code rc = cluster_config_parse("f.yml", bytes_of(data, size), &c, &err);
    if (rc) {
        REQUIRE(rc == ERR_CONFIG && strncmp(err.msg, "f.yml:", 6) == 0 && !c);
        return 0;
    }
    check_schema(&c->schema);
    check_map(c);
    cluster_config_close(c);
    return 0;
}
