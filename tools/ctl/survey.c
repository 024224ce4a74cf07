#include "survey.h"

#include "session.h"

#include <base/clock.h>

#include <stdio.h>

enum { PROBE_MS = 3000 }; /* for each router, where there are several */

static void probe(struct survey *v, const struct options *o, struct router_state *r, bool stats)
{
    struct options mine = *o;
    struct session s = {0};
    if (v->n_routers > 1 && mine.deadline_ms > PROBE_MS)
        mine.deadline_ms = PROBE_MS;
    mine.routers[0] = r->endpoint;
    mine.n_routers = 1;
    if (session_open(&s, &mine) != EXIT_OK) {
        (void)snprintf(r->text, sizeof r->text, "cannot be asked");
        return;
    }
    r->asked_ms = clock_wall_ms();
    struct oneid_result *result = oneid_status(s.client);
    r->heard_ms = clock_wall_ms();
    r->answers = result && result->code == ONEID_OK;
    if (r->answers) {
        v->n_answers++;
        r->status = result;
        r->map = oneid_nodes(s.client, true);
        r->stats = stats ? oneid_stats(s.client) : NULL;
    } else {
        (void)snprintf(r->text, sizeof r->text, "%s", result ? result->text : "out of memory");
        oneid_result_free(result);
    }
    session_close(&s);
}

int survey_open(struct survey *v, const struct options *o, bool stats)
{
    *v = (struct survey){0};
    for (size_t i = 0; i < o->n_routers; i++)
        v->routers[v->n_routers++].endpoint = o->routers[i];
    if (v->n_routers == 0) {
        v->config = session_config(o);
        if (!v->config)
            return EXIT_PROBLEM;
        for (size_t i = 0; i < v->config->n_routers; i++)
            v->routers[v->n_routers++].endpoint = v->config->routers[i].listen;
    }
    for (size_t i = 0; i < v->n_routers; i++)
        probe(v, o, &v->routers[i], stats);
    return EXIT_OK;
}

void survey_close(struct survey *v)
{
    for (size_t i = 0; i < v->n_routers; i++) {
        oneid_result_free(v->routers[i].status);
        oneid_result_free(v->routers[i].stats);
        oneid_result_free(v->routers[i].map);
    }
    cluster_config_close(v->config);
    *v = (struct survey){0};
}

const struct oneid_node *survey_node(const struct survey *v, uint16_t node)
{
    const struct oneid_node *best = NULL;
    for (size_t i = 0; i < v->n_routers; i++) {
        const struct oneid_result *r = v->routers[i].status;
        for (size_t k = 0; r && k < r->n_nodes; k++) {
            const struct oneid_node *n = &r->nodes[k];
            if (n->node == node && n->answers && (!best || n->wall_ms > best->wall_ms))
                best = n;
        }
    }
    return best;
}

const struct oneid_replica *survey_replica(const struct oneid_node *n, uint16_t shard)
{
    for (size_t i = 0; n && i < n->n_replicas; i++) {
        if (n->replicas[i].shard == shard)
            return &n->replicas[i];
    }
    return NULL;
}

const struct oneid_result *survey_any(const struct survey *v)
{
    for (size_t i = 0; i < v->n_routers; i++) {
        if (v->routers[i].status)
            return v->routers[i].status;
    }
    return NULL;
}

const struct oneid_map *survey_map(const struct survey *v)
{
    const struct oneid_map *newest = NULL;
    for (size_t i = 0; i < v->n_routers; i++) {
        const struct oneid_map *m = v->routers[i].map ? v->routers[i].map->map : NULL;
        if (m && (!newest || m->epoch > newest->epoch))
            newest = m;
    }
    return newest;
}

const struct oneid_replica *survey_leader(const struct survey *v, uint16_t shard, uint16_t *node)
{
    const struct oneid_result *any = survey_any(v);
    const struct oneid_replica *best = NULL;
    for (size_t i = 0; any && i < any->n_nodes; i++) {
        uint16_t id = any->nodes[i].node;
        const struct oneid_replica *r = survey_replica(survey_node(v, id), shard);
        if (r && r->is_leader && (!best || r->term > best->term)) {
            best = r;
            *node = id;
        }
    }
    return best;
}
