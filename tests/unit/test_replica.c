/* One replica that is the only voter, driven by hand: what the shard thread does with it. */
#include <replica/replica.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { ENTRIES_MAX = 512, ID = 7 };

/* What survives a restart. */
struct disk {
    uint64_t term, vote, first, applied;
    struct replica_snapshot snapshot;
    struct buf snapshot_conf;
    struct replica_entry entries[ENTRIES_MAX];
    struct buf data[ENTRIES_MAX];
    size_t n;
};

struct fixture {
    struct disk disk;
    struct replica *replica;
    msec_t now;
    struct replica_effects effects; /* of the last event */
    uint64_t applied;               /* by APPLYs, in order */
    struct replica_role role;
    uint64_t last_seq; /* newest WRITE seen */
};

static void disk_append(struct disk *d, const struct replica_entry *e)
{
    assert_true(d->n < ENTRIES_MAX);
    buf_reset(&d->data[d->n]);
    buf_put(&d->data[d->n], e->data.data, e->data.len);
    d->entries[d->n] = *e;
    d->n++;
}

static void disk_write(struct disk *d, const struct replica_write *w)
{
    if (w->has_vote) {
        d->term = w->term;
        d->vote = w->vote;
    }
    if (w->n_entries > 0) {
        assert_in_range(w->entries[0].index, d->first, d->first + d->n);
        d->n = (size_t)(w->entries[0].index - d->first);
        for (size_t i = 0; i < w->n_entries; i++)
            disk_append(d, &w->entries[i]);
    }
    if (!w->has_trim)
        return;
    size_t drop = w->trim_upto >= d->first ? (size_t)(w->trim_upto - d->first + 1) : 0;
    assert_true(drop <= d->n);
    for (size_t i = drop; i < d->n; i++) {
        d->entries[i - drop] = d->entries[i];
        struct buf spare = d->data[i - drop];
        d->data[i - drop] = d->data[i];
        d->data[i] = spare;
    }
    d->n -= drop;
    d->first += drop;
    buf_reset(&d->snapshot_conf);
    buf_put(&d->snapshot_conf, w->snapshot.conf.data, w->snapshot.conf.len);
    d->snapshot = w->snapshot;
    d->snapshot.conf = buf_bytes(&d->snapshot_conf);
}

static size_t count(const struct replica_effects *e, enum replica_effect_type type)
{
    size_t n = 0;
    for (size_t i = 0; i < e->n; i++)
        n += e->list[i].type == type;
    return n;
}

static const struct replica_effect *find(const struct replica_effects *e,
                                         enum replica_effect_type type)
{
    for (size_t i = 0; i < e->n; i++) {
        if (e->list[i].type == type)
            return &e->list[i];
    }
    fail_msg("no effect of type %d", (int)type);
    return NULL;
}

/* Looks at the effects like a shell that applies at once, but writes nothing. */
static void watch(struct fixture *f)
{
    for (size_t i = 0; i < f->effects.n; i++) {
        const struct replica_effect *e = &f->effects.list[i];
        assert_int_not_equal(e->type, REPLICA_FATAL);
        if (e->type == REPLICA_APPLY) {
            assert_int_equal(e->entry.index, f->applied + 1);
            f->applied = e->entry.index;
        } else if (e->type == REPLICA_ROLE) {
            f->role = e->role;
        } else if (e->type == REPLICA_WRITE) {
            assert_int_equal(e->write.seq, f->last_seq + 1);
            f->last_seq = e->write.seq;
        }
    }
}

/* Makes the writes among the last effects durable. */
static void write_all(struct fixture *f)
{
    for (size_t i = 0; i < f->effects.n; i++) {
        if (f->effects.list[i].type == REPLICA_WRITE)
            disk_write(&f->disk, &f->effects.list[i].write);
    }
}

static void persist(struct fixture *f)
{
    write_all(f);
    assert_int_equal(replica_persisted(f->replica, f->now, f->last_seq, &f->effects), ERR_OK);
    watch(f);
}

