#include "replica_sim_world.h"

#include <guard.h>

#include <inttypes.h>
#include <stdlib.h>

/* Clocks of different nodes have nothing in common. */
static msec_t node_now(const struct sim *s, const struct sim_node *n)
{
    return (msec_t)(s->now + n->id * 7919);
}

/* The disk. */

static void disk_drop_from(struct sim_disk *d, size_t at)
{
    while (d->n > at)
        sim_free(d->entries[--d->n].data);
}

static void disk_append(struct sim_disk *d, const struct replica_entry *e)
{
    if (d->n == d->capacity) {
        d->capacity = d->capacity ? d->capacity * 2 : 64;
        d->entries = realloc(d->entries, d->capacity * sizeof *d->entries);
        if (!d->entries)
            abort();
    }
    d->entries[d->n++] =
        (struct sim_entry){.term = e->term, .type = e->type, .data = sim_copy(e->data)};
}

static void disk_trim(struct sim_disk *d, uint64_t upto, const struct replica_snapshot *snapshot)
{
    size_t drop = upto >= d->first ? (size_t)(upto - d->first + 1) : 0;
    if (drop > d->n)
        drop = d->n;
    for (size_t i = 0; i < drop; i++)
        sim_free(d->entries[i].data);
    if (drop)
        memmove(d->entries, d->entries + drop, (d->n - drop) * sizeof *d->entries);
    d->n -= drop;
    d->first += drop;
    sim_free(d->snapshot.conf);
    d->snapshot = *snapshot;
    d->snapshot.conf = sim_copy(snapshot->conf);
}

static void disk_write(struct sim *s, struct sim_node *n, const struct replica_write *w)
{
    struct sim_disk *d = &n->disk;
    if (w->has_vote) {
        if (w->term < d->term)
            sim_fail(s, "node %u: its term falls on disk", n->id);
        if (w->term == d->term && d->vote && d->vote != w->vote)
            sim_fail(s, "node %u votes twice in term %" PRIu64, n->id, w->term);
        d->term = w->term;
        d->vote = w->vote;
    }
    if (w->n_entries > 0) {
        uint64_t index = w->entries[0].index;
        if (index < d->first || index > d->first + d->n) {
            sim_fail(s, "node %u writes a gap at %" PRIu64, n->id, index);
            return;
        }
        check_durable(s, n, w);
        disk_drop_from(d, (size_t)(index - d->first));
        for (size_t i = 0; i < w->n_entries; i++)
            disk_append(d, &w->entries[i]);
    }
    if (w->has_trim)
        disk_trim(d, w->trim_upto, &w->snapshot);
}

/* A state at or above the snapshot, from whoever has one. */
static const struct sim_state *find_state(const struct sim *s, const struct sim_node *n,
                                          const struct replica_install *install)
{
    const struct sim_state *from = &s->nodes[install->from].disk.state;
    if (from->applied >= install->snapshot.index)
        return from;
    for (unsigned i = 1; i <= s->n; i++) {
        if (i != n->id && s->nodes[i].disk.state.applied >= install->snapshot.index)
            return &s->nodes[i].disk.state;
    }
    return NULL;
}

static bool disk_install(struct sim *s, struct sim_node *n, const struct replica_install *install)
{
    const struct sim_state *state = find_state(s, n, install);
    if (!state) {
        sim_fail(s, "nobody has the state of snapshot %" PRIu64, install->snapshot.index);
        return false;
    }
    disk_drop_from(&n->disk, 0);
    disk_trim(&n->disk, 0, &install->snapshot);
    n->disk.first = install->snapshot.index + 1;
    n->disk.state = n->state = *state;
    return true;
}

static void op_free(struct sim_op *op)
{
    if (op->is_install)
        sim_free(op->install.snapshot.conf);
    free(op);
}

static struct sim_op *op_new(struct sim *s, struct sim_node *n, unsigned delay)
{
    struct sim_op *op = calloc(1, sizeof *op);
    if (!op)
        abort();
    *n->ops_end = op;
    n->ops_end = &op->next;
    uint64_t at = s->now + delay + (n->slow ? sim_below(s, n->slow) : 0);
    if (at < n->last_done)
        at = n->last_done;
    n->last_done = at;
    sim_schedule(s, at, SIM_DISK, n->id, n->life, NULL);
    return op;
}

