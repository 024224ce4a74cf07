/* The shadow of all profiles. It reads the records as the machine keeps them, so that nothing the
 * machine says about itself has to be believed. */
#include "sim.h"

#include <base/hash.h>
#include <record.h>

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct ghost *ghost_find(struct world *w, one_id p)
{
    for (size_t i = 0; i < w->n_ghosts; i++) {
        if (w->ghosts[i].id == p)
            return &w->ghosts[i];
    }
    return NULL;
}

static struct ghost *ghost_get(struct world *w, one_id p, uint32_t shard)
{
    struct ghost *g = ghost_find(w, p);

    if (g)
        return g;
    if (w->n_ghosts == w->cap_ghosts) {
        w->cap_ghosts = w->cap_ghosts ? 2 * w->cap_ghosts : 64;
        w->ghosts = realloc(w->ghosts, w->cap_ghosts * sizeof *w->ghosts);
        assert(w->ghosts);
    }
    g = &w->ghosts[w->n_ghosts++];
    *g = (struct ghost){.id = p, .shard = (uint16_t)shard};
    return g;
}

static void ghost_clear(struct ghost *g)
{
    free(g->absorbed);
    free(g->fences);
    g->absorbed = NULL;
    g->fences = NULL;
    g->n_absorbed = g->n_fences = 0;
}

void ghost_close(struct world *w)
{
    for (size_t i = 0; i < w->n_ghosts; i++)
        ghost_clear(&w->ghosts[i]);
    free(w->ghosts);
}

static bool has_absorbed(const struct ghost *g, one_id loser)
{
    for (size_t i = 0; i < g->n_absorbed; i++) {
        if (g->absorbed[i] == loser)
            return true;
    }
    return false;
}

bool ghost_is_effective(struct world *w, const struct ghost *g)
{
    const struct ghost *target;

    if (!g->exists || g->state == PROFILE_REDIRECT || g->state == PROFILE_ERASED)
        return false;
    if (g->state == PROFILE_LIVE)
        return true;
    target = ghost_find(w, g->target);
    return !(target && target->exists && has_absorbed(target, g->id));
}

/* --- how a profile may change --- */

static void check_ids_rise(struct world *w, const struct ghost *now)
{
    for (uint32_t i = 0; i < w->plan.n_ids; i++) {
        uint32_t most = 0;
        bool held = false;
        if (!(now->ids >> i & 1))
            continue;
        for (size_t k = 0; k < w->n_ghosts; k++) {
            const struct ghost *g = &w->ghosts[k];
            if (g->id == now->id || !(g->ids >> i & 1))
                continue;
            held = true;
            most = g->version[i] > most ? g->version[i] : most;
        }
        if (held && now->version[i] <= most)
            world_fail(w, "%" PRIx64 " takes %s at version %u, which was at %u (7)", now->id,
                       w->ids[i].text, now->version[i], most);
    }
}

static void check_absorption(struct world *w, const struct ghost *now, const struct command *c)
{
    const struct ghost *loser = ghost_find(w, c->other);
    uint32_t a = c->n_ids ? world_id_of(w, c->ids[0]) : IDS_MAX;

    w->seen.merges++;
    if (!loser || !loser->exists || loser->state != PROFILE_MERGING || loser->epoch != c->epoch ||
        loser->target != now->id)
        world_fail(w, "%" PRIx64 " absorbs %" PRIx64 ", which is not merging at epoch %u (3)",
                   now->id, c->other, c->epoch);
    else if (a == IDS_MAX || !(now->ids >> a & 1))
        world_fail(w, "%" PRIx64 " absorbs without its evidence (3)", now->id);
    else if ((now->ids & loser->ids) != loser->ids)
        world_fail(w, "%" PRIx64 " absorbs %" PRIx64 " in part", now->id, c->other);
}

static void check_freeze(struct world *w, const struct ghost *now, const struct command *c)
{
    if (now->target >= now->id)
        world_fail(w, "%" PRIx64 " merges into a younger profile (5)", now->id);
    for (size_t i = 0; i < c->n_ids && c->type == COMMAND_FREEZE; i++) {
        uint32_t id = world_id_of(w, c->ids[i]);
        if (id == IDS_MAX || !w->ids[id].bridges)
            world_fail(w, "a shared key is the evidence of a merge");
    }
    w->seen.claims += c->type == COMMAND_CLAIM;
}

