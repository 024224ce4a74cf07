#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "transfer_rig.h"

#include <stdlib.h>
#include <string.h>

enum { DELAY_MS = 20, LATE_MS = 3000, MAKING_MS = 700 };

static bool chance(struct rig *r, unsigned per_mille)
{
    return rng_below(&r->rng, 1000) < per_mille;
}

void rig_content(uint16_t shard, uint64_t applied, size_t bytes, struct buf *out)
{
    struct rng g = rng_of_seed(shard * 1000003ULL + applied);
    while (out->len < bytes) {
        uint64_t v = rng_u64(&g);
        buf_put(out, &v, bytes - out->len < sizeof v ? bytes - out->len : sizeof v);
    }
}

/* --- network --- */

static void put_flying(struct rig *r, const struct rig_message *m, struct bytes body)
{
    if (r->n_flying == RIG_FLYING)
        return; /* lost */
    struct rig_message *to = &r->flying[r->n_flying++];
    *to = *m;
    to->at = r->now + 1 + (msec_t)rng_below(&r->rng, DELAY_MS);
    if (chance(r, r->faults.late))
        to->at += (msec_t)rng_below(&r->rng, LATE_MS);
    buf_put(&to->body, body.data, body.len);
    if (to->body.len > 0 && chance(r, r->faults.cut))
        to->body.len = rng_below(&r->rng, to->body.len);
    if (to->body.len > 0 && chance(r, r->faults.flipped))
        to->body.data[rng_below(&r->rng, to->body.len)] ^= (uint8_t)(1U << rng_below(&r->rng, 8));
}

static void send(struct rig *r, bool to_sender, size_t fetcher, uint64_t asker, struct bytes body)
{
    struct rig_message m = {.to_sender = to_sender, .fetcher = fetcher, .asker = asker};
    if (chance(r, r->faults.lost))
        return;
    put_flying(r, &m, body);
    if (chance(r, r->faults.doubled))
        put_flying(r, &m, body);
}

/* --- sender --- */

static struct rig_file *find_file(struct rig *r, uint64_t id)
{
    for (size_t i = 0; i < RIG_FILES; i++)
        if (r->files[i].id == id)
            return &r->files[i];
    return NULL;
}

static void drop_file(struct rig_file *f)
{
    buf_free(&f->data);
    *f = (struct rig_file){0};
}

size_t rig_files(const struct rig *r)
{
    size_t n = 0;
    for (size_t i = 0; i < RIG_FILES; i++)
        n += r->files[i].id != 0;
    return n;
}

static void begin_copy(struct rig *r, uint64_t id, uint16_t shard)
{
    for (size_t i = 0; i < SERVE_COPIES_MAX; i++) {
        if (r->making[i].id != 0)
            continue;
        r->making[i].id = id;
        r->making[i].shard = shard;
        r->making[i].ready_at = r->now + (msec_t)rng_below(&r->rng, MAKING_MS);
        return;
    }
    fail_msg("more copies at once than may be");
}

static void serve_perform(struct rig *r, const struct serve_effects *effects, size_t fetcher,
                          uint64_t asker);

static void read_chunk(struct rig *r, const struct serve_effect *e, size_t fetcher, uint64_t asker)
{
    struct rig_file *f = find_file(r, e->copy.id);
    struct serve_effects more;
    if (!f) {
        serve_lost(r->serve, r->now, e->copy.id, &more);
        serve_perform(r, &more, fetcher, asker);
        return;
    }
    assert_true(e->offset + e->len <= f->data.len);
    struct bytes data = bytes_of(f->data.data + e->offset, e->len);
    struct transfer_answer a = {.type = TRANSFER_CHUNK_DATA,
                                .info.id = e->copy.id,
                                .offset = e->offset,
                                .sum = transfer_sum_chunk(e->copy.id, e->offset, data),
                                .data = data};
    struct buf body = {0};
    transfer_answer_encode(&a, &body);
    send(r, false, fetcher, asker, buf_bytes(&body));
    buf_free(&body);
}

static void serve_perform(struct rig *r, const struct serve_effects *effects, size_t fetcher,
                          uint64_t asker)
{
    for (size_t i = 0; i < effects->n; i++) {
        struct serve_effect e = effects->list[i];
        struct rig_file *f;
        struct buf body = {0};
        switch (e.type) {
        case SERVE_REPLY:
            transfer_answer_encode(&e.answer, &body);
            send(r, false, fetcher, asker, buf_bytes(&body));
            buf_free(&body);
            break;
        case SERVE_READ:
            read_chunk(r, &e, fetcher, asker);
            break;
        case SERVE_COPY:
            begin_copy(r, e.copy.id, e.shard);
            break;
        case SERVE_DROP:
            f = find_file(r, e.copy.id);
            if (f)
                drop_file(f);
            break;
        }
    }
    if (serve_copies(r->serve) > r->most_copies)
        r->most_copies = serve_copies(r->serve);
}

