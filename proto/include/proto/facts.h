/* Facts: what is known under an identity, as one flat, canonical byte string.
 *
 * An event's traits, tags and counters are facts; a fragment is the join of all facts that arrived
 * under one identity; a profile's unified view is the join of its fragments. The join is
 * associative and commutative, so neither the order of events nor that of merges matters (it adds
 * sums, so it is not idempotent: message ids see to it that each event is joined once). Because a
 * fact's kind carries the merge policy, nodes join without looking at the schema.
 *
 * Encoding: items sorted by (kind, name, sub), each at most once:
 *   u8 kind | u32 name | varint len + sub | value by kind (see facts.c). Empty = no facts.
 */
#ifndef PROTO_FACTS_H
#define PROTO_FACTS_H

#include <base/arena.h>
#include <base/bytes.h>
#include <base/clock.h>
#include <cluster/schema.h>

enum fact_kind {
    FACT_LATEST =
        1,       /* name: trait. Greatest ts wins; ties: the greater value (null < number < text) */
    FACT_FIRST,  /* name: trait. Least ts wins; ties: the lesser value */
    FACT_MIN,    /* name: trait. Least value */
    FACT_MAX,    /* name: trait. Greatest value */
    FACT_SUM,    /* name: trait. Numbers add up (wrapping) */
    FACT_UNION,  /* name: trait, sub: the element. ts: earliest */
    FACT_SOURCE, /* name: trait, sub: one byte, rank of the source. As FACT_LATEST within a rank */
    FACT_TAG,    /* name 0, sub: tag. number 1 on / 0 off. Greatest ts wins; ties: on */
    FACT_CHANNEL, /* name 0, sub: source. ts: first seen, number: last seen (ms) */
    FACT_HAS,     /* name: namespace. number: how many identities of it; adds up */
    FACT_LAST, /* name: event. ts: of the last one, number: its day. Greatest ts wins, ties: greater
                  day */
    FACT_TOTAL, /* name: event, sub: empty (count) or a field's name_id as u32 LE (sum). Adds up */
    FACT_KIND_END
};

enum fact_value { FACT_NULL, FACT_NUMBER, FACT_TEXT };

struct fact {
    enum fact_kind kind;
    name_id name;
    struct bytes sub;
    msec_t ts;
    /* FACT_NULL in LATEST and SOURCE: the trait was removed at ts. FIRST, MIN and MAX take no NULL:
     * a removal has no meaning there. SUM, TAG, CHANNEL, HAS, LAST, TOTAL: FACT_NUMBER, set by
     * reading and by the builder alike; UNION: FACT_NULL. */
    enum fact_value type;
    int64_t number; /* whole counts, millionths (number traits), day numbers (dates) */
    struct bytes text;
};

/* --- reading --- */

struct facts_iter {
    struct reader r;
};
static inline struct facts_iter facts_iter_of(struct bytes facts)
{
    struct facts_iter it = {reader_of(facts)};
    return it;
}
/* The next fact (borrowing); false at the end, or where the bytes are not well-formed
 * (facts_check). */
bool facts_next(struct facts_iter *it, struct fact *out);
/* Is it canonical: well-formed, sorted, no duplicates, kinds and value types in range? */
bool facts_check(struct bytes facts);
/* Is there any fact of this kind? `facts` has passed facts_check once, as for facts_find. */
bool facts_has_kind(struct bytes facts, enum fact_kind kind);
/* The one fact with this key; false if absent. */
bool facts_find(struct bytes facts, enum fact_kind kind, name_id name, struct bytes sub,
                struct fact *out);

/* --- making --- */

/* Collects facts in any order (joining equal keys) and writes the canonical form. The array lives
 * in the arena; texts and subs are borrowed until facts_builder_finish. */
struct facts_builder {
    struct arena *arena;
    struct fact *items;
    size_t n, cap;
    bool failed; /* out of arena, or a fact that facts_check would not take */
};
void facts_builder_init(struct facts_builder *b, struct arena *arena);
void facts_builder_add(struct facts_builder *b, const struct fact *f);
/* Appends to `out`; false when adding failed. */
bool facts_builder_finish(struct facts_builder *b, struct buf *out);

/* Appends the join of two canonical strings to `out` (which must not alias them). Both must have
 * passed facts_check once: other bytes are a bug and assert. The same holds for facts_diff. */
void facts_join(struct bytes a, struct bytes b, struct buf *out);

/* Called for a key whose fact differs; NULL where the side has none. The facts borrow. */
typedef void (*facts_diff_cb)(void *ctx, const struct fact *before, const struct fact *after);
/* Joins, and calls for every key whose fact in the join differs from that in `a`: the cost is that
 * of `b` and of stepping over `a`. */
void facts_join_diff(struct bytes a, struct bytes b, struct buf *out, facts_diff_cb cb, void *ctx);
/* Walks both and calls for every key whose fact differs. */
void facts_diff(struct bytes before, struct bytes after, facts_diff_cb cb, void *ctx);

/* --- the effective value of a trait --- */

/* By the schema's policy, from a unified view: FACT_NULL when there is none. With SOURCE a source
 * that removed its value leaves the word to the next in rank. UNION traits have no single value:
 * iterate. */
struct fact facts_trait(struct bytes view, const struct schema_trait *t);
enum fact_kind facts_kind_of_merge(enum trait_merge m);

/* --- behaviour: one event of a person --- */

struct behaviour_field {
    name_id id;
    enum field_type type;
    int64_t number; /* millionths */
    struct bytes text;
};
struct behaviour {
    name_id event;
    msec_t ts;
    int32_t day;   /* in the cluster's time zone, computed by the router */
    int32_t count; /* 1; a correction may say -1 */
    struct behaviour_field fields[EVENT_FIELDS_MAX]; /* sorted by id */
    size_t n_fields;
};
void behaviour_encode(const struct behaviour *b, struct buf *out);
bool behaviour_decode(struct bytes in, struct behaviour *out); /* borrows */

#endif
