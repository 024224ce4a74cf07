#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <cluster/config.h>
#include <tempdir.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A sound file, one line for each section, so that line n is section n. */
static const char *const SECTIONS[] = {
    "cluster: demo\n",
    "data: ./data\n",
    "shards: 6\n",
    "replicas: 1\n",
    "nodes: [{id: 1, listen: \"tcp://127.0.0.1:7101\"}]\n",
    "routers: [{id: 1, listen: \"tcp://127.0.0.1:7001\"}]\n",
    "timezone: Asia/Shanghai\n",
    ("identities: [{name: phone, limit: 3, normalize: phone}, {name: device, limit: 9, bridges: "
     "true}]\n"),
    "traits: [{name: city, type: enum}, {name: growth, type: counter}]\n",
    "tags: {max_per_profile: 100}\n",
    "events: {order: {fields: {amount: number, kind: enum}, metrics: [count], keep_days: 9}}\n",
    "levels: {by: growth, steps: {gold: 50, silver: 10}}\n",
    "limits: {dedup_hours: 24}\n",
    "security: {keys: ./keys}\n",
};
enum { N_SECTIONS = sizeof SECTIONS / sizeof *SECTIONS };

/* The sound file with the section of the same key replaced, or `text` added at the end. */
static char *file_with(const char *text)
{
    static char file[8192];
    size_t key = strcspn(text, ":") + 1;
    bool placed = *text == '\0';
    file[0] = '\0';
    for (size_t i = 0; i < N_SECTIONS; i++) {
        bool here = !placed && strncmp(SECTIONS[i], text, key) == 0;
        strcat(file, here ? text : SECTIONS[i]);
        placed = placed || here;
    }
    if (!placed)
        strcat(file, text);
    return file;
}

static struct cluster_config *parse_sound(const char *text)
{
    struct cluster_config *c = NULL;
    struct error err = {0};
    if (cluster_config_parse("/etc/t.yml", bytes_of_str(text), &c, &err) != ERR_OK)
        fail_msg("%s", err.msg);
    return c;
}

static void expect_mistake(struct bytes text, const char *msg)
{
    struct cluster_config *c = NULL;
    struct error err = {0};
    enum error_code rc = cluster_config_parse("t.yml", text, &c, &err);
    if (rc != ERR_CONFIG || strcmp(err.msg, msg) != 0)
        fail_msg("\n%.*s\ngave %d: %s\nnot     %s", (int)text.len, (const char *)text.data, rc,
                 err.msg, msg);
    assert_null(c);
}

struct mistake {
    const char *section; /* as for file_with */
    const char *msg;
};

static void expect_mistakes(const struct mistake *m, size_t n)
{
    for (size_t i = 0; i < n; i++)
        expect_mistake(bytes_of_str(file_with(m[i].section)), m[i].msg);
}
#define EXPECT_MISTAKES(m) expect_mistakes(m, sizeof(m) / sizeof *(m))

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