static struct sim_op *op_pop(struct sim_node *n)
{
    struct sim_op *op = n->ops;
    n->ops = op->next;
    if (!n->ops)
        n->ops_end = &n->ops;
    return op;
}

/* Effects. */

static void perform_send(struct sim *s, struct sim_node *n, const struct replica_send *send)
{
    struct sim_message *m = malloc(sizeof *m);
    if (!m)
        abort();
    *m = (struct sim_message){
        .from = n->id, .to = (unsigned)send->to, .bytes = sim_copy(send->bytes)};
    if (send->to < 1 || send->to > s->n) {
        sim_fail(s, "node %u sends to nobody", n->id);
        sim_message_free(m);
    } else if (send->after_seq <= n->durable_seq) {
        sim_send(s, m);
    } else {
        struct sim_held **at = &n->held;
        while (*at)
            at = &(*at)->next;
        *at = calloc(1, sizeof **at);
        if (!*at)
            abort();
        (*at)->after_seq = send->after_seq;
        (*at)->message = m;
    }
}

static void perform_install(struct sim *s, struct sim_node *n,
                            const struct replica_install *install)
{
    struct sim_op *op = op_new(s, n, sim_below(s, s->disk_max + 150));
    op->is_install = true;
    op->install = *install;
    op->install.snapshot.conf = sim_copy(install->snapshot.conf);
    n->installing = true;
    s->result->counts.installs++;
}

static void perform_role(struct sim *s, struct sim_node *n, const struct replica_role *role)
{
    bool won = role->leader && (!n->role.leader || n->role.term != role->term);
    n->role = *role;
    if (won)
        check_leader(s, n);
}

static void perform_read(struct sim *s, struct sim_node *n, uint64_t token, bool ready)
{
    for (size_t i = 0; i < n->n_reads; i++) {
        if (n->reads[i].token != token)
            continue;
        if (ready)
            check_read(s, n, n->reads[i].need);
        n->reads[i] = n->reads[--n->n_reads];
        return;
    }
    sim_fail(s, "node %u answers read %" PRIu64 " that nobody waits for", n->id, token);
}

static void perform_load(struct sim *s, struct sim_node *n, const struct replica_load *load)
{
    if (n->n_loads == LOADS_MAX)
        return;
    n->loads[(n->first_load + n->n_loads++) % LOADS_MAX] = *load;
    sim_schedule(s, s->now + 1 + sim_below(s, s->disk_max), SIM_LOADED, n->id, n->life, NULL);
}

static void perform_write(struct sim *s, struct sim_node *n, const struct replica_write *w)
{
    s->result->counts.trims += w->has_trim;
    op_new(s, n, sim_below(s, s->disk_max))->write = *w;
}

static void perform(struct sim *s, struct sim_node *n, const struct replica_effect *e)
{
    sim_trace(s, e->type, n->id, e->type == REPLICA_APPLY ? e->entry.index : 0);
    switch (e->type) {
    case REPLICA_WRITE:
        perform_write(s, n, &e->write);
        break;
    case REPLICA_SEND:
        perform_send(s, n, &e->send);
        break;
    case REPLICA_APPLY:
        check_applied(s, n, &e->entry);
        break;
    case REPLICA_ROLE:
        perform_role(s, n, &e->role);
        break;
    case REPLICA_READ_READY:
        perform_read(s, n, e->token, true);
        break;
    case REPLICA_READ_FAILED:
        perform_read(s, n, e->token, false);
        break;
    case REPLICA_INSTALL:
        perform_install(s, n, &e->install);
        break;
    case REPLICA_LOAD:
        perform_load(s, n, &e->load);
        break;
    case REPLICA_FATAL:
        sim_fail(s, "node %u stops: %s", n->id, e->error->msg);
        break;
    }
}

static void checkpoint(struct sim *s, struct sim_node *n);

