/* What a router shows to Prometheus, and whether it serves. On the HTTP port's thread: reads
 * nothing but figures that are atomics. */
#include "parts.h"

#include <proto/security.h>

#include <stdio.h>
#include <string.h>

enum { STILL_MS = 5000 }; /* its loop turns many times a second */

/* "NOT_FOUND" to "not_found". */
static void lower(const char *name, char *out, size_t size)
{
    size_t i = 0;
    for (; name[i] && i + 1 < size; i++)
        out[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] + 'a' - 'A' : name[i]);
    out[i] = '\0';
}

static void show_gauge(struct buf *out, const char *name, const char *help, uint64_t v)
{
    metrics_family(out, name, METRIC_GAUGE, help);
    metrics_value(out, name, "", v);
}

static void show_counter(struct buf *out, const char *name, const char *help, const metric *m)
{
    metrics_family(out, name, METRIC_COUNTER, help);
    metrics_value(out, name, "", metric_read(m));
}

/* All types with the outcome ok, so that rates begin at 0; other outcomes once they have come. */
static void show_requests(const struct router_figures *f, struct buf *out)
{
    static const char NAME[] = "oneid_router_requests_total";
    char type[32], outcome[32], labels[96];
    metrics_family(out, NAME, METRIC_COUNTER, "Requests of clients that were answered");
    for (unsigned t = 1; t < REQUEST_TYPE_END; t++) {
        lower(request_type_name((enum request_type)t), type, sizeof type);
        for (unsigned code = 0; code < ERROR_CODES; code++) {
            uint64_t n = metric_read(&f->requests[t][code]);
            if (n == 0 && code != ERR_OK)
                continue;
            lower(error_name((enum error_code)code), outcome, sizeof outcome);
            (void)snprintf(labels, sizeof labels, "type=\"%s\",outcome=\"%s\"", type, outcome);
            metrics_value(out, NAME, labels, n);
        }
    }
}

static void show_latencies(const struct router_figures *f, struct buf *out)
{
    static const char NAME[] = "oneid_router_request_seconds";
    char type[32], labels[48];
    metrics_family(out, NAME, METRIC_HISTOGRAM,
                   "From a request's arrival to its answer, to a turn of the router's loop");
    for (unsigned t = 1; t < REQUEST_TYPE_END; t++) {
        lower(request_type_name((enum request_type)t), type, sizeof type);
        (void)snprintf(labels, sizeof labels, "type=\"%s\"", type);
        metrics_latency(out, NAME, labels, &f->latency[t]);
    }
}

static void show_batches(const struct router_figures *f, struct buf *out)
{
    static const char NAME[] = "oneid_router_batches_total";
    static const char *const NAMES[] = {"write", "read",       "query",
                                        "watch", "stale_read", "stale_query"};
    _Static_assert(sizeof NAMES / sizeof *NAMES == LANES, "a lane without a name");
    char labels[32];
    metrics_family(out, NAME, METRIC_COUNTER, "Messages to shards");
    for (size_t i = 0; i < LANES; i++) {
        (void)snprintf(labels, sizeof labels, "lane=\"%s\"", NAMES[i]);
        metrics_value(out, NAME, labels, metric_read(&f->batches[i]));
    }
}

static void show_cache(const struct router_figures *f, struct buf *out)
{
    static const char NAME[] = "oneid_router_cache_lookups_total";
    metrics_family(out, NAME, METRIC_COUNTER, "Identities looked up in the cache");
    metrics_value(out, NAME, "result=\"hit\"", metric_read(&f->hits));
    metrics_value(out, NAME, "result=\"miss\"", metric_read(&f->misses));
}

static void show_security(const struct net *net, struct buf *out)
{
    const struct security_counters *c = security_counters(net); /* NULL: plain, nothing counted */
    char name[64];
#define X(field, what)                                                                             \
    (void)snprintf(name, sizeof name, "oneid_security_%s_total", #field);                          \
    metrics_family(out, name, METRIC_COUNTER, "Security: " what);                                  \
    metrics_value(out, name, "", c ? c->field : 0);
    SECURITY_COUNTERS(X)
#undef X
}

void figures_show(void *router, struct buf *out)
{
    const struct router *r = router;
    const struct router_figures *f = &r->figures;
    show_gauge(out, "oneid_router_up_seconds", "Since the router began",
               (uint64_t)(clock_mono_ms() - r->serving_since) / 1000);
    show_gauge(out, "oneid_router_is_serving", "1: it has a cluster map that its nodes agree on",
               metric_read(&f->is_serving));
    show_gauge(out, "oneid_router_map_epoch", "Epoch of its cluster map",
               metric_read(&f->map_epoch));
    show_gauge(out, "oneid_router_requests_in_flight", "Requests without an answer, sweeps as well",
               metric_read(&f->in_flight));
    show_gauge(out, "oneid_router_requests_in_flight_limit", "At half of it clients have to wait",
               TASKS_MAX);
    show_counter(out, "oneid_router_refused_messages_total", "Malformed messages", &f->refused);
    show_counter(out, "oneid_router_maps_refused_total",
                 "Cluster maps of nodes that do not fit the cluster file", &f->maps_refused);
    show_counter(out, "oneid_router_leader_moves_total",
                 "Times that another replica of a shard was taken for its leader", &f->moves);
    show_counter(out, "oneid_router_commands_total", "Commands sent to shards", &f->sends);
    show_counter(out, "oneid_router_resends_total", "Of these, sent because a time was up",
                 &f->resends);
    show_counter(out, "oneid_router_commands_held_back_total",
                 "Commands not sent: the shard has too much before it", &f->held_back);
    show_counter(out, "oneid_router_batches_lost_total", "Messages that could not be sent",
                 &f->batches_lost);
    show_batches(f, out);
    show_cache(f, out);
    show_security(r->net, out);
    show_requests(f, out);
    show_latencies(f, out);
}

static void say(struct buf *out, const char *text)
{
    buf_put(out, text, strlen(text));
}

bool figures_is_serving(void *router, struct buf *out)
{
    const struct router_figures *f = &((const struct router *)router)->figures;
    if (clock_mono_ms() - (msec_t)metric_read(&f->turned_ms) > STILL_MS) {
        say(out, "its loop stands still");
        return false;
    }
    if (!metric_read(&f->is_serving)) {
        say(out, "no cluster map that its nodes agree on");
        return false;
    }
    return true;
}