static void test_config_refuses_mistakes_in_single_values(void **state)
{
    (void)state;
    static const struct mistake M[] = {
        {"nodez: []\n", "t.yml:15:1: unknown key 'nodez', expected one of cluster, data, shards, "
                        "replicas, security, nodes, "
                        "routers, timezone, identities, traits, tags, events, levels, limits"},
        {"cluster: again\ncluster: x\n",
         "t.yml:2:1: key 'cluster' is there twice, expected it once"},
        {"? [a]\n: b\n", "t.yml:15:3: unknown key a list, expected one of cluster, data, shards, "
                         "replicas, security, nodes, "
                         "routers, timezone, identities, traits, tags, events, levels, limits"},
        {"cluster: Demo\n", "t.yml:1:10: expected a cluster name of a-z, 0-9 and -"},
        {"cluster: ''\n", "t.yml:1:10: expected text of 1 to 64 bytes, found 0"},
        {"cluster:\n", "t.yml:1:9: expected text, found nothing"},
        {"cluster: [a]\n", "t.yml:1:10: expected text, found a list"},
        {"cluster: a23456789b23456789c23456789d23456789e23456789f23456789g23456789hh\n",
         "t.yml:1:10: expected text of 1 to 64 bytes, found 65"},
        {"data: \"a\\0b\"\n", "t.yml:2:7: expected text without a zero byte"},
        {"data: ''\n", "t.yml:2:7: expected text of 1 to 1024 bytes, found 0"},
        {"shards: 0\n", "t.yml:3:9: expected a whole number from 1 to 1024, found '0'"},
        {"shards: 1025\n", "t.yml:3:9: expected a whole number from 1 to 1024, found '1025'"},
        {"shards: \"6\"\n",
         "t.yml:3:9: expected a whole number from 1 to 1024, found '6' in quotes"},
        {"shards: 1x\n", "t.yml:3:9: expected a whole number from 1 to 1024, found '1x'"},
        {"shards: 06\n", "t.yml:3:9: expected a whole number from 1 to 1024, found '06'"},
        {"shards: 6.0\n", "t.yml:3:9: expected a whole number from 1 to 1024, found '6.0'"},
        {"shards: -\n",
         "t.yml:3:9: not YAML: block sequence entries are not allowed in this context"},
        {"shards: 99999999999999999999\n",
         "t.yml:3:9: expected a whole number from 1 to 1024, found '99999999999999999999'"},
        {"replicas: 2\n", "t.yml:4:11: expected replicas: 1, 3 or 5, found 2: an even number "
                          "survives no more failures than the odd one below it"},
        {"replicas: 7\n", "t.yml:4:11: expected a whole number from 1 to 5, found '7'"},
        {"replicas: 5\n", "t.yml:5:8: expected at least as many nodes as replicas (5), found 1"},
        {"replicas: x\n", "t.yml:4:11: expected a whole number from 1 to 5, found 'x'"},
        {"timezone: Asia/Atlantis\n", "t.yml:7:11: expected a time zone that this system knows, "
                                      "such as Asia/Shanghai or UTC; found 'Asia/Atlantis'"},
        {"timezone: null\n", "t.yml:7:11: expected text, found nothing"},
        {"shards: !!int 6\n", "t.yml:3:9: expected a value without a tag"},
    };
    EXPECT_MISTAKES(M);
}

