#include "load_rig.h"

#include <base/rng.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { INTERVAL_US = 100000, PER_INTERVAL = 400 };

static void answer(struct measure *m, struct recorder *rec, struct rng *r, unsigned i)
{
    static const enum op ops[] = {OP_INGEST, OP_GET, OP_COUNT};
    enum op op = ops[rng_below(r, 3)];
    uint64_t us = rng_u64(r) >> (44 + rng_below(r, 12));
    struct tally *t = &m->kinds[op];
    bool fails = i % 50 == 0;
    histogram_record(&t->latency_us, us);
    t->answered++;
    t->codes[fails ? ONEID_ERR_TIMEOUT : ONEID_OK]++;
    t->duplicates += op == OP_INGEST && i % 97 == 0;
    recorder_answer(rec, op, (usec_t)us, fails);
}

void rig_result(struct result *out, uint64_t seed, unsigned intervals, msec_t began_ms)
{
    struct rng r = rng_of_seed(seed);
    struct recorder rec;
    *out = (struct result){.command = "run",
                           .mix = "ingest=1,get=1,count=1",
                           .skew = "zipf:0.99",
                           .in_flight = 32,
                           .warmup_s = 0.5,
                           .host = {"a processor", "an OS", "a kernel", 2, 1 << 30}};
    out->line = strdup("oneid-load run '--mix' \"<&>\"");
    struct measure *m = &out->measure;
    assert_true(measure_open(m, 7, INTERVAL_US) && recorder_open(&rec, &m->series, 0, 0));
    for (unsigned i = 0; i < intervals * PER_INTERVAL; i++) {
        usec_t now = (usec_t)i * INTERVAL_US / PER_INTERVAL;
        recorder_turn(&rec, now, i % 32, (double)now / 4e6);
        answer(m, &rec, &r, i);
        m->sent++;
    }
    recorder_finish(&rec, (usec_t)intervals * INTERVAL_US, 0.25);
    recorder_close(&rec);
    m->began_ms = began_ms;
    m->from_ms = began_ms + 500;
    m->elapsed_us = (usec_t)intervals * INTERVAL_US - 500000;
    m->cpu_s = 0.125 * (double)seed;
    m->busiest = 0.5;
    m->behind_us = 12345;
}

static void assert_same_tally(const struct tally *a, const struct tally *b)
{
    const struct histogram *x = &a->latency_us, *y = &b->latency_us;
    assert_int_equal(a->answered, b->answered);
    assert_memory_equal(a->codes, b->codes, sizeof a->codes);
    assert_int_equal(a->duplicates, b->duplicates);
    assert_int_equal(a->partial, b->partial);
    assert_int_equal(a->refused, b->refused);
    assert_int_equal(x->bits, y->bits);
    assert_int_equal(x->n, y->n);
    assert_int_equal(x->sum, y->sum);
    assert_int_equal(x->min, y->min);
    assert_int_equal(x->max, y->max);
    assert_memory_equal(x->counts, y->counts, histogram_buckets(x) * sizeof *x->counts);
}

static void assert_same_cell(const struct series_cell *a, const struct series_cell *b)
{
    assert_int_equal(a->answered, b->answered);
    assert_int_equal(a->errors, b->errors);
    assert_int_equal(a->max_us, b->max_us);
    assert_int_equal(a->n_buckets, b->n_buckets);
    if (a->n_buckets)
        assert_memory_equal(a->buckets, b->buckets, a->n_buckets * sizeof *a->buckets);
}

static void assert_same_series(const struct series *a, const struct series *b)
{
    assert_int_equal(a->interval_us, b->interval_us);
    assert_int_equal(a->n, b->n);
    for (size_t i = 0; i < a->n; i++) {
        assert_int_equal(a->points[i].in_flight, b->points[i].in_flight);
        assert_int_equal(a->points[i].behind_us, b->points[i].behind_us);
        assert_true(a->points[i].cpu_s == b->points[i].cpu_s);
        for (unsigned k = 0; k < OP_KINDS; k++)
            assert_same_cell(&a->points[i].cells[k], &b->points[i].cells[k]);
    }
}

void rig_assert_same(const struct result *a, const struct result *b)
{
    const struct measure *x = &a->measure, *y = &b->measure;
    assert_string_equal(a->command, b->command);
    assert_string_equal(a->mix, b->mix);
    assert_string_equal(a->skew, b->skew);
    assert_string_equal(a->line, b->line);
    assert_string_equal(a->host.cpu, b->host.cpu);
    assert_string_equal(a->host.os, b->host.os);
    assert_string_equal(a->host.kernel, b->host.kernel);
    assert_int_equal(a->host.cores, b->host.cores);
    assert_int_equal(a->host.memory_bytes, b->host.memory_bytes);
    assert_int_equal(a->in_flight, b->in_flight);
    assert_true(a->rate == b->rate && a->warmup_s == b->warmup_s);
    assert_int_equal(a->n_notes, b->n_notes);
    assert_int_equal(x->from_ms, y->from_ms);
    assert_int_equal(x->began_ms, y->began_ms);
    assert_int_equal(x->elapsed_us, y->elapsed_us);
    assert_int_equal(x->sent, y->sent);
    assert_int_equal(x->behind_us, y->behind_us);
    assert_int_equal(x->full, y->full);
    assert_int_equal(x->processes, y->processes);
    assert_int_equal(x->interrupted, y->interrupted);
    assert_int_equal(x->ended, y->ended);
    assert_true(x->cpu_s == y->cpu_s && x->busiest == y->busiest);
    for (unsigned i = 0; i < OP_KINDS; i++)
        assert_same_tally(&x->kinds[i], &y->kinds[i]);
    assert_same_series(&x->series, &y->series);
}
