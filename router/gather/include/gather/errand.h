/* A change of the cluster map, or a look at it: a command to shard 0, whose log keeps the map.
 *
 * A core, as gather.h. It is sent again until there is an answer or the deadline has passed, which
 * is sound because it may be done twice (cluster/placement.h). */
#ifndef GATHER_ERRAND_H
#define GATHER_ERRAND_H

#include <base/clock.h>
#include <proto/request.h>

struct errand;

/* What is to be done now. */
enum errand_step {
    ERRAND_WAIT,  /* nothing, until errand_wake_ms */
    ERRAND_SEND,  /* errand_command to ERRAND_SHARD, through its log */
    ERRAND_ANSWER /* errand_answer to the client: it is over */
};

enum {
    ERRAND_SHARD = 0,
    ERRAND_RESEND_MS = 1000, /* without an answer: the first time; then twice as long each time */
    ERRAND_LATER_MS = 20,    /* after an answer that may be another one later; likewise */
    ERRAND_DOUBLINGS = 4,
    ERRAND_MARGIN_MS = 50 /* before the client's deadline */
};

/* `change`: encoded (placement_change_encode); copied. The first step is that of errand_tick. NULL
 * when memory is out. */
struct errand *errand_new(struct bytes change, msec_t now, msec_t deadline_ms);
void errand_free(struct errand *e);
enum errand_step errand_tick(struct errand *e, msec_t now);
enum errand_step errand_reply(struct errand *e, const struct reply *reply, msec_t now);
msec_t errand_wake_ms(const struct errand *e);

/* Both live as long as the errand. */
const struct command *errand_command(const struct errand *e);
const struct response *errand_answer(const struct errand *e);

#endif