static void test_config_refuses_mistakes_in_nodes_and_routers(void **state)
{
    (void)state;
    static const struct mistake M[] = {
        {"nodes: []\n", "t.yml:5:8: expected 1 to 256 entries, one for each node; found 0"},
        {"nodes: 3\n", "t.yml:5:8: expected a list, one item for each node; found '3'"},
        {"nodes:\n  - {id: 1}\n", "t.yml:6:5: expected the key 'listen', which is missing"},
        {"nodes:\n  - {idd: 1, listen: \"tcp://h:1\"}\n",
         "t.yml:6:6: unknown key 'idd', expected one of id, listen, metrics"},
        {"nodes: [{id: 1, listen: \"tcp://h:1\", metrics: 70000}]\n",
         "t.yml:5:47: expected a port, or \"address:port\" with an IPv4 address, found '70000'"},
        {"nodes: [{id: 1, listen: \"tcp://h:1\", metrics: \"h:9101\"}]\n",
         "t.yml:5:47: expected a port, or \"address:port\" with an IPv4 address, found 'h:9101'"},
        {"nodes: [{id: 1, listen: \"tcp://h:1\", metrics: [9101]}]\n",
         "t.yml:5:47: expected text, found a list"},
        {"nodes:\n  - {id: 0, listen: \"tcp://h:1\"}\n",
         "t.yml:6:10: expected a whole number from 1 to 65535, found '0'"},
        {"nodes:\n  - {id: 65536, listen: \"tcp://h:1\"}\n",
         "t.yml:6:10: expected a whole number from 1 to 65535, found '65536'"},
        {"nodes:\n  - {id: 1, listen: \"tcp://h:1\"}\n  - {id: 1, listen: \"tcp://h:2\"}\n",
         "t.yml:7:10: expected another id, node 1 is there already"},
        {"nodes:\n  - {id: 1, listen: \"tcp://h:1\"}\n  - {id: 2, listen: \"tcp://h:1\"}\n",
         "t.yml:7:21: expected an endpoint of its own, 'tcp://h:1' is used twice"},
        {"nodes: [{id: 1, listen: \"udp://h:1\"}]\n",
         "t.yml:5:25: expected \"tcp://host:port\" with a port from 1 to 65535, found 'udp://h:1'"},
        {"nodes: [{id: 1, listen: \"tcp://h:0\"}]\n",
         "t.yml:5:25: expected \"tcp://host:port\" with a port from 1 to 65535, found 'tcp://h:0'"},
        {"nodes: [{id: 1, listen: \"tcp://h:65536\"}]\n",
         "t.yml:5:25: expected \"tcp://host:port\" with a port from 1 to 65535, found "
         "'tcp://h:65536'"},
        {"nodes: [{id: 1, listen: \"tcp://:80\"}]\n",
         "t.yml:5:25: expected \"tcp://host:port\" with a port from 1 to 65535, found 'tcp://:80'"},
        {"nodes: [{id: 1, listen: \"tcp://*:80\"}]\n",
         "t.yml:5:25: expected \"tcp://host:port\" with a port from 1 to 65535, found "
         "'tcp://*:80'"},
        {"nodes: [{id: 1, listen: \"tcp://h\"}]\n",
         "t.yml:5:25: expected \"tcp://host:port\" with a port from 1 to 65535, found 'tcp://h'"},
        {"nodes: [{id: 1, listen: \"tcp://h:80/x\"}]\n",
         "t.yml:5:25: expected \"tcp://host:port\" with a port from 1 to 65535, found "
         "'tcp://h:80/x'"},
        {"nodes: [{id: 1, listen: \"tcp://0.0.0.0:80\"}]\n",
         "t.yml:5:25: expected an address that others can connect to, found 'tcp://0.0.0.0:80'"},
        {"nodes: [7]\n",
         "t.yml:5:9: expected a mapping, found '7'; its keys are id, listen, metrics"},
        {"routers: []\n", "t.yml:6:10: expected 1 to 256 entries, one for each router; found 0"},
        {"routers: [{id: 1, listen: \"tcp://127.0.0.1:7101\"}]\n",
         "t.yml:6:27: expected an endpoint of its own, 'tcp://127.0.0.1:7101' is used twice"},
        {"routers: [{id: 1, listen: \"tcp://h:1\"}, {id: 1, listen: \"tcp://h:2\"}]\n",
         "t.yml:6:46: expected another id, router 1 is there already"},
        {"routers: [{id: 1, id: 2, listen: \"tcp://h:1\"}]\n",
         "t.yml:6:19: key 'id' is there twice, expected it once"},
    };
    EXPECT_MISTAKES(M);
}

static void test_config_plain_text_is_for_loopback_only(void **state)
{
    (void)state;
    static const struct mistake M[] = {
        {"nodes: [{id: 1, listen: \"tcp://10.0.0.1:7101\"}]\nsecurity: none\n",
         "t.yml:5:25: security: none is for this machine only: expected \"tcp://127.0.0.1:port\", "
         "found 'tcp://10.0.0.1:7101'; or give the cluster keys"},
        {"routers: [{id: 1, listen: \"tcp://localhost.example.com:1\"}]\nsecurity: none\n",
         "t.yml:6:27: security: none is for this machine only: expected \"tcp://127.0.0.1:port\", "
         "found 'tcp://localhost.example.com:1'; or give the cluster keys"},
        {"security: plain\n",
         "t.yml:14:11: expected none, or a mapping with keys: FOLDER; found 'plain'"},
        {"security: {allowed: x}\n", "t.yml:14:11: expected the key 'keys', which is missing"},
        {"security: {keys: k, key: l}\n",
         "t.yml:14:21: unknown key 'key', expected one of keys, allowed"},
    };
    static const char LAST[] = "security: {keys: ./keys}\n";
    for (size_t i = 0; i < sizeof M / sizeof *M; i++) {
        char *text = file_with(M[i].section);
        if (i < 2) /* the section came with the other one */
            text[strlen(text) - (sizeof LAST - 1)] = '\0';
        expect_mistake(bytes_of_str(text), M[i].msg);
    }
    struct cluster_config *c = parse_sound(file_with("security: none\n"));
    assert_true(c->security.plain);
    assert_null(c->security.keys);
    cluster_config_close(c);
}

