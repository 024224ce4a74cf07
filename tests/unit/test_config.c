/* What a sound cluster file means. */
#include "config_rig.h"

#include <tempdir.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void test_config_reads_every_section(void **state)
{
    (void)state;
    struct cluster_config *c = parse_sound(file_with(""));
    assert_string_equal(c->path, "/etc/t.yml");
    assert_string_equal(c->name, "demo");
    assert_string_equal(c->data, "/etc/data");
    assert_string_equal(c->timezone, "Asia/Shanghai");
    assert_int_equal(c->n_shards, 6);
    assert_int_equal(c->n_replicas, 1);
    assert_int_equal(c->n_nodes, 1);
    assert_int_equal(c->nodes[0].id, 1);
    assert_string_equal(c->nodes[0].listen, "tcp://127.0.0.1:7101");
    assert_int_equal(c->n_routers, 1);
    assert_string_equal(c->routers[0].listen, "tcp://127.0.0.1:7001");
    assert_false(c->security.plain);
    assert_string_equal(c->security.keys, "/etc/keys");
    assert_string_equal(c->security.allowed, "/etc/keys/allowed");
    assert_int_equal(c->dedup_hours, 24);
    assert_int_equal(c->dedup_min, 4096);
    assert_int_equal(c->deadline_ms, 10000);
    assert_int_equal(c->watch_events, 1000000);
    assert_int_equal(c->watch_idle_days, 7);
    assert_int_equal(c->election_ms, 700);
    assert_int_equal(c->log_keep_mb, 64);
    assert_int_equal(c->log_join_mb, 1024);
    assert_int_equal(c->schema.tags_max, 100);
    assert_int_equal(c->schema.n_namespaces, 2);
    assert_int_equal(c->schema.namespaces[0].normalize, NORMALIZE_PHONE);
    assert_int_equal(c->schema.namespaces[1].normalize, NORMALIZE_NONE);
    assert_true(c->schema.namespaces[1].bridges);
    assert_int_equal(c->schema.namespaces[1].priority, 2);
    cluster_config_close(c);
}

static void test_config_sorts_levels_and_priorities(void **state)
{
    (void)state;
    struct cluster_config *c = parse_sound(
        file_with("identities: [{name: a, limit: 1, priority: 9}, {name: b, limit: 1}]\n"));
    assert_string_equal(c->schema.namespaces[0].name, "b");
    assert_string_equal(c->schema.namespaces[1].name, "a");
    assert_int_equal(c->schema.namespaces[1].priority, 9);
    assert_int_equal(c->schema.n_levels, 2);
    assert_string_equal(c->schema.levels[0].name, "silver");
    assert_int_equal(c->schema.levels[0].at_least, 10);
    assert_string_equal(c->schema.levels[1].name, "gold");
    assert_string_equal(c->schema.level_by->name, "growth");
    cluster_config_close(c);
}

static void test_config_traits_merge_as_their_type_does(void **state)
{
    (void)state;
    struct cluster_config *c = parse_sound(
        file_with("traits: [{name: growth, type: counter}, {name: s, type: set}, "
                  "{name: d, type: date}, {name: n, type: number, merge: sum}, "
                  "{name: p, type: string, merge: source_priority, sources: [crm, shop]}]\n"));
    const struct schema_trait *t = c->schema.traits;
    assert_int_equal(c->schema.n_traits, 5);
    assert_int_equal(t[0].merge, MERGE_SUM);
    assert_int_equal(t[1].merge, MERGE_UNION);
    assert_int_equal(t[2].merge, MERGE_LATEST);
    assert_int_equal(t[3].merge, MERGE_SUM);
    assert_int_equal(t[4].merge, MERGE_SOURCE_PRIORITY);
    assert_int_equal(t[4].n_sources, 2);
    assert_true(bytes_equal(t[4].sources[0], bytes_of_str("crm")));
    assert_true(bytes_equal(t[4].sources[1], bytes_of_str("shop")));
    cluster_config_close(c);
}

