/* One turn of the client: send what is queued, take what has come, look after what is late. */
#include "parts.h"

#include <proto/envelope.h>

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    /* A batch goes out before the turn ends when it gets this big: its calls are still in the
     * processor's cache then. */
    BATCH_BYTES = 64 * 1024,
    BATCH_ITEMS = 1024,
    TURN_CALLBACKS = 8192,
    MARGIN_MS = 50,     /* at most: for the way of a router's last answer */
    FULL_QUEUE_MS = 10, /* until a queue that was full is tried again */
    REST_MS = 20,       /* after the first retryable answer; then longer */
    REST_DOUBLINGS = 5,
    PATIENCE_DOUBLINGS_MS = 60000,
    NEAR = 4,        /* answers between the announcement of a callback's context and its use */
    FAR = 8,         /* the same, of a call */
    LOOK_MS = 250,   /* at the least so often is looked for interrupts and ends */
    STALE_MS = 10000 /* a connection silent for so long is made anew */
};

static void wake_at(struct oneid_client *c, msec_t at)
{
    if (at < c->wake_ms)
        c->wake_ms = at;
}

static msec_t wake_of(const struct call *call)
{
    return call->retry_ms < call->deadline_ms ? call->retry_ms : call->deadline_ms;
}

uint32_t turn_time_left(const struct call *call, msec_t now)
{
    msec_t left = call->deadline_ms - now;
    msec_t margin = left / 10 < MARGIN_MS ? left / 10 : MARGIN_MS;
    return left - margin > 1 ? (uint32_t)(left - margin) : 1;
}

/* --- ending --- */

static void leave_queue(struct oneid_client *c, struct call *call)
{
    if (call->state == CALL_QUEUED)
        call_list_remove(&c->routers[call->router].queue, call);
}

static const struct oneid_result OUT_OF_MEMORY = {
    .code = ONEID_ERR_NOMEM, .text = "out of memory", .cursor = ""};

/* The call's place is free again before its callback runs, so that this may submit the next one. */
static void end_call(struct oneid_client *c, struct call *call, const struct response *r)
{
    struct waiter *waiter = call->waiter;
    oneid_cb cb = call->cb;
    void *ctx = call->ctx;
    leave_queue(c, call);
    flight_end(&c->flight, call);
    c->ran++;
    if (waiter) {
        waiter->result = result_new(r);
        waiter->done = true;
        return;
    }
    struct oneid_result result;
    arena_reset(&c->answering);
    bool ok = result_build(r, &c->answering, &result);
    cb(ctx, ok ? &result : &OUT_OF_MEMORY);
}

static void end_with_error(struct oneid_client *c, struct call *call, enum error_code code,
                           const char *text)
{
    struct response r = {.code = code, .text = bytes_of_str(text)};
    end_call(c, call, &r);
}

static bool was_heard_since(const struct oneid_client *c, msec_t start_ms)
{
    for (size_t i = 0; i < c->n_routers; i++) {
        if (c->routers[i].heard_ms && c->routers[i].heard_ms >= start_ms)
            return true;
    }
    return false;
}

/* The deadline has passed: says the last that a router had to say, or that none said anything. */
static void end_late(struct oneid_client *c, struct call *call)
{
    char text[sizeof((struct error *)0)->msg];
    if (call->why) {
        struct error why = *call->why;
        end_with_error(c, call, why.code, why.msg);
        return;
    }
    bool heard = was_heard_since(c, call->start_ms);
    const struct link *link = c->routers[call->router].link;
    enum link_trouble trouble = link && !heard ? link_trouble(link) : LINK_NO_TROUBLE;
    if (trouble != LINK_NO_TROUBLE) {
        (void)snprintf(text, sizeof text, "%s %s", c->routers[call->router].endpoint,
                       trouble == LINK_KEY_REFUSED
                           ? "does not allow this client's key"
                           : "is not the router that the key is known of, or speaks plain text, or "
                             "does not take ours");
        end_with_error(c, call, ERR_DENIED, text);
        return;
    }
    (void)snprintf(text, sizeof text, "no answer from %s%s within %lld ms",
                   c->routers[call->router].endpoint, c->n_routers > 1 ? " or another router" : "",
                   (long long)(call->deadline_ms - call->start_ms));
    end_with_error(c, call, heard ? ERR_TIMEOUT : ERR_UNAVAILABLE, text);
}

