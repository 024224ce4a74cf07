/* The shard's part in its Raft group: messages to and from the other replicas, entries that they
 * lack, who is a member, and who leads. */
#include "parts.h"
#include "roster.h"

#include <base/clock.h>

#include <string.h>

enum {
    LOOK_MS = 200,       /* between looks at members and leadership */
    SETTLED_MS = 3000,   /* leads for so long before it hands over to where it should be led */
    HAND_OVER_MS = 1500, /* then it was in vain */
    HAND_OVER_AGAIN_MS = 20000,
    STUCK_MS = 2000,
    HAND_OVER_STUCK_MS = 5000,
    MEMBERS_MAX = 64,
    NEARLY_ALL = 16, /* entries that an heir may lack when submitting stops for it */
    LOAD_ENTRIES_MAX = 4096,
    /* What a follower lacks when it comes back is taken from the log while it is not more than
     * this, nor than log_keep_mb. */
    TRAILING_ENTRIES = 1 << 20
};

/* --- messages --- */

static void send_now(struct shard *s, struct message *m)
{
    message_send(s->to_front, m);
}

void group_send(struct shard *s, const struct replica_send *send)
{
    struct group *g = &s->group;
    struct buf out = {0};
    struct envelope e = {.type = MESSAGE_PEER, .shard = s->id, .epoch = maps_epoch(s->shared)};
    (void)buf_reserve(&out, ENVELOPE_SIZE + 16 + send->bytes.len);
    size_t offset = envelope_begin(&out);
    buf_put_u64(&out, s->replica_id);
    buf_put_u64(&out, send->to);
    buf_put(&out, send->bytes.data, send->bytes.len);
    envelope_finish(&out, offset, &e);
    struct message *m = message_new(MESSAGE_TO_PEER);
    m->node = node_of_replica(send->to);
    if (frame_of_buf(&m->frame, &out) != ERR_OK) { /* lost, as on the network */
        buf_free(&out);
        message_free(m);
        return;
    }
    if (send->after_seq <= g->durable_seq) {
        send_now(s, m);
        return;
    }
    m->seq = send->after_seq;
    *g->held_tail = m;
    g->held_tail = &m->next;
}

void group_durable(struct shard *s, uint64_t seq)
{
    struct group *g = &s->group;
    g->durable_seq = seq;
    g->durable_ms = clock_mono_ms();
    while (g->held && g->held->seq <= seq) {
        struct message *m = g->held;
        g->held = m->next;
        if (!g->held)
            g->held_tail = &g->held;
        m->next = NULL;
        send_now(s, m);
    }
}

/* The place of one that was not heard of for longest is taken for a new one. */
static void note_heard(struct shard *s, uint64_t replica, msec_t now)
{
    struct heard *oldest = &s->group.heard[0];
    for (size_t i = 0; i < sizeof s->group.heard / sizeof *oldest; i++) {
        struct heard *h = &s->group.heard[i];
        if (h->replica == replica || h->ms < oldest->ms)
            oldest = h;
        if (h->replica == replica)
            break;
    }
    *oldest = (struct heard){.replica = replica, .ms = now};
}

static bool is_near(const struct shard *s, uint64_t replica, msec_t now)
{
    for (size_t i = 0; i < sizeof s->group.heard / sizeof *s->group.heard; i++) {
        if (s->group.heard[i].replica == replica)
            return now - s->group.heard[i].ms < (msec_t)s->shared->config->election_ms;
    }
    return false;
}

void group_receive(struct shard *s, const struct message *m)
{
    struct reader r = reader_of(m->envelope.body);
    struct replica_effects effects = {0};
    uint64_t from = reader_u64(&r), to = reader_u64(&r);
    if (r.ok && to != s->replica_id)
        return; /* to a folder that this node had once */
    struct bytes message = bytes_of(r.p, reader_left(&r));
    msec_t now = clock_mono_ms();
    note_heard(s, from, now);
    if (!r.ok || node_of_replica(from) == s->shared->node ||
        replica_receive(s->replica, now, from, message, &effects) == ERR_MALFORMED)
        atomic_fetch_add_explicit(&s->shared->refused_frames, 1, memory_order_relaxed);
    shard_perform(s, &effects);
}

void group_peer_lost(struct shard *s, node_id node)
{
    struct replica_effects effects = {0};
    if (s->leader || s->leader_id == 0 || node_of_replica(s->leader_id) != node)
        return;
    (void)replica_peer_lost(s->replica, clock_mono_ms(), s->leader_id, &effects);
    shard_perform(s, &effects);
}

/* One at a time: a follower that still lacks entries after that asks for them again. */
void group_load(struct shard *s, const struct replica_load *load)
{
    if (s->group.is_loading)
        return;
    s->group.is_loading = true;
    struct message *m = message_new(MESSAGE_LOG_READ);
    m->shard = s;
    m->seq = load->index;
    m->n = load->n < LOAD_ENTRIES_MAX ? load->n : LOAD_ENTRIES_MAX;
    message_send(s->to_log, m);
}

