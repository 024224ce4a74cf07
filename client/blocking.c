#include "parts.h"

#include <stdlib.h>

enum {
    CHECK_PAUSE_MIN_MS = 25,
    CHECK_PAUSE_MAX_MS = 1000,
    CHECK_MAY_FAIL = 1 /* questions in a row: what has been looked at for minutes is not lost */
};

/* The result of a call that was not sent, or NULL when memory is out for that too. */
static struct oneid_result *refused_result(struct oneid_client *c, enum oneid_code code)
{
    struct response r = {.code = ERR_INVALID, .text = bytes_of_str(c->text)};
    struct oneid_result *result = result_new(&r);
    if (result)
        result->code = code;
    return result;
}

enum oneid_code blocking_check(struct oneid_client *c)
{
    if (!c->dispatching)
        return ONEID_OK;
    return client_refuse(c, ONEID_ERR_USAGE, "a blocking call inside a callback");
}

struct oneid_result *blocking_wait(struct oneid_client *c, enum oneid_code code,
                                   const struct waiter *w)
{
    if (code != ONEID_OK)
        return refused_result(c, code);
    while (!w->done)
        (void)oneid_poll(c, -1);
    return w->result;
}

struct oneid_result *blocking_run(struct oneid_client *c, const struct request *r)
{
    struct waiter w = {0};
    enum oneid_code code = blocking_check(c);
    if (code == ONEID_OK)
        code = client_submit(c, r, 0, NULL, NULL, &w);
    return blocking_wait(c, code, &w);
}

static struct oneid_result *run_identity(struct oneid_client *c, enum request_type type,
                                         const struct oneid_identity *id, uint64_t profile)
{
    struct waiter w = {0};
    enum oneid_code code = blocking_check(c);
    if (code == ONEID_OK)
        code = client_submit_identity(c, type, id, profile, 0, NULL, NULL, &w);
    return blocking_wait(c, code, &w);
}

struct oneid_result *oneid_ingest(struct oneid_client *c, const struct oneid_event *e)
{
    struct waiter w = {0};
    enum oneid_code code = blocking_check(c);
    if (code == ONEID_OK)
        code = client_submit_event(c, e, 0, NULL, NULL, &w);
    return blocking_wait(c, code, &w);
}

struct oneid_result *oneid_resolve(struct oneid_client *c, const struct oneid_identity *id)
{
    return run_identity(c, REQUEST_RESOLVE, id, 0);
}

struct oneid_result *oneid_profile_of_identity(struct oneid_client *c,
                                               const struct oneid_identity *id)
{
    return run_identity(c, REQUEST_PROFILE, id, 0);
}

struct oneid_result *oneid_profile_of_one_id(struct oneid_client *c, uint64_t profile)
{
    return run_identity(c, REQUEST_PROFILE, NULL, profile);
}

struct oneid_result *oneid_count(struct oneid_client *c, const char *expr)
{
    struct request r = {.type = REQUEST_COUNT, .expr = bytes_of_str(expr)};
    return blocking_run(c, &r);
}

struct oneid_result *oneid_list(struct oneid_client *c, const char *expr, const char *cursor,
                                uint32_t limit)
{
    struct request r = {.type = REQUEST_LIST,
                        .expr = bytes_of_str(expr),
                        .cursor = bytes_of_str(cursor),
                        .limit = limit};
    return blocking_run(c, &r);
}

struct oneid_result *oneid_export(struct oneid_client *c, const char *expr,
                                  const char *const *fields, size_t n_fields, const char *cursor,
                                  uint32_t limit)
{
    struct waiter w = {0};
    enum oneid_code code = blocking_check(c);
    if (code == ONEID_OK)
        code = client_submit_export(c, expr, fields, n_fields, cursor, limit, 0, NULL, NULL, &w);
    return blocking_wait(c, code, &w);
}

struct oneid_result *oneid_breakdown(struct oneid_client *c, const char *expr, const char *by)
{
    struct request r = {
        .type = REQUEST_BREAKDOWN, .expr = bytes_of_str(expr), .by = bytes_of_str(by)};
    return blocking_run(c, &r);
}

struct oneid_result *oneid_breakdown_two(struct oneid_client *c, const char *expr, const char *by,
                                         const char *by2)
{
    struct request r = {.type = REQUEST_BREAKDOWN,
                        .expr = bytes_of_str(expr),
                        .by = bytes_of_str(by),
                        .by2 = bytes_of_str(by2)};
    return blocking_run(c, &r);
}

struct oneid_result *oneid_explain(struct oneid_client *c, const char *expr)
{
    struct request r = {.type = REQUEST_COUNT, .expr = bytes_of_str(expr), .explain = true};
    return blocking_run(c, &r);
}

struct oneid_result *oneid_overlap(struct oneid_client *c, const char *const *exprs, size_t n)
{
    struct bytes list[COMMAND_EXPRS_MAX + 1];
    for (size_t i = 0; i < n && i < COMMAND_EXPRS_MAX + 1; i++)
        list[i] = bytes_of_str(exprs[i]);
    struct request r = {.type = REQUEST_OVERLAP,
                        .exprs = list,
                        .n_exprs = n < COMMAND_EXPRS_MAX + 1 ? n : COMMAND_EXPRS_MAX + 1};
    return blocking_run(c, &r);
}