void turn_cancel_all(struct oneid_client *c)
{
    c->dispatching = true;
    for (size_t i = 0; i < c->flight.touched; i++) {
        if (c->flight.calls[i].state != CALL_FREE)
            end_with_error(c, &c->flight.calls[i], ERR_CANCELLED, "the client was closed");
    }
    c->dispatching = false;
}

/* Best effort: a router that does not get it works until the deadline. */
static void send_cancel(struct oneid_client *c, const struct call *call, const struct attempt *a)
{
    struct router_link *r = &c->routers[call->router];
    struct buf out = {0};
    struct frame f = {.full = false};
    size_t head = envelope_begin(&out);
    buf_put_u32(&out, a->item);
    struct envelope e = {.type = MESSAGE_CANCEL, .request_id = a->sent->request_id, .items = 1};
    envelope_finish(&out, head, &e);
    if (r->link && frame_of_buf(&f, &out) == ERR_OK)
        (void)link_send(r->link, &f);
    frame_close(&f);
    buf_free(&out);
}

void turn_cancel(struct oneid_client *c, struct call *call, msec_t now)
{
    for (size_t i = 0; i < call->n_attempts; i++)
        send_cancel(c, call, &call->attempts[i]);
    call->cancelled = true;
    wake_at(c, now);
}

uint64_t oneid_last_call(const struct oneid_client *c)
{
    return c->last_call;
}

bool oneid_cancel(struct oneid_client *c, uint64_t number)
{
    for (size_t i = 0; i < c->flight.touched; i++) {
        struct call *call = &c->flight.calls[i];
        if (call->state == CALL_FREE || call->number != number || call->cancelled)
            continue;
        turn_cancel(c, call, clock_mono_ms());
        return true;
    }
    return false;
}

void oneid_interrupt(struct oneid_client *c)
{
    atomic_store(&c->interrupt, true);
}

static void take_interrupt(struct oneid_client *c, msec_t now)
{
    if (!atomic_exchange(&c->interrupt, false))
        return;
    c->interrupts++;
    for (size_t i = 0; i < c->flight.touched; i++) {
        if (c->flight.calls[i].state != CALL_FREE)
            turn_cancel(c, &c->flight.calls[i], now);
    }
}

/* --- sending --- */

/* What was sent there is due again. */
static void ask_again(struct oneid_client *c, const struct router_link *r, msec_t now)
{
    for (size_t i = 0; i < c->flight.touched; i++) {
        struct call *call = &c->flight.calls[i];
        if (call->state == CALL_SENT && &c->routers[call->router] == r && call->retry_ms > now)
            call->retry_ms = now;
    }
    wake_at(c, now);
}

/* What waited in the old connection is gone with it; its calls are sent again as they get due. */
static bool make_anew(struct oneid_client *c, struct router_link *r, msec_t now)
{
    router_disconnect(c, r);
    if (router_connect(c, r, NULL) != ERR_OK)
        return false;
    r->waiting_ms = 0;
    ask_again(c, r, now);
    return true;
}

static size_t gather_batch(const struct router_link *r, struct call **calls, size_t *bytes)
{
    size_t n = 0;
    *bytes = 0;
    for (struct call *call = r->queue.first; call && n < BATCH_ITEMS; call = call->next) {
        if (n > 0 && *bytes + call->item.len > BATCH_BYTES)
            break;
        *bytes += call->item.len;
        calls[n++] = call;
    }
    return n;
}

