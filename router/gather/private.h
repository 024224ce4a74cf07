/* What the files of the gather core share. */
#ifndef GATHER_PRIVATE_H
#define GATHER_PRIVATE_H

#include <gather/gather.h>

enum { LIST_DEFAULT = 100, LIST_MAX = 10000, CURSOR_MAX = 80, GROUPS_MAX = 200000 };

enum phase { PHASE_ASKING, PHASE_FETCHING, PHASE_CHANGING, PHASE_CARRYING };

enum part_state {
    PART_IDLE,
    PART_ASKED,
    PART_BEHIND, /* it is being given the catalogue, and asked again then */
    PART_ANSWERED
};

struct part {
    enum part_state state;
    uint32_t call; /* of the newest question: replies to older ones say nothing any more */
    unsigned sends;
    msec_t resend_ms;
};

struct gather {
    struct arena arena;
    const struct schema *schema;
    const node_id *node_of_shard;
    bool stale_ok;
    enum request_type type; /* REQUEST_TYPE_END: no client asks */
    shard_id n_shards;
    struct part *parts;
    size_t n_answered;
    msec_t began_ms;
    uint32_t asked_ms; /* CHECK: as the request says */
    msec_t deadline_ms, carry_until_ms;
    enum phase phase;
    unsigned rounds; /* through FETCHING and CHANGING */
    struct command command, fetch, change, sync;
    struct buf sync_content;
    bool query, done;
    bool names_segments; /* the catalogue matters */
    bool wanted_there;   /* SEGMENT_DROP: it was there when it was first looked for */
    struct bytes name;
    shard_id at; /* paged: the shard whose turn it is; LEAD: the only one */
    uint32_t wanted;
    struct bytes token; /* as it was given */
    uint64_t digest;    /* of what the expression means */
    struct catalogue *catalogue;
    const uint64_t *versions;
    struct response answer;
    size_t groups_cap, findings_cap;
    char cursor[CURSOR_MAX];
    struct error err;
};

static inline bool gather_is_paged(const struct gather *g)
{
    return g->type == REQUEST_LIST || g->type == REQUEST_EXPORT || g->type == REQUEST_REFUSED;
}

/* --- plan.c: from a request to commands --- */
/* The form; no catalogue needed. */
enum error_code plan_command(struct gather *g, const struct gather_start *s);
/* The meaning, by the catalogue where segments are named, and the cursor. */
enum error_code plan_check(struct gather *g);
/* The token that goes on at `position` of `shard`; into g->cursor. */
struct bytes plan_token(struct gather *g, shard_id shard, uint64_t position);

/* --- fold.c: adding up --- */
bool fold_prepare(struct gather *g);
/* Forgets what was added. */
void fold_reset(struct gather *g);
/* ERR_TOO_LARGE: too many groups. */
enum error_code fold_reply(struct gather *g, shard_id shard, const struct reply *r);
/* Once everything is in, also on an error. */
void fold_finish(struct gather *g);
/* The definitions themselves. ERR_NOT_FOUND. */
enum error_code fold_segments(struct gather *g);

#endif
