/* Cluster files with one section of their own, and what is said of mistakes in them. */
#ifndef CONFIG_RIG_H
#define CONFIG_RIG_H

#include <cluster/config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

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
static inline char *file_with(const char *text)
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

static inline struct cluster_config *parse_sound(const char *text)
{
    struct cluster_config *c = NULL;
    struct error err = {0};
    if (cluster_config_parse("/etc/t.yml", bytes_of_str(text), &c, &err) != ERR_OK)
        fail_msg("%s", err.msg);
    return c;
}

static inline void expect_mistake(struct bytes text, const char *msg)
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

static inline void expect_mistakes(const struct mistake *m, size_t n)
{
    for (size_t i = 0; i < n; i++)
        expect_mistake(bytes_of_str(file_with(m[i].section)), m[i].msg);
}
#define EXPECT_MISTAKES(m) expect_mistakes(m, sizeof(m) / sizeof *(m))

#endif