static enum error_code try_open(struct fixture *f, const struct replica_options *o)
{
    struct replica_persisted p = {.term = f->disk.term,
                                  .vote = f->disk.vote,
                                  .snapshot = f->disk.snapshot,
                                  .first_index = f->disk.first,
                                  .applied = f->disk.applied};
    struct error err;
    enum error_code code = replica_open(o, &p, &f->replica, &err);
    for (size_t i = 0; i < f->disk.n && !code; i++) {
        struct replica_entry e = f->disk.entries[i];
        e.data = buf_bytes(&f->disk.data[i]);
        code = replica_restore(f->replica, &e, &err);
    }
    return code;
}

static void start(struct fixture *f, uint64_t trailing)
{
    struct replica_options o = {.id = ID, .seed = 1, .trailing = trailing};
    assert_int_equal(try_open(f, &o), ERR_OK);
    f->applied = f->disk.applied;
    f->last_seq = 0;
    f->role = (struct replica_role){0};
    assert_int_equal(replica_start(f->replica, f->now, &f->effects), ERR_OK);
    watch(f);
}

static void stop(struct fixture *f)
{
    replica_close(f->replica);
    f->replica = NULL;
}

static uint64_t submit(struct fixture *f, const char *text)
{
    struct bytes command = bytes_of_str(text);
    uint64_t index;
    assert_int_equal(replica_submit(f->replica, ++f->now, &command, 1, &index, &f->effects),
                     ERR_OK);
    watch(f);
    return index;
}

static struct replica_status status(const struct fixture *f)
{
    struct replica_status s;
    replica_get_status(f->replica, &s);
    return s;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct buf conf = {0};
    uint64_t voter = ID;
    assert_int_equal(replica_bootstrap(&voter, 1, &conf), ERR_OK);
    f->now = 1000;
    f->disk.term = 1;
    f->disk.first = 1;
    struct replica_entry first = {
        .index = 1, .term = 1, .type = REPLICA_CHANGE, .data = buf_bytes(&conf)};
    disk_append(&f->disk, &first);
    buf_free(&conf);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    stop(f);
    for (size_t i = 0; i < ENTRIES_MAX; i++)
        buf_free(&f->disk.data[i]);
    buf_free(&f->disk.snapshot_conf);
    free(f);
    return 0;
}

static void test_bootstrap_refuses_bad_voters(void **state)
{
    (void)state;
    struct buf out = {0};
    uint64_t zero[] = {1, 0}, doubled[] = {3, 3};
    assert_int_equal(replica_bootstrap(NULL, 0, &out), ERR_INVALID);
    assert_int_equal(replica_bootstrap(zero, 2, &out), ERR_INVALID);
    assert_int_equal(replica_bootstrap(doubled, 2, &out), ERR_INVALID);
    assert_int_equal(out.len, 0);
}

static void test_bootstrap_gives_identical_bytes(void **state)
{
    (void)state;
    struct buf a = {0}, b = {0};
    uint64_t voters[] = {5, 9, 2};
    assert_int_equal(replica_bootstrap(voters, 3, &a), ERR_OK);
    assert_int_equal(replica_bootstrap(voters, 3, &b), ERR_OK);
    assert_true(a.len > 0 && bytes_equal(buf_bytes(&a), buf_bytes(&b)));
    buf_free(&a);
    buf_free(&b);
}

static void test_sole_voter_leads_at_start(void **state)
{
    struct fixture *f = *state;
    start(f, 0);
    assert_true(f->role.leader);
    assert_int_equal(f->role.leader_id, ID);
    assert_int_equal(f->role.term, 2);
    const struct replica_write *w = &find(&f->effects, REPLICA_WRITE)->write;
    assert_true(w->has_vote);
    assert_int_equal(w->term, 2);
    assert_int_equal(w->vote, ID);
    assert_int_equal(status(f).n_voters, 1);
}

static void test_restart_bumps_the_term(void **state)
{
    struct fixture *f = *state;
    start(f, 0);
    persist(f);
    stop(f);
    start(f, 0);
    assert_int_equal(f->role.term, 3);
    persist(f);
    assert_int_equal(f->disk.term, 3);
}

/* The state of the very first start: entry 1 is a change, which moves the applied index only. */
static void test_first_entry_is_applied_as_a_change(void **state)
{
    struct fixture *f = *state;
    start(f, 0);
    const struct replica_entry *e = &find(&f->effects, REPLICA_APPLY)->entry;
    assert_int_equal(e->index, 1);
    assert_int_equal(e->type, REPLICA_CHANGE);
}