/* Performs the effects, perhaps dies in between, and does what a shell does after each event. */
static void follow(struct sim *s, struct sim_node *n, const struct replica_effects *effects)
{
    size_t limit = effects->n;
    bool dies = s->chaos && effects->n > 0 && sim_chance(s, s->crash_within);
    if (dies)
        limit = sim_below(s, (unsigned)effects->n + 1);
    for (size_t i = 0; i < limit; i++)
        perform(s, n, &effects->list[i]);
    if (dies) {
        node_crash(s, n);
        return;
    }
    if (s->result->failed)
        return;
    sim_schedule(s, (uint64_t)(replica_next_timeout(n->replica) - (msec_t)(n->id * 7919)), SIM_TICK,
                 n->id, ++n->tick_generation, NULL);
    checkpoint(s, n);
}

static void checkpoint(struct sim *s, struct sim_node *n)
{
    struct replica_status st;
    replica_get_status(n->replica, &st);
    if (n->installing || n->state.applied < st.snapshot + s->checkpoint_every)
        return;
    if (n->replica->trimming || n->state.applied > st.commit)
        return;
    if (n->disk.state.applied < n->state.applied)
        n->disk.state = n->state;
    struct replica_effects effects;
    replica_checkpointed(n->replica, node_now(s, n), n->state.applied, &effects);
    follow(s, n, &effects);
}

/* Life. */

void node_format(struct sim *s, struct sim_node *n, bool is_founder)
{
    n->disk.first = 1;
    n->ops_end = &n->ops;
    if (!is_founder)
        return;
    n->disk.term = 1;
    struct replica_entry first = {
        .index = 1, .term = 1, .type = REPLICA_CHANGE, .data = buf_bytes(&s->bootstrap)};
    disk_append(&n->disk, &first);
}

static enum error_code restore(struct sim_node *n, struct error *err)
{
    enum error_code code = ERR_OK;
    for (size_t i = 0; i < n->disk.n && !code; i++) {
        const struct sim_entry *e = &n->disk.entries[i];
        struct replica_entry entry = {
            .index = n->disk.first + i, .term = e->term, .type = e->type, .data = e->data};
        code = replica_restore(n->replica, &entry, err);
    }
    return code;
}

void node_start(struct sim *s, struct sim_node *n)
{
    struct replica_options o = {.id = n->id,
                                .seed = (uint32_t)rng_u64(&s->rng),
                                .election_timeout_ms = s->election_ms,
                                .heartbeat_ms = s->heartbeat_ms,
                                .max_inflight = s->inflight,
                                .trailing = s->trailing,
                                .cache_bytes = s->cache_bytes};
    struct replica_persisted p = {.term = n->disk.term,
                                  .vote = n->disk.vote,
                                  .snapshot = n->disk.snapshot,
                                  .first_index = n->disk.first,
                                  .applied = n->disk.state.applied};
    struct error err;
    struct replica_effects effects;
    n->life++;
    n->last_done = s->now;
    n->state = n->disk.state;
    enum error_code code = replica_open(&o, &p, &n->replica, &err);
    if (!code)
        code = restore(n, &err);
    if (code) {
        sim_fail(s, "node %u does not start: %s", n->id, err.msg);
        return;
    }
    guard_switch_off(n->replica, s->options.guards_off);
    replica_start(n->replica, node_now(s, n), &effects);
    follow(s, n, &effects);
}

void node_close(struct sim_node *n)
{
    while (n->ops)
        op_free(op_pop(n));
    for (struct sim_held *h = n->held, *next; h; h = next) {
        next = h->next;
        sim_message_free(h->message);
        free(h);
    }
    n->held = NULL;
    replica_close(n->replica);
    n->replica = NULL;
}

void node_crash(struct sim *s, struct sim_node *n)
{
    /* A prefix of what was under way may have reached the disk. An install is all or nothing. */
    for (const struct sim_op *op = n->ops; op && !op->is_install && sim_chance(s, 400);
         op = op->next)
        disk_write(s, n, &op->write);
    node_close(n);
    n->life++;
    n->role = (struct replica_role){0};
    n->n_loads = 0;
    n->n_reads = 0;
    n->durable_seq = 0;
    n->installing = false;
    s->result->counts.crashes++;
    sim_schedule(s, s->now + 20 + sim_below(s, 1500), SIM_RESTART, n->id, n->life, NULL);
}

/* Events. */