static bool send_batch(struct router_link *r, struct call *const *calls, size_t n, size_t bytes,
                       uint64_t request_id)
{
    struct buf out = {0};
    (void)buf_reserve(&out, ENVELOPE_SIZE + bytes);
    size_t head = envelope_begin(&out);
    for (size_t i = 0; i < n; i++)
        buf_put(&out, calls[i]->item.data, calls[i]->item.len);
    struct envelope e = {
        .type = MESSAGE_CLIENT_REQUEST, .request_id = request_id, .items = (uint32_t)n};
    envelope_finish(&out, head, &e);
    struct frame f = {.full = false};
    bool ok = frame_of_buf(&f, &out) == ERR_OK && link_send(r->link, &f);
    frame_close(&f);
    buf_free(&out);
    return ok;
}

/* False: nothing is left to send, or nothing can be sent now. */
static bool flush_batch(struct oneid_client *c, struct router_link *r, msec_t now)
{
    struct call *calls[BATCH_ITEMS];
    size_t bytes;
    size_t n = gather_batch(r, calls, &bytes);
    if (n == 0)
        return false;
    bool stale = r->waiting_ms && now - r->waiting_ms >= STALE_MS;
    if ((stale || !r->link) && !make_anew(c, r, now))
        return false;
    uint64_t request_id = flight_send(&c->flight, calls, n);
    if (request_id == 0 || !send_batch(r, calls, n, bytes, request_id)) {
        flight_unsend(&c->flight, request_id);
        wake_at(c, now + FULL_QUEUE_MS);
        return false;
    }
    if (!r->waiting_ms)
        r->waiting_ms = now;
    for (size_t i = 0; i < n; i++) {
        call_list_remove(&r->queue, calls[i]);
        calls[i]->state = CALL_SENT;
        calls[i]->sent_ms = now;
        calls[i]->retry_ms = now + calls[i]->patience_ms;
        wake_at(c, wake_of(calls[i]));
    }
    c->poke = true;
    return true;
}

static void flush_router(struct oneid_client *c, struct router_link *r, msec_t now)
{
    while (flush_batch(c, r, now))
        ;
}

static void flush_all(struct oneid_client *c, msec_t now)
{
    for (size_t i = 0; i < c->n_routers; i++)
        flush_router(c, &c->routers[i], now);
}

static void enqueue_at(struct oneid_client *c, struct call *call, size_t router)
{
    call->state = CALL_QUEUED;
    call->router = router;
    call->retry_ms = call->deadline_ms;
    call_list_push(&c->routers[router].queue, call);
    wake_at(c, call->deadline_ms);
}

void turn_enqueue(struct oneid_client *c, struct call *call, msec_t now)
{
    enqueue_at(c, call, c->active);
    if (c->routers[c->active].queue.bytes >= BATCH_BYTES)
        flush_router(c, &c->routers[c->active], now);
}

/* --- sending again --- */

/* The router is told the time that is left by now. */
static void restamp(struct oneid_client *c, struct call *call, msec_t now)
{
    struct request *r = NULL;
    size_t n = 0;
    arena_reset(&c->building);
    if (request_decode(buf_bytes(&call->item), 1, &c->building, &r, &n, NULL) != ERR_OK)
        return; /* out of memory: the old number does, the deadline here counts */
    assert(n == 1);
    struct buf item = {0};
    r->deadline_ms = turn_time_left(call, now);
    request_encode(r, &item);
    buf_free(&call->item);
    call->item = item;
}

/* One that there is no connection to is passed over, if there is any to another. */
static size_t next_router(const struct oneid_client *c, size_t router)
{
    const size_t first = (router + 1) % c->n_routers;
    size_t next = first;
    do {
        if (c->routers[next].is_up)
            return next;
        next = (next + 1) % c->n_routers;
    } while (next != first);
    return first;
}

/* New requests go elsewhere from now on. */
static void leave_router(struct oneid_client *c, size_t router)
{
    if (c->active == router)
        c->active = next_router(c, router);
}