static bool move_is_allowed(uint8_t from, uint8_t to, enum command_type by)
{
    switch (by) {
    case COMMAND_APPLY: /* a merge inside the shard */
        return from == PROFILE_LIVE && to == PROFILE_REDIRECT;
    case COMMAND_FREEZE:
        return from == PROFILE_LIVE && to == PROFILE_MERGING;
    case COMMAND_DONE:
        return from == PROFILE_MERGING && to == PROFILE_REDIRECT;
    case COMMAND_ABORT:
        return from == PROFILE_MERGING && to == PROFILE_LIVE;
    case COMMAND_CLAIM:
    case COMMAND_ABSORB:
    case COMMAND_REPAIR:
    case COMMAND_DROP:
    case COMMAND_LOCATE:
    case COMMAND_GET:
    case COMMAND_SWEEP:
    case COMMAND_STATS:
    case COMMAND_REFUSED:
    case COMMAND_CHECK:
    case COMMAND_SEGMENT_DEFINE:
    case COMMAND_SEGMENT_DROP:
    case COMMAND_SEGMENT_SYNC:
    case COMMAND_DAY:
    case COMMAND_WATCH_START:
    case COMMAND_WATCH_STOP:
    case COMMAND_MAP:
    case COMMAND_WATCH_READ:
    case COMMAND_SEGMENTS:
    case COMMAND_LEAD:
    case COMMAND_REFRESH:
    case COMMAND_OVERLAP:
    case COMMAND_ROWS:
    case COMMAND_COUNT:
    case COMMAND_LIST:
    case COMMAND_BREAKDOWN:
    case COMMAND_TYPE_END:
        break;
    }
    return false;
}

static void check_change(struct world *w, const struct ghost *was, const struct ghost *now,
                         const struct command *c)
{
    if (was->exists && was->state != now->state &&
        !move_is_allowed(was->state, now->state, c->type))
        world_fail(w, "%" PRIx64 " goes from state %d to %d by a command of type %d (9)", now->id,
                   (int)was->state, (int)now->state, (int)c->type);
    if (was->dropped)
        world_fail(w, "%" PRIx64 " comes back after it was dropped (9)", now->id);
    if (now->epoch < was->epoch)
        world_fail(w, "the epoch of %" PRIx64 " falls", now->id);
    if (now->n_absorbed < was->n_absorbed)
        world_fail(w, "%" PRIx64 " forgets what it absorbed", now->id);
    if (c->type == COMMAND_ABSORB && now->id == c->profile && now->n_absorbed > was->n_absorbed)
        check_absorption(w, now, c);
    if (was->state != PROFILE_MERGING && now->state == PROFILE_MERGING)
        check_freeze(w, now, c);
    if (now->state == PROFILE_LIVE && (now->ids & ~was->ids))
        check_ids_rise(w, now);
    if (was->exists && (was->ids & ~now->ids))
        world_fail(w, "%" PRIx64 " lost an identity", now->id);
}

/* A record may go when nothing leads to it: no index entry at or below its versions, and nothing
 * it absorbed is still merging (12). */
static void check_dropped(struct world *w, const struct ghost *was, const struct command *c)
{
    bool forgotten = c->type == COMMAND_DONE && was->born_merging && was->state == PROFILE_MERGING;

    if (!forgotten && !(c->type == COMMAND_DROP && was->state == PROFILE_REDIRECT))
        world_fail(w, "%" PRIx64 " vanishes in state %d by a command of type %d", was->id,
                   (int)was->state, (int)c->type);
    for (uint32_t i = 0; i < w->plan.n_ids; i++) {
        if ((was->ids >> i & 1) && w->index[i].exists && w->index[i].version <= was->version[i])
            world_fail(w, "%" PRIx64 " is dropped while the index of %s leads to it (12)", was->id,
                       w->ids[i].text);
    }
    for (size_t i = 0; i < was->n_absorbed; i++) {
        const struct ghost *l = ghost_find(w, was->absorbed[i]);
        if (l && l->exists && l->state == PROFILE_MERGING)
            world_fail(w, "%" PRIx64 " is dropped while a loser of it is merging (12)", was->id);
    }
}

/* --- taking over --- */

struct refreshing {
    struct world *w;
    uint32_t shard;
    const struct command *command;
};

static void load(struct world *w, struct ghost *g, const struct record *r)
{
    g->exists = true;
    g->state = r->state;
    g->epoch = r->epoch;
    g->target = r->target;
    g->born_merging = r->born_merging;
    g->ids = 0;
    for (size_t i = 0; i < r->n_ids; i++) {
        uint32_t id = world_id_of(w, r->ids[i].id);
        if (id == IDS_MAX) {
            world_fail(w, "%" PRIx64 " holds an identity from nowhere", g->id);
            continue;
        }
        g->ids |= UINT64_C(1) << id;
        g->version[id] = r->ids[i].version;
    }
    g->n_absorbed = r->n_absorbed;
    g->absorbed = malloc((r->n_absorbed + 1) * sizeof *g->absorbed);
    g->n_fences = r->n_fences;
    g->fences = malloc((r->n_fences + 1) * sizeof *g->fences);
    assert(g->absorbed && g->fences);
    for (size_t i = 0; i < r->n_absorbed; i++)
        g->absorbed[i] = r->absorbed[i];
    for (size_t i = 0; i < r->n_fences; i++)
        g->fences[i] = r->fences[i];
}

