/* What the tests of the segment index share: an index over the retail schema, short forms of its
 * operations, and queries from text. */
#ifndef TESTS_INDEX_RIG_H
#define TESTS_INDEX_RIG_H

#include <cluster/config.h>
#include <index/index.h>

enum { RIG_TODAY = 20000 };

struct rig {
    struct cluster_config *config;
    const struct schema *schema;
    struct index *ix;
    struct arena arena;
    struct error err;
};

/* For cmocka's setup and teardown; *state is a struct rig. */
int rig_setup(void **state);
int rig_teardown(void **state);
/* Another empty index in place of the present one. */
void rig_renew(struct rig *r);

void rig_add(struct rig *r, one_id member);
void rig_remove(struct rig *r, one_id member);
void rig_tag(struct rig *r, one_id member, const char *tag, bool on);
void rig_channel(struct rig *r, one_id member, const char *source, bool on);
void rig_has(struct rig *r, one_id member, const char *ns, bool on);
void rig_value(struct rig *r, one_id member, const char *trait, const char *value, bool on);
void rig_number(struct rig *r, one_id member, const char *trait, int64_t v, bool on);
void rig_last(struct rig *r, one_id member, const char *event, int32_t day, bool on);
/* An `order`: amount in millionths; texts may be NULL. */
void rig_order(struct rig *r, one_id member, int32_t day, int32_t count, int64_t amount,
               const char *category, const char *where);
void rig_view(struct rig *r, one_id member, int32_t day, int32_t count, const char *category);
/* Publishes, and fails the test when that does not succeed. */
void rig_publish(struct rig *r);

/* Parses or fails the test; lives until the rig's arena is reset. */
const struct expr *rig_parse(struct rig *r, const char *text);
struct index_query rig_query(const struct expr *e);
uint64_t rig_count(struct rig *r, const char *text);

#endif