static void test_config_refuses_mistakes_in_identities(void **state)
{
    (void)state;
    static const struct mistake M[] = {
        {"identities: []\n",
         "t.yml:8:13: expected 1 to 256 entries, one for each namespace; found 0"},
        {"identities:\n  - {name: Phone, limit: 1}\n",
         "t.yml:9:12: expected a name of at most 64 letters a-z, digits and _, a letter first; "
         "found 'Phone'"},
        {"identities:\n  - {name: 1a, limit: 1}\n",
         "t.yml:9:12: expected a name of at most 64 letters a-z, digits and _, a letter first; "
         "found '1a'"},
        {"identities: [{limit: 1}]\n", "t.yml:8:14: expected the key 'name', which is missing"},
        {"identities: [{name: a}]\n", "t.yml:8:14: expected the key 'limit', which is missing"},
        {"identities: [{name: a, limit: 0}]\n",
         "t.yml:8:31: expected a whole number from 1 to 100000, found '0'"},
        {"identities: [{name: a, limit: 100001}]\n",
         "t.yml:8:31: expected a whole number from 1 to 100000, found '100001'"},
        {"identities:\n  - {name: a, limit: 1}\n  - {name: a, limit: 2}\n",
         "t.yml:10:12: expected 'a' once, it is declared twice"},
        {"identities:\n  - {name: a, limit: 1, priority: 2}\n  - {name: b, limit: 2}\n",
         "t.yml:10:5: expected another priority, 2 is that of 'a' (the default is the place in the "
         "list)"},
        {"identities:\n  - {name: a, limit: 1, priority: 3}\n  - {name: b, limit: 2, priority: "
         "3}\n",
         "t.yml:10:35: expected another priority, 3 is that of 'a' (the default is the place in "
         "the list)"},
        {"identities: [{name: a, limit: 1, priority: 0}]\n",
         "t.yml:8:44: expected a whole number from 1 to 1000000, found '0'"},
        {"identities: [{name: a, limit: 1, normalize: upper}]\n",
         "t.yml:8:45: expected one of none, lower, phone, email; found 'upper'"},
        {"identities: [{name: a, limit: 1, bridges: no}]\n",
         "t.yml:8:43: expected true or false, found 'no'"},
        {"identities: [{name: a, limit: 1, block: x}]\n",
         "t.yml:8:41: expected a list, one item for each blocked value; found 'x'"},
        {"identities: [{name: a, limit: 1, block: [[x]]}]\n",
         "t.yml:8:42: expected text, found a list"},
        {"identities: [{name: a, limit: 1, normalize: email, block: [test]}]\n",
         "t.yml:8:60: expected a value that 'normalize: email' accepts; others are refused anyway"},
        {"identities: [{name: n68066, limit: 1}, {name: n165004, limit: 1}]\n",
         "t.yml:8:47: expected another name than 'n165004': its hash is that of 'n68066'"},
    };
    EXPECT_MISTAKES(M);
}

