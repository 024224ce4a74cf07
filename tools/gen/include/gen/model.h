/* The expected answers: every final profile in memory, folded from the events by plain code that
 * shares nothing with the store. About 200 bytes a profile.
 *
 * Give it every event of a stream, in any order; re-sent ones are left out. Days and windows are
 * those of `today` in the zone that clock_set_timezone was given. */
#ifndef GEN_MODEL_H
#define GEN_MODEL_H

#include <base/bytes.h>
#include <base/error.h>
#include <gen/gen.h>

/* The windows that the expressions look at, in days. */
enum gen_window { GEN_ALL_DAYS, GEN_7D, GEN_14D, GEN_30D, GEN_60D, GEN_90D, GEN_WINDOW_COUNT };

struct gen_profile {
    uint64_t person;
    /* Times of the latest word on a trait or tag; 0: none yet. */
    msec_t city_ts, gender_ts, birth_year_ts, birth_ts, name_ts, tag_ts[GEN_TAG_REMOVABLE];
    uint64_t tags;
    int64_t points, growth;
    int64_t order_cents[GEN_WINDOW_COUNT];
    int64_t milk_cents_90d;
    int32_t last_order;                     /* a day; INT32_MIN: none */
    int32_t birth;                          /* a day, or GEN_NONE */
    int16_t city, gender, birth_year, name; /* or GEN_NONE */
    uint16_t orders[GEN_WINDOW_COUNT], views[GEN_WINDOW_COUNT];
    uint16_t milk_orders_60d, milk_or_nappy_orders_90d;
    uint16_t interests;
    uint8_t birth_rank;                 /* of the source: 0 crm, 1 tmall, 2 others */
    uint8_t sources, namespaces, named; /* bit sets; `named` of the person's identities */
};

struct gen_model {
    const struct gen *gen;
    int32_t today;
    struct gen_profile *profiles;               /* gen->n_profiles */
    uint64_t *devices;                          /* bits: seen */
    uint64_t n_events, n_identities, n_devices; /* unique; identities without devices */
    int64_t points, growth, order_cents;
    uint64_t n_orders;
};

/* Borrows `g`. ERR_NOMEM. */
enum error_code gen_model_open(struct gen_model *m, const struct gen *g, int32_t today,
                               struct error *err);
void gen_model_close(struct gen_model *m);
void gen_model_add(struct gen_model *m, const struct gen_event *e);

/* --- segments --- */

struct gen_segment {
    const char *text; /* in the segment language */
    /* Is the profile a member? NULL: the members are counted by gen_model_count otherwise. */
    bool (*is_member)(const struct gen_profile *p, int32_t today);
};

extern const struct gen_segment gen_segments[];
extern const unsigned gen_n_segments;
uint64_t gen_model_count(const struct gen_model *m, const struct gen_segment *s);

/* --- whole profiles --- */

enum { GEN_VIEW_IDS_MAX = 64, GEN_VIEW_TAGS_MAX = 256 };

struct gen_view_identity {
    struct bytes ns, value;
};

/* What a profile shows, in a form that both the model and a cluster's answer can be put into.
 * Devices are left out: which of its persons a shared device stays with depends on the order. */
struct gen_view {
    struct gen_view_identity ids[GEN_VIEW_IDS_MAX];
    size_t n_ids;
    struct bytes city, gender, birth, name; /* empty: none; birth as YYYY-MM-DD */
    int64_t birth_year;                     /* 0: none */
    struct bytes tags[GEN_VIEW_TAGS_MAX], interests[GEN_VIEW_TAGS_MAX];
    size_t n_tags, n_interests;
    int64_t points, growth, orders, order_cents, views;
    char values[GEN_PERSON_IDS_MAX][GEN_VALUE_MAX], birth_text[16], name_text[GEN_NAME_TEXT_MAX];
};

/* The view borrows from itself: it must not be copied. */
void gen_model_view(const struct gen_model *m, uint64_t profile, struct gen_view *out);
/* Appends one line of text, the same whatever the order of lists in the view (which it sorts). */
void gen_view_put(struct gen_view *v, struct buf *out);
/* The sum of the hashes of all lines: the whole of the profiles in one number, in any order. */
uint64_t gen_view_hash(struct gen_view *v, struct buf *scratch);
uint64_t gen_model_digest(const struct gen_model *m);

#endif
