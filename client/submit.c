#include "parts.h"

#include <limits.h>

enum { PARTS_MAX = 65536 }; /* of one list of an event; the real bounds are request_check's */

static enum oneid_code usage(struct oneid_client *c, const char *text)
{
    return client_refuse(c, ONEID_ERR_USAGE, text);
}

/* --- what the application passed, as the codec takes it --- */

/* A request that is being turned; the first mistake is kept. */
struct turning {
    struct arena *arena;
    const char *mistake;
};

static void *array(struct turning *t, const void *from, size_t n, size_t size)
{
    if (n == 0 || t->mistake)
        return NULL;
    if (!from)
        t->mistake = "an array is NULL";
    else if (n > PARTS_MAX)
        t->mistake = "too many elements in an array";
    void *to = t->mistake ? NULL : arena_alloc(t->arena, n * size);
    if (!to && !t->mistake)
        t->mistake = "out of memory";
    return to;
}

static struct bytes bytes_of_oneid(struct turning *t, struct oneid_str s)
{
    if (!s.data && s.len)
        t->mistake = "a string is NULL";
    return bytes_of(s.data, s.len);
}

static struct bytes bytes_of_name(struct turning *t, const char *name)
{
    if (!name)
        t->mistake = "a name is NULL";
    return bytes_of_str(name);
}

static struct bytes *turn_strs(struct turning *t, const struct oneid_str *from, size_t n)
{
    struct bytes *to = array(t, from, n, sizeof *to);
    for (size_t i = 0; to && i < n; i++)
        to[i] = bytes_of_oneid(t, from[i]);
    return to;
}

static struct named_identity turn_identity(struct turning *t, const struct oneid_identity *id)
{
    return (struct named_identity){bytes_of_name(t, id->ns), bytes_of_oneid(t, id->value)};
}

static struct named_identity *turn_identities(struct turning *t, const struct oneid_identity *from,
                                              size_t n)
{
    struct named_identity *to = array(t, from, n, sizeof *to);
    for (size_t i = 0; to && i < n; i++)
        to[i] = turn_identity(t, &from[i]);
    return to;
}

static struct named_value turn_value(struct turning *t, const struct oneid_value *v)
{
    struct named_value to = {.name = bytes_of_name(t, v->name)};
    switch (v->type) {
    case ONEID_NULL:
        to.type = VALUE_NULL;
        return to;
    case ONEID_INTEGER:
        to.type = VALUE_INTEGER;
        to.integer = v->integer;
        return to;
    case ONEID_REAL:
        to.type = VALUE_REAL;
        to.real = v->real;
        return to;
    case ONEID_TEXT:
        to.type = VALUE_TEXT;
        to.text = bytes_of_oneid(t, v->text);
        return to;
    case ONEID_LIST:
        to.type = VALUE_LIST;
        to.list = turn_strs(t, v->list, v->n_list);
        to.n_list = v->n_list;
        return to;
    }
    t->mistake = "a value of no known type";
    return to;
}

static struct named_value *turn_values(struct turning *t, const struct oneid_value *from, size_t n)
{
    struct named_value *to = array(t, from, n, sizeof *to);
    for (size_t i = 0; to && i < n; i++)
        to[i] = turn_value(t, &from[i]);
    return to;
}

static struct event_message turn_event(struct turning *t, const struct oneid_event *e)
{
    return (struct event_message){
        .message_id = bytes_of_oneid(t, e->message_id),
        .ts = e->ts_ms,
        .source = bytes_of_oneid(t, e->source),
        .ids = turn_identities(t, e->ids, e->n_ids),
        .n_ids = e->n_ids,
        .traits = turn_values(t, e->traits, e->n_traits),
        .n_traits = e->n_traits,
        .tags_add = turn_strs(t, e->tags_add, e->n_tags_add),
        .n_tags_add = e->n_tags_add,
        .tags_remove = turn_strs(t, e->tags_remove, e->n_tags_remove),
        .n_tags_remove = e->n_tags_remove,
        .adds = turn_values(t, e->adds, e->n_adds),
        .n_adds = e->n_adds,
        .event = bytes_of_str(e->name),
        .fields = turn_values(t, e->fields, e->n_fields),
        .n_fields = e->n_fields,
    };
}

/* --- submitting --- */

