#include "message.h"

#include <stdio.h>

struct message *message_new(enum message_kind kind)
{
    struct message *m = calloc(1, sizeof *m);
    if (!m) {
        (void)fprintf(stderr, "oneid-node: out of memory\n");
        abort();
    }
    m->kind = kind;
    return m;
}

void message_free(struct message *m)
{
    if (!m)
        return;
    frame_close(&m->frame);
    buf_free(&m->content);
    free(m->entries);
    free(m);
}

void message_send(struct outbox *to, struct message *m)
{
    if (!outbox_put(to, m))
        message_free(m);
}

static void answer_error(struct outbox *front, const struct message *to, enum error_code code,
                         const char *text, uint32_t items)
{
    struct buf body = {0}, out = {0};
    wire_error_encode(code, text, &body);
    struct envelope e = {.type = MESSAGE_ERROR,
                         .shard = to->envelope.shard,
                         .request_id = to->envelope.request_id,
                         .items = items};
    envelope_encode(&e, body.len, &out);
    buf_put(&out, body.data, body.len);
    buf_free(&body);
    struct message *m = message_new(MESSAGE_ANSWER);
    m->peer = to->peer;
    if (frame_of_buf(&m->frame, &out) != ERR_OK) {
        buf_free(&out);
        message_free(m);
        return;
    }
    message_send(front, m);
}

void message_answer_error(struct outbox *front, const struct message *to, enum error_code code,
                          const char *text)
{
    answer_error(front, to, code, text, 0);
}

void message_answer_not_leader(struct outbox *front, const struct message *to, uint16_t leader)
{
    answer_error(front, to, ERR_NOT_LEADER, error_text(ERR_NOT_LEADER), leader);
}