void group_loaded(struct shard *s, const struct message *m)
{
    struct replica_effects effects = {0};
    s->group.is_loading = false;
    (void)replica_loaded(s->replica, clock_mono_ms(), m->entries, m->n, &effects);
    shard_perform(s, &effects);
}

/* --- handing over --- */

bool group_is_handing_over(const struct shard *s)
{
    return s->group.handing_to != 0;
}

static void hand_over(struct shard *s, uint64_t to, msec_t now)
{
    struct group *g = &s->group;
    g->handing_to = to;
    g->asked = false;
    g->hand_until = now + HAND_OVER_MS;
    g->hand_again = now + HAND_OVER_AGAIN_MS;
}

void group_on_role(struct shard *s)
{
    struct group *g = &s->group;
    g->led_since = s->leader ? clock_mono_ms() : 0;
    if (!s->leader)
        g->handing_to = 0;
    else
        g->has_tried = false; /* one that stops may be handed the lead by one that does not know */
}

static const struct replica_member *find(const struct replica_member *list, size_t n, uint64_t id)
{
    for (size_t i = 0; i < n; i++) {
        if (list[i].id == id)
            return &list[i];
    }
    return NULL;
}

/* A leader whose disk is full or hangs answers nobody, and its heartbeats keep others from leading:
 * what it cannot store itself the others have. */
static bool is_stuck(struct shard *s, msec_t now)
{
    struct replica_status st;
    replica_get_status(s->replica, &st);
    if (st.writes_pending == 0)
        s->group.durable_ms = now;
    return atomic_load_explicit(&s->shared->disk_full, memory_order_relaxed) ||
           now - s->group.durable_ms >= STUCK_MS;
}

/* The engine sends "your turn" once, and one that lacks entries ignores it: nothing is submitted
 * until the heir has all. */
static void go_on_handing_over(struct shard *s, const struct replica_member *list, size_t n,
                               msec_t now)
{
    struct group *g = &s->group;
    struct replica_status st;
    struct replica_effects effects = {0};
    const struct replica_member *heir = find(list, n, g->handing_to);
    replica_get_status(s->replica, &st);
    if (!heir || heir->role != REPLICA_VOTER || now >= g->hand_until) {
        log_event(s->shared->log, LOG_LEVEL_INFO, "hand_over_in_vain", "shard=%u node=%u", s->id,
                  node_of_replica(g->handing_to));
        g->handing_to = 0;
        return;
    }
    if (g->asked || heir->match != st.last || (s->n_flying > 0 && !is_stuck(s, now)))
        return;
    enum error_code rc = replica_transfer(s->replica, now, g->handing_to, &effects);
    g->asked = rc == ERR_OK;
    shard_perform(s, &effects);
}

/* The voter that has most, of those that are there; 0: none. */
static uint64_t best_heir(const struct shard *s, const struct replica_member *list, size_t n,
                          msec_t now)
{
    const struct replica_member *best = NULL;
    for (size_t i = 0; i < n; i++) {
        if (list[i].id != s->replica_id && list[i].role == REPLICA_VOTER &&
            is_near(s, list[i].id, now) && (!best || list[i].match > best->match))
            best = &list[i];
    }
    return best ? best->id : 0;
}

/* Then the replica hands over to nobody, and submits would be held back for nothing. */
static bool is_changing(const struct shard *s)
{
    struct replica_status st;
    replica_get_status(s->replica, &st);
    return st.is_changing;
}

void group_lead(struct shard *s, node_id node, struct reply *out)
{
    struct replica_member list[MEMBERS_MAX];
    size_t n = replica_members(s->replica, list, MEMBERS_MAX);
    *out = (struct reply){.status = REPLY_OK};
    if (node == s->shared->node)
        return;
    for (size_t i = 0; i < n; i++) {
        if (node_of_replica(list[i].id) != node || list[i].role != REPLICA_VOTER)
            continue;
        if (s->leader && !s->group.handing_to && is_changing(s))
            *out = (struct reply){.status = REPLY_ERROR,
                                  .error = ERR_BUSY,
                                  .text = bytes_of_str("the shard's members change")};
        else if (s->leader && !s->group.handing_to)
            hand_over(s, list[i].id, clock_mono_ms());
        return;
    }
    *out = (struct reply){.status = REPLY_ERROR,
                          .error = ERR_NOT_FOUND,
                          .text = bytes_of_str("the node has no voter of the shard")};
}

static bool is_wanted(const struct shard *s, node_id node)
{
    const struct map_shard *p = &s->group.place;
    for (size_t i = 0; i < p->n_replicas; i++) {
        if (p->holders[i].node == node)
            return true;
    }
    return false;
}

/* Where the map says that the shard should be led, or any other place where it should be if it
 * should not be here; 0: here, or that one is not ready. */
static uint64_t rightful_leader(const struct shard *s, const struct replica_member *list, size_t n,
                                msec_t now)
{
    struct replica_status st;
    uint64_t other = 0;
    replica_get_status(s->replica, &st);
    node_id rightful = s->group.place.holders[0].node;
    for (size_t i = 0; i < n && rightful != s->shared->node; i++) {
        node_id node = node_of_replica(list[i].id);
        if (!is_wanted(s, node) || list[i].role != REPLICA_VOTER || !is_near(s, list[i].id, now) ||
            list[i].match + NEARLY_ALL < st.last)
            continue;
        if (node == rightful)
            return list[i].id;
        other = list[i].id;
    }
    return is_wanted(s, s->shared->node) ? 0 : other;
}