static void test_submit_writes_then_applies_when_durable(void **state)
{
    struct fixture *f = *state;
    start(f, 0);
    persist(f);
    uint64_t index = submit(f, "hello");
    assert_int_equal(index, 2);
    assert_int_equal(count(&f->effects, REPLICA_APPLY), 0);
    const struct replica_write *w = &find(&f->effects, REPLICA_WRITE)->write;
    assert_int_equal(w->n_entries, 1);
    assert_int_equal(w->entries[0].index, 2);
    assert_int_equal(w->entries[0].type, REPLICA_COMMAND);
    assert_true(bytes_equal(w->entries[0].data, bytes_of_str("hello")));
    persist(f);
    const struct replica_entry *e = &find(&f->effects, REPLICA_APPLY)->entry;
    assert_int_equal(e->index, 2);
    assert_int_equal(e->type, REPLICA_COMMAND);
    assert_true(bytes_equal(e->data, bytes_of_str("hello")));
    assert_int_equal(f->applied, 2);
}

static void test_commit_stays_within_what_is_durable(void **state)
{
    struct fixture *f = *state;
    start(f, 0);
    persist(f);
    submit(f, "a");
    uint64_t seq = f->last_seq;
    submit(f, "b");
    submit(f, "c");
    assert_int_equal(status(f).applied, 1);
    assert_int_equal(replica_persisted(f->replica, f->now, seq, &f->effects), ERR_OK);
    watch(f);
    assert_int_equal(status(f).stored, 2);
    assert_int_equal(status(f).commit, 2);
    assert_int_equal(f->applied, 2);
    assert_int_equal(replica_persisted(f->replica, f->now, f->last_seq, &f->effects), ERR_OK);
    watch(f);
    assert_int_equal(f->applied, 4);
}

/* The log thread reads them after many more events. */
static void test_write_borrows_until_it_is_durable(void **state)
{
    struct fixture *f = *state;
    start(f, 0);
    persist(f);
    submit(f, "kept");
    struct replica_write w = find(&f->effects, REPLICA_WRITE)->write;
    for (int i = 0; i < 200; i++)
        submit(f, "more");
    assert_true(bytes_equal(w.entries[0].data, bytes_of_str("kept")));
    assert_int_equal(status(f).writes_pending, 201);
    assert_int_equal(replica_persisted(f->replica, f->now, f->last_seq, &f->effects), ERR_OK);
    watch(f);
    assert_int_equal(status(f).writes_pending, 0);
    assert_int_equal(f->applied, 202);
}

static void test_submit_of_several_gives_consecutive_entries(void **state)
{
    struct fixture *f = *state;
    start(f, 0);
    persist(f);
    struct bytes commands[] = {bytes_of_str("a"), bytes_of_str("bb"), bytes_of_str("ccc")};
    uint64_t index;
    assert_int_equal(replica_submit(f->replica, f->now, commands, 3, &index, &f->effects), ERR_OK);
    watch(f);
    assert_int_equal(index, 2);
    const struct replica_write *w = &find(&f->effects, REPLICA_WRITE)->write;
    assert_int_equal(w->n_entries, 3);
    for (size_t i = 0; i < 3; i++)
        assert_true(bytes_equal(w->entries[i].data, commands[i]));
    persist(f);
    assert_int_equal(f->applied, 4);
}

static void test_submit_refuses_nothing_and_empty_commands(void **state)
{
    struct fixture *f = *state;
    start(f, 0);
    struct bytes empty = {0};
    uint64_t index;
    assert_int_equal(replica_submit(f->replica, f->now, NULL, 0, &index, &f->effects), ERR_INVALID);
    assert_int_equal(replica_submit(f->replica, f->now, &empty, 1, &index, &f->effects),
                     ERR_INVALID);
    assert_int_equal(f->effects.n, 0);
}

static void test_restart_applies_what_the_state_lacks(void **state)
{
    struct fixture *f = *state;
    start(f, 0);
    persist(f);
    submit(f, "one");
    persist(f);
    submit(f, "two");
    persist(f);
    stop(f);
    f->disk.applied = 2;
    start(f, 0);
    assert_int_equal(count(&f->effects, REPLICA_APPLY), 1);
    const struct replica_entry *e = &find(&f->effects, REPLICA_APPLY)->entry;
    assert_int_equal(e->index, 3);
    assert_true(bytes_equal(e->data, bytes_of_str("two")));
}

