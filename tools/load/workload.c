#include <load/workload.h>

#include <gen/model.h>
#include <load/population.h>

#include <unistd.h>

/* --- whom --- */

/* The sampler of a growing population is made anew when that has grown by a sixteenth. */
static bool renew_sampler(struct workload *w)
{
    uint64_t n = w->from + w->answered.low;
    if (n > w->whom.n + w->whom.n / 16)
        sampler_init(&w->whom, &w->options->skew, n, w->options->seed);
    return w->whom.n > 0;
}

/* Fills in the event's identities. False: nobody is there yet. */
static bool choose_person(struct workload *w)
{
    if (!w->follows) {
        gen_who_of_person(&w->gen, sampler_draw(&w->whom, &w->rng), &w->rng, &w->event);
        return true;
    }
    if (!renew_sampler(w))
        return false;
    uint64_t n = sampler_draw(&w->whom, &w->rng);
    uint64_t place = n < w->from ? n : w->first + (n - w->from) * w->step;
    gen_who_at(&w->gen, place, &w->event);
    return true;
}

/* --- what --- */

static enum op make_ingest(struct workload *w)
{
    uint64_t place = w->first + w->sent * w->step;
    if (place >= w->gen.options.events)
        return OP_KINDS;
    gen_event_at(&w->gen, place, &w->event);
    load_event_of(&w->event, &w->form);
    w->sent++;
    return OP_INGEST;
}

static enum op make_update(struct workload *w)
{
    if (!choose_person(w))
        return make_ingest(w);
    gen_renew(&w->rng, w->run, w->updates++, &w->event);
    load_event_of(&w->event, &w->form);
    return OP_UPDATE;
}

static enum op make_read(struct workload *w, enum op op)
{
    if (!choose_person(w))
        return make_ingest(w);
    const struct gen_identity *id = &w->event.ids[0];
    w->id = (struct oneid_identity){gen_ns_names[id->ns], {id->value, id->len}};
    return op;
}

static enum op make_count(struct workload *w)
{
    const struct load_options *o = w->options;
    unsigned n = o->n_exprs ? o->n_exprs : gen_n_segments;
    unsigned i = w->next_expr++ % n;
    w->expr = o->n_exprs ? o->exprs[i] : gen_segments[i].text;
    return OP_COUNT;
}

static enum op make(struct workload *w, enum op op)
{
    switch (op) {
    case OP_INGEST:
        return make_ingest(w);
    case OP_UPDATE:
        return make_update(w);
    case OP_GET:
    case OP_RESOLVE:
        return make_read(w, op);
    case OP_COUNT:
        return make_count(w);
    case OP_KINDS:
        break;
    }
    return OP_KINDS;
}

static enum op workload_next(void *ctx, uint64_t *tag)
{
    struct workload *w = ctx;
    *tag = w->sent;
    w->op = make(w, mix_draw(&w->options->mix, &w->rng));
    return w->op;
}

/* Whom an answered event names can be asked for. */
static void workload_answered(void *ctx, enum op op, uint64_t tag, const struct oneid_result *r)
{
    struct workload *w = ctx;
    (void)r;
    if (op == OP_INGEST)
        watermark_end(&w->answered, tag);
}

static enum oneid_code workload_send(void *ctx, struct oneid_client *c, uint32_t deadline_ms,
                                     oneid_cb cb, void *cb_ctx)
{
    struct workload *w = ctx;
    switch (w->op) {
    case OP_INGEST:
    case OP_UPDATE:
        return oneid_submit_ingest(c, &w->form.event, deadline_ms, cb, cb_ctx);
    case OP_GET:
        return oneid_submit_profile(c, &w->id, 0, deadline_ms, cb, cb_ctx);
    case OP_RESOLVE:
        return oneid_submit_resolve(c, &w->id, deadline_ms, cb, cb_ctx);
    case OP_COUNT:
        return oneid_submit_count(c, w->expr, deadline_ms, cb, cb_ctx);
    case OP_KINDS:
        break;
    }
    return ONEID_ERR_USAGE;
}

struct drive_source workload_source(struct workload *w)
{
    const struct mix *m = &w->options->mix;
    bool asks = m->weight[OP_UPDATE] || m->weight[OP_GET] || m->weight[OP_RESOLVE];
    return (struct drive_source){w, workload_next, workload_send,
                                 w->follows && asks ? workload_answered : NULL};
}

/* --- */

static void place_share(struct workload *w, struct share share)
{
    const struct load_options *o = w->options;
    uint64_t parts = o->of_parts ? o->of_parts : 1, part = o->part ? o->part - 1 : 0;
    w->from = o->from;
    w->step = parts * share.of;
    w->first = o->from + part + parts * share.index;
}

enum error_code workload_init(struct workload *w, const struct load_options *o, struct share share,
                              struct error *err)
{
    int32_t today;
    *w = (struct workload){.options = o, .follows = o->mix.weight[OP_INGEST] > 0};
    enum error_code rc = population_init(o, &w->gen, &today, err);
    if (rc)
        return rc;
    if (o->from > w->gen.options.events)
        return error_set(err, ERR_USAGE, "--from: there are only %llu events",
                         (unsigned long long)w->gen.options.events);
    place_share(w, share);
    /* Other persons, and other message ids, in each run and process. */
    w->run = (uint64_t)clock_wall_ms() * 100000 + (uint64_t)getpid() % 100000;
    w->rng = rng_of_seed(w->run);
    if (!w->follows)
        sampler_init(&w->whom, &o->skew, w->gen.options.persons, o->seed);
    return ERR_OK;
}