/* --- members --- */

static folder_id newest_folder(const struct host_shared *h, node_id node)
{
    size_t n = atomic_load_explicit(&h->n_folders, memory_order_acquire);
    for (size_t i = 0; i < n; i++) {
        if (h->members.list[i].node == node)
            return atomic_load_explicit(&h->folders[i], memory_order_relaxed);
    }
    return 0;
}

static void list_wanted(const struct shard *s, struct roster *r, uint64_t *want)
{
    struct roster_place places[CLUSTER_REPLICAS_MAX];
    const struct map_shard *p = &s->group.place;
    for (size_t i = 0; i < p->n_replicas; i++) {
        const struct map_replica *h = &p->holders[i];
        places[i] = (struct roster_place){h->node, h->since, newest_folder(s->shared, h->node)};
    }
    roster_want(r, places, p->n_replicas, want);
}

/* True: its members are as the map wants them, and that is committed. */
static bool look_after_members(struct shard *s, const struct replica_member *have, size_t n,
                               msec_t now)
{
    uint64_t want[CLUSTER_REPLICAS_MAX];
    bool is_there[MEMBERS_MAX];
    struct roster_change c;
    struct replica_status st;
    struct replica_effects effects = {0};
    struct roster r = {.have = have, .n_have = n, .is_there = is_there, .self = s->replica_id};
    replica_get_status(s->replica, &st);
    for (size_t i = 0; i < n; i++)
        is_there[i] = have[i].id == s->replica_id || is_near(s, have[i].id, now);
    list_wanted(s, &r, want);
    if (st.is_changing)
        return false;
    if (!roster_next(&r, &c))
        return r.is_complete && n == r.n_want && !roster_has_others(&r);
    enum error_code rc = replica_change(s->replica, now, c.id, c.role, &effects);
    if (rc == ERR_OK)
        log_event(s->shared->log, LOG_LEVEL_INFO, "member_change",
                  "shard=%u node=%u folder=%llx role=%d", s->id, node_of_replica(c.id),
                  (unsigned long long)folder_of_replica(c.id), c.role);
    shard_perform(s, &effects);
    return false;
}

void group_follow_map(struct shard *s)
{
    if (s->group.place_epoch == maps_epoch(s->shared))
        return;
    const struct cluster_map *map = maps_hold(s->shared);
    s->group.place_epoch = map->epoch;
    s->group.place = map->shards[s->id];
    maps_release(map);
    bool is_grouped = s->group.place.n_holders > 1;
    atomic_store_explicit(&s->is_grouped, is_grouped, memory_order_relaxed);
    /* One entry in any case: who joins a group of one is asked for the term of the last that it
     * got with the state. */
    replica_set_trailing(s->replica, is_grouped ? TRAILING_ENTRIES : 1);
}

/* For the leader of shard 0, which ends what moved it. */
static void say_settled(struct shard *s)
{
    if (s->group.place.is_moving)
        atomic_store_explicit(&s->shared->settled[s->id], s->group.place.changed,
                              memory_order_relaxed);
}

/* Who shall lead instead of this one; 0: nobody. */
static uint64_t next_leader(struct shard *s, const struct replica_member *list, size_t n,
                            msec_t now)
{
    struct group *g = &s->group;
    if (s->stopping) {
        bool first = !g->has_tried;
        g->has_tried = true;
        return first ? best_heir(s, list, n, now) : 0;
    }
    if (is_stuck(s, now)) {
        if (now - g->tried_stuck_ms < HAND_OVER_STUCK_MS)
            return 0;
        g->tried_stuck_ms = now;
        log_event(s->shared->log, LOG_LEVEL_WARN, "leader_stuck",
                  "shard=%u text=\"the disk is full or does not answer; another node shall lead\"",
                  s->id);
        return best_heir(s, list, n, now);
    }
    if (is_changing(s))
        return 0;
    bool is_time = now - g->led_since >= SETTLED_MS && now >= g->hand_again;
    return is_time ? rightful_leader(s, list, n, now) : 0;
}

void group_tick(struct shard *s, msec_t now)
{
    struct group *g = &s->group;
    struct replica_member list[MEMBERS_MAX];
    if (!s->leader || (!g->handing_to && !s->stopping && now - g->looked_ms < LOOK_MS))
        return;
    size_t n = replica_members(s->replica, list, MEMBERS_MAX);
    g->looked_ms = now;
    if (g->handing_to) {
        go_on_handing_over(s, list, n, now);
        return;
    }
    uint64_t heir = next_leader(s, list, n, now);
    if (heir)
        hand_over(s, heir, now);
    else if (!s->stopping && look_after_members(s, list, n, now))
        say_settled(s);
}

void group_close(struct shard *s)
{
    while (s->group.held) {
        struct message *m = s->group.held;
        s->group.held = m->next;
        message_free(m);
    }
}
