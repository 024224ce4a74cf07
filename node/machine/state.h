/* What the files of the machine share: its state, and the rows it keeps in the store. */
#ifndef MACHINE_STATE_H
#define MACHINE_STATE_H

#include "flight.h"
#include "record.h"

#include <machine/machine.h>
#include <proto/facts.h>
#include <segment/catalogue.h>

/* A watched segment. */
struct machine_watch {
    uint8_t name[NAME_MAX_LEN];
    uint8_t len;
    int32_t asked; /* the day of the log on which somebody last asked for it; 0: before all days */
};
struct machine_watches {
    struct machine_watch list[INDEX_WATCHES_MAX];
    size_t n;
    uint64_t generation; /* rises with every change to what is watched; not stored */
};

struct machine {
    struct machine_options o;
    struct arena scratch; /* of one command; reset before the next */
    struct buf key, row, join;
    msec_t clock; /* never goes back */
    uint64_t last_lamport;
    uint32_t last_seq;
    uint64_t next_handle, next_refused;
    struct shard_stats counters; /* those that the machine keeps */
    bool dirty;                  /* something of the above is to be written */
    struct flight flight;
    struct catalogue *catalogue; /* the saved segments of the cluster, as this shard has them */
    int32_t today;               /* never goes back; 0: none yet */
    struct machine_watches watches;
    struct cluster_map *map; /* shard 0: its epoch is 0 before there is one. NULL at the others */
    msec_t tombstone_due;    /* no tombstone may go before this */
    struct error error;      /* sticky: a row that does not decode */
};

/* REFUSED rows kept: the newest of them. */
enum { REFUSED_KEPT = 1 << 20, HOLDERS_MAX = 1024, CONTENT_MAX = 32 << 20, SPLIT_HOPS_MAX = 64 };
enum { BORN_TOMBSTONE_MS = 10 * 60 * 1000 };

/* Remembers that the state is damaged; `what` names the kind of row. */
void machine_damaged(struct machine *m, const char *what);
bool machine_owns(const struct machine *m, slot_id slot);
/* A fresh One-ID at `slot` above `above` (0: none); 0 when time has run out of bits. */
one_id machine_new_one_id(struct machine *m, slot_id slot, one_id above);
uint64_t machine_new_handle(struct machine *m);
void reply_fail(struct reply *out, enum error_code code, const char *text);
/* The same with a text that does not outlive the call. */
void reply_fail_copy(struct reply *out, enum error_code code, const char *text,
                     struct arena *arena);

/* The shard that numbers the saved segments. */
enum { SEGMENTS_AUTHORITY = 0 };
/* The shard that has the cluster map. */
enum { MAP_AUTHORITY = 0 };

/* --- rows (rows.c) --- */

/* Keys are built in m->key and borrow it until the next key. */
struct bytes key_of_identity(struct machine *m, struct identity id);
struct bytes view_key(struct machine *m, one_id p);
struct bytes key_of_number(struct machine *m, char kind, uint64_t number);
/* The key of a row that belongs to that of key_of_number, and stands right behind it, so that what
 * one event changes lies in few pages. */
struct bytes key_of_part(struct machine *m, char kind, uint64_t number, char part_kind,
                         uint32_t part, size_t width);
/* What kind of row a key is of: the letter of its part where it has one. */
static inline char row_kind(struct bytes key)
{
    bool has_parts = key.data[0] == 'P' || key.data[0] == 'F';
    return (char)key.data[has_parts && key.len > 9 ? 9 : 0];
}

struct entry {
    one_id profile;
    uint32_t version;
};
bool entry_decode(struct bytes value, struct entry *out);
bool entry_get(struct machine *m, struct identity id, struct entry *out);
void entry_put(struct machine *m, struct identity id, struct entry e);
/* REPAIR: moves an existing entry forward; never makes one. */
void entry_repair(struct machine *m, struct identity id, struct entry e);

/* The fragment of one identity. `facts` and message ids borrow from the store until the fragment is
 * put. An identity's first message ids are kept in it; when they get more, all move to blocks of
 * their own, so that those of a busy identity do not make each write heavier (dedup.c). */
enum { RECENT_MAX = 8 };
struct fragment {
    bool has_blocks;                 /* message ids are there, and none here */
    uint8_t n_recent;                /* at most RECENT_MAX */
    const uint8_t *hashes, *seconds; /* of n_recent message ids, oldest first: u64, u32 each */
    struct bytes facts;
    int16_t *buckets; /* of behaviour rows, in the order they were made; in the scratch arena */
    size_t n_buckets;
};
/* False when it is missing or damaged, which is an error of the state. Facts are not looked at:
 * what the store gives back is what was written to it. */
