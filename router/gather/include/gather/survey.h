/* A question to all nodes how they are: what came within about a second, and who kept silent.
 *
 * A core, as gather.h: no clock, no socket. */
#ifndef GATHER_SURVEY_H
#define GATHER_SURVEY_H

#include <base/clock.h>
#include <proto/request.h>

struct survey;

enum { SURVEY_PATIENCE_MS = 1200 };

/* `nodes` is copied. NULL when memory is out. */
struct survey *survey_new(const node_id *nodes, size_t n, msec_t now, msec_t deadline_ms);
void survey_free(struct survey *s);
/* What the node said, copied; heard at `wall_ms` of this process' wall clock. */
void survey_take(struct survey *s, node_id node, struct bytes status, msec_t wall_ms);
/* It cannot be reached (wall_ms 0), or says no more than this text. */
void survey_fail(struct survey *s, node_id node, struct bytes text, msec_t wall_ms);
/* All have said something, or those that have not are not waited for any more. */
bool survey_is_done(const struct survey *s, msec_t now);
msec_t survey_wake_ms(const struct survey *s);
/* `nodes` and `n_nodes` of the answer; they live as long as the survey. */
void survey_answer(const struct survey *s, struct response *out);

#endif
