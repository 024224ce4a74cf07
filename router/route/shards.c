#include "parts.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

static void must(const void *p)
{
    if (!p)
        abort(); /* out of memory: a router keeps nothing that could be lost */
}

enum error_code shards_open(struct router *r, struct error *err)
{
    r->outgoing = calloc((size_t)r->config->n_shards * LANES, sizeof *r->outgoing);
    r->sent = calloc(SENT_MAX, sizeof *r->sent);
    r->places = calloc(r->config->n_shards, sizeof *r->places);
    r->asked_nodes = calloc(r->config->n_shards, sizeof *r->asked_nodes);
    if (!r->outgoing || !r->sent || !r->places || !r->asked_nodes)
        return error_set(err, ERR_NOMEM, "router");
    r->next_request = 1;
    return ERR_OK;
}

void shards_close(struct router *r)
{
    for (size_t i = 0; r->outgoing && i < (size_t)r->config->n_shards * LANES; i++) {
        buf_free(&r->outgoing[i].buf);
        free(r->outgoing[i].refs);
    }
    free(r->outgoing);
    for (size_t i = 0; r->sent && i < SENT_MAX; i++)
        free(r->sent[i].refs);
    free(r->sent);
    free(r->places);
    free(r->asked_nodes);
}

/* --- who leads --- */

/* What was sent to another replica holds nothing back at this one. */
static void set_place(struct router *r, shard_id shard, uint8_t at)
{
    for (int lane = 0; lane < LANES; lane++) {
        struct outgoing *o = &r->outgoing[(size_t)shard * LANES + (size_t)lane];
        o->answered_bytes = o->sent_bytes;
        o->under_way = 0;
        o->waits_ms = 0;
    }
    r->places[shard].at = at;
    r->places[shard].moved_ms = r->now;
    r->asked_nodes[shard] = r->map.shards[shard].holders[at].node;
}

/* The leader is looked for elsewhere only where it cannot be any more. */
void shards_follow_map(struct router *r)
{
    for (shard_id s = 0; s < r->map.n_shards; s++) {
        const struct map_shard *shard = &r->map.shards[s];
        int at = known_holder(shard, r->asked_nodes[s]);
        if (at >= 0)
            r->places[s].at = (uint8_t)at;
        else
            set_place(r, s, known_first(shard));
    }
}

/* One that there is no connection to is passed over, if there is any to another. */
static uint8_t next_holder(struct router *r, shard_id shard)
{
    const struct map_shard *s = &r->map.shards[shard];
    uint8_t at = r->places[shard].at;
    for (unsigned i = 1; i < s->n_holders; i++) {
        const struct node *n = nodes_find(r, s->holders[(at + i) % s->n_holders].node);
        if (n && n->is_up)
            return (uint8_t)((at + i) % s->n_holders);
    }
    return (uint8_t)((at + 1) % s->n_holders);
}

/* `node` does not lead the shard, or does not answer: goes on to `leader`, or where that is not
 * known to the next replica, also one that is to give the shard up: it may still lead. Answers of
 * those that were asked before do not count. */
static void move_on(struct router *r, shard_id shard, node_id node, node_id leader)
{
    struct place *p = &r->places[shard];
    const struct map_shard *s = &r->map.shards[shard];
    int known = leader ? known_holder(s, leader) : -1;
    if (leader && known < 0)
        maps_refresh(r); /* it came after our map */
    if (r->asked_nodes[shard] != node || leader == node ||
        (known < 0 && r->now - p->moved_ms < MOVE_MS))
        return;
    metric_bump(&r->figures.moves, 1);
    set_place(r, shard, known >= 0 ? (uint8_t)known : next_holder(r, shard));
}

/* What was not taken or is not answered fails in the next turn: whoever sends is in the middle of
 * something. */
static void note_lost(struct router *r, uint64_t request_id)
{
    if (r->n_lost < LOST_MAX)
        r->lost[r->n_lost++] = request_id; /* the askers of others ask again by themselves */
}

/* The node does not answer for the shard: what it was asked is to be asked again where it is led
 * now, and not only when its askers get impatient. */
static void leave(struct router *r, shard_id shard, node_id node)
{
    move_on(r, shard, node, 0);
    if (r->asked_nodes[shard] == node)
        return;
    for (size_t i = 0; i < SENT_MAX; i++) {
        if (r->sent[i].request_id && r->sent[i].shard == shard && r->sent[i].node == node)
            note_lost(r, r->sent[i].request_id);
    }
}