enum oneid_code client_submit(struct oneid_client *c, const struct request *r, uint32_t deadline_ms,
                              oneid_cb cb, void *ctx, struct waiter *waiter)
{
    struct error err;
    enum error_code rc = request_check(r, &err);
    if (rc != ERR_OK)
        return usage(c, err.msg);
    if (!cb && !waiter)
        return usage(c, "no callback given");
    if (c->closing)
        return client_refuse(c, ONEID_ERR_CANCELLED, "the client is being closed");
    struct call *call = flight_take(&c->flight);
    if (!call)
        return client_refuse(c, ONEID_ERR_BUSY, "too much in flight");
    msec_t now = clock_mono_ms();
    call->number = ++c->last_call;
    call->waiter = waiter;
    call->cb = cb;
    call->ctx = ctx;
    call->start_ms = now;
    call->deadline_ms = now + (deadline_ms ? deadline_ms : c->deadline_ms);
    call->patience_ms = (msec_t)c->retry_ms + r->wait_ms;
    struct request stamped = *r;
    stamped.deadline_ms = turn_time_left(call, now);
    stamped.stale_ok = (r->stale_ok || c->stale_ok) && request_may_be_stale(r->type);
    request_encode(&stamped, &call->item);
    turn_enqueue(c, call, now);
    return ONEID_OK;
}

enum oneid_code client_submit_event(struct oneid_client *c, const struct oneid_event *e,
                                    uint32_t deadline_ms, oneid_cb cb, void *ctx,
                                    struct waiter *waiter)
{
    if (!e)
        return usage(c, "no event given");
    arena_reset(&c->building);
    struct turning t = {.arena = &c->building};
    struct event_message event = turn_event(&t, e);
    if (t.mistake)
        return usage(c, t.mistake);
    struct request r = {.type = REQUEST_INGEST, .event = &event};
    return client_submit(c, &r, deadline_ms, cb, ctx, waiter);
}

enum oneid_code client_submit_identity(struct oneid_client *c, enum request_type type,
                                       const struct oneid_identity *id, uint64_t profile,
                                       uint32_t deadline_ms, oneid_cb cb, void *ctx,
                                       struct waiter *waiter)
{
    struct turning t = {.arena = &c->building};
    struct request r = {.type = type, .profile = profile};
    if (id)
        r.id = turn_identity(&t, id);
    if (t.mistake)
        return usage(c, t.mistake);
    return client_submit(c, &r, deadline_ms, cb, ctx, waiter);
}

enum oneid_code oneid_submit_ingest(struct oneid_client *c, const struct oneid_event *e,
                                    uint32_t deadline_ms, oneid_cb cb, void *ctx)
{
    return client_submit_event(c, e, deadline_ms, cb, ctx, NULL);
}

enum oneid_code oneid_submit_resolve(struct oneid_client *c, const struct oneid_identity *id,
                                     uint32_t deadline_ms, oneid_cb cb, void *ctx)
{
    return client_submit_identity(c, REQUEST_RESOLVE, id, 0, deadline_ms, cb, ctx, NULL);
}

enum oneid_code oneid_submit_profile(struct oneid_client *c, const struct oneid_identity *id,
                                     uint64_t profile, uint32_t deadline_ms, oneid_cb cb, void *ctx)
{
    return client_submit_identity(c, REQUEST_PROFILE, id, id ? 0 : profile, deadline_ms, cb, ctx,
                                  NULL);
}

enum oneid_code oneid_submit_count(struct oneid_client *c, const char *expr, uint32_t deadline_ms,
                                   oneid_cb cb, void *ctx)
{
    struct request r = {.type = REQUEST_COUNT, .expr = bytes_of_str(expr)};
    return client_submit(c, &r, deadline_ms, cb, ctx, NULL);
}

enum oneid_code client_submit_export(struct oneid_client *c, const char *expr,
                                     const char *const *fields, size_t n_fields, const char *cursor,
                                     uint32_t limit, uint32_t deadline_ms, oneid_cb cb, void *ctx,
                                     struct waiter *waiter)
{
    struct bytes names[COMMAND_FIELDS_MAX];
    if (n_fields > COMMAND_FIELDS_MAX)
        return usage(c, "too many fields");
    for (size_t i = 0; i < n_fields; i++)
        names[i] = bytes_of_str(fields[i]);
    struct request r = {.type = REQUEST_EXPORT,
                        .expr = bytes_of_str(expr),
                        .fields = names,
                        .n_fields = n_fields,
                        .cursor = bytes_of_str(cursor),
                        .limit = limit};
    return client_submit(c, &r, deadline_ms, cb, ctx, waiter);
}

enum oneid_code oneid_submit_export(struct oneid_client *c, const char *expr,
                                    const char *const *fields, size_t n_fields, const char *cursor,
                                    uint32_t limit, uint32_t deadline_ms, oneid_cb cb, void *ctx)
{
    return client_submit_export(c, expr, fields, n_fields, cursor, limit, deadline_ms, cb, ctx,
                                NULL);
}
