/* An event as an application writes it, checked against the schema and made ready for the ingest
 * saga: names become ids, identities are normalised and ordered, traits, tags and counters become
 * facts.
 *
 * Pure but for the process's time zone. One thread for each call. */
#ifndef PREPARE_PREPARE_H
#define PREPARE_PREPARE_H

#include <base/arena.h>
#include <base/clock.h>
#include <base/error.h>
#include <proto/request.h>
#include <saga/saga.h>

/* What an event may say of the future: more is a broken clock, and would win over all that comes.
 */
enum { EVENT_FUTURE_MAX_MS = MSEC_PER_DAY };

/* Fills `out` (hints are left NULL). All of it lives in `arena` or borrows from `e`. Refuses the
 * event as a whole with a text that says which part is wrong and what was expected, without its
 * value: ERR_INVALID, ERR_UNKNOWN_NAME, ERR_TOO_LARGE, ERR_NO_IDENTITY, ERR_NOMEM. Blocked and
 * ill-formed identity values do not refuse it as long as another identity is left: they become
 * skips. */
enum error_code prepare_event(const struct event_message *e, const struct schema *schema,
                              msec_t now_ms, struct arena *arena, struct saga_ingest *out,
                              struct error *err);

/* Moves all that a prepared event points to into one piece of `arena`, for a saga that outlives the
 * message, with room for its hints, which are returned to be filled. NULL: no memory, `in` is left
 * as it was. */
one_id *prepare_keep(struct saga_ingest *in, struct arena *arena);

/* One identity of a question. ERR_UNKNOWN_NAME, ERR_INVALID (blocked, ill-formed), ERR_NOMEM. */
enum error_code prepare_identity(const struct named_identity *i, const struct schema *schema,
                                 struct arena *arena, struct identity *out, struct error *err);

#endif