static void test_config_refuses_mistakes_in_traits(void **state)
{
    (void)state;
    static const struct mistake M[] = {
        {"traits: {city: enum}\n",
         "t.yml:9:9: expected a list, one item for each trait; found a mapping"},
        {"traits: [{name: city}]\n", "t.yml:9:10: expected the key 'type', which is missing"},
        {"traits: [{name: city, type: text}]\n",
         "t.yml:9:29: expected one of enum, string, date, number, counter, set; found 'text'"},
        {"traits: [{name: city, type: enum}, {name: city, type: enum}]\n",
         "t.yml:9:43: expected 'city' once, it is declared twice"},
        {"traits: [{name: level, type: enum}]\n",
         "t.yml:9:17: expected another name: 'level' is a word of the segment language"},
        {"traits: [{name: city, type: enum, merge: sum}]\n",
         "t.yml:9:42: a trait of type enum cannot be merged by sum, expected latest, first or "
         "source_priority"},
        {"traits: [{name: city, type: enum, merge: best}]\n",
         "t.yml:9:42: expected one of latest, first, min, max, sum, union, source_priority; found "
         "'best'"},
        {"traits: [{name: b, type: date, merge: source_priority}]\n",
         "t.yml:9:39: expected the key 'sources' too: merge by source_priority ranks by it"},
        {"traits: [{name: b, type: date, sources: [crm]}]\n",
         "t.yml:9:41: expected no 'sources': only merge by source_priority uses them"},
        {"traits: [{name: b, type: date, merge: source_priority, sources: []}]\n",
         "t.yml:9:65: expected 1 to 64 entries, one for each source; found 0"},
        {"traits: [{name: b, type: date, merge: source_priority, sources: [a, b, a]}]\n",
         "t.yml:9:72: expected each source once"},
        {"traits: [{merge: sum, name: b, type: dates}]\n",
         "t.yml:9:38: expected one of enum, string, date, number, counter, set; found 'dates'"},
        {"traits: [{name: n262704, type: enum}, {name: n291528, type: enum}]\n",
         "t.yml:9:46: expected another name than 'n291528': its hash is that of 'n262704'"},
    };
    EXPECT_MISTAKES(M);
}

static void test_config_refuses_mistakes_in_tags_and_events(void **state)
{
    (void)state;
    static const struct mistake M[] = {
        {"tags: {max_per_profile: 0}\n",
         "t.yml:10:25: expected a whole number from 1 to 10000, found '0'"},
        {"tags: {max_per_profile: 10001}\n",
         "t.yml:10:25: expected a whole number from 1 to 10000, found '10001'"},
        {"tags: {}\n", "t.yml:10:7: expected the key 'max_per_profile', which is missing"},
        {"tags: 5\n", "t.yml:10:7: expected a mapping, found '5'; its keys are max_per_profile"},
        {"events: []\n", "t.yml:11:9: expected a mapping with a key for each event, found a list"},
        {"events: {Order: {metrics: [count], keep_days: 1}}\n",
         "t.yml:11:10: expected a name of at most 64 letters a-z, digits and _, a letter first; "
         "found 'Order'"},
        {"events: {o: {metrics: [count], keep_days: 0}}\n",
         "t.yml:11:43: expected a whole number from 1 to 3660, found '0'"},
        {"events: {o: {metrics: [count], keep_days: 3661}}\n",
         "t.yml:11:43: expected a whole number from 1 to 3660, found '3661'"},
        {"events: {o: {metrics: [count]}}\n",
         "t.yml:11:13: expected the key 'keep_days', which is missing"},
        {"events: {o: {keep_days: 1}}\n",
         "t.yml:11:13: expected the key 'metrics', which is missing"},
        {"events: {o: {metrics: [], keep_days: 1}}\n",
         "t.yml:11:23: expected 1 to 9 entries, one for each metric; found 0"},
        {"events: {o: {metrics: [sum(x)], keep_days: 1}}\n",
         "t.yml:11:24: expected count, or sum(field) with a number field of this event; found "
         "'sum(x)'"},
        {"events: {o: {fields: {k: enum}, metrics: [sum(k)], keep_days: 1}}\n",
         "t.yml:11:43: expected count, or sum(field) with a number field of this event; found "
         "'sum(k)'"},
        {"events: {o: {metrics: [count, count], keep_days: 1}}\n",
         "t.yml:11:31: expected each metric once, 'count' is there twice"},
        {"events: {o: {metrics: [avg], keep_days: 1}}\n",
         "t.yml:11:24: expected count, or sum(field) with a number field of this event; found "
         "'avg'"},
        {"events: {o: {fields: {k: date}, metrics: [count], keep_days: 1}}\n",
         "t.yml:11:26: expected one of number, enum; found 'date'"},
        {"events: {o: {fields: {k: enum, k: enum}, metrics: [count], keep_days: 1}}\n",
         "t.yml:11:32: key 'k' is there twice, expected it once"},
        {"events: {o: {fields: {a: enum, b: enum, c: enum, d: enum, e: enum, f: enum, g: enum, h: "
         "enum, i: enum}, metrics: [count], keep_days: 1}}\n",
         "t.yml:11:22: expected 0 to 8 entries, one for each field; found 9"},
        {"events: {o: {metrics: [count], keep_days: 1}, o: {metrics: [count], keep_days: 1}}\n",
         "t.yml:11:47: key 'o' is there twice, expected it once"},
        {"events:\n  a: {fields: {n49323: enum}, metrics: [count], keep_days: 1}\n  b: {fields: "
         "{n57022: enum}, metrics: [count], keep_days: 1}\n",
         "t.yml:13:16: expected another name than 'n57022': its hash is that of 'n49323'"},
        {"events: {n90383: {metrics: [count], keep_days: 1}, n276084: {metrics: [count], "
         "keep_days: 1}}\n",
         "t.yml:11:52: expected another name than 'n276084': its hash is that of 'n90383'"},
    };
    EXPECT_MISTAKES(M);
}

