#include <load/drive.h>

#include <signal.h>
#include <stdlib.h>
#include <sys/select.h>
#include <time.h>

static volatile sig_atomic_t interrupts;

static void on_interrupt(int number)
{
    (void)number;
    interrupts++;
}

struct drive;

struct slot {
    struct drive *drive;
    struct slot *next_free;
    usec_t start; /* when it was sent, or due */
    enum op op;
    uint64_t tag;
};

struct drive {
    struct oneid_client *client;
    const struct drive_options *o;
    const struct drive_source *source;
    struct measure *measure;
    struct recorder recorder;
    struct slot *slots, *free;
    uint32_t in_flight;
    usec_t began, measure_from, last_answer;
    double cpu_from, thread_from;
    bool measuring, ended;
    enum op ready; /* of a request that was made and not yet sent; OP_KINDS: there is none */
    uint64_t ready_tag;
    bool closed; /* after a second interrupt: what still comes is only cancelled */
};

static double cpu_seconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static unsigned place_of_code(enum oneid_code code)
{
    unsigned place = (unsigned)code;
    return place < MEASURE_CODES ? place : ONEID_ERR_INTERNAL;
}

static void count_answer(struct tally *t, const struct oneid_result *r, usec_t latency)
{
    t->answered++;
    t->codes[place_of_code(r->code)]++;
    t->duplicates += r->duplicate;
    t->partial += r->partial;
    t->refused += r->n_refused > 0;
    histogram_record(&t->latency_us, latency > 0 ? (uint64_t)latency : 0);
}

static void on_answer(void *ctx, const struct oneid_result *r)
{
    struct slot *s = ctx;
    struct drive *d = s->drive;
    usec_t now = clock_mono_us();
    if (d->closed)
        return;
    d->last_answer = now;
    if (now >= d->measure_from)
        count_answer(&d->measure->kinds[s->op], r, now - s->start);
    recorder_answer(&d->recorder, s->op, now - s->start, r->code != ONEID_OK);
    if (d->source->answered)
        d->source->answered(d->source->ctx, s->op, s->tag, r);
    s->next_free = d->free;
    d->free = s;
    d->in_flight--;
}

static bool is_over(const struct drive *d, usec_t now)
{
    return interrupts || (d->o->duration_us && now - d->began >= d->o->duration_us) ||
           (d->o->requests && d->measure->sent >= d->o->requests);
}

/* When the next request is due; in a closed loop, now. */
static usec_t due_at(const struct drive *d, usec_t now)
{
    if (d->o->rate <= 0)
        return now;
    return d->began + (usec_t)(((double)d->measure->sent + d->o->phase) / d->o->rate * 1e6);
}

static void note_not_sent(struct drive *d, enum oneid_code code)
{
    struct tally *t = &d->measure->kinds[d->ready];
    d->measure->sent++;
    t->answered++;
    t->codes[place_of_code(code)]++;
}

static void note_late(struct drive *d, usec_t late)
{
    if (late > d->measure->behind_us)
        d->measure->behind_us = late;
    recorder_late(&d->recorder, late);
}

/* False: no more room for now. */
static bool send_one(struct drive *d, usec_t now, usec_t due)
{
    struct slot *s = d->free;
    if (!s)
        return false;
    s->start = due;
    s->op = d->ready;
    s->tag = d->ready_tag;
    enum oneid_code code =
        d->source->send(d->source->ctx, d->client, d->o->deadline_ms, on_answer, s);
    if (code == ONEID_ERR_BUSY)
        return false;
    if (code) {
        note_not_sent(d, code);
    } else {
        d->free = s->next_free;
        d->in_flight++;
        d->measure->sent++;
        note_late(d, now - due);
    }
    d->ready = OP_KINDS;
    return true;
}

static bool make_ready(struct drive *d)
{
    if (d->ready == OP_KINDS) {
        d->ready_tag = 0;
        d->ready = d->source->next(d->source->ctx, &d->ready_tag);
    }
    return d->ready != OP_KINDS;
}

static void send_what_is_due(struct drive *d, usec_t now)
{
    while (!d->ended) {
        usec_t due = due_at(d, now);
        if (is_over(d, now)) {
            d->ended = true;
            return;
        }
        if (due > now)
            return;
        if (!d->free) {
            d->measure->full += d->o->rate > 0;
            note_late(d, now - due);
            return;
        }
        if (!make_ready(d)) {
            d->ended = d->measure->ended = true;
            return;
        }
        if (!send_one(d, now, due))
            return;
    }
}