static void test_config_every_type_takes_only_its_merges(void **state)
{
    (void)state;
    static const char *const TYPES[] = {"enum", "string", "date", "number", "counter", "set"};
    static const char *const MERGES[] = {"latest", "first",          "min", "max", "sum",
                                         "union",  "source_priority"};
    static const char *const ALLOWED[] = {"11....1", "11....1", "1111..1",
                                          "11111.1", "....1..", ".....1."};
    for (size_t t = 0; t < 6; t++) {
        for (size_t m = 0; m < 7; m++) {
            char section[256];
            (void)snprintf(section, sizeof section,
                           "traits: [{name: growth, type: counter}, "
                           "{name: t, type: %s, merge: %s%s}]\n",
                           TYPES[t], MERGES[m], m == 6 ? ", sources: [crm]" : "");
            struct cluster_config *c = NULL;
            struct error err = {0};
            enum error_code rc =
                cluster_config_parse("t.yml", bytes_of_str(file_with(section)), &c, &err);
            if ((rc == ERR_OK) != (ALLOWED[t][m] == '1'))
                fail_msg("%s gave %d: %s", section, rc, err.msg);
            cluster_config_close(c);
        }
    }
}

static void test_config_events_say_what_is_kept(void **state)
{
    (void)state;
    struct cluster_config *c = parse_sound(
        file_with("events:\n"
                  "  order: {metrics: [sum(amount), count], keep_days: 400,\n"
                  "          fields: {amount: number, kind: enum}}\n"
                  "  pay: {fields: {amount: number}, metrics: [sum(amount)], keep_days: 3660}\n"));
    const struct schema_event *e = c->schema.events;
    assert_int_equal(c->schema.n_events, 2);
    assert_true(e[0].counted);
    assert_int_equal(e[0].keep_days, 400);
    assert_int_equal(e[0].n_fields, 2);
    assert_int_equal(e[0].fields[0].type, FIELD_NUMBER);
    assert_true(e[0].fields[0].summed);
    assert_int_equal(e[0].fields[1].type, FIELD_ENUM);
    assert_false(e[0].fields[1].summed);
    assert_false(e[1].counted);
    assert_int_equal(e[0].fields[0].id, e[1].fields[0].id);
    cluster_config_close(c);
}

static void test_config_sections_that_may_be_left_out(void **state)
{
    (void)state;
    struct cluster_config *c = parse_sound("cluster: d\ndata: /x//y/./z/\nshards: 1024\n"
                                           "nodes: [{id: 65535, listen: 'tcp://h-1.lan:65535'}]\n"
                                           "routers: [{id: 65535, listen: 'tcp://r:1'}]\n"
                                           "timezone: UTC\n"
                                           "identities: [{name: m, limit: 100000}]\n"
                                           "security: {keys: k, allowed: ../trust}\n");
    assert_string_equal(c->data, "/x/y/z");
    assert_string_equal(c->security.keys, "/etc/k");
    assert_string_equal(c->security.allowed, "/etc/../trust");
    assert_int_equal(c->n_replicas, 1);
    assert_int_equal(c->schema.n_traits, 0);
    assert_int_equal(c->schema.n_events, 0);
    assert_int_equal(c->schema.n_levels, 0);
    assert_null(c->schema.level_by);
    assert_int_equal(c->schema.tags_max, 200);
    assert_int_equal(c->dedup_hours, 72);
    assert_int_equal(c->dedup_min, 4096);
    assert_int_equal(c->dedup_max, 65536);
    assert_int_equal(c->memtable_mb, 64);
    assert_int_equal(c->checkpoint_seconds, 60);
    assert_int_equal(c->redirect_days, 400);
    assert_int_equal(c->map_gb, 256);
    assert_int_equal(c->router_cache_mb, 256);
    assert_int_equal(c->deadline_ms, 10000);
    assert_null(schema_trait_by_name(&c->schema, bytes_of_str("city")));
    cluster_config_close(c);
}

static void test_config_anchors_stand_for_their_value(void **state)
{
    (void)state;
    struct cluster_config *c =
        parse_sound(file_with("events: {a: &e {metrics: [count], keep_days: 5}, b: *e}\n"));
    assert_int_equal(c->schema.n_events, 2);
    assert_int_equal(c->schema.events[1].keep_days, 5);
    cluster_config_close(c);
}

static void test_config_block_values_are_normalised(void **state)
{
    (void)state;
    struct cluster_config *c =
        parse_sound(file_with("identities: [{block: ['+86 138-0000-0000', '', 'null'], "
                              "name: phone, limit: 3, normalize: phone}, "
                              "{name: m, limit: 1, block: [' Test ']}]\n"));
    const struct schema_namespace *ns = c->schema.namespaces;
    assert_int_equal(ns[0].n_block, 1);
    assert_true(bytes_equal(ns[0].block[0], bytes_of_str("13800000000")));
    assert_int_equal(ns[1].n_block, 1);
    assert_true(bytes_equal(ns[1].block[0], bytes_of_str("test")));
    cluster_config_close(c);
}