static bool refresh_one(void *ctx, struct bytes key, struct bytes value)
{
    struct refreshing *f = ctx;
    struct world *w = f->w;
    struct reader k = reader_of(key);
    struct record r;
    struct ghost *g, was;
    uint64_t hash = hash64(value);

    reader_u8(&k);
    if (key.len > 1 + 8) /* a view */
        return true;
    g = ghost_get(w, reader_be64(&k), f->shard);
    g->seen = w->pass;
    if (g->exists && g->row_hash == hash)
        return true;
    was = *g;
    g->absorbed = NULL;
    g->fences = NULL;
    g->row_hash = hash;
    if (record_decode(value, &w->scratch, &r)) {
        load(w, g, &r);
        check_change(w, &was, g, f->command);
    } else {
        world_fail(w, "the record of %" PRIx64 " does not decode", g->id);
    }
    ghost_clear(&was);
    return !w->failed;
}

static void refresh_index(struct world *w, uint32_t shard)
{
    for (uint32_t i = 0; i < w->plan.n_ids; i++) {
        struct ghost_entry *e = &w->index[i], now = {0};
        if (w->map.shard_of_slot[w->ids[i].slot] != shard)
            continue;
        now.exists =
            machine_index_entry(w->shards[shard].machine, w->ids[i].id, &now.profile, &now.version);
        if (e->exists && (!now.exists || now.version < e->version))
            world_fail(w, "the index version of %s falls (7)", w->ids[i].text);
        *e = now;
    }
}

static void note_event(struct world *w, const struct command *c, const struct reply *r)
{
    struct message *m = NULL;
    id_set refused = 0;

    if (r->status == REPLY_GOTO)
        w->seen.gotos++;
    if (r->status == REPLY_DUP)
        w->seen.dups++;
    if (r->status != REPLY_OK)
        return;
    for (uint32_t k = 0; k < w->plan.n_messages && !m; k++) {
        if (bytes_equal(c->message_id, bytes_of_str(w->messages[k].text)))
            m = &w->messages[k];
    }
    if (!m || m->committed) {
        world_fail(w, "a message is applied twice (2)");
        return;
    }
    m->committed = true;
    m->profile = r->profile;
    for (size_t i = 0; i < r->n_refused; i++) {
        uint32_t id = world_id_of(w, r->refused[i].id);
        refused |= id < IDS_MAX ? UINT64_C(1) << id : 0;
        if (r->refused[i].reason == REFUSAL_LIMIT && id < IDS_MAX)
            m->apart |= UINT64_C(1) << id;
        w->seen.refused++;
    }
    for (uint32_t i = 0; i < m->n_ids; i++)
        m->linked |= UINT64_C(1) << m->ids[i];
    m->linked &= ~refused;
}

/* When an event commits, all it links is in that one live profile (4). */
static void check_event(struct world *w, const struct command *c, const struct reply *r)
{
    const struct ghost *g = ghost_find(w, r->profile);

    if (r->status != REPLY_OK)
        return;
    for (uint32_t k = 0; k < w->plan.n_messages; k++) {
        const struct message *m = &w->messages[k];
        if (!bytes_equal(c->message_id, bytes_of_str(m->text)))
            continue;
        if (!g || !g->exists || g->state != PROFILE_LIVE || (g->ids & m->linked) != m->linked)
            world_fail(w, "m%u is applied and not all it links is in %" PRIx64 " (4)", k,
                       r->profile);
    }
}

void ghost_refresh(struct world *w, uint32_t shard, const struct command *c, const struct reply *r)
{
    struct refreshing f = {w, shard, c};

    if (c->type == COMMAND_APPLY)
        note_event(w, c, r);
    w->pass++;
    refresh_index(w, shard);
    store_scan(w->shards[shard].store, bytes_of_str("P"), refresh_one, &f);
    for (size_t i = 0; i < w->n_ghosts && !w->failed; i++) {
        struct ghost *g = &w->ghosts[i];
        if (g->shard != shard || !g->exists || g->seen == w->pass)
            continue;
        check_dropped(w, g, c);
        g->exists = false;
        g->dropped = true;
    }
    if (c->type == COMMAND_APPLY && !w->failed)
        check_event(w, c, r);
}