/* A write that never became durable is gone, and its place is taken by another entry. */
static void test_restart_forgets_what_was_not_written(void **state)
{
    struct fixture *f = *state;
    start(f, 0);
    persist(f);
    submit(f, "lost");
    stop(f);
    start(f, 0);
    persist(f);
    assert_int_equal(submit(f, "found"), 2);
    persist(f);
    assert_int_equal(f->disk.entries[1].term, 3);
    assert_true(bytes_equal(buf_bytes(&f->disk.data[1]), bytes_of_str("found")));
}

static void test_checkpoint_trims_all_but_trailing(void **state)
{
    struct fixture *f = *state;
    start(f, 3);
    persist(f);
    for (int i = 0; i < 10; i++) {
        submit(f, "x");
        persist(f);
    }
    assert_int_equal(replica_checkpointed(f->replica, f->now, 9, &f->effects), ERR_OK);
    watch(f);
    const struct replica_write *w = &find(&f->effects, REPLICA_WRITE)->write;
    assert_true(w->has_trim);
    assert_int_equal(w->trim_upto, 6);
    assert_int_equal(w->snapshot.index, 9);
    assert_int_equal(w->snapshot.term, 2);
    assert_int_equal(w->snapshot.conf_index, 1);
    assert_int_equal(status(f).first, 1);
    persist(f);
    assert_int_equal(status(f).first, 7);
    assert_int_equal(status(f).snapshot, 9);
    assert_int_equal(f->disk.n, 5);
}

static void test_checkpoint_twice_or_too_high_does_nothing(void **state)
{
    struct fixture *f = *state;
    start(f, 0);
    persist(f);
    submit(f, "x");
    persist(f);
    assert_int_equal(replica_checkpointed(f->replica, f->now, 3, &f->effects), ERR_INVALID);
    assert_int_equal(replica_checkpointed(f->replica, f->now, 2, &f->effects), ERR_OK);
    watch(f);
    assert_int_equal(f->effects.n, 1);
    write_all(f);
    assert_int_equal(replica_checkpointed(f->replica, f->now, 2, &f->effects), ERR_OK);
    assert_int_equal(f->effects.n, 0);
    persist(f);
    assert_int_equal(replica_checkpointed(f->replica, f->now, 2, &f->effects), ERR_OK);
    assert_int_equal(f->effects.n, 0);
}

static void test_restart_from_a_trimmed_log(void **state)
{
    struct fixture *f = *state;
    start(f, 0);
    persist(f);
    submit(f, "x");
    persist(f);
    assert_int_equal(replica_checkpointed(f->replica, f->now, 2, &f->effects), ERR_OK);
    watch(f);
    persist(f);
    assert_int_equal(f->disk.n, 0);
    assert_int_equal(f->disk.first, 3);
    stop(f);
    f->disk.applied = 2;
    start(f, 0);
    assert_true(f->role.leader);
    assert_int_equal(count(&f->effects, REPLICA_APPLY), 0);
    persist(f);
    assert_int_equal(submit(f, "y"), 3);
    persist(f);
    assert_int_equal(f->applied, 3);
}

static void test_start_refuses_a_state_newer_than_the_log(void **state)
{
    struct fixture *f = *state;
    f->disk.applied = 5;
    struct replica_options o = {.id = ID};
    assert_int_equal(try_open(f, &o), ERR_OK);
    assert_int_equal(replica_start(f->replica, f->now, &f->effects), ERR_CORRUPT);
    assert_int_equal(find(&f->effects, REPLICA_FATAL)->error->code, ERR_CORRUPT);
}

static void test_restore_refuses_gaps_and_damage(void **state)
{
    struct fixture *f = *state;
    struct replica_options o = {.id = ID};
    struct error err;
    f->disk.term = 5;
    assert_int_equal(try_open(f, &o), ERR_OK);
    struct replica_entry gap = {.index = 3, .term = 1, .type = REPLICA_COMMAND};
    struct replica_entry term0 = {.index = 2, .term = 0, .type = REPLICA_COMMAND};
    struct replica_entry future = {.index = 2, .term = 6, .type = REPLICA_COMMAND};
    struct replica_entry type = {.index = 2, .term = 1, .type = 9};
    struct replica_entry change = {
        .index = 2, .term = 1, .type = REPLICA_CHANGE, .data = bytes_of_str("damaged")};
    assert_int_equal(replica_restore(f->replica, &gap, &err), ERR_CORRUPT);
    assert_int_equal(replica_restore(f->replica, &term0, &err), ERR_CORRUPT);
    assert_int_equal(replica_restore(f->replica, &future, &err), ERR_CORRUPT);
    assert_int_equal(replica_restore(f->replica, &type, &err), ERR_CORRUPT);
    assert_int_equal(replica_restore(f->replica, &change, &err), ERR_CORRUPT);
}