static void test_config_open_reads_the_file(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    const char *path = tempdir_path(dir, "c.yml");
    struct cluster_config *c = NULL;
    struct error err = {0};
    assert_int_equal(cluster_config_open(path, &c, &err), ERR_IO);
    assert_memory_equal(err.msg, path, strlen(path));
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(file_with("data: ../d\n"), f) >= 0);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(cluster_config_open(path, &c, &err), ERR_OK);
    char data[1024];
    (void)snprintf(data, sizeof data, "%s/../d", dir);
    assert_string_equal(c->data, data);
    cluster_config_close(c);
    assert_int_equal(cluster_config_open(dir, &c, &err), ERR_IO);
    tempdir_remove(dir);
}

static void test_config_data_is_relative_to_the_folder_of_the_file(void **state)
{
    (void)state;
    char cwd[1024], expected[1100];
    assert_non_null(getcwd(cwd, sizeof cwd));
    static const struct {
        const char *path, *data, *below_cwd;
    } T[] = {
        {"c.yml", "./data", "/data"},          {"./conf/c.yml", "data/", "/conf/data"},
        {"conf//c.yml", "../x", "/conf/../x"}, {"c.yml", ".", ""},
        {"c.yml", "a//b/./c", "/a/b/c"},
    };
    for (size_t i = 0; i < sizeof T / sizeof *T; i++) {
        char section[64];
        (void)snprintf(section, sizeof section, "data: %s\n", T[i].data);
        struct cluster_config *c = NULL;
        assert_int_equal(
            cluster_config_parse(T[i].path, bytes_of_str(file_with(section)), &c, NULL), ERR_OK);
        (void)snprintf(expected, sizeof expected, "%s%s", cwd, T[i].below_cwd);
        assert_string_equal(c->data, expected);
        cluster_config_close(c);
    }
}

static void test_config_close_takes_nothing(void **state)
{
    (void)state;
    cluster_config_close(NULL);
}

static void test_config_default_file_is_sound(void **state)
{
    (void)state;
    struct cluster_config *c = NULL;
    struct error err = {0};
    if (cluster_config_open(DEFAULT_CLUSTER_FILE, &c, &err) != ERR_OK)
        fail_msg("%s", err.msg);
    assert_string_equal(c->name, "retail-demo");
    assert_int_equal(c->n_nodes, 3);
    assert_int_equal(c->n_shards, 6);
    assert_int_equal(c->schema.n_namespaces, 9);
    assert_int_equal(c->schema.n_traits, 8);
    assert_int_equal(c->schema.n_events, 2);
    assert_int_equal(c->schema.n_levels, 3);
    const struct schema_namespace *device =
        schema_namespace_by_name(&c->schema, bytes_of_str("device"));
    assert_non_null(device);
    assert_false(device->bridges);
    assert_int_equal(device->priority, 9);
    cluster_config_close(c);
}

/* The section `limits` of the default file repeats the defaults: leaving it out changes nothing. */
static void test_config_default_file_states_the_default_limits(void **state)
{
    (void)state;
    struct cluster_config *c = NULL, *d = parse_sound(file_with("limits: {}\n"));
    assert_int_equal(cluster_config_open(DEFAULT_CLUSTER_FILE, &c, NULL), ERR_OK);
    assert_int_equal(c->dedup_hours, d->dedup_hours);
    assert_int_equal(c->dedup_min, d->dedup_min);
    assert_int_equal(c->dedup_max, d->dedup_max);
    assert_int_equal(c->memtable_mb, d->memtable_mb);
    assert_int_equal(c->checkpoint_seconds, d->checkpoint_seconds);
    assert_int_equal(c->log_keep_mb, d->log_keep_mb);
    assert_int_equal(c->log_join_mb, d->log_join_mb);
    assert_int_equal(c->redirect_days, d->redirect_days);
    assert_int_equal(c->map_gb, d->map_gb);
    assert_int_equal(c->router_cache_mb, d->router_cache_mb);
    assert_int_equal(c->deadline_ms, d->deadline_ms);
    assert_int_equal(c->watch_events, d->watch_events);
    assert_int_equal(c->watch_idle_days, d->watch_idle_days);
    assert_int_equal(c->election_ms, d->election_ms);
    cluster_config_close(c);
    cluster_config_close(d);
}

