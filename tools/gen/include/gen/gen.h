/* A deterministic stream of events for measuring and checking a cluster.
 *
 * The same options give the same events on every machine. Nothing is kept per person: what a person
 * is follows from (seed, person), what an event says from (seed, place in the stream), so that a
 * stream of any length costs a few hundred bytes and any event can be made by itself.
 *
 * The plan. Persons join in waves. A person has 1 to 5 identities of seven namespaces. A share of
 * them (split) starts as two or three *parts*, profiles that know nothing of each other; in the
 * wave after, one event names an identity of each part (the link), except for a few that are never
 * linked. So the final profiles are known beforehand: one a person, or one a part for those never
 * linked. Persons with one identity may also carry a device, shared by two neighbours.
 *
 * What the final profiles hold does not depend on the order of events: every event that says
 * something has a time of its own, each event names an identity that some event ties to its part,
 * and a device is only carried by persons that never merge. Not thread-safe; the struct is a value
 * and may be copied.
 */
#ifndef GEN_GEN_H
#define GEN_GEN_H

#include <base/clock.h>
#include <base/error.h>
#include <base/rng.h>
#include <gen/words.h>

#include <stdbool.h>
#include <stdint.h>

enum {
    GEN_PERSON_IDS_MAX = 5,
    GEN_EVENT_IDS_MAX = 4, /* three that bridge and a device */
    GEN_PARTS_MAX = 3,
    GEN_VALUE_MAX = 40, /* bytes of an identity's value with its NUL */
    GEN_MESSAGE_ID_MAX = 48,
    GEN_WAVES_MAX = 64,
    GEN_PPM = 1000000
};

struct gen_options {
    uint64_t persons;
    uint64_t events; /* of the whole stream, re-sent ones included */
    uint64_t seed;
    uint64_t shuffle;      /* 0: by rising time but for the late ones; else another order of them */
    msec_t from_ms, to_ms; /* events lie in [from, to) */
    /* Shares in millionths. */
    uint32_t resent; /* of the events: sent before, with the same message_id */
    uint32_t late;   /* of the events: with a time up to 30 days before their neighbours' */
    uint32_t split;  /* of the persons */
    uint32_t never;  /* of the split ones: never linked */
};

/* The usual shares: 1 % re-sent, 3 % late, 30 % split, 2 % of those never linked. */
void gen_options_default(struct gen_options *o);
/* The least number of events that options with these persons and shares need. */
uint64_t gen_least_events(const struct gen_options *o);

/* A class of persons within a wave, by ascending person. */
struct gen_wave {
    uint64_t first_person, n_persons;
    uint64_t first_profile;
    uint64_t three_linked, three_never, two_linked, two_never; /* the rest is whole */
    uint64_t start;                                            /* its first place in the stream */
    /* What the places hold: first events of parts, links of the wave before, others, re-sent. */
    uint64_t n_parts, n_links, n_extra, n_resent;
};

struct gen {
    struct gen_options options;
    struct gen_wave waves[GEN_WAVES_MAX + 1]; /* the last has no persons, only links and others */
    unsigned n_waves;                         /* with the last */
    uint64_t n_profiles;                      /* in the end */
    uint64_t n_resent;
    msec_t step_ms; /* between two neighbours */
    uint64_t next;
};

/* ERR_INVALID: numbers that do not go together; the message says which. */
enum error_code gen_init(struct gen *g, const struct gen_options *o, struct error *err);

/* --- persons --- */

struct gen_person {
    uint64_t number;
    unsigned n_parts; /* 1: whole from the start */
    bool linked;      /* in the end it is one profile */
    unsigned wave;
    uint64_t first_profile; /* of its parts or of the whole */
    unsigned n_ids;
    /* Identity j belongs to part j % n_parts. */
    enum gen_ns ns[GEN_PERSON_IDS_MAX];
    bool device; /* carries device number / 2 */
};

void gen_person_of(const struct gen *g, uint64_t number, struct gen_person *out);
/* The value of identity j, NUL-terminated; the length. j == n_ids: the device's. */
unsigned gen_identity_value(const struct gen *g, const struct gen_person *p, unsigned j,
                            char out[GEN_VALUE_MAX]);
/* Place of a profile's identities: the part that the profile is, or 0 when linked. */
static inline unsigned gen_profiles_of_person(const struct gen_person *p)
{
    return p->linked ? 1 : p->n_parts;
}

/* --- events --- */

struct gen_identity {
    enum gen_ns ns;
    unsigned index; /* among the person's; n_ids: the device */
    unsigned len;
    char value[GEN_VALUE_MAX];
};

enum gen_event_kind { GEN_NO_EVENT, GEN_ORDER, GEN_VIEW };
enum { GEN_NONE = -1, GEN_REMOVED = -2 }; /* for traits: not named; set to null */

struct gen_event {
    uint64_t number;  /* its place in the unshuffled stream; of a re-sent one, the original's */
    uint64_t profile; /* where it ends up, below n_profiles */
    uint64_t person;
    bool resent;
    char message_id[GEN_MESSAGE_ID_MAX];
    msec_t ts;
    enum gen_source source;
    struct gen_identity ids[GEN_EVENT_IDS_MAX];
    unsigned n_ids;
    int city, gender, name; /* numbers in words.h, GEN_NONE, or (city alone) GEN_REMOVED */
    int birth_year;         /* GEN_NONE, or the year */
    int32_t birth;          /* GEN_NONE, or a day number > 0 */
    int interests[2], tags_add[2], tag_remove; /* GEN_NONE where there is none */
    unsigned n_interests, n_tags_add;
    int32_t points, growth; /* 0: not named */
    enum gen_event_kind kind;
    int category;
    int64_t amount_cents; /* GEN_ORDER */
};

/* The event at place `n` (below options.events) of the stream in its order. */
void gen_event_at(const struct gen *g, uint64_t n, struct gen_event *out);
/* Of that event only `number`, `person`, `profile`, `resent` and the identities, for less. */
void gen_who_at(const struct gen *g, uint64_t n, struct gen_event *out);
/* The same fields for an event beyond the plan, about a person whose events have all been sent. It
 * names identities of one part, so that it links nothing that the plan does not. */
void gen_who_of_person(const struct gen *g, uint64_t person, struct rng *r, struct gen_event *out);
/* Makes an event beyond the plan of what one of the two above has named: new content, no time of
 * its own (`ts` 0: when it is received), and the message id "u<run>-<number>". */
void gen_renew(struct rng *r, uint64_t run, uint64_t number, struct gen_event *e);
/* The next one; false at the end. */
bool gen_next(struct gen *g, struct gen_event *out);

#endif