void node_message(struct sim *s, struct sim_node *n, const struct sim_message *m)
{
    struct replica_effects effects;
    uint64_t last = entries_last(&n->replica->entries), first = n->replica->entries.first;
    enum error_code code = replica_receive(n->replica, node_now(s, n), m->from, m->bytes, &effects);
    if (code == ERR_MALFORMED)
        sim_fail(s, "node %u does not understand node %u", n->id, m->from);
    for (size_t i = 0; i < effects.n && first == n->replica->entries.first; i++) {
        const struct replica_effect *e = &effects.list[i];
        s->result->counts.truncations +=
            e->type == REPLICA_WRITE && e->write.n_entries > 0 && e->write.entries[0].index <= last;
    }
    follow(s, n, &effects);
}

void node_tick(struct sim *s, struct sim_node *n)
{
    struct replica_effects effects;
    replica_tick(n->replica, node_now(s, n), &effects);
    follow(s, n, &effects);
}

static void release_held(struct sim *s, struct sim_node *n)
{
    while (n->held && n->held->after_seq <= n->durable_seq) {
        struct sim_held *h = n->held;
        n->held = h->next;
        sim_send(s, h->message);
        free(h);
    }
}

void node_disk_done(struct sim *s, struct sim_node *n)
{
    struct replica_effects effects;
    struct sim_op *op = op_pop(n);
    if (op->is_install) {
        n->installing = false;
        if (disk_install(s, n, &op->install)) {
            replica_installed(n->replica, node_now(s, n), n->state.applied, &effects);
            follow(s, n, &effects);
        }
    } else {
        disk_write(s, n, &op->write);
        n->durable_seq = op->write.seq;
        release_held(s, n);
        replica_persisted(n->replica, node_now(s, n), op->write.seq, &effects);
        follow(s, n, &effects);
    }
    op_free(op);
}

void node_loaded(struct sim *s, struct sim_node *n)
{
    struct replica_entry entries[64];
    struct replica_load load = n->loads[n->first_load];
    size_t k = 0;
    n->first_load = (n->first_load + 1) % LOADS_MAX;
    n->n_loads--;
    for (; k < load.n && k < 64; k++) {
        uint64_t index = load.index + k;
        if (index < n->disk.first || index - n->disk.first >= n->disk.n)
            break;
        const struct sim_entry *e = &n->disk.entries[index - n->disk.first];
        entries[k] = (struct replica_entry){
            .index = index, .term = e->term, .type = e->type, .data = e->data};
    }
    s->result->counts.loads += k > 0;
    struct replica_effects effects;
    replica_loaded(n->replica, node_now(s, n), entries, k, &effects);
    follow(s, n, &effects);
}

void node_submit(struct sim *s, struct sim_node *n, unsigned commands)
{
    uint64_t numbers[4];
    struct bytes list[4];
    struct replica_effects effects;
    uint64_t index;
    for (unsigned i = 0; i < commands; i++) {
        numbers[i] = ++s->commands;
        list[i] = bytes_of(&numbers[i], sizeof numbers[i]);
    }
    replica_submit(n->replica, node_now(s, n), list, commands, &index, &effects);
    follow(s, n, &effects);
}

void node_read(struct sim *s, struct sim_node *n)
{
    struct replica_effects effects;
    if (n->n_reads == READS_MAX)
        return;
    n->reads[n->n_reads++] = (struct sim_read){.token = ++s->tokens, .need = s->acknowledged};
    replica_read(n->replica, node_now(s, n), s->tokens, &effects);
    follow(s, n, &effects);
}

bool node_change(struct sim *s, struct sim_node *n, unsigned id, enum replica_member_role role)
{
    struct replica_effects effects;
    enum error_code code = replica_change(n->replica, node_now(s, n), id, role, &effects);
    s->result->counts.changes += code == ERR_OK;
    follow(s, n, &effects);
    return code == ERR_OK;
}

void node_transfer(struct sim *s, struct sim_node *n, unsigned to)
{
    struct replica_effects effects;
    enum error_code code = replica_transfer(n->replica, node_now(s, n), to, &effects);
    s->result->counts.transfers += code == ERR_OK;
    follow(s, n, &effects);
}
