/* A slow and obvious double of the segment index: members as plain structs, every query by looking
 * at each one. Feeds itself and the index under test with the same random changes. */
#ifndef TESTS_INDEX_MODEL_H
#define TESTS_INDEX_MODEL_H

#include "index_rig.h"

#include <base/rng.h>

enum { MODEL_TAGS = 12, MODEL_CHANNELS = 3, MODEL_INTERESTS = 6, MODEL_CITIES = 300 };
enum { MODEL_BIRTH, MODEL_SCORE, MODEL_POINTS, MODEL_GROWTH, MODEL_NUMBERS };
enum { MODEL_ORDER, MODEL_VIEW, MODEL_EVENTS };

struct model_row {
    int event;
    int32_t day, count;
    int64_t amount;
    int category, where; /* -1: absent */
};

struct model_member {
    one_id id;
    bool alive;
    uint32_t tags, channels, namespaces, interests; /* bits */
    int city, nickname;                             /* -1: none */
    bool has[MODEL_NUMBERS], has_last[MODEL_EVENTS];
    int64_t numbers[MODEL_NUMBERS];
    int32_t last[MODEL_EVENTS];
    struct model_row *rows;
    size_t n_rows, cap_rows;
};

struct model {
    struct rig *rig;
    struct rng rng;
    struct model_member *members;
    size_t n;
    int32_t today;
    int32_t kept_from[MODEL_EVENTS]; /* rows of days before are dropped and ignored */
};

/* A query of the model's day. */
static inline struct index_query model_query(const struct model *m, const struct expr *e)
{
    return (struct index_query){.expr = e, .today = m->today};
}

/* `n` members, none of them alive; the ids are 1..n in a scattered order. */
void model_init(struct model *m, struct rig *rig, size_t n, uint64_t seed);
void model_close(struct model *m);
/* The one with this id. */
struct model_member *model_member(const struct model *m, one_id id);
/* Brings a member to life with a full set of random properties. */
void model_fill(struct model *m, struct model_member *x);
/* One random change of a random member, or its death or rebirth. */
void model_step(struct model *m);
/* Drops what is kept no more on that day, here and in the index. */
void model_expire(struct model *m, int32_t today);
/* Registers random windows of some of the last 12 days, or none. */
void model_windows(struct model *m);
/* A random expression in the rig's arena. */
struct expr *model_expr(struct model *m, int depth);
bool model_matches(const struct model *m, const struct model_member *x, const struct expr *e);

/* The name of the member's level, empty below the first. */
void model_level(const struct model *m, const struct model_member *x, char *out, size_t size);
/* The texts of values. */
void model_text(char *out, size_t size, char kind, int i);

#endif
