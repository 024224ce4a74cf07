#include "fake_replica.h"

#include <core.h> /* node/replica: truncations are counted by looking inside */
#include <guard.h>

#include <stdlib.h>

enum { TORN_OF_1000 = 400, LOAD_MAX = 64 };

/* A WRITE on its way to the disk (it borrows from the replica, as in production), or an install. */
struct fake_op {
    struct fake_op *next;
    bool is_install;
    struct replica_write write;
};

/* A SEND that waits for a write. */
struct fake_held {
    struct fake_held *next;
    uint64_t after_seq, to;
    struct bytes bytes;
};

static msec_t now_of(const struct fake_replica *r)
{
    return (msec_t)r->env->now + r->clock;
}

static unsigned below(struct fake_replica *r, unsigned n)
{
    return (unsigned)rng_below(r->env->rng, n);
}

static void *zalloc(size_t size)
{
    void *p = calloc(1, size);
    if (!p)
        abort();
    return p;
}

/* The disk. */

static void write_now(struct fake_replica *r, const struct replica_write *w)
{
    if (w->n_entries > 0)
        group_check_durable(r->group, r->id, w->entries, w->n_entries,
                            fake_disk_term_before(&r->disk, w->entries[0].index));
    const char *wrong = fake_disk_write(&r->disk, w);
    if (wrong)
        r->env->hooks->fail(r, wrong);
}

static struct fake_op *op_new(struct fake_replica *r, unsigned delay)
{
    struct fake_op *op = zalloc(sizeof *op);
    *r->ops_end = op;
    r->ops_end = &op->next;
    uint64_t at = r->env->now + delay + (r->slow ? below(r, r->slow) : 0);
    if (at < r->last_done)
        at = r->last_done;
    r->last_done = at;
    r->env->hooks->schedule(r, at, FAKE_DISK, r->life);
    return op;
}

static struct fake_op *op_pop(struct fake_replica *r)
{
    struct fake_op *op = r->ops;
    r->ops = op->next;
    if (!r->ops)
        r->ops_end = &r->ops;
    return op;
}

/* Effects. */

static void perform_send(struct fake_replica *r, const struct replica_send *send)
{
    struct bytes bytes = fake_copy(send->bytes);
    if (send->after_seq <= r->durable_seq || r->env->sends_early) {
        r->env->hooks->send(r, send->to, bytes);
        return;
    }
    struct fake_held **at = &r->held;
    while (*at)
        at = &(*at)->next;
    *at = zalloc(sizeof **at);
    **at = (struct fake_held){.after_seq = send->after_seq, .to = send->to, .bytes = bytes};
}

static void perform_install(struct fake_replica *r, const struct replica_install *install)
{
    fake_free(r->install.conf);
    r->install = install->snapshot;
    r->install.conf = fake_copy(install->snapshot.conf);
    r->install_from = install->from;
    r->installing = true;
    r->env->counts.installs++;
    r->env->hooks->fetch(r);
}

static void perform_role(struct fake_replica *r, const struct replica_role *role)
{
    bool won = role->leader && (!r->role.leader || r->role.term != role->term);
    r->role = *role;
    if (won)
        group_check_leader(r->group, r->id, role->term, r->replica);
}

static void perform_load(struct fake_replica *r, const struct replica_load *load)
{
    if (r->n_loads == FAKE_LOADS_MAX)
        return;
    r->loads[(r->first_load + r->n_loads++) % FAKE_LOADS_MAX] = *load;
    r->env->hooks->schedule(r, r->env->now + 1 + below(r, r->env->disk_max), FAKE_LOADED, r->life);
}

static void perform_write(struct fake_replica *r, const struct replica_write *w)
{
    r->env->counts.trims += w->has_trim;
    op_new(r, below(r, r->env->disk_max))->write = *w;
}

static void perform_apply(struct fake_replica *r, const struct replica_entry *e)
{
    struct replica_status st;
    replica_get_status(r->replica, &st);
    group_check_applied(r->group, r->id, st.term, e, &r->state.applied, &r->state.history);
    r->env->hooks->apply(r, e);
}

