#include "index_rig.h"

#include <retail_yaml.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

int rig_setup(void **state)
{
    struct rig *r = calloc(1, sizeof *r);
    if (!r)
        return -1;
    *state = r;
    if (cluster_config_parse("retail.yml", bytes_of_str(RETAIL_YAML), &r->config, &r->err))
        return -1;
    r->schema = &r->config->schema;
    r->ix = index_new(r->schema);
    return r->ix ? 0 : -1;
}

int rig_teardown(void **state)
{
    struct rig *r = *state;
    index_free(r->ix);
    cluster_config_close(r->config);
    arena_close(&r->arena);
    free(r);
    return 0;
}

void rig_renew(struct rig *r)
{
    index_free(r->ix);
    r->ix = index_new(r->schema);
    assert_non_null(r->ix);
}

static name_id trait_id(const char *name)
{
    return name_id_of(NAME_TRAIT, bytes_of_str(name));
}

static name_id event_id(const char *name)
{
    return name_id_of(NAME_EVENT, bytes_of_str(name));
}

void rig_add(struct rig *r, one_id member)
{
    index_apply(r->ix, &(struct index_op){.kind = INDEX_ADD, .member = member});
}

void rig_remove(struct rig *r, one_id member)
{
    index_apply(r->ix, &(struct index_op){.kind = INDEX_REMOVE, .member = member});
}

void rig_tag(struct rig *r, one_id member, const char *tag, bool on)
{
    index_apply(r->ix,
                &(struct index_op){
                    .kind = INDEX_TAG, .member = member, .text = bytes_of_str(tag), .on = on});
}

void rig_channel(struct rig *r, one_id member, const char *source, bool on)
{
    index_apply(r->ix, &(struct index_op){.kind = INDEX_CHANNEL,
                                          .member = member,
                                          .text = bytes_of_str(source),
                                          .on = on});
}

void rig_has(struct rig *r, one_id member, const char *ns, bool on)
{
    index_apply(r->ix, &(struct index_op){.kind = INDEX_HAS,
                                          .member = member,
                                          .name = name_id_of(NAME_NAMESPACE, bytes_of_str(ns)),
                                          .on = on});
}

void rig_value(struct rig *r, one_id member, const char *trait, const char *value, bool on)
{
    index_apply(r->ix, &(struct index_op){.kind = INDEX_VALUE,
                                          .member = member,
                                          .name = trait_id(trait),
                                          .text = bytes_of_str(value),
                                          .on = on});
}

void rig_number(struct rig *r, one_id member, const char *trait, int64_t v, bool on)
{
    index_apply(r->ix, &(struct index_op){.kind = INDEX_NUMBER,
                                          .member = member,
                                          .name = trait_id(trait),
                                          .number = v,
                                          .on = on});
}

void rig_last(struct rig *r, one_id member, const char *event, int32_t day, bool on)
{
    index_apply(r->ix, &(struct index_op){.kind = INDEX_LAST,
                                          .member = member,
                                          .name = event_id(event),
                                          .number = day,
                                          .on = on});
}

static void put_field(struct rig *r, struct index_event *e, const char *event, const char *field,
                      int64_t sum, const char *text)
{
    const struct schema_event *s = schema_event_by_name(r->schema, bytes_of_str(event));
    const struct schema_field *f = schema_field_by_name(s, bytes_of_str(field));
    size_t i = (size_t)(f - s->fields);
    e->fields[i].present = f->type == FIELD_NUMBER || text;
    e->fields[i].sum = sum;
    e->fields[i].text = bytes_of_str(text);
}

void rig_order(struct rig *r, one_id member, int32_t day, int32_t count, int64_t amount,
               const char *category, const char *where)
{
    struct index_event e = {.day = day, .count = count};
    put_field(r, &e, "order", "amount", amount, NULL);
    put_field(r, &e, "order", "category", 0, category);
    put_field(r, &e, "order", "where", 0, where);
    index_apply(r->ix,
                &(struct index_op){
                    .kind = INDEX_EVENT, .member = member, .name = event_id("order"), .event = &e});
}

void rig_view(struct rig *r, one_id member, int32_t day, int32_t count, const char *category)
{
    struct index_event e = {.day = day, .count = count};
    put_field(r, &e, "view", "category", 0, category);
    index_apply(r->ix,
                &(struct index_op){
                    .kind = INDEX_EVENT, .member = member, .name = event_id("view"), .event = &e});
}

void rig_publish(struct rig *r)
{
    assert_true(index_publish(r->ix));
}

const struct expr *rig_parse(struct rig *r, const char *text)
{
    struct expr *e = NULL;
    if (expr_parse(bytes_of_str(text), r->schema, &r->arena, &e, &r->err) != ERR_OK)
        fail_msg("%s: %s", text, r->err.msg);
    return e;
}

struct index_query rig_query(const struct expr *e)
{
    return (struct index_query){.expr = e, .today = RIG_TODAY};
}

uint64_t rig_count(struct rig *r, const char *text)
{
    struct index_query q = rig_query(rig_parse(r, text));
    struct index_count count;
    if (index_count_members(r->ix, &q, &count, &r->err) != ERR_OK)
        fail_msg("%s: %s", text, r->err.msg);
    return count.members;
}