struct oneid_result *oneid_segment_define(struct oneid_client *c, const char *name,
                                          const char *expr)
{
    struct request r = {
        .type = REQUEST_SEGMENT_DEFINE, .name = bytes_of_str(name), .expr = bytes_of_str(expr)};
    return blocking_run(c, &r);
}

struct oneid_result *oneid_segment_drop(struct oneid_client *c, const char *name)
{
    struct request r = {.type = REQUEST_SEGMENT_DROP, .name = bytes_of_str(name)};
    return blocking_run(c, &r);
}

struct oneid_result *oneid_segments(struct oneid_client *c, const char *name)
{
    struct request r = {.type = REQUEST_SEGMENTS, .name = bytes_of_str(name)};
    return blocking_run(c, &r);
}

struct oneid_result *oneid_refresh(struct oneid_client *c)
{
    struct request r = {.type = REQUEST_REFRESH};
    return blocking_run(c, &r);
}

struct oneid_result *oneid_stats(struct oneid_client *c)
{
    struct request r = {.type = REQUEST_STATS};
    return blocking_run(c, &r);
}

struct oneid_result *oneid_status(struct oneid_client *c)
{
    struct request r = {.type = REQUEST_STATUS};
    return blocking_run(c, &r);
}

struct oneid_result *oneid_lead(struct oneid_client *c, uint16_t shard, uint16_t node)
{
    struct request r = {.type = REQUEST_LEAD, .shard = shard, .node = node};
    return blocking_run(c, &r);
}

struct oneid_result *oneid_refused(struct oneid_client *c, const char *cursor, uint32_t limit)
{
    struct request r = {.type = REQUEST_REFUSED, .cursor = bytes_of_str(cursor), .limit = limit};
    return blocking_run(c, &r);
}

/* Some shard did not answer in time: an election, perhaps, and there will be a leader again. */
static bool is_in_vain(const struct oneid_result *r)
{
    return r->code == ONEID_ERR_TIMEOUT || r->code == ONEID_ERR_UNAVAILABLE ||
           (r->code == ONEID_OK && r->partial && r->n_carrying == 0);
}

struct oneid_result *oneid_check_watched(struct oneid_client *c, oneid_check_cb progress, void *ctx)
{
    struct request r = {.type = REQUEST_CHECK};
    msec_t began = clock_mono_ms(), pause = CHECK_PAUSE_MIN_MS;
    unsigned may_fail = 0; /* nobody has answered yet */
    for (;;) {
        struct oneid_result *result = blocking_run(c, &r);
        bool in_vain = result && is_in_vain(result);
        bool again =
            in_vain ? may_fail > 0 : result && result->code == ONEID_OK && result->n_carrying > 0;
        if (!again)
            return result;
        may_fail = in_vain ? may_fail - 1 : CHECK_MAY_FAIL;
        if (!in_vain && progress)
            progress(ctx, result);
        oneid_result_free(result);
        if (!turn_pause(c, pause))
            return refused_result(c, client_refuse(c, ONEID_ERR_CANCELLED, "interrupted"));
        r.asked_ms = (uint32_t)(clock_mono_ms() - began);
        pause = pause < CHECK_PAUSE_MAX_MS / 2 ? pause * 2 : CHECK_PAUSE_MAX_MS;
    }
}

struct oneid_result *oneid_check(struct oneid_client *c)
{
    return oneid_check_watched(c, NULL, NULL);
}

/* --- many at once --- */

struct batch {
    size_t open, ok;
};
struct batch_item {
    struct batch *batch;
    enum oneid_code code;
};

static void on_ingested(void *ctx, const struct oneid_result *result)
{
    struct batch_item *item = ctx;
    item->code = result->code;
    item->batch->open--;
    item->batch->ok += result->code == ONEID_OK;
}

/* Waits for room as long as that takes: what is in flight ends by its deadlines. */
static void submit_item(struct oneid_client *c, const struct oneid_event *e,
                        struct batch_item *item)
{
    item->batch->open++;
    while ((item->code = client_submit_event(c, e, 0, on_ingested, item, NULL)) == ONEID_ERR_BUSY)
        (void)oneid_poll(c, -1);
    if (item->code != ONEID_OK)
        item->batch->open--;
}

size_t oneid_ingest_batch(struct oneid_client *c, const struct oneid_event *events, size_t n,
                          enum oneid_code *codes)
{
    struct batch batch = {0};
    enum oneid_code refused = blocking_check(c);
    struct batch_item *items = refused == ONEID_OK && n ? calloc(n, sizeof *items) : NULL;
    if (refused == ONEID_OK && n && !items)
        refused = client_refuse(c, ONEID_ERR_NOMEM, "out of memory");
    for (size_t i = 0; items && i < n; i++) {
        items[i].batch = &batch;
        submit_item(c, &events[i], &items[i]);
    }
    while (batch.open > 0)
        (void)oneid_poll(c, -1);
    for (size_t i = 0; codes && i < n; i++)
        codes[i] = items ? items[i].code : refused;
    free(items);
    return batch.ok;
}