static void perform(struct fake_replica *r, const struct replica_effect *e)
{
    r->env->hooks->note(r, e);
    switch (e->type) {
    case REPLICA_WRITE:
        perform_write(r, &e->write);
        break;
    case REPLICA_SEND:
        perform_send(r, &e->send);
        break;
    case REPLICA_APPLY:
        perform_apply(r, &e->entry);
        break;
    case REPLICA_ROLE:
        perform_role(r, &e->role);
        break;
    case REPLICA_READ_READY:
    case REPLICA_READ_FAILED:
        r->env->hooks->read(r, e->token, e->type == REPLICA_READ_READY);
        break;
    case REPLICA_INSTALL:
        perform_install(r, &e->install);
        break;
    case REPLICA_LOAD:
        perform_load(r, &e->load);
        break;
    case REPLICA_FATAL:
        r->env->hooks->fail(r, e->error->msg);
        break;
    }
    if (r->group->failed)
        r->env->hooks->fail(r, r->group->what);
}

/* Performs the effects, perhaps dies in between, and sees to the next time-out. */
static void follow(struct fake_replica *r, const struct replica_effects *effects)
{
    const struct fake_hooks *hooks = r->env->hooks;
    size_t last = hooks->dies_after(r, effects->n);
    for (size_t i = 0; i < effects->n && i < last; i++)
        perform(r, &effects->list[i]);
    if (last <= effects->n) {
        hooks->crash(r);
        return;
    }
    if (r->replica->dead)
        return;
    hooks->schedule(r, (uint64_t)(replica_next_timeout(r->replica) - r->clock), FAKE_TICK,
                    ++r->tick_number);
    hooks->after(r);
}

/* Life. */

void fake_replica_format(struct fake_replica *r, struct bytes entry_1)
{
    fake_disk_format(&r->disk, entry_1);
    r->state = r->saved = (struct fake_state){0};
    r->ops_end = &r->ops;
}

static enum error_code restore(struct fake_replica *r, struct error *err)
{
    enum error_code code = ERR_OK;
    for (size_t i = 0; i < r->disk.n && !code; i++) {
        struct replica_entry e;
        (void)fake_disk_read(&r->disk, r->disk.first + i, &e, 1);
        code = replica_restore(r->replica, &e, err);
    }
    return code;
}

void fake_replica_start(struct fake_replica *r)
{
    struct replica_options o = r->env->options;
    o.id = r->id;
    o.seed = (uint32_t)rng_u64(r->env->rng);
    struct replica_persisted p = {.term = r->disk.term,
                                  .vote = r->disk.vote,
                                  .snapshot = r->disk.snapshot,
                                  .first_index = r->disk.first,
                                  .applied = r->saved.applied};
    struct error err;
    struct replica_effects effects;
    r->life++;
    r->last_done = r->env->now;
    r->state = r->saved;
    enum error_code code = replica_open(&o, &p, &r->replica, &err);
    if (!code)
        code = restore(r, &err);
    if (code) {
        r->env->hooks->fail(r, err.msg);
        return;
    }
    guard_switch_off(r->replica,
                     r->env->guards_off | (r->env->reads_alone ? GUARD_READ_QUORUM : 0));
    replica_start(r->replica, now_of(r), &effects);
    follow(r, &effects);
}

void fake_replica_stop(struct fake_replica *r)
{
    while (r->ops)
        free(op_pop(r));
    for (struct fake_held *h = r->held, *next; h; h = next) {
        next = h->next;
        fake_free(h->bytes);
        free(h);
    }
    r->held = NULL;
    replica_close(r->replica);
    r->replica = NULL;
    r->life++;
    r->role = (struct replica_role){0};
    r->n_loads = 0;
    r->durable_seq = 0;
    r->installing = false;
    fake_free(r->install.conf);
    r->install = (struct replica_snapshot){0};
}

void fake_replica_crash(struct fake_replica *r)
{
    for (const struct fake_op *op = r->ops; op && !op->is_install && below(r, 1000) < TORN_OF_1000;
         op = op->next)
        write_now(r, &op->write);
    fake_replica_stop(r);
}

/* Events. */

static void release_held(struct fake_replica *r)
{
    while (r->held && r->held->after_seq <= r->durable_seq) {
        struct fake_held *h = r->held;
        r->held = h->next;
        r->env->hooks->send(r, h->to, h->bytes);
        free(h);
    }
}