static bool is_stale(enum lane lane)
{
    return lane == LANE_STALE_READ || lane == LANE_STALE_QUERY;
}

/* In turn, so that all share the load; the one that is asked for everything else where no other
 * has the shard for certain. */
static node_id next_replica(struct router *r, shard_id shard)
{
    struct place *p = &r->places[shard];
    const struct map_shard *s = &r->map.shards[shard];
    node_id found = 0;
    for (int i = 0; i < s->n_replicas; i++) {
        p->any = (uint8_t)((p->any + 1) % s->n_replicas);
        if (!known_may_say(s, p->any))
            continue;
        found = s->holders[p->any].node;
        if (!nodes_is_away(r, found))
            break;
    }
    return found ? found : r->asked_nodes[shard];
}

/* --- batches out --- */

static void remember(struct router *r, uint64_t request_id, shard_id shard, node_id node,
                     enum lane lane, const struct outgoing *o)
{
    struct sent *s = &r->sent[request_id & (SENT_MAX - 1)];
    free(s->refs); /* of a batch so old that its askers have asked again */
    struct ref *refs = malloc(o->n * sizeof *refs);
    must(refs);
    memcpy(refs, o->refs, o->n * sizeof *refs);
    *s = (struct sent){.request_id = request_id,
                       .shard = shard,
                       .node = node,
                       .lane = lane,
                       .sent_bytes = o->sent_bytes,
                       .refs = refs,
                       .n = o->n};
}

static bool is_full(const struct outgoing *o, enum lane lane)
{
    bool reads = lane == LANE_READ || lane == LANE_STALE_READ;
    return o->buf.len >= BATCH_BYTES || o->n >= (reads ? READ_ITEMS : BATCH_ITEMS);
}

/* While batches to a shard are under way, what comes up meanwhile gathers into the next one: the
 * more there is to do, the bigger the batches, and an idle shard is asked at once. Queries go side
 * by side: a long one must not hold up others. */
static bool is_held_back(const struct router *r, enum lane lane, struct outgoing *o)
{
    static const unsigned WINDOWS[LANES] = {2, 1, UINT_MAX, UINT_MAX, UINT_MAX, UINT_MAX};
    if (r->now - o->sent_ms >= WINDOW_MS)
        o->under_way = 0;
    return o->under_way >= WINDOWS[lane] && !is_full(o, lane);
}

static void flush(struct router *r, shard_id shard, enum lane lane)
{
    static const enum message_type TYPES[LANES] = {MESSAGE_SHARD_WRITE, MESSAGE_SHARD_READ,
                                                   MESSAGE_SHARD_QUERY, MESSAGE_SHARD_WATCH,
                                                   MESSAGE_SHARD_READ,  MESSAGE_SHARD_QUERY};
    struct outgoing *o = &r->outgoing[(size_t)shard * LANES + lane];
    if (o->n == 0 || is_held_back(r, lane, o))
        return;
    uint64_t id = r->next_request++;
    struct envelope e = {.type = TYPES[lane],
                         .shard = shard,
                         .flags = is_stale(lane) ? ENVELOPE_STALE_OK : 0,
                         .epoch = r->map.epoch,
                         .request_id = id,
                         .items = (uint32_t)o->n};
    node_id node = is_stale(lane) ? next_replica(r, shard) : r->asked_nodes[shard];
    envelope_finish(&o->buf, 0, &e);
    if (o->sent_bytes == o->answered_bytes)
        o->heard_ms = r->now;
    o->sent_bytes += o->buf.len;
    remember(r, id, shard, node, lane, o);
    o->n = 0;
    o->under_way++;
    o->sent_ms = r->now;
    metric_bump(&r->figures.batches[lane], 1);
    o->usual_bytes = o->buf.len;
    struct frame f = {0};
    struct node *to = nodes_find(r, node);
    bool has_left = frame_of_buf(&f, &o->buf) == ERR_OK && to && link_send(to->link, &f);
    if (!has_left) { /* as if the node had said so */
        metric_bump(&r->figures.batches_lost, 1);
        note_lost(r, id);
        if (!is_stale(lane))
            leave(r, shard, node);
    } else if (o->waits_ms == 0) {
        o->waits_ms = r->now;
    }
    if (has_left && lane != LANE_WATCH && to->silent_ms == 0)
        to->silent_ms = r->now;
    buf_free(&o->buf);
    frame_close(&f);
}

