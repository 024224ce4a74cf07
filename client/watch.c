#include "parts.h"

enum { WAIT_DEFAULT_MS = 5000, ROOM_MS = 2000 };

/* A router needs room behind the wait for its answer, or the call would be late. */
static enum oneid_code submit_watch(struct oneid_client *c, const char *segment, const char *from,
                                    const struct oneid_watch_options *o, oneid_cb cb, void *ctx,
                                    struct waiter *waiter)
{
    uint32_t wait_ms = o && o->wait_ms ? o->wait_ms : WAIT_DEFAULT_MS;
    uint32_t deadline_ms = o && o->deadline_ms ? o->deadline_ms : c->deadline_ms;
    if (o && o->no_wait)
        wait_ms = 0;
    if (deadline_ms < wait_ms + ROOM_MS)
        deadline_ms = wait_ms + ROOM_MS;
    struct request r = {.type = REQUEST_WATCH,
                        .name = bytes_of_str(segment),
                        .cursor = bytes_of_str(from),
                        .limit = o ? o->limit : 0,
                        .wait_ms = wait_ms};
    return client_submit(c, &r, deadline_ms, cb, ctx, waiter);
}

enum oneid_code oneid_submit_watch(struct oneid_client *c, const char *segment, const char *from,
                                   const struct oneid_watch_options *options, oneid_cb cb,
                                   void *ctx)
{
    return submit_watch(c, segment, from, options, cb, ctx, NULL);
}

struct oneid_result *oneid_watch(struct oneid_client *c, const char *segment, const char *from,
                                 const struct oneid_watch_options *options)
{
    struct waiter w = {0};
    enum oneid_code code = blocking_check(c);
    if (code == ONEID_OK)
        code = submit_watch(c, segment, from, options, NULL, NULL, &w);
    return blocking_wait(c, code, &w);
}

struct oneid_result *oneid_unwatch(struct oneid_client *c, const char *segment)
{
    struct waiter w = {0};
    struct request r = {.type = REQUEST_UNWATCH, .name = bytes_of_str(segment)};
    enum oneid_code code = blocking_check(c);
    if (code == ONEID_OK)
        code = client_submit(c, &r, 0, NULL, NULL, &w);
    return blocking_wait(c, code, &w);
}
