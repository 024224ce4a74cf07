#include <gather/errand.h>

#include <stdlib.h>

struct errand {
    struct arena arena;
    struct command command;
    struct response answer;
    struct error trouble; /* why it was put off last; code OK: it was not */
    struct error err;
    unsigned sends;
    msec_t resend_ms, end_ms;
};

struct errand *errand_new(struct bytes change, msec_t now, msec_t deadline_ms)
{
    struct errand *e = calloc(1, sizeof *e);
    if (!e)
        return NULL;
    struct bytes content = arena_copy(&e->arena, change);
    if (!content.data) {
        errand_free(e);
        return NULL;
    }
    e->command = (struct command){.type = COMMAND_MAP, .content = content};
    e->resend_ms = now;
    e->end_ms = deadline_ms - ERRAND_MARGIN_MS;
    return e;
}

void errand_free(struct errand *e)
{
    if (!e)
        return;
    arena_close(&e->arena);
    free(e);
}

static msec_t after(const struct errand *e, msec_t first_ms)
{
    return first_ms << (e->sends < ERRAND_DOUBLINGS ? e->sends : ERRAND_DOUBLINGS);
}

static enum errand_step fail(struct errand *e, enum error_code code)
{
    e->answer = (struct response){.code = code, .text = bytes_of_str(e->err.msg)};
    return ERRAND_ANSWER;
}

static enum errand_step give_up(struct errand *e)
{
    static const char WHAT[] = "shard 0, which keeps the cluster map, ";
    if (e->sends == 0)
        return fail(e, error_set(&e->err, ERR_TIMEOUT, "no time was left to ask shard 0"));
    if (e->trouble.code == ERR_OK)
        return fail(e, error_set(&e->err, ERR_TIMEOUT, "%sdid not answer in time", WHAT));
    return fail(
        e, error_set(&e->err, ERR_TIMEOUT, "%scould not do it in time: %s", WHAT, e->trouble.msg));
}

enum errand_step errand_tick(struct errand *e, msec_t now)
{
    if (now >= e->end_ms)
        return give_up(e);
    if (now < e->resend_ms)
        return ERRAND_WAIT;
    e->resend_ms = now + after(e, ERRAND_RESEND_MS);
    e->sends++;
    return ERRAND_SEND;
}

static enum errand_step put_off(struct errand *e, const struct reply *r, msec_t now)
{
    enum error_code code = r->status == REPLY_ERROR ? r->error : ERR_UNAVAILABLE;
    const char *text = r->text.len ? (const char *)r->text.data : error_text(code);
    int len = r->text.len ? (int)r->text.len : (int)strlen(text);
    msec_t soon = now + after(e, ERRAND_LATER_MS);
    (void)error_set(&e->trouble, code, "%.*s", len, text);
    e->resend_ms = soon < e->resend_ms ? soon : e->resend_ms;
    return ERRAND_WAIT;
}

enum errand_step errand_reply(struct errand *e, const struct reply *r, msec_t now)
{
    if (r->status == REPLY_OK) {
        e->answer = (struct response){.map = arena_copy(&e->arena, r->content), .task = r->version};
        if (!e->answer.map.data && r->content.len)
            return fail(e, error_set(&e->err, ERR_NOMEM, "cluster map"));
        return ERRAND_ANSWER;
    }
    if (r->status == REPLY_ERROR && !error_is_retryable(r->error)) {
        (void)error_set(&e->err, r->error, "%.*s", (int)r->text.len, (const char *)r->text.data);
        return fail(e, r->error);
    }
    return put_off(e, r, now);
}

msec_t errand_wake_ms(const struct errand *e)
{
    return e->resend_ms < e->end_ms ? e->resend_ms : e->end_ms;
}

const struct command *errand_command(const struct errand *e)
{
    return &e->command;
}

const struct response *errand_answer(const struct errand *e)
{
    return &e->answer;
}
