/* Watched segments: who came into one and who left it, as a journal of events.
 *
 * The events are a function of the shard's log. At the end of each log entry every watched segment
 * is evaluated at the members that the entry touched (all members, when the day moved or the
 * segment is new or redefined) and compared with who was in it before; a difference is an event.
 * Its position is (log index, One-ID): one entry changes a member's membership at most once, and
 * the events of one entry come by rising One-ID. So a restart and every replica give the same
 * events at the same positions. The journals are bounded and saved with the index; a position from
 * before a journal's beginning is answered with ERR_TOO_OLD. docs/watch.md is the user's text.
 */
#ifndef INDEX_WATCH_H
#define INDEX_WATCH_H

#include <index/index.h>

enum { INDEX_WATCHES_MAX = 64, INDEX_WATCH_EVENTS = 1 << 20 };

/* --- writer: the shard thread --- */

struct index_watch {
    struct bytes name; /* of the segment */
    struct bytes text; /* its expression, without segment(...) */
};

/* All segments that are watched from the present log entry on, INDEX_WATCHES_MAX at most (those
 * beyond are not watched). One that was not watched is evaluated at the end of the entry and its
 * journal begins there; one whose text changed gives the differences as events of the entry; what
 * is not named is dropped. Copies. */
void index_set_watches(struct index *ix, const struct index_watch *watches, size_t n);
/* index_set_applied for an entry that holds changes, with its wall clock. */
void index_end_entry(struct index *ix, uint64_t log_index, msec_t time_ms);
/* How many events all journals together may hold; INDEX_WATCH_EVENTS at first. Where more come,
 * the fullest journal lets go of its oldest. Before the first entry. */
void index_set_watch_events(struct index *ix, uint64_t n);
/* Events ever put into a journal since index_new or index_load; moves only in index_publish and
 * in calls that went straight in. For waking up who waits. */
uint64_t index_watch_pushed(const struct index *ix);

/* --- readers: any thread --- */

enum index_watch_from {
    INDEX_WATCH_NOW,     /* what comes from now on */
    INDEX_WATCH_ALL,     /* who is in it now, then what comes */
    INDEX_WATCH_LISTING, /* who was in it after entry `log_index`, members above `member` */
    INDEX_WATCH_AFTER,   /* the events after position (log_index, member) */
};

struct index_watch_place {
    enum index_watch_from from;
    uint64_t log_index;
    one_id member; /* UINT64_MAX: the whole entry is known */
};

struct index_watch_event {
    uint64_t log_index;
    one_id member;
    msec_t time_ms; /* of the entry; 0: the member was there when the listing began */
    bool enter;
};

/* Up to `limit` events from a place on, and the place to read on from. A listing gives the members
 * as events that enter, by rising One-ID, and ends in INDEX_WATCH_AFTER; the same place gives the
 * same events as long as the journal reaches back to it. Waits for nothing but the gate.
 * ERR_NOT_FOUND: not watched. ERR_TOO_OLD: the journal begins after the place. ERR_BUSY: the index
 * is not as far as the place yet. ERR_INVALID: the segment cannot be evaluated any more.
 * ERR_TIMEOUT, ERR_NOMEM. */
enum error_code index_watch_read(struct index *ix, struct bytes name,
                                 const struct index_watch_place *place, size_t limit,
                                 msec_t deadline_mono_ms, struct index_watch_event *out,
                                 size_t *n_out, struct index_watch_place *next, struct error *err);

struct index_watch_stats {
    uint64_t watches, events, bytes; /* bytes: bitmaps and journals */
};
/* Writer's thread. */
void index_get_watch_stats(const struct index *ix, struct index_watch_stats *out);

#endif
