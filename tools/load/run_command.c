/* run: the load itself, by one process or several. */
#include <load/commands.h>
#include <load/output.h>
#include <load/processes.h>
#include <load/workload.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct run {
    const struct load_options *o;
    const struct cluster_config *cluster;
    const char *line;
};

/* The i-th of n even pieces of a whole number. */
static uint64_t piece(uint64_t whole, uint32_t i, uint32_t n)
{
    return whole / n + (i < whole % n);
}

/* The options of one of the processes. */
static struct load_options options_of_share(const struct load_options *o, struct share share)
{
    struct load_options mine = *o;
    mine.in_flight = (uint32_t)piece(o->in_flight, share.index, share.of);
    mine.requests = piece(o->requests, share.index, share.of);
    mine.rate = o->rate / share.of;
    return mine;
}

static struct drive_options drive_options_of(const struct load_options *o, struct share share)
{
    return (struct drive_options){.in_flight = o->in_flight,
                                  .rate = o->rate,
                                  .phase = (double)share.index / share.of,
                                  .duration_us = (usec_t)(o->duration_s * 1e6),
                                  .warmup_us = (usec_t)(o->warmup_s * 1e6),
                                  .requests = o->requests,
                                  .deadline_ms = o->deadline_ms};
}

static void describe(const struct run *r, const struct load_options *mine, struct result *out)
{
    snprintf(out->command, sizeof out->command, "%s", load_command_name(mine->command));
    snprintf(out->mix, sizeof out->mix, "%s", mine->mix_text);
    snprintf(out->skew, sizeof out->skew, "%s", mine->skew_text);
    out->line = strdup(r->line);
    out->in_flight = mine->in_flight;
    out->rate = mine->rate;
    out->warmup_s = mine->warmup_s;
    host_look(&out->host);
}

static enum error_code no_memory(const struct load_options *o, struct error *err)
{
    return error_set(err, ERR_NOMEM, "%u requests in flight", o->in_flight);
}

static enum error_code run_share(const struct run *r, struct share share,
                                 usec_t (*await)(void *ctx), void *await_ctx, struct result *out,
                                 struct error *err)
{
    struct load_options mine = options_of_share(r->o, share);
    struct drive_options d = drive_options_of(&mine, share);
    struct oneid_client *client;
    *out = (struct result){.in_flight = 0};
    struct workload *w = malloc(sizeof *w);
    if (!w || !measure_open(&out->measure, histogram_bits_of_digits(mine.digits),
                            (usec_t)mine.interval_ms * 1000)) {
        free(w);
        return no_memory(&mine, err);
    }
    describe(r, &mine, out);
    enum error_code rc = workload_init(w, &mine, share, err);
    if (!rc)
        rc = load_open_client(&mine, r->cluster, mine.in_flight, &client, err);
    if (!rc) {
        struct drive_source source = workload_source(w);
        d.start_us = await ? await(await_ctx) : 0;
        rc = drive_run(client, &d, &source, &out->measure) ? ERR_OK : no_memory(&mine, err);
    }
    free(w);
    return rc;
}

static enum error_code run_worker(void *ctx, uint32_t index, usec_t (*await)(void *await_ctx),
                                  void *await_ctx, struct result *out, struct error *err)
{
    const struct run *r = ctx;
    struct share share = {index, r->o->processes};
    return run_share(r, share, await, await_ctx, out, err);
}

/* 0: well; 1: errors, or answers that were not whole. */
static int status_of(const struct result *r)
{
    for (unsigned i = 0; i < OP_KINDS; i++)
        if (tally_errors(&r->measure.kinds[i]) || r->measure.kinds[i].partial)
            return 1;
    return 0;
}

int load_run(const struct load_options *o, const struct cluster_config *c, const char *line)
{
    struct run r = {o, c, line};
    struct worker worker = {&r, run_worker};
    struct result result;
    struct error err = {0};
    if (output_check(o, &err))
        return load_fail(&err);
    enum error_code rc = o->processes > 1
                             ? processes_run(o->processes, &worker, &result, &err)
                             : run_share(&r, (struct share){0, 1}, NULL, NULL, &result, &err);
    if (!rc)
        rc = output_result(o, &result, &err);
    int status = rc ? load_fail(&err) : status_of(&result);
    result_close(&result);
    return status;
}