bool fragment_get(struct machine *m, uint64_t handle, struct fragment *out);
void fragment_put(struct machine *m, uint64_t handle, const struct fragment *f);
/* What a builder of known good facts holds, in the scratch arena. */
struct bytes facts_built(struct machine *m, struct facts_builder *b);
/* The facts of an identity from which nothing has come yet. In the scratch arena. */
struct bytes facts_of_identity(struct machine *m, struct identity id);
/* The join, in the scratch arena. */
struct bytes facts_joined(struct machine *m, struct bytes a, struct bytes b);

void refused_put(struct machine *m, const struct refused_row *row);
bool refused_get(struct machine *m, uint64_t number, struct refused_row *out);

/* 't' rows. */
void tombstone_put(struct machine *m, one_id p, bool born_merging);
bool tombstone_decode(struct bytes value, msec_t *began, bool *born_merging);
/* When it may go at the earliest; INT64_MAX: never. */
msec_t tombstone_due(const struct machine *m, msec_t began, bool born_merging);

/* --- profiles (profile.c) --- */

struct profile {
    one_id id;
    struct record rec;
    bool changed;       /* the record must be written */
    struct bytes view;  /* join of its fragments, as of now; in the scratch arena */
    struct bytes shown; /* what the segment index was told */
    bool view_changed;
};

/* False when there is none. Copies, so that it outlives writes. The view is not loaded. */
bool profile_load(struct machine *m, one_id id, struct profile *out);
/* Loads view and shown of a profile that has its content. */
void profile_load_view(struct machine *m, struct profile *p);
/* The same where the caller has the view already; copies. */
void profile_view_is(struct machine *m, struct profile *p, struct bytes view);
void profile_set_view(struct profile *p, struct bytes view);
/* Writes what changed. */
void profile_save(struct machine *m, struct profile *p);

/* ABSENT is no record. The moves and what each of them counts: profile.c. */
enum { PROFILE_ABSENT = 0 };
void profile_move(struct machine *m, struct profile *p, uint8_t to);

/* Takes an identity that has not been anywhere into the record, with an empty fragment. */
void profile_bind(struct machine *m, struct profile *p, struct identity id, uint32_t version);
/* Deletes fragments, message ids, behaviour and view, and the handles with them. */
void profile_drop_content(struct machine *m, struct profile *p);
/* The join of its fragments from nothing, in the scratch arena. */
struct bytes profile_fold(struct machine *m, const struct record *r);

/* --- message ids (dedup.c) --- */

/* The newest of an identity's message ids: those in the fragment, or the newest block; borrows from
 * the store until dedup_add. */
struct dedup {
    uint64_t handle;
    bool in_fragment;
    uint8_t skip;         /* of the oldest sealed block, so many are let go */
    uint16_t n;           /* entries in the newest block */
    uint32_t first, next; /* sealed blocks: first ... next - 1 */
    uint32_t oldest_s;    /* receipt time of the oldest entry */
    const uint8_t *hashes, *seconds;
};
void dedup_load(struct machine *m, uint64_t handle, const struct fragment *f, struct dedup *out);
bool dedup_has(struct machine *m, const struct dedup *d, uint64_t hash);
/* `f` is the fragment that `d` was loaded with; the caller puts it afterwards. */
void dedup_add(struct machine *m, const struct dedup *d, struct fragment *f, uint64_t hash);
/* Of a fragment that is being deleted. */
void dedup_drop(struct machine *m, uint64_t handle, const struct fragment *f);
/* Portable: varint count, then count times (u64 hash, u32 seconds), oldest first. */
void dedup_export(struct machine *m, uint64_t handle, const struct fragment *f, struct buf *out);
enum { DEDUP_ENTRY_SIZE = 12 };
/* `entries` holds whole entries. The identity has none yet. The caller puts the fragment. */
void dedup_import(struct machine *m, uint64_t handle, struct fragment *f, struct bytes entries);

/* --- behaviour (behaviour.c) --- */

/* Adds one event to the rows, lets go of buckets that no window reaches, and keeps the fragment's
 * list of buckets (which the caller writes). */
void behaviour_add(struct machine *m, uint64_t handle, struct fragment *f,
                   const struct behaviour *b);
bool behaviour_row_get(struct machine *m, uint64_t handle, int16_t bucket, struct bytes *row);
void behaviour_row_put(struct machine *m, uint64_t handle, int16_t bucket, struct bytes row);
void behaviour_drop(struct machine *m, uint64_t handle, const struct fragment *f);

/* The cells of a row; a cell's sums stand in `fields` as FIELD_NUMBER, its combination of values as
 * FIELD_ENUM, each sorted by id, the enums first. */
struct behaviour_cell {
    name_id event;
    int32_t day;
    int64_t count;
    struct behaviour_field fields[2 * EVENT_FIELDS_MAX];
    size_t n_fields;
};
struct behaviour_iter {
    struct reader r;
};
/* False where the row is of another version. */
bool behaviour_iter_init(struct behaviour_iter *it, struct bytes row);
bool behaviour_next(struct behaviour_iter *it, struct behaviour_cell *out);
bool behaviour_row_check(struct bytes row, int16_t bucket);