static void test_config_refuses_mistakes_in_levels_and_limits(void **state)
{
    (void)state;
    static const struct mistake M[] = {
        {"levels: {by: points, steps: {a: 1}}\n",
         "t.yml:12:14: expected a trait of type counter or number, 'points' is not declared"},
        {"levels: {by: city, steps: {a: 1}}\n",
         "t.yml:12:14: expected a trait of type counter or number, 'city' is of another type"},
        {"levels: {by: growth}\n", "t.yml:12:9: expected the key 'steps', which is missing"},
        {"levels: {by: growth, steps: {}}\n",
         "t.yml:12:29: expected 1 to 64 entries, one for each level; found 0"},
        {"levels: {by: growth, steps: {a: 1, b: 1}}\n",
         "t.yml:12:39: expected another threshold than that of 'a'"},
        {"levels: {by: growth, steps: {a: 1.5}}\n",
         "t.yml:12:33: expected a whole number from -9000000000000 to 9000000000000, found '1.5'"},
        {"levels: {by: growth, steps: {A: 1}}\n",
         "t.yml:12:30: expected a name of at most 64 letters a-z, digits and _, a letter first; "
         "found 'A'"},
        {"levels: {by: growth, steps: {a: 1, a: 2}}\n",
         "t.yml:12:36: key 'a' is there twice, expected it once"},
        {"levels:\n", "t.yml:12:8: expected a mapping, found nothing; its keys are by, steps"},
        {"limits: {dedup_hour: 1}\n",
         "t.yml:13:10: unknown key 'dedup_hour', expected one of dedup_hours, dedup_min, "
         "dedup_max, memtable_mb, checkpoint_seconds, log_keep_mb, log_join_mb, redirect_days, "
         "map_gb, "
         "router_cache_mb, deadline_ms, ..."},
        {"limits: {dedup_hours: 0}\n",
         "t.yml:13:23: expected a whole number from 1 to 8760, found '0'"},
        {"limits: {dedup_min: 100, dedup_max: 99}\n",
         "t.yml:13:37: expected dedup_max (99) to be at least dedup_min (100)"},
        {"limits: {dedup_min: 100000}\n",
         "t.yml:13:21: expected dedup_max (65536) to be at least dedup_min (100000)"},
        {"limits: {deadline_ms: 99}\n",
         "t.yml:13:23: expected a whole number from 100 to 600000, found '99'"},
        {"limits: {map_gb: 1 TB}\n",
         "t.yml:13:18: expected a whole number from 1 to 16384, found '1 TB'"},
    };
    EXPECT_MISTAKES(M);
}