/* A shard that is slower than its askers: all would ask again and again, and it would be busy with
 * outdated copies. What is not sent now, its asker sends again when it gets due. */
static bool is_clogged(const struct router *r, struct outgoing *o)
{
    if (r->now - o->heard_ms >= STALL_MS) {
        o->answered_bytes = o->sent_bytes;
        o->heard_ms = r->now;
    }
    return o->sent_bytes - o->answered_bytes + o->buf.len >= UNANSWERED_BYTES;
}

void shards_send(struct router *r, shard_id shard, enum lane lane, const struct command *c,
                 struct ref ref)
{
    struct outgoing *o = &r->outgoing[(size_t)shard * LANES + lane];
    if (is_clogged(r, o)) {
        metric_bump(&r->figures.held_back, 1);
        return;
    }
    metric_bump(&r->figures.sends, 1);
    if (o->n == 0) {
        (void)buf_reserve(&o->buf, o->usual_bytes);
        (void)envelope_begin(&o->buf);
    }
    if (o->n == o->cap) {
        o->cap = o->cap ? o->cap * 2 : 64;
        o->refs = realloc(o->refs, o->cap * sizeof *o->refs);
        must(o->refs);
    }
    command_encode(c, &o->buf);
    o->refs[o->n++] = ref;
    if (is_full(o, lane)) /* a node cuts off who sends more than MESSAGE_SIZE_MAX */
        flush(r, shard, lane);
}

/* A leader that has died ends its connection; one that is stopped or cut off does not, and is left
 * when it has been silent for long. Questions and watches may take long; sweeps write and read each
 * shard about once a second. */
static void leave_if_silent(struct router *r, shard_id shard, struct outgoing *o)
{
    if (o->waits_ms == 0 || r->map.shards[shard].n_holders == 1)
        return;
    const struct node *asked = nodes_find(r, r->asked_nodes[shard]);
    if (r->now - o->waits_ms < SILENT_MS && (!asked || asked->is_up))
        return;
    o->waits_ms = r->now;
    leave(r, shard, r->asked_nodes[shard]);
}

/* What the node has not answered it has lost. */
static void leave_node(struct router *r, node_id node)
{
    for (size_t i = 0; i < SENT_MAX; i++) {
        const struct sent *s = &r->sent[i];
        if (!s->request_id || s->node != node || r->map.shards[s->shard].n_holders == 1)
            continue;
        if (r->asked_nodes[s->shard] == node)
            leave(r, s->shard, node);
        else
            note_lost(r, s->request_id);
    }
}

static void look_at_links(struct router *r)
{
    for (size_t i = 0; i < r->n_nodes; i++) {
        struct node *n = &r->nodes[i];
        unsigned endings = link_endings(n->link);
        n->is_up = link_is_up(n->link);
        if (endings == n->endings)
            continue;
        n->endings = endings;
        leave_node(r, n->id);
    }
}

void shards_flush(struct router *r)
{
    look_at_links(r);
    for (shard_id s = 0; s < r->config->n_shards; s++) {
        leave_if_silent(r, s, &r->outgoing[(size_t)s * LANES + LANE_WRITE]);
        leave_if_silent(r, s, &r->outgoing[(size_t)s * LANES + LANE_READ]);
        for (int lane = 0; lane < LANES; lane++)
            flush(r, s, (enum lane)lane);
    }
}

static bool is_of_task(const struct ref *ref, const struct task *t)
{
    return ref->task == t->number && ref->generation == t->generation;
}

static void cancel_batch(struct router *r, const struct sent *s)
{
    const struct node *to = nodes_find(r, s->node);
    struct envelope e = {.type = MESSAGE_CANCEL, .shard = s->shard, .request_id = s->request_id};
    if (to)
        (void)nodes_send(to, &e);
}

void shards_cancel(struct router *r, const struct task *t)
{
    for (size_t i = 0; i < SENT_MAX; i++) {
        const struct sent *s = &r->sent[i];
        bool mine = s->request_id != 0 && s->n > 0 &&
                    (s->lane == LANE_QUERY || s->lane == LANE_STALE_QUERY);
        for (size_t k = 0; k < s->n && mine; k++)
            mine = is_of_task(&s->refs[k], t);
        if (mine)
            cancel_batch(r, s);
    }
}

/* --- replies in --- */

static struct sent *find_sent(struct router *r, uint64_t request_id)
{
    struct sent *s = &r->sent[request_id & (SENT_MAX - 1)];
    return request_id != 0 && s->request_id == request_id ? s : NULL;
}