static void fill_copy(struct rig *r, struct rig_file *f, uint64_t id, uint16_t shard)
{
    *f = (struct rig_file){.id = id, .shard = shard};
    rig_content(shard, r->state[shard], r->state_bytes, &f->data);
    f->copy = (struct transfer_copy){.id = id,
                                     .applied = r->state[shard],
                                     .size = f->data.len,
                                     .chunk_bytes = TRANSFER_CHUNK_MIN};
    uint64_t sums[512];
    size_t n = (size_t)transfer_chunks(&f->copy);
    assert_true(n <= sizeof sums / sizeof *sums);
    for (size_t i = 0; i < n; i++) {
        uint64_t at = i * TRANSFER_CHUNK_MIN;
        sums[i] = transfer_sum_chunk(id, at,
                                     bytes_of(f->data.data + at, transfer_chunk_len(&f->copy, at)));
    }
    f->copy.sum = transfer_sum_whole(&f->copy, sums);
}

static void end_copies(struct rig *r)
{
    for (size_t i = 0; i < SERVE_COPIES_MAX; i++) {
        if (r->making[i].id == 0 || r->making[i].ready_at > r->now)
            continue;
        uint64_t id = r->making[i].id;
        r->making[i].id = 0;
        struct serve_effects effects;
        struct error full = {0};
        struct transfer_copy none = {.id = id};
        if (chance(r, r->faults.copy_fails)) {
            (void)error_set(&full, ERR_DISK_FULL, "no space");
            serve_copied(r->serve, r->now, &none, &full, &effects);
        } else {
            struct rig_file *f = find_file(r, 0);
            assert_non_null(f);
            fill_copy(r, f, id, r->making[i].shard);
            r->copies_made++;
            serve_copied(r->serve, r->now, &f->copy, NULL, &effects);
        }
        serve_perform(r, &effects, 0, 0);
    }
}

static void start_sender(struct rig *r)
{
    struct serve_options o = r->serve_options;
    o.seed = rng_u64(&r->rng);
    r->serve = serve_new(&o);
    assert_non_null(r->serve);
    r->sender_starts++;
    for (size_t i = 0; i < RIG_FILES; i++) {
        struct rig_file *f = &r->files[i];
        if (f->id != 0 && !serve_adopt(r->serve, r->now, f->shard, &f->copy))
            drop_file(f);
    }
}

void rig_restart_sender(struct rig *r, bool with_files)
{
    serve_free(r->serve);
    memset(r->making, 0, sizeof r->making);
    for (size_t i = 0; i < RIG_FILES && !with_files; i++)
        drop_file(&r->files[i]);
    start_sender(r);
}

/* --- fetchers --- */

static void fetch_perform(struct rig *r, size_t no, const struct fetch_effects *effects);

static void write_chunk(struct rig *r, size_t no, const struct fetch_effect *e)
{
    struct rig_fetcher *f = &r->fetchers[no];
    struct fetch_effects more;
    if (chance(r, r->faults.disk_full))
        f->full_until = r->now + 5000;
    bool ok = f->full_until <= r->now;
    if (ok) {
        while (f->file.len < e->offset + e->data.len)
            buf_put_u8(&f->file, 0);
        memcpy(f->file.data + e->offset, e->data.data, e->data.len);
    }
    fetch_written(f->core, r->now, e->offset, ok, &more);
    fetch_perform(r, no, &more);
}

static void fetch_perform(struct rig *r, size_t no, const struct fetch_effects *effects)
{
    struct rig_fetcher *f = &r->fetchers[no];
    struct fetch_effect list[FETCH_WINDOW_MAX + 8];
    size_t n = effects->n;
    assert_true(n <= sizeof list / sizeof *list);
    if (n > 0)
        memcpy(list, effects->list, n * sizeof *list);
    for (size_t i = 0; i < n; i++) {
        const struct fetch_effect *e = &list[i];
        struct buf body = {0};
        assert_false(f->done || f->failed);
        switch (e->type) {
        case FETCH_SEND:
            transfer_ask_encode(&e->ask, &body);
            send(r, true, no, f->asker, buf_bytes(&body));
            buf_free(&body);
            break;
        case FETCH_BEGIN:
            buf_reset(&f->file);
            f->starts++;
            break;
        case FETCH_WRITE:
            write_chunk(r, no, e);
            break;
        case FETCH_DONE:
            f->done = true;
            f->got = *e->copy;
            break;
        case FETCH_FAILED:
            f->failed = true;
            f->error = *e->error;
            break;
        }
    }
}