static void test_open_refuses_bad_options(void **state)
{
    struct fixture *f = *state;
    struct replica_options no_id = {.id = 0};
    struct replica_options beat = {.id = 1, .election_timeout_ms = 100, .heartbeat_ms = 100};
    assert_int_equal(try_open(f, &no_id), ERR_INVALID);
    assert_int_equal(try_open(f, &beat), ERR_INVALID);
    f->disk.snapshot.index = 4; /* without metadata */
    f->disk.applied = 4;
    struct replica_options good = {.id = ID};
    assert_int_equal(try_open(f, &good), ERR_CORRUPT);
}

static void test_read_is_ready_at_once_with_one_voter(void **state)
{
    struct fixture *f = *state;
    start(f, 0);
    persist(f);
    assert_int_equal(replica_read(f->replica, f->now, 77, &f->effects), ERR_OK);
    assert_int_equal(find(&f->effects, REPLICA_READ_READY)->token, 77);
}

static void test_tick_keeps_a_sole_voter_leading(void **state)
{
    struct fixture *f = *state;
    start(f, 0);
    persist(f);
    for (int i = 0; i < 100; i++) {
        msec_t next = replica_next_timeout(f->replica);
        assert_true(next > f->now);
        f->now = next;
        assert_int_equal(replica_tick(f->replica, f->now, &f->effects), ERR_OK);
        assert_int_equal(f->effects.n, 0);
    }
    assert_true(status(f).is_leader);
}

static void test_joiner_waits_without_a_configuration(void **state)
{
    struct fixture *f = *state;
    f->disk.n = 0;
    f->disk.term = 0;
    start(f, 0);
    assert_false(f->role.leader);
    uint64_t index;
    struct bytes command = bytes_of_str("x");
    assert_int_equal(replica_submit(f->replica, f->now, &command, 1, &index, &f->effects),
                     ERR_NOT_LEADER);
    assert_int_equal(replica_read(f->replica, f->now, 5, &f->effects), ERR_OK);
    assert_int_equal(find(&f->effects, REPLICA_READ_FAILED)->token, 5);
}

static void test_leader_changes_one_member_at_a_time(void **state)
{
    struct fixture *f = *state;
    struct replica_member members[4];
    start(f, 0);
    persist(f);
    /* First an entry of its own term. */
    assert_int_equal(replica_change(f->replica, f->now, 8, REPLICA_SPARE, &f->effects), ERR_BUSY);
    watch(f);
    assert_int_equal(find(&f->effects, REPLICA_WRITE)->write.entries[0].type, REPLICA_BARRIER);
    persist(f);
    assert_int_equal(replica_change(f->replica, f->now, 8, REPLICA_SPARE, &f->effects), ERR_OK);
    watch(f);
    assert_int_equal(find(&f->effects, REPLICA_WRITE)->write.entries[0].type, REPLICA_CHANGE);
    write_all(f);
    assert_true(status(f).is_changing);
    assert_int_equal(replica_change(f->replica, f->now, 9, REPLICA_SPARE, &f->effects), ERR_BUSY);
    persist(f);
    assert_false(status(f).is_changing);
    assert_int_equal(replica_members(f->replica, members, 4), 2);
    assert_int_equal(members[1].id, 8);
    assert_int_equal(members[1].role, REPLICA_SPARE);
    assert_int_equal(replica_change(f->replica, f->now, 8, REPLICA_GONE, &f->effects), ERR_OK);
    watch(f);
    persist(f);
    assert_int_equal(status(f).n_servers, 1);
}