/* The batch has its answer. The caller frees its refs; the place may be used again before that. */
static struct sent settle(struct router *r, struct sent *s)
{
    struct outgoing *o = &r->outgoing[(size_t)s->shard * LANES + s->lane];
    if (s->node == r->asked_nodes[s->shard]) { /* else the lane has forgotten it, see set_place */
        if (o->under_way > 0)
            o->under_way--;
        if (o->answered_bytes < s->sent_bytes)
            o->answered_bytes = s->sent_bytes;
        o->heard_ms = r->now;
        o->waits_ms = o->under_way > 0 ? r->now : 0;
    }
    struct sent settled = *s;
    *s = (struct sent){0};
    return settled;
}

static void reply_all(struct router *r, struct sent *s, const struct reply *reply)
{
    struct sent batch = settle(r, s);
    for (size_t i = 0; i < batch.n; i++)
        tasks_reply(r, &batch.refs[i], batch.shard, reply);
    free(batch.refs);
}

void shards_fail_lost(struct router *r)
{
    static const struct reply away = {.status = REPLY_ERROR, .error = ERR_UNAVAILABLE};
    uint64_t lost[LOST_MAX];
    size_t n = r->n_lost;
    memcpy(lost, r->lost, n * sizeof *lost);
    r->n_lost = 0;
    for (size_t i = 0; i < n; i++) {
        struct sent *s = find_sent(r, lost[i]);
        if (s)
            reply_all(r, s, &away);
    }
}

static void take_error(struct router *r, struct sent *s, const struct envelope *e)
{
    struct error err;
    enum error_code code = wire_error_decode(e->body, &err);
    if (is_stale(s->lane))
        ; /* the leader is asked next */
    else if (code == ERR_NOT_LEADER)
        move_on(r, s->shard, s->node, (node_id)e->items);
    else if (code == ERR_SHUTDOWN || code == ERR_UNAVAILABLE || code == ERR_WRONG_SHARD ||
             code == ERR_STALE_EPOCH)
        move_on(r, s->shard, s->node, 0);
    if (code == ERR_STALE_EPOCH || code == ERR_WRONG_SHARD) {
        maps_refresh(r);
        struct reply reply = {.status = REPLY_WRONG_SHARD};
        reply_all(r, s, &reply);
        return;
    }
    struct reply reply = {.status = REPLY_ERROR, .error = code, .text = bytes_of_str(err.msg)};
    reply_all(r, s, &reply);
}

static void take_replies(struct router *r, struct sent *s, const struct envelope *e)
{
    struct reply *replies;
    size_t n;
    struct error err;
    enum error_code rc = reply_decode(e->body, e->items, &r->arena, &replies, &n, &err);
    if (rc == ERR_OK && n != s->n)
        rc = error_set(&err, ERR_MALFORMED, "%zu replies to %zu commands", n, s->n);
    if (rc != ERR_OK) {
        r->refused_frames++;
        log_event(r->log, LOG_LEVEL_ERROR, "reply_refused", "shard=%u text=\"%s\"", s->shard,
                  err.msg);
        return;
    }
    struct sent batch = settle(r, s);
    tasks_expect_first(r, batch.refs, n);
    for (size_t i = 0; i < n; i++) {
        replies[i].age_ms = e->flags;
        tasks_expect(r, batch.refs, n, i);
        tasks_reply(r, &batch.refs[i], batch.shard, &replies[i]);
    }
    free(batch.refs);
}

void shards_take_frame(struct router *r, struct node *node, const struct frame *f)
{
    struct envelope e;
    struct error err;
    node->silent_ms = 0;
    if (envelope_decode(frame_bytes(f), &e, &err) != ERR_OK) {
        r->refused_frames++;
        return;
    }
    if (e.type == MESSAGE_MAP_REPLY) {
        maps_take(r, node->id, e.body);
        return;
    }
    maps_see_epoch(r, e.epoch);
    if (surveys_is_answer(&e)) {
        surveys_take(r, node->id, &e);
        return;
    }
    struct sent *s = find_sent(r, e.request_id);
    if (!s)
        return; /* of an older sending: answered since */
    if (e.type == MESSAGE_SHARD_REPLY && e.shard == s->shard)
        take_replies(r, s, &e);
    else if (e.type == MESSAGE_ERROR)
        take_error(r, s, &e);
    else
        r->refused_frames++;
}