void rig_start_fetch(struct rig *r, size_t no, uint16_t shard, uint64_t at_least)
{
    struct rig_fetcher *f = &r->fetchers[no];
    struct fetch_effects effects;
    if (no >= r->n_fetchers)
        r->n_fetchers = no + 1;
    fetch_free(f->core);
    buf_free(&f->file);
    struct fetch_options o = r->fetch_options;
    o.at_least = at_least;
    o.node = (uint16_t)(no + 1);
    *f = (struct rig_fetcher){
        .core = fetch_new(&o), .asker = rng_u64(&r->rng), .shard = shard, .at_least = at_least};
    assert_non_null(f->core);
    fetch_start(f->core, r->now, &effects);
    fetch_perform(r, no, &effects);
}

/* --- the world --- */

static void deliver(struct rig *r, size_t at)
{
    struct rig_message m = r->flying[at];
    r->flying[at] = r->flying[--r->n_flying];
    if (m.to_sender) {
        struct serve_effects effects;
        serve_request(r->serve, r->now, r->fetchers[m.fetcher].shard, m.asker, buf_bytes(&m.body),
                      &effects);
        serve_perform(r, &effects, m.fetcher, m.asker);
    } else if (r->fetchers[m.fetcher].asker == m.asker) {
        struct fetch_effects effects;
        fetch_receive(r->fetchers[m.fetcher].core, r->now, buf_bytes(&m.body), &effects);
        fetch_perform(r, m.fetcher, &effects);
    }
    buf_free(&m.body);
}

static void tick(struct rig *r)
{
    if (serve_next_timeout(r->serve) <= r->now) {
        struct serve_effects effects;
        serve_tick(r->serve, r->now, &effects);
        serve_perform(r, &effects, 0, 0);
        assert_true(serve_next_timeout(r->serve) > r->now);
    }
    for (size_t i = 0; i < r->n_fetchers; i++) {
        struct fetch_effects effects;
        if (fetch_next_timeout(r->fetchers[i].core) > r->now)
            continue;
        fetch_tick(r->fetchers[i].core, r->now, &effects);
        fetch_perform(r, i, &effects);
        assert_true(fetch_next_timeout(r->fetchers[i].core) > r->now);
    }
}

static void maybe_break(struct rig *r)
{
    if (chance(r, r->faults.sender_restarts))
        rig_restart_sender(r, !chance(r, r->faults.sender_loses_files));
    if (r->n_fetchers > 0 && chance(r, r->faults.fetcher_restarts)) {
        size_t no = rng_below(&r->rng, r->n_fetchers);
        struct rig_fetcher *f = &r->fetchers[no];
        if (!f->done && !f->failed)
            rig_start_fetch(r, no, f->shard, f->at_least);
    }
}

void rig_step(struct rig *r)
{
    r->now += 1 + (msec_t)rng_below(&r->rng, 4);
    maybe_break(r);
    end_copies(r);
    for (size_t i = 0; i < r->n_flying;) {
        if (r->flying[i].at <= r->now)
            deliver(r, i);
        else
            i++;
    }
    tick(r);
}

bool rig_run(struct rig *r, msec_t until)
{
    for (;;) {
        size_t over = 0;
        for (size_t i = 0; i < r->n_fetchers; i++)
            over += r->fetchers[i].done || r->fetchers[i].failed;
        if (over == r->n_fetchers)
            return true;
        if (r->now >= until)
            return false;
        rig_step(r);
    }
}

void rig_check_done(struct rig *r, size_t no)
{
    struct rig_fetcher *f = &r->fetchers[no];
    struct buf want = {0};
    if (f->failed)
        fail_msg("fetch %zu gave up: %s", no, f->error.msg);
    assert_true(f->done);
    assert_true(f->got.applied >= f->at_least);
    rig_content(f->shard, f->got.applied, r->state_bytes, &want);
    assert_true(bytes_equal(buf_bytes(&want), buf_bytes(&f->file)));
    buf_free(&want);
}

void rig_open(struct rig *r, uint64_t seed, size_t state_bytes)
{
    *r = (struct rig){.rng = rng_of_seed(seed), .now = 1000, .state_bytes = state_bytes};
    for (size_t i = 0; i < RIG_SHARDS; i++)
        r->state[i] = 100;
    r->fetch_options.size_max = UINT64_C(1) << 40;
    start_sender(r);
}

void rig_close(struct rig *r)
{
    for (size_t i = 0; i < r->n_flying; i++)
        buf_free(&r->flying[i].body);
    for (size_t i = 0; i < RIG_FETCHERS; i++) {
        fetch_free(r->fetchers[i].core);
        buf_free(&r->fetchers[i].file);
    }
    for (size_t i = 0; i < RIG_FILES; i++)
        drop_file(&r->files[i]);
    serve_free(r->serve);
}