static void test_change_refuses_what_is_unsafe_or_idle(void **state)
{
    struct fixture *f = *state;
    start(f, 0);
    persist(f);
    const struct replica_member refused[] = {
        {.id = ID, .role = REPLICA_GONE},  {.id = ID, .role = REPLICA_STANDBY},
        {.id = ID, .role = REPLICA_VOTER}, {.id = 0, .role = REPLICA_SPARE},
        {.id = 8, .role = REPLICA_VOTER},  {.id = 8, .role = REPLICA_GONE}};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        assert_int_equal(
            replica_change(f->replica, f->now, refused[i].id, refused[i].role, &f->effects),
            ERR_INVALID);
        assert_int_equal(f->effects.n, 0);
    }
    assert_int_equal(replica_transfer(f->replica, f->now, 0, &f->effects), ERR_NOT_FOUND);
}

static void test_receive_drops_garbage(void **state)
{
    struct fixture *f = *state;
    start(f, 0);
    uint8_t junk[64];
    for (unsigned type = 0; type < 256; type++) {
        for (size_t len = 0; len < sizeof junk; len += 7) {
            for (size_t i = 0; i < len; i++)
                junk[i] = (uint8_t)(i * 37 + type);
            if (len > 1) {
                junk[0] = 1;
                junk[1] = (uint8_t)type;
            }
            enum error_code code =
                replica_receive(f->replica, f->now, 9, bytes_of(junk, len), &f->effects);
            assert_true(code == ERR_OK || code == ERR_MALFORMED);
        }
    }
    uint8_t byte = 0;
    assert_int_equal(replica_receive(f->replica, f->now, 9, bytes_of(&byte, 1), &f->effects),
                     ERR_MALFORMED);
}

/* Memory for entries must not grow with the log, as long as it is trimmed now and then. */
static void test_many_entries_in_bounded_memory(void **state)
{
    struct fixture *f = *state;
    char command[200] = {0};
    size_t most = 0;
    start(f, 0);
    assert_int_equal(replica_persisted(f->replica, f->now, f->last_seq, &f->effects), ERR_OK);
    watch(f);
    for (int i = 0; i < 100000; i++) {
        struct bytes b = bytes_of(command, sizeof command);
        uint64_t index;
        assert_int_equal(replica_submit(f->replica, ++f->now, &b, 1, &index, &f->effects), ERR_OK);
        watch(f);
        if (i % 10 != 9)
            continue;
        assert_int_equal(replica_persisted(f->replica, f->now, f->last_seq, &f->effects), ERR_OK);
        watch(f);
        if (status(f).cached_bytes > most)
            most = status(f).cached_bytes;
        if (i % 1000 == 999) {
            assert_int_equal(replica_checkpointed(f->replica, f->now, f->applied, &f->effects),
                             ERR_OK);
            watch(f);
            assert_int_equal(replica_persisted(f->replica, f->now, f->last_seq, &f->effects),
                             ERR_OK);
            watch(f);
            assert_int_equal(status(f).first, f->applied + 1);
        }
    }
    assert_int_equal(f->applied, 100001);
    assert_true(most < 20 * sizeof command);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bootstrap_refuses_bad_voters),
        cmocka_unit_test(test_bootstrap_gives_identical_bytes),
        T(test_sole_voter_leads_at_start),
        T(test_restart_bumps_the_term),
        T(test_first_entry_is_applied_as_a_change),
        T(test_submit_writes_then_applies_when_durable),
        T(test_commit_stays_within_what_is_durable),
        T(test_write_borrows_until_it_is_durable),
        T(test_submit_of_several_gives_consecutive_entries),
        T(test_submit_refuses_nothing_and_empty_commands),
        T(test_restart_applies_what_the_state_lacks),
        T(test_restart_forgets_what_was_not_written),
        T(test_checkpoint_trims_all_but_trailing),
        T(test_checkpoint_twice_or_too_high_does_nothing),
        T(test_restart_from_a_trimmed_log),
        T(test_start_refuses_a_state_newer_than_the_log),
        T(test_restore_refuses_gaps_and_damage),
        T(test_open_refuses_bad_options),
        T(test_read_is_ready_at_once_with_one_voter),
        T(test_tick_keeps_a_sole_voter_leading),
        T(test_joiner_waits_without_a_configuration),
        T(test_leader_changes_one_member_at_a_time),
        T(test_change_refuses_what_is_unsafe_or_idle),
        T(test_receive_drops_garbage),
        T(test_many_entries_in_bounded_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