static void send_again(struct oneid_client *c, struct call *call, msec_t now)
{
    const struct router_link *r = &c->routers[call->router];
    if (call->state == CALL_SENT) {
        if (r->heard_ms < call->sent_ms || !r->is_up)
            leave_router(c, call->router);
        else if (call->patience_ms < PATIENCE_DOUBLINGS_MS)
            call->patience_ms *= 2; /* it lives: the work takes its time */
    }
    size_t to = c->active != call->router ? c->active : next_router(c, call->router);
    restamp(c, call, now);
    enqueue_at(c, call, to);
}

/* --- answers --- */

static void note_why(struct call *call, const struct response *r)
{
    if (!call->why)
        call->why = malloc(sizeof *call->why);
    if (!call->why)
        return;
    *call->why = (struct error){.code = r->code};
    size_t n = r->text.len < sizeof call->why->msg - 1 ? r->text.len : sizeof call->why->msg - 1;
    if (n)
        memcpy(call->why->msg, r->text.data, n);
}

static void rest(struct oneid_client *c, struct call *call, const struct response *r, msec_t now)
{
    unsigned doublings = call->rests < REST_DOUBLINGS ? call->rests : REST_DOUBLINGS;
    uint64_t base = (uint64_t)REST_MS << doublings;
    msec_t until = now + (msec_t)(base / 2 + rng_below(&c->rng, base));
    if (until >= call->deadline_ms) {
        end_call(c, call, r);
        return;
    }
    note_why(call, r);
    if (r->code == ERR_SHUTDOWN)
        leave_router(c, call->router);
    call->rests++;
    call->state = CALL_RESTING;
    call->retry_ms = until;
    wake_at(c, until);
}

static void take_answer(struct oneid_client *c, struct call *call, const struct response *r,
                        msec_t now)
{
    if (!error_is_retryable(r->code))
        end_call(c, call, r);
    else if (call->state == CALL_SENT)
        rest(c, call, r, now);
    /* else another copy of it is due already */
}

static void take_reply(struct oneid_client *c, const struct envelope *e, msec_t now)
{
    struct response *responses;
    size_t n;
    if (response_decode(e->body, e->items, &c->message, &responses, &n, NULL) != ERR_OK)
        return; /* as if it had been lost */
    for (size_t i = 0; i < n && i < FAR; i++)
        flight_expect(&c->flight, e->request_id, responses[i].item);
    for (size_t i = 0; i < n; i++) {
        if (n - i > FAR)
            flight_expect(&c->flight, e->request_id, responses[i + FAR].item);
        if (n - i > NEAR)
            flight_expect_callback(&c->flight, e->request_id, responses[i + NEAR].item);
        struct call *call = flight_find(&c->flight, e->request_id, responses[i].item);
        if (call)
            take_answer(c, call, &responses[i], now);
    }
}

static void take_error(struct oneid_client *c, const struct envelope *e, msec_t now)
{
    struct error err;
    struct response r = {.code = wire_error_decode(e->body, &err)};
    r.text = bytes_of_str(err.msg);
    uint32_t n = flight_items(&c->flight, e->request_id);
    for (uint32_t i = 0; i < n; i++) {
        struct call *call = flight_find(&c->flight, e->request_id, i);
        if (call)
            take_answer(c, call, &r, now);
    }
}

static void take_frame(struct oneid_client *c, const struct frame *f, msec_t now)
{
    struct envelope e;
    if (envelope_decode(frame_bytes(f), &e, NULL) != ERR_OK)
        return;
    arena_reset(&c->message);
    if (e.type == MESSAGE_CLIENT_REPLY)
        take_reply(c, &e, now);
    else if (e.type == MESSAGE_ERROR)
        take_error(c, &e, now);
}

/* Everything that has come, as long as that is not too much for one turn. */
static void receive_all(struct oneid_client *c, msec_t now)
{
    struct frame f = {.full = false};
    c->poke = false;
    for (size_t i = 0; i < c->n_routers; i++) {
        struct router_link *r = &c->routers[i];
        while (r->link && c->ran < TURN_CALLBACKS && link_recv(r->link, &f)) {
            r->heard_ms = now;
            r->waiting_ms = 0;
            take_frame(c, &f, now);
        }
    }
    frame_close(&f);
}

