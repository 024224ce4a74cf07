/* ingest, get and count: what each sends; the drive does the rest. */
#include <base/rng.h>
#include <gen/model.h>
#include <load/commands.h>
#include <load/drive.h>
#include <load/event.h>
#include <load/population.h>
#include <load/report.h>

#include <errno.h>
#include <stdio.h>

static bool write_histogram(const char *path, const struct histogram *h)
{
    FILE *out = fopen(path, "w");
    if (!out)
        return false;
    histogram_print(h, out);
    return fclose(out) == 0;
}

static int report(const struct load_options *o, const struct report_head *head,
                  const struct drive_report *r)
{
    struct error err = {0};
    if (o->json)
        report_print_json(stdout, head, r);
    else
        report_print(stdout, head, r);
    if (o->hist && !write_histogram(o->hist, &r->latency_us)) {
        error_set_sys(&err, ERR_IO, errno, "%s", o->hist);
        return load_fail(&err);
    }
    return report_errors(r) || r->partial ? 1 : 0;
}

static int drive(const struct load_options *o, const struct cluster_config *c, const char *command,
                 const struct drive_source *source)
{
    struct drive_options d = {.in_flight = o->in_flight,
                              .rate = o->rate,
                              .duration_us = (usec_t)(o->duration_s * 1e6),
                              .warmup_us = (usec_t)(o->warmup_s * 1e6),
                              .requests = o->requests,
                              .deadline_ms = o->deadline_ms};
    /* static: a histogram is 34 KB and there is one drive in a process */
    static struct drive_report r;
    struct oneid_client *client = load_connect(o, c, o->in_flight);
    if (!client)
        return 2;
    if (!drive_run(client, &d, source, &r)) {
        struct error err = {0};
        error_set(&err, ERR_NOMEM, "%u requests in flight", o->in_flight);
        return load_fail(&err);
    }
    struct report_head head = {command, o->in_flight, o->rate};
    return report(o, &head, &r);
}

/* --- ingest --- */

struct ingest {
    struct gen gen;
    uint64_t step; /* every so many-th event is ours */
    struct gen_event event;
    struct load_event form;
};

static bool ingest_next(void *ctx)
{
    struct ingest *s = ctx;
    if (s->gen.next >= s->gen.options.events)
        return false;
    gen_event_at(&s->gen, s->gen.next, &s->event);
    s->gen.next += s->step;
    load_event_of(&s->event, &s->form);
    return true;
}

static enum oneid_code ingest_send(void *ctx, struct oneid_client *c, uint32_t deadline_ms,
                                   oneid_cb cb, void *cb_ctx)
{
    struct ingest *s = ctx;
    return oneid_submit_ingest(c, &s->form.event, deadline_ms, cb, cb_ctx);
}

int load_ingest(const struct load_options *o, const struct cluster_config *c)
{
    struct ingest s = {.step = o->of_parts ? o->of_parts : 1};
    struct error err = {0};
    int32_t today;
    if (population_init(o, &s.gen, &today, &err))
        return load_fail(&err);
    s.gen.next = o->part ? o->part - 1 : 0;
    return drive(o, c, "ingest", &(struct drive_source){&s, ingest_next, ingest_send, NULL});
}

/* --- get --- */

struct get {
    struct gen gen;
    struct rng rng;
    struct oneid_identity id;
    char value[GEN_VALUE_MAX];
};

/* A person's first identity is named by the first event of its first part. */
static bool get_next(void *ctx)
{
    struct get *s = ctx;
    struct gen_person p;
    gen_person_of(&s->gen, rng_below(&s->rng, s->gen.options.persons), &p);
    s->id.ns = gen_ns_names[p.ns[0]];
    s->id.value = (struct oneid_str){s->value, gen_identity_value(&s->gen, &p, 0, s->value)};
    return true;
}

static enum oneid_code get_send(void *ctx, struct oneid_client *c, uint32_t deadline_ms,
                                oneid_cb cb, void *cb_ctx)
{
    struct get *s = ctx;
    return oneid_submit_profile(c, &s->id, 0, deadline_ms, cb, cb_ctx);
}

int load_get(const struct load_options *o, const struct cluster_config *c)
{
    struct get s = {.rng = rng_of_seed((uint64_t)clock_wall_ms())};
    struct error err = {0};
    int32_t today;
    if (population_init(o, &s.gen, &today, &err))
        return load_fail(&err);
    return drive(o, c, "get", &(struct drive_source){&s, get_next, get_send, NULL});
}

/* --- count --- */

struct count {
    const struct load_options *o;
    unsigned next;
    const char *expr;
};

static bool count_next(void *ctx)
{
    struct count *s = ctx;
    unsigned n = s->o->n_exprs ? s->o->n_exprs : gen_n_segments;
    unsigned i = s->next++ % n;
    s->expr = s->o->n_exprs ? s->o->exprs[i] : gen_segments[i].text;
    return true;
}

static enum oneid_code count_send(void *ctx, struct oneid_client *c, uint32_t deadline_ms,
                                  oneid_cb cb, void *cb_ctx)
{
    struct count *s = ctx;
    return oneid_submit_count(c, s->expr, deadline_ms, cb, cb_ctx);
}

int load_count(const struct load_options *o, const struct cluster_config *c)
{
    struct count s = {.o = o};
    return drive(o, c, "count", &(struct drive_source){&s, count_next, count_send, NULL});
}