static void on_disk(struct fake_replica *r)
{
    struct replica_effects effects;
    struct fake_op *op = op_pop(r);
    if (op->is_install) {
        r->installing = false;
        if (r->env->hooks->installed(r)) {
            fake_disk_install(&r->disk, &r->install);
            replica_installed(r->replica, now_of(r), r->state.applied, &effects);
            follow(r, &effects);
        }
    } else {
        write_now(r, &op->write);
        r->durable_seq = op->write.seq;
        release_held(r);
        replica_persisted(r->replica, now_of(r), op->write.seq, &effects);
        follow(r, &effects);
    }
    free(op);
}

static void on_loaded(struct fake_replica *r)
{
    struct replica_entry entries[LOAD_MAX];
    struct replica_load load = r->loads[r->first_load];
    struct replica_effects effects;
    r->first_load = (r->first_load + 1) % FAKE_LOADS_MAX;
    r->n_loads--;
    size_t n = fake_disk_read(&r->disk, load.index, entries, load.n < LOAD_MAX ? load.n : LOAD_MAX);
    r->env->counts.loads += n > 0;
    replica_loaded(r->replica, now_of(r), entries, n, &effects);
    follow(r, &effects);
}

void fake_replica_event(struct fake_replica *r, enum fake_event e, uint64_t number)
{
    struct replica_effects effects;
    if (!r->replica || number != (e == FAKE_TICK ? r->tick_number : r->life))
        return;
    switch (e) {
    case FAKE_TICK:
        replica_tick(r->replica, now_of(r), &effects);
        follow(r, &effects);
        break;
    case FAKE_DISK:
        on_disk(r);
        break;
    case FAKE_LOADED:
        on_loaded(r);
        break;
    }
}

void fake_replica_receive(struct fake_replica *r, uint64_t from, struct bytes message)
{
    struct replica_effects effects;
    uint64_t last = entries_last(&r->replica->entries), first = r->replica->entries.first;
    if (replica_receive(r->replica, now_of(r), from, message, &effects) == ERR_MALFORMED)
        r->env->hooks->fail(r, "it does not understand a message");
    for (size_t i = 0; i < effects.n && first == r->replica->entries.first; i++) {
        const struct replica_effect *e = &effects.list[i];
        r->env->counts.truncations +=
            e->type == REPLICA_WRITE && e->write.n_entries > 0 && e->write.entries[0].index <= last;
    }
    follow(r, &effects);
}

void fake_replica_peer_lost(struct fake_replica *r, uint64_t id)
{
    struct replica_effects effects;
    if (!r->replica)
        return;
    replica_peer_lost(r->replica, now_of(r), id, &effects);
    follow(r, &effects);
}

uint64_t fake_replica_submit(struct fake_replica *r, const struct bytes *commands, size_t n)
{
    struct replica_effects effects;
    uint64_t index = 0;
    enum error_code code = replica_submit(r->replica, now_of(r), commands, n, &index, &effects);
    follow(r, &effects);
    return code == ERR_OK ? index : 0;
}

void fake_replica_read(struct fake_replica *r, uint64_t token)
{
    struct replica_effects effects;
    replica_read(r->replica, now_of(r), token, &effects);
    follow(r, &effects);
}

enum error_code fake_replica_change(struct fake_replica *r, uint64_t id,
                                    enum replica_member_role role)
{
    struct replica_effects effects;
    enum error_code code = replica_change(r->replica, now_of(r), id, role, &effects);
    follow(r, &effects);
    return code;
}

enum error_code fake_replica_transfer(struct fake_replica *r, uint64_t to)
{
    struct replica_effects effects;
    enum error_code code = replica_transfer(r->replica, now_of(r), to, &effects);
    follow(r, &effects);
    return code;
}

void fake_replica_saved(struct fake_replica *r, struct fake_state state)
{
    struct replica_effects effects;
    if (r->saved.applied < state.applied)
        r->saved = state;
    replica_checkpointed(r->replica, now_of(r), r->saved.applied, &effects);
    follow(r, &effects);
}

void fake_replica_put_in_place(struct fake_replica *r, unsigned delay_ms)
{
    op_new(r, delay_ms)->is_install = true;
}