/* Requests are due at microseconds and oneid_poll waits in milliseconds. */
static void wait_until(struct drive *d, usec_t due)
{
    int fd = oneid_fd(d->client);
    usec_t gap = due - clock_mono_us();
    int timer_ms = oneid_next_timeout_ms(d->client);
    if (timer_ms >= 0 && gap > (usec_t)timer_ms * 1000)
        gap = (usec_t)timer_ms * 1000;
    if (gap <= 0 || fd < 0 || fd >= FD_SETSIZE)
        return;
    fd_set readable;
    FD_ZERO(&readable);
    FD_SET(fd, &readable);
    struct timespec t = {.tv_sec = (time_t)(gap / 1000000),
                         .tv_nsec = (long)(gap % 1000000) * 1000};
    pselect(fd + 1, &readable, NULL, NULL, &t, NULL);
}

static void turn(struct drive *d)
{
    enum { WAIT_MS = 50 };
    if (d->o->rate <= 0 || d->ended || !d->free) {
        oneid_poll(d->client, WAIT_MS);
        return;
    }
    if (oneid_poll(d->client, 0) == 0)
        wait_until(d, due_at(d, 0));
}

/* What the warm-up has counted goes; the series keeps it. */
static void begin_measuring(struct drive *d, usec_t now)
{
    for (unsigned i = 0; i < OP_KINDS; i++)
        tally_reset(&d->measure->kinds[i]);
    d->measure->behind_us = 0;
    d->measure->full = 0;
    d->measure->from_ms = clock_wall_ms();
    d->cpu_from = cpu_seconds(CLOCK_PROCESS_CPUTIME_ID);
    d->thread_from = cpu_seconds(CLOCK_THREAD_CPUTIME_ID);
    d->measuring = true;
    d->measure_from = now;
}

static void wait_for_start(struct drive *d)
{
    while (clock_mono_us() < d->o->start_us && !interrupts)
        if (oneid_poll(d->client, 0) == 0)
            wait_until(d, d->o->start_us);
}

static void loop(struct drive *d)
{
    while (interrupts < 2) {
        usec_t now = clock_mono_us();
        if (!d->measuring && now - d->began >= d->o->warmup_us)
            begin_measuring(d, now);
        if (recorder_is_due(&d->recorder, now))
            recorder_turn(&d->recorder, now, d->in_flight, cpu_seconds(CLOCK_PROCESS_CPUTIME_ID));
        send_what_is_due(d, now);
        if (d->ended && d->in_flight == 0)
            break;
        turn(d);
    }
}

/* The thread that sends and the library's own that moves the bytes: either may be what binds. */
static double busiest_share(const struct drive *d, double cpu_s, usec_t elapsed_us)
{
    double sender = cpu_seconds(CLOCK_THREAD_CPUTIME_ID) - d->thread_from;
    double busier = sender > cpu_s - sender ? sender : cpu_s - sender;
    return busier / ((double)elapsed_us / 1e6);
}

static void finish(struct drive *d)
{
    struct measure *out = d->measure;
    usec_t now = clock_mono_us(), end = d->last_answer ? d->last_answer : now;
    double cpu_s = cpu_seconds(CLOCK_PROCESS_CPUTIME_ID);
    recorder_finish(&d->recorder, now, cpu_s);
    out->elapsed_us = end > d->measure_from ? end - d->measure_from : 1;
    out->cpu_s = cpu_s - d->cpu_from;
    out->busiest = busiest_share(d, out->cpu_s, now > d->measure_from ? now - d->measure_from : 1);
    out->interrupted = interrupts > 0;
}

static bool open_slots(struct drive *d)
{
    d->slots = calloc(d->o->in_flight, sizeof *d->slots);
    if (!d->slots)
        return false;
    for (uint32_t i = d->o->in_flight; i-- > 0;) {
        d->slots[i] = (struct slot){.drive = d, .next_free = d->free};
        d->free = &d->slots[i];
    }
    return true;
}

static bool run(struct drive *d)
{
    wait_for_start(d);
    d->began = d->measure_from = clock_mono_us();
    d->measure->began_ms = d->measure->from_ms = clock_wall_ms();
    d->cpu_from = cpu_seconds(CLOCK_PROCESS_CPUTIME_ID);
    d->thread_from = cpu_seconds(CLOCK_THREAD_CPUTIME_ID);
    if (!recorder_open(&d->recorder, &d->measure->series, d->began, d->cpu_from))
        return false;
    loop(d);
    finish(d);
    return !d->recorder.lost;
}

bool drive_run(struct oneid_client *c, const struct drive_options *o, const struct drive_source *s,
               struct measure *out)
{
    struct drive d = {.client = c, .o = o, .source = s, .measure = out, .ready = OP_KINDS};
    struct sigaction on = {.sa_handler = on_interrupt}, before_int, before_term;
    interrupts = 0;
    sigemptyset(&on.sa_mask);
    sigaction(SIGINT, &on, &before_int);
    sigaction(SIGTERM, &on, &before_term);
    bool ok = open_slots(&d) && run(&d);
    sigaction(SIGINT, &before_int, NULL);
    sigaction(SIGTERM, &before_term, NULL);
    d.closed = true;
    oneid_close(c);
    recorder_close(&d.recorder);
    free(d.slots);
    return ok;
}