/* A router that has died ends its connection. With no other to ask, what it was sent waits for it
 * as long as for one that is slow. */
static void look_at_links(struct oneid_client *c, msec_t now)
{
    for (size_t i = 0; i < c->n_routers; i++) {
        struct router_link *r = &c->routers[i];
        unsigned endings = r->link ? link_endings(r->link) : 0;
        r->is_up = r->link && link_is_up(r->link);
        if (endings == r->endings || c->n_routers == 1)
            continue;
        r->endings = endings;
        leave_router(c, i);
        ask_again(c, r, now);
    }
}

/* --- what is late --- */

static void look_after(struct oneid_client *c, struct call *call, msec_t now)
{
    if (call->cancelled)
        end_with_error(c, call, ERR_CANCELLED, "the call was cancelled");
    else if (now >= call->deadline_ms)
        end_late(c, call);
    else if (now >= call->retry_ms && call->state != CALL_QUEUED)
        send_again(c, call, now);
}

static void expire(struct oneid_client *c, msec_t now)
{
    if (now < c->wake_ms)
        return;
    c->wake_ms = INT64_MAX;
    for (size_t i = 0; i < c->flight.touched; i++) {
        struct call *call = &c->flight.calls[i];
        if (call->state != CALL_FREE)
            look_after(c, call, now);
        if (call->state != CALL_FREE)
            wake_at(c, wake_of(call));
    }
}

static bool has_queued(const struct oneid_client *c)
{
    for (size_t i = 0; i < c->n_routers; i++) {
        if (c->routers[i].queue.first)
            return true;
    }
    return false;
}

/* --- the turn --- */

static void work(struct oneid_client *c, msec_t now)
{
    c->dispatching = true;
    flush_all(c, now);
    receive_all(c, now);
    look_at_links(c, now);
    expire(c, now);
    if (has_queued(c))
        flush_all(c, now);
    c->dispatching = false;
}

static void wait_for_work(struct oneid_client *c, msec_t until, msec_t now)
{
    if (c->wake_ms < until)
        until = c->wake_ms;
    if (now + LOOK_MS < until) /* an interrupt may come just before the wait begins */
        until = now + LOOK_MS;
    msec_t ms = until - now;
    size_t n = 0;
    for (size_t i = 0; i < c->n_routers; i++) {
        if (c->routers[i].link)
            c->waits[n++] = (struct waitable){.link = c->routers[i].link};
    }
    if (ms > 0)
        (void)endpoint_wait(c->waits, n, ms < INT_MAX ? (long)ms : INT_MAX);
}

int oneid_poll(struct oneid_client *c, int timeout_ms)
{
    if (!c || c->dispatching)
        return 0;
    msec_t now = clock_mono_ms();
    msec_t until = timeout_ms < 0 ? INT64_MAX : now + timeout_ms;
    c->ran = 0;
    for (;;) {
        take_interrupt(c, now);
        work(c, now);
        if (c->ran || now >= until || c->flight.n == 0)
            return c->ran;
        wait_for_work(c, until, now);
        now = clock_mono_ms();
    }
}

bool turn_pause(struct oneid_client *c, msec_t ms)
{
    uint64_t interrupts = c->interrupts;
    msec_t now = clock_mono_ms(), end = now + ms;
    while (now < end && c->interrupts == interrupts) {
        take_interrupt(c, now);
        work(c, now);
        if (c->interrupts == interrupts)
            wait_for_work(c, end, now);
        now = clock_mono_ms();
    }
    return c->interrupts == interrupts;
}

int oneid_next_timeout_ms(struct oneid_client *c)
{
    if (c->flight.n == 0)
        return -1;
    if (c->poke || has_queued(c))
        return 0;
    msec_t left = c->wake_ms - clock_mono_ms();
    if (left > LOOK_MS && c->n_routers > 1)
        left = LOOK_MS; /* for connections that end */
    return left < 0 ? 0 : left < INT_MAX ? (int)left : INT_MAX;
}
