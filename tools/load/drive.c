#include <load/drive.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/time.h>

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
};

struct drive {
    struct oneid_client *client;
    const struct drive_options *o;
    const struct drive_source *source;
    struct drive_report *report;
    struct slot *slots, *free;
    uint32_t in_flight;
    usec_t began, measure_from, last_answer;
    double cpu_from;
    bool measuring, ended;
    bool ready;  /* a request was made and not yet sent */
    bool closed; /* after a second interrupt: what still comes is only cancelled */
};

static double cpu_seconds(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static unsigned place_of_code(enum oneid_code code)
{
    unsigned place = (unsigned)code;
    return place < DRIVE_CODES ? place : ONEID_ERR_INTERNAL;
}

static void count_answer(struct drive *d, const struct oneid_result *r, usec_t latency)
{
    struct drive_report *out = d->report;
    out->answered++;
    out->codes[place_of_code(r->code)]++;
    out->duplicates += r->duplicate;
    out->partial += r->partial;
    out->refused += r->n_refused > 0;
    histogram_record(&out->latency_us, latency > 0 ? (uint64_t)latency : 0);
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
        count_answer(d, r, now - s->start);
    if (d->source->answered)
        d->source->answered(d->source->ctx, r);
    s->next_free = d->free;
    d->free = s;
    d->in_flight--;
}

static bool is_over(const struct drive *d, usec_t now)
{
    return interrupts || (d->o->duration_us && now - d->began >= d->o->duration_us) ||
           (d->o->requests && d->report->sent >= d->o->requests);
}

/* When the next request is due; in a closed loop, now. */
static usec_t due_at(const struct drive *d, usec_t now)
{
    if (d->o->rate <= 0)
        return now;
    return d->began + (usec_t)((double)d->report->sent / d->o->rate * 1e6);
}

static void note_not_sent(struct drive *d, enum oneid_code code)
{
    d->report->sent++;
    d->report->answered++;
    d->report->codes[place_of_code(code)]++;
}

/* False: no more room for now. */
static bool send_one(struct drive *d, usec_t now, usec_t due)
{
    struct slot *s = d->free;
    if (!s)
        return false;
    s->start = due;
    enum oneid_code code =
        d->source->send(d->source->ctx, d->client, d->o->deadline_ms, on_answer, s);
    if (code == ONEID_ERR_BUSY)
        return false;
    d->ready = false;
    if (code) {
        note_not_sent(d, code);
        return true;
    }
    d->free = s->next_free;
    d->in_flight++;
    d->report->sent++;
    if (now - due > d->report->behind_us)
        d->report->behind_us = now - due;
    return true;
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
        if (!d->ready && !d->source->next(d->source->ctx)) {
            d->ended = true;
            return;
        }
        d->ready = true;
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

static void begin_measuring(struct drive *d, usec_t now)
{
    uint64_t sent = d->report->sent;
    memset(d->report, 0, sizeof *d->report);
    d->report->sent = sent;
    d->cpu_from = cpu_seconds();
    d->measuring = true;
    d->measure_from = now;
}

static void loop(struct drive *d)
{
    while (interrupts < 2) {
        usec_t now = clock_mono_us();
        if (!d->measuring && now - d->began >= d->o->warmup_us)
            begin_measuring(d, now);
        send_what_is_due(d, now);
        if (d->ended && d->in_flight == 0)
            break;
        turn(d);
    }
}

static void finish(struct drive *d)
{
    struct drive_report *out = d->report;
    usec_t end = out->answered ? d->last_answer : clock_mono_us();
    out->elapsed_us = end > d->measure_from ? end - d->measure_from : 1;
    out->cpu_s = cpu_seconds() - d->cpu_from;
    out->interrupted = interrupts > 0;
}

bool drive_run(struct oneid_client *c, const struct drive_options *o, const struct drive_source *s,
               struct drive_report *out)
{
    struct drive d = {.client = c, .o = o, .source = s, .report = out};
    struct sigaction on = {.sa_handler = on_interrupt}, before_int, before_term;
    memset(out, 0, sizeof *out);
    d.slots = calloc(o->in_flight, sizeof *d.slots);
    if (!d.slots) {
        oneid_close(c);
        return false;
    }
    for (uint32_t i = o->in_flight; i-- > 0;) {
        d.slots[i] = (struct slot){.drive = &d, .next_free = d.free};
        d.free = &d.slots[i];
    }
    interrupts = 0;
    sigemptyset(&on.sa_mask);
    sigaction(SIGINT, &on, &before_int);
    sigaction(SIGTERM, &on, &before_term);
    d.began = d.measure_from = clock_mono_us();
    d.cpu_from = cpu_seconds();
    loop(&d);
    finish(&d);
    sigaction(SIGINT, &before_int, NULL);
    sigaction(SIGTERM, &before_term, NULL);
    d.closed = true;
    oneid_close(c);
    free(d.slots);
    return true;
}