/* --- portable content (content.c) --- */

struct content_row {
    int16_t bucket;
    struct bytes row;
};
struct content_id {
    struct identity id;
    uint32_t version;
    struct never_link *tags;
    size_t n_tags;
    struct bytes facts;
    struct bytes message_ids; /* as dedup_import takes them */
    struct content_row *rows;
    size_t n_rows;
};
struct content {
    bool born_merging;
    struct content_id *ids;
    size_t n_ids;
    struct record_edge *edges;
    size_t n_edges;
};
void content_encode(struct machine *m, const struct profile *p, struct buf *out);
bool content_decode(struct machine *m, struct bytes in, struct content *out);
/* That of a profile born merging, which its CLAIM need not send: nothing but the identity. */
void content_of_claim(struct machine *m, struct identity id, struct content *out);

/* --- what the segment index is told (emit.c) --- */

void emit_add(struct machine *m, one_id member);
void emit_remove(struct machine *m, one_id member);
/* What differs between p->shown and p->view; then it is shown. */
void emit_view(struct machine *m, struct profile *p);
/* Joins the facts of an event into p->view and shows the result: as profile_set_view and emit_view,
 * without a walk over two whole views. */
void emit_join(struct machine *m, struct profile *p, struct bytes facts);
void emit_behaviour(struct machine *m, one_id member, const struct behaviour *b);
/* All cells of a fragment. */
void emit_fragment(struct machine *m, one_id member, uint64_t handle);
/* A profile that the index does not have, with everything. */
void emit_profile(struct machine *m, struct profile *p);

/* --- commands --- */

void apply_event(struct machine *m, const struct command *c, struct arena *arena,
                 struct reply *out);

void merge_claim(struct machine *m, const struct command *c, struct reply *out);
void merge_freeze(struct machine *m, const struct command *c, struct arena *arena,
                  struct reply *out);
void merge_absorb(struct machine *m, const struct command *c, struct arena *arena,
                  struct reply *out);
void merge_done(struct machine *m, const struct command *c, struct reply *out);
void merge_abort(struct machine *m, const struct command *c, struct reply *out);
/* May the identities of `l` come to `w`? REFUSAL_NONE, LIMIT or NEVER_LINK. */
enum refusal merge_refusal(const struct machine *m, const struct record *w, const struct record *l);
/* The same for one identity that is new to everybody. */
enum refusal bind_refusal(const struct machine *m, const struct record *w, struct identity id);
/* Both LIVE, here, checked by merge_refusal, views loaded: the loser's identities come to the
 * winner. */
void merge_local(struct machine *m, struct profile *winner, struct profile *loser);
/* The same with a loser that exists in this command only. */
void merge_fresh(struct machine *m, struct profile *winner, struct profile *fresh);

/* segments.c: the catalogue of saved segments ('G' rows, 'g' its version) and the day ('d'). */
enum error_code segments_load(struct machine *m, struct error *err);
void segments_define(struct machine *m, const struct command *c, struct arena *arena,
                     struct reply *out);
void segments_drop(struct machine *m, const struct command *c, struct arena *arena,
                   struct reply *out);
void segments_sync(struct machine *m, const struct command *c, struct reply *out);
void segments_read(struct machine *m, const struct command *c, struct arena *arena,
                   struct reply *out);
/* watches.c: which segments are watched ('w' rows). */
void watch_rows_load(struct machine *m);
void watch_start(struct machine *m, const struct command *c, struct arena *arena,
                 struct reply *out);
void watch_stop(struct machine *m, const struct command *c, struct reply *out);
void watch_rows_segments_changed(struct machine *m);
void watch_rows_day_moved(struct machine *m);
/* map.c: the cluster map ('M' row). */
enum error_code map_row_load(struct machine *m, struct error *err);
void map_change(struct machine *m, const struct command *c, struct arena *arena, struct reply *out);
/* What is wrong with the row; NULL: nothing. */
const char *map_row_finding(struct machine *m);
void day_set(struct machine *m, const struct command *c, struct reply *out);

void read_locate(struct machine *m, const struct command *c, struct arena *arena,
                 struct reply *out);
void read_get(struct machine *m, const struct command *c, struct arena *arena, struct reply *out);
void read_sweep(struct machine *m, msec_t now_ms, const struct command *c, struct arena *arena,
                struct reply *out);
void read_refused(struct machine *m, const struct command *c, struct arena *arena,
                  struct reply *out);
/* The state of a loaded profile as LOCATE says it; `id` may be empty (ns 0). */
void reply_locate(struct machine *m, const struct profile *p, struct identity id, bool want_content,
                  struct arena *arena, struct reply *out);
/* The packed profile. */
bool view_pack(struct machine *m, struct profile *p, struct arena *arena, struct bytes *out);

#endif