/* The whole text is given, for mistakes below the level of keys and values. */
static void test_config_refuses_what_is_not_one_yaml_document(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t len;
        const char *msg;
    } M[] = {
#define TEXT(s) s, sizeof(s) - 1
        {TEXT(""), "t.yml:1:1: the file is empty, expected a mapping that begins with 'cluster'"},
        {TEXT("# only\n\n"),
         "t.yml:1:1: the file is empty, expected a mapping that begins with 'cluster'"},
        {TEXT("- a\n"),
         "t.yml:1:1: expected a mapping, found a list; its keys are cluster, data, shards, "
         "replicas, security, nodes, routers, timezone, identities, traits, tags, events, levels, "
         "limits"},
        {TEXT("cluster: a\n---\ncluster: b\n"),
         "t.yml:2:1: a second document begins, expected only one"},
        {TEXT("cluster: a\n---\n"), "t.yml:2:1: a second document begins, expected only one"},
        {TEXT("cluster: a\ndata: \xe4\xb8\xad\xff\n"),
         "t.yml:2:8: expected text in UTF-8: invalid leading UTF-8 octet"},
        {TEXT("cluster: a\nda\0ta: x\n"),
         "t.yml:2:3: expected text in UTF-8: control characters are not allowed"},
        {TEXT("cluster: a\0"),
         "t.yml:1:11: expected text in UTF-8: control characters are not allowed"},
        {TEXT("cluster: a\n...\n\0"),
         "t.yml:3:1: expected text in UTF-8: control characters are not allowed"},
        {TEXT("\xff\xfe"
              "a\0:\0 \0b\0\n\0"),
         "t.yml:1:1: expected text in UTF-8: invalid leading UTF-8 octet"},
        {TEXT("\xef\xbb\xbf"
              "cluster: A\n"),
         "t.yml:1:10: expected a cluster name of a-z, 0-9 and -"},
        {TEXT("cluster: a\n  data: b\n"),
         "t.yml:2:7: not YAML: mapping values are not allowed in this context"},
        {TEXT("cluster: [a\n"),
         "t.yml:2:1: not YAML: did not find expected ',' or ']' while parsing a flow sequence"},
        {TEXT("cluster: *x\n"), "t.yml:1:10: not YAML: found undefined alias"},
        {TEXT("cluster: &a [*a]\n"), "t.yml:1:10: expected text, found a list"},
        {TEXT("cluster: [[[[[[[[[[[[[[[[[[[[\n"),
         "t.yml:1:25: expected at most 16 levels of nesting"},
#undef TEXT
    };
    for (size_t i = 0; i < sizeof M / sizeof *M; i++)
        expect_mistake(bytes_of(M[i].text, M[i].len), M[i].msg);
}

static void test_config_refuses_too_many_anchors(void **state)
{
    (void)state;
    char text[8192] = "x: [";
    size_t len = strlen(text);
    for (int i = 0; i < 257; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "&a%d b,", i);
    struct cluster_config *c = NULL;
    struct error err = {0};
    assert_int_equal(cluster_config_parse("t.yml", bytes_of(text, len), &c, &err), ERR_CONFIG);
    assert_non_null(strstr(err.msg, "expected at most 256 anchors"));
}

static void test_config_size_limit_is_one_mebibyte(void **state)
{
    (void)state;
    const size_t limit = 1024 * 1024;
    uint8_t *text = malloc(limit + 1);
    assert_non_null(text);
    memset(text, '#', limit + 1);
    const char *sound = file_with("");
    memcpy(text, sound, strlen(sound));
    struct cluster_config *c = NULL;
    assert_int_equal(cluster_config_parse("t.yml", bytes_of(text, limit), &c, NULL), ERR_OK);
    cluster_config_close(c);
    expect_mistake(bytes_of(text, limit + 1), "t.yml:1:1: the file is larger than 1 MiB");
    free(text);
}

static void test_config_reports_the_first_mistake_in_file_order(void **state)
{
    (void)state;
    /* Sections, keys and items out of the usual order; each further mistake comes later. */
    expect_mistake(bytes_of_str("limits: {map_gb: x}\nshards: y\ncluster: Z\n"),
                   "t.yml:1:18: expected a whole number from 1 to 16384, found 'x'");
    expect_mistake(bytes_of_str(file_with("nodes: [{listen: 1, id: 0}, {bad: 1}]\n")),
                   "t.yml:5:18: expected \"tcp://host:port\" with a port from 1 to 65535, "
                   "found '1'");
    /* A missing key is known when its mapping ends: what is wrong inside comes first. */
    expect_mistake(bytes_of_str(file_with("nodes: [{id: 1, lisen: \"tcp://h:1\"}]\n")),
                   "t.yml:5:17: unknown key 'lisen', expected one of id, listen, metrics");
    /* What only follows from a later mistake is not reported: there is no trait to level by. */
    expect_mistake(bytes_of_str("levels: {by: growth, steps: {a: 1}}\ntraits: [7]\n"),
                   "t.yml:2:10: expected a mapping, found '7'; its keys are name, type, merge, "
                   "sources");
}

