/* The record of a profile ('P' row): who it is, in which state, and what the merge protocol must
 * remember of it. Codec only; what may be done to a record is decided elsewhere.
 *
 * A decoded record borrows its texts from the bytes it was decoded from; its arrays live in an
 * arena. Sections that are empty are not written, so that what most profiles never have costs
 * nothing (docs/file-formats.md).
 */
#ifndef MACHINE_RECORD_H
#define MACHINE_RECORD_H

#include <base/arena.h>
#include <base/clock.h>
#include <cluster/slot.h>

/* `sid` numbers an unlink; a profile must never hold both sides of one. */
struct never_link {
    uint64_t sid;
    uint8_t side;
};

struct record_id {
    struct identity id;
    uint32_t version; /* rises along the holders of the identity */
    uint64_t handle;  /* of its fragment in this shard; 0 in a tombstone */
    struct never_link *tags;
    size_t n_tags;
};

/* Two identities of the record that were seen together, and where that was seen first. */
struct record_edge {
    uint32_t a, b; /* indexes into ids; a was the primary */
    struct bytes message_id, source;
    msec_t ts;
};

struct record_moved {
    struct identity id;
    one_id to;
};

struct record_outbox {
    one_id to;
    struct bytes content;
};

/* Attempts to absorb `loser` at this epoch or below were refused for good. */
struct record_fence {
    one_id loser;
    uint32_t epoch;
    uint8_t reason; /* enum refusal; REFUSAL_NONE: the evidence had left (stale) */
};

struct record {
    uint8_t state; /* machine_profile's states */
    bool born_merging;
    uint32_t epoch;
    msec_t created;
    one_id target;                  /* MERGING, REDIRECT */
    struct identity evid_b, evid_a; /* MERGING: b of this profile was seen with a of the target */
    struct record_id *ids;
    size_t n_ids, cap_ids;
    struct record_edge *edges;
    size_t n_edges, cap_edges;
    struct record_moved *moved;
    size_t n_moved, cap_moved;
    struct record_outbox *outbox;
    size_t n_outbox, cap_outbox;
    one_id *absorbed;
    size_t n_absorbed, cap_absorbed;
    struct record_fence *fences;
    size_t n_fences, cap_fences;
};

/* False where the bytes are not a record; nothing in them is trusted. */
bool record_decode(struct bytes in, struct arena *arena, struct record *out);
void record_encode(const struct record *r, struct buf *out);

/* The place of an identity in the record, or -1. */
ptrdiff_t record_find(const struct record *r, struct identity id);
/* Where the identity moved to at a split, 0: it did not. */
one_id record_moved_to(const struct record *r, struct identity id);
bool record_has_absorbed(const struct record *r, one_id loser);
/* The fence on `loser` that covers `epoch`, or NULL. */
const struct record_fence *record_fence_of(const struct record *r, one_id loser, uint32_t epoch);
bool record_has_edge(const struct record *r, size_t a, size_t b);

/* Appending; the arrays grow in `arena`. */
struct record_id *record_add_id(struct record *r, struct arena *arena, const struct record_id *id);
void record_add_edge(struct record *r, struct arena *arena, const struct record_edge *e);
void record_add_absorbed(struct record *r, struct arena *arena, one_id loser);
/* One fence a loser: a later refusal replaces an earlier one. */
void record_set_fence(struct record *r, struct arena *arena, const struct record_fence *f);
void record_clear_moved(struct record *r, struct identity id);

/* Identities and never-link tags, as the record and the portable content both write them. */
void identity_put(struct buf *out, struct identity id);
bool identity_take(struct reader *r, struct identity *out);
void never_links_put(struct buf *out, const struct never_link *tags, size_t n);
bool never_links_take(struct reader *r, struct arena *arena, struct never_link **out, size_t *n);
void edge_put(struct buf *out, const struct record_edge *e);
/* False when the edge is not between two of `n_ids` identities. */
bool edge_take(struct reader *r, size_t n_ids, struct record_edge *out);

/* Memory that a step of the state needs: like buf, it aborts where there is none. */
void *arena_must(struct arena *a, size_t size);
struct bytes arena_must_copy(struct arena *a, struct bytes b);

#endif