static void test_config_metrics_are_on_loopback_unless_said_otherwise(void **state)
{
    (void)state;
    struct cluster_config *c = parse_sound(
        file_with("nodes: [{id: 1, listen: \"tcp://h:1\", metrics: 9101}, {id: 2, listen: "
                  "\"tcp://h:2\", metrics: \"10.1.2.3:9101\"}, {id: 3, listen: \"tcp://h:3\"}]\n"));
    assert_string_equal(c->nodes[0].metrics, "127.0.0.1:9101");
    assert_string_equal(c->nodes[1].metrics, "10.1.2.3:9101");
    assert_string_equal(c->nodes[2].metrics, "");
    assert_string_equal(c->routers[0].metrics, "");
    cluster_config_close(c);
}

/* Everything that the schema says changes its digest; nothing else in the file does. */
static void test_config_digest_is_of_the_schema_alone(void **state)
{
    (void)state;
    static const char *const ALIKE[] = {"limits: {dedup_hours: 25}\n", "shards: 7\n",
                                        "traits:\n  - {name: city, type: enum}\n"
                                        "  - {type: counter, name: growth} # written otherwise\n"};
    static const char *const OTHERS[] = {
        "identities: [{name: phone, limit: 4, normalize: phone}, {name: device, limit: 9}]\n",
        "identities: [{name: phone, limit: 3}, {name: device, limit: 9}]\n",
        "identities: [{name: phone, limit: 3, normalize: phone, block: [\"13800000000\"]}, {name: "
        "device, "
        "limit: 9}]\n",
        "identities: [{name: phone, limit: 3, normalize: phone}, {name: device, limit: 9, bridges: "
        "false}]\n",
        "traits: [{name: town, type: enum}, {name: growth, type: counter}]\n",
        "traits: [{name: city, type: string}, {name: growth, type: counter}]\n",
        "traits: [{name: city, type: enum, merge: first}, {name: growth, type: counter}]\n",
        "traits: [{name: city, type: enum}, {name: growth, type: counter}, {name: x, type: set}]\n",
        "tags: {max_per_profile: 101}\n",
        "events: {order: {fields: {amount: number, kind: enum}, metrics: [count], keep_days: 8}}\n",
        "events: {order: {fields: {amount: number}, metrics: [count], keep_days: 9}}\n",
        "events: {order: {fields: {amount: number, kind: enum}, metrics: [count, sum(amount)], "
        "keep_days: 9}}\n",
        "levels: {by: growth, steps: {gold: 51, silver: 10}}\n",
        "levels: {by: growth, steps: {gold: 50}}\n"};
    struct cluster_config *c = parse_sound(file_with(""));
    uint64_t digest = schema_digest(&c->schema);
    cluster_config_close(c);
    for (size_t i = 0; i < sizeof ALIKE / sizeof *ALIKE; i++) {
        c = parse_sound(file_with(ALIKE[i]));
        assert_true(schema_digest(&c->schema) == digest);
        cluster_config_close(c);
    }
    for (size_t i = 0; i < sizeof OTHERS / sizeof *OTHERS; i++) {
        c = parse_sound(file_with(OTHERS[i]));
        assert_true(schema_digest(&c->schema) != digest);
        cluster_config_close(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config_reads_every_section),
        cmocka_unit_test(test_config_sorts_levels_and_priorities),
        cmocka_unit_test(test_config_traits_merge_as_their_type_does),
        cmocka_unit_test(test_config_every_type_takes_only_its_merges),
        cmocka_unit_test(test_config_events_say_what_is_kept),
        cmocka_unit_test(test_config_sections_that_may_be_left_out),
        cmocka_unit_test(test_config_anchors_stand_for_their_value),
        cmocka_unit_test(test_config_block_values_are_normalised),
        cmocka_unit_test(test_config_open_reads_the_file),
        cmocka_unit_test(test_config_data_is_relative_to_the_folder_of_the_file),
        cmocka_unit_test(test_config_close_takes_nothing),
        cmocka_unit_test(test_config_default_file_is_sound),
        cmocka_unit_test(test_config_default_file_states_the_default_limits),
        cmocka_unit_test(test_config_metrics_are_on_loopback_unless_said_otherwise),
        cmocka_unit_test(test_config_digest_is_of_the_schema_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