static void test_config_names_the_keys_that_are_missing(void **state)
{
    (void)state;
    static const int REQUIRED[] = {0, 1, 2, 4, 5, 6, 7};
    for (size_t i = 0; i < sizeof REQUIRED / sizeof *REQUIRED; i++) {
        char text[8192] = "", msg[128];
        for (int k = 0; k < N_SECTIONS; k++)
            strcat(text, k == REQUIRED[i] ? "" : SECTIONS[k]);
        const char *key = SECTIONS[REQUIRED[i]];
        (void)snprintf(msg, sizeof msg, "t.yml:1:1: expected the key '%.*s', which is missing",
                       (int)strcspn(key, ":"), key);
        expect_mistake(bytes_of_str(text), msg);
    }
}

static void test_config_messages_stay_short_and_on_one_line(void **state)
{
    (void)state;
    struct cluster_config *c = NULL;
    struct error err = {0};
    char path[400];
    memset(path, 'p', sizeof path);
    memcpy(path + sizeof path - 7, "/t.yml", 7);
    assert_int_equal(cluster_config_parse(path, bytes_of_str("\"a\\nb\": 1\n"), &c, &err),
                     ERR_CONFIG);
    assert_memory_equal(err.msg, "...ppp", 6);
    assert_non_null(strstr(err.msg, "/t.yml:1:1: unknown key 'a?b', expected one of cluster"));
    /* A long value is cut between characters. */
    assert_int_equal(cluster_config_parse(
                         "t.yml", bytes_of_str("x客户客户客户客户客户客户客户客户: 1\n"), &c, &err),
                     ERR_CONFIG);
    assert_non_null(strstr(err.msg, "key 'x客户客户客户客户客户客户客...', expected"));
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
        cmocka_unit_test(test_config_digest_is_of_the_schema_alone),
        cmocka_unit_test(test_config_metrics_are_on_loopback_unless_said_otherwise),
        cmocka_unit_test(test_config_traits_merge_as_their_type_does),
        cmocka_unit_test(test_config_every_type_takes_only_its_merges),
        cmocka_unit_test(test_config_events_say_what_is_kept),
        cmocka_unit_test(test_config_sections_that_may_be_left_out),
        cmocka_unit_test(test_config_anchors_stand_for_their_value),
        cmocka_unit_test(test_config_block_values_are_normalised),
        cmocka_unit_test(test_config_refuses_mistakes_in_single_values),
        cmocka_unit_test(test_config_refuses_mistakes_in_nodes_and_routers),
        cmocka_unit_test(test_config_plain_text_is_for_loopback_only),
        cmocka_unit_test(test_config_refuses_mistakes_in_identities),
        cmocka_unit_test(test_config_refuses_mistakes_in_traits),
        cmocka_unit_test(test_config_refuses_mistakes_in_tags_and_events),
        cmocka_unit_test(test_config_refuses_mistakes_in_levels_and_limits),
        cmocka_unit_test(test_config_refuses_what_is_not_one_yaml_document),
        cmocka_unit_test(test_config_refuses_too_many_anchors),
        cmocka_unit_test(test_config_size_limit_is_one_mebibyte),
        cmocka_unit_test(test_config_reports_the_first_mistake_in_file_order),
        cmocka_unit_test(test_config_names_the_keys_that_are_missing),
        cmocka_unit_test(test_config_messages_stay_short_and_on_one_line),
        cmocka_unit_test(test_config_open_reads_the_file),
        cmocka_unit_test(test_config_data_is_relative_to_the_folder_of_the_file),
        cmocka_unit_test(test_config_close_takes_nothing),
        cmocka_unit_test(test_config_default_file_is_sound),
        cmocka_unit_test(test_config_default_file_states_the_default_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
