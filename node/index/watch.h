/* The watched segments of a core: who is in each, and which members are to be looked at when the
 * log entry ends. Part of the core: one writer, readers inside the gate. */
#ifndef INDEX_WATCH_CORE_H
#define INDEX_WATCH_CORE_H

#include "journal.h"

#include <index/watch.h>

struct core;

struct watch {
    struct buf source; /* name, then text */
    struct bytes name, text;
    struct arena arena; /* holds expr */
    struct expr *expr;  /* NULL: it does not parse, or cannot be compiled */
    uint64_t facets;    /* what its terms look at, as in watch_dirty */
    bool timed;         /* the day alone may change who is in it */
    bool fresh;         /* nothing is known yet: the end of the entry begins the journal */
    bool due;           /* to be compared at all members */
    uint64_t **chunks;  /* who is in it, by ordinal: live ones only; NULL: nobody of the chunk */
    uint32_t n_chunks;
    struct journal journal;
};

/* A member that the entry touched. */
struct watch_dirty {
    one_id member;
    uint64_t facets; /* what of it changed: bits by hash, FACET_LIFE for birth and death */
    uint64_t was;    /* in which watches (by slot) it was when it was removed */
};

struct watches {
    struct watch *slots[INDEX_WATCHES_MAX];
    uint32_t n;
    struct watch_dirty *dirty;
    uint32_t n_dirty, cap_dirty;
    struct arena scratch; /* of the programs of one entry */
    uint64_t events_max;
    uint64_t n_events; /* in all journals */
    uint64_t pushed;
};

#define FACET_LIFE (UINT64_C(1) << 63)

void watches_init(struct watches *w);
void watches_close(struct core *c);
/* index_set_watches. */
void watches_set(struct core *c, const struct index_watch *list, size_t n);
void watches_set_events_max(struct core *c, uint64_t n);
/* Windows count from another day now. */
void watches_day_moved(struct core *c);
/* What a change touches; called when n > 0. A removal is noted while the member still lives. */
void watches_note(struct core *c, const struct index_op *op);
void watches_note_removal(struct core *c, one_id member, uint32_t ordinal);
/* Evaluates, compares, and puts the differences into the journals. */
void watches_end_entry(struct core *c, uint64_t log_index, msec_t time_ms);
/* NULL: there is none. */
struct watch *watches_find(const struct core *c, struct bytes name);
/* Another watch in an empty slot, without members and events, its text parsed (loading). */
struct watch *watch_new(struct core *c, uint32_t slot, struct bytes name, struct bytes text);
/* Into the journal, and out of the fullest one what is beyond the limit. */
void watch_push(struct core *c, struct watch *w, const struct journal_event *e);
bool watch_has(const struct watch *w, uint32_t ordinal);
/* The bitmap of a chunk, made if there is none. */
uint64_t *watch_reach(struct core *c, struct watch *w, uint32_t chunk);

/* The facets that an expression's terms look at. */
uint64_t facets_of_expr(const struct expr *e, const struct schema *s);
uint64_t facets_of_op(const struct index_op *op);
/* May the day alone change who satisfies it? Also where counts take in all that is kept: days
 * expire. */
bool expr_is_timed(const struct expr *e);

#endif
