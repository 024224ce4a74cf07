/* status: routers, nodes, and each shard's replicas. */
#include "commands.h"
#include "node.h"
#include "session.h"
#include "show.h"
#include "survey.h"

#include <inttypes.h>
#include <stdio.h>

enum { MINUTE_MS = 60000 };

/* Of all routers, the stats that reached most shards: what one router does not reach, another may.
 */
static const struct oneid_result *best_stats(const struct survey *v)
{
    const struct oneid_result *best = NULL;
    for (size_t i = 0; i < v->n_routers; i++) {
        const struct oneid_result *r = v->routers[i].stats;
        if (r && r->code == ONEID_OK && (!best || (best->partial && !r->partial)))
            best = r;
    }
    return best;
}

static bool all_serve(const struct survey *v)
{
    for (size_t i = 0; i < v->n_routers; i++) {
        const struct oneid_result *r = v->routers[i].stats;
        if (!r || r->code != ONEID_OK || r->partial)
            return false;
    }
    return true;
}

/* Entries of the leader's log that the member does not have. */
static uint64_t lag_of(const struct oneid_replica *leader, const struct oneid_member *m)
{
    return leader->last > m->match ? leader->last - m->match : 0;
}

static const char *member_role_name(enum oneid_role role)
{
    static const char *const NAMES[] = {"standby", "voter", "spare"};
    return NAMES[role];
}

/* NULL: no map is known, or it does not have the node. */
static const struct oneid_map_node *place_of(const struct survey *v, uint16_t node)
{
    const struct oneid_map *m = survey_map(v);
    for (size_t i = 0; m && i < m->n_nodes; i++) {
        if (m->nodes[i].node == node)
            return &m->nodes[i];
    }
    return NULL;
}

static bool goes_on(const struct oneid_task *t)
{
    return t->state == ONEID_TASK_RUNNING || t->state == ONEID_TASK_CANCELLING;
}

/* --- JSON --- */

static void emit_routers(struct emit *e, const struct survey *v)
{
    emit_array(e, "routers");
    for (size_t i = 0; i < v->n_routers; i++) {
        emit_object(e, NULL);
        emit_string(e, "endpoint", v->routers[i].endpoint);
        emit_bool(e, "answers", v->routers[i].answers);
        emit_end(e);
    }
    emit_end(e);
}

static void emit_nodes(struct emit *e, const struct survey *v)
{
    const struct oneid_result *any = survey_any(v);
    emit_array(e, "nodes");
    for (size_t i = 0; any && i < any->n_nodes; i++) {
        const struct oneid_node *n = survey_node(v, any->nodes[i].node);
        emit_object(e, NULL);
        emit_unsigned(e, "node", any->nodes[i].node);
        emit_bool(e, "up", n != NULL);
        const struct oneid_map_node *place = place_of(v, any->nodes[i].node);
        if (place) {
            emit_string(e, "endpoint", place->endpoint);
            emit_string(e, "state", node_state_name(place->state));
        }
        if (n) {
            emit_integer(e, "up_ms", n->up_ms);
            emit_unsigned(e, "log_bytes", n->log_bytes);
            emit_unsigned(e, "disk_free", n->disk_free);
            emit_unsigned(e, "disk_total", n->disk_total);
            emit_bool(e, "disk_full", n->disk_full);
            emit_bool(e, "stopping", n->is_stopping);
        } else {
            emit_string(e, "text", any->nodes[i].text);
        }
        emit_end(e);
    }
    emit_end(e);
}

static void emit_replicas(struct emit *e, const struct survey *v,
                          const struct oneid_replica *leader)
{
    emit_array(e, "replicas");
    for (size_t i = 0; leader && i < leader->n_members; i++) {
        const struct oneid_member *m = &leader->members[i];
        const struct oneid_node *n = survey_node(v, m->node);
        const struct oneid_replica *r = survey_replica(n, leader->shard);
        emit_object(e, NULL);
        emit_unsigned(e, "node", m->node);
        emit_string(e, "role", member_role_name(m->role));
        emit_bool(e, "up", n != NULL);
        emit_unsigned(e, "match", m->match);
        emit_unsigned(e, "lag", lag_of(leader, m));
        if (r) {
            emit_unsigned(e, "applied", r->applied);
            emit_bool(e, "fetching", r->is_fetching);
        }
        emit_end(e);
    }
    emit_end(e);
}

static void emit_shard(struct emit *e, const struct survey *v, const struct oneid_shard *s)
{
    uint16_t node = 0;
    const struct oneid_replica *leader = survey_leader(v, s->shard, &node);
    emit_object(e, NULL);
    emit_unsigned(e, "shard", s->shard);
    emit_unsigned(e, "node", leader ? node : s->node);
    emit_bool(e, "reachable", s->reachable);
    if (leader) {
        emit_unsigned(e, "leader", node);
        emit_unsigned(e, "term", leader->term);
        emit_unsigned(e, "wanted", leader->wanted);
    } else {
        emit_null(e, "leader");
    }
    emit_replicas(e, v, leader);
    emit_end(e);
}

/* Those that go on. */
static void emit_tasks(struct emit *e, const struct survey *v)
{
    const struct oneid_map *m = survey_map(v);
    emit_array(e, "tasks");
    for (size_t i = 0; m && i < m->n_tasks; i++) {
        if (!goes_on(&m->tasks[i]))
            continue;
        emit_object(e, NULL);
        node_emit_task(e, &m->tasks[i]);
        emit_end(e);
    }
    emit_end(e);
}

static void emit_status(const struct survey *v)
{
    struct emit e;
    const struct oneid_result *stats = best_stats(v);
    emit_init(&e, stdout);
    emit_object(&e, NULL);
    emit_bool(&e, "ok", all_serve(v));
    emit_routers(&e, v);
    emit_nodes(&e, v);
    emit_array(&e, "shards");
    for (size_t i = 0; stats && i < stats->n_shards; i++)
        emit_shard(&e, v, &stats->shards[i]);
    emit_end(&e);
    emit_tasks(&e, v);
    emit_unsigned(&e, "map_epoch", stats ? stats->map_epoch : 0);
    emit_unsigned(&e, "in_flight_merges", stats ? stats->in_flight_merges : 0);
    emit_end(&e);
}

/* --- text --- */

static void show_node(const struct survey *v, const struct oneid_node *named)
{
    const struct oneid_node *n = survey_node(v, named->node);
    const struct oneid_map_node *place = place_of(v, named->node);
    if (!n) {
        (void)printf("node    %-4u does not answer: %s%s%s\n", named->node, named->text,
                     place ? ", at " : "", place ? place->endpoint : "");
        return;
    }
    (void)printf("node    %-4u up %" PRId64 " min, log %.1f MiB", n->node, n->up_ms / MINUTE_MS,
                 (double)n->log_bytes / (1 << 20));
    if (n->disk_total)
        (void)printf(", disk %.0f %% free", 100 * (double)n->disk_free / (double)n->disk_total);
    if (place && place->state != ONEID_NODE_IN)
        (void)printf(", %s", node_state_name(place->state));
    (void)printf("%s%s\n", n->disk_full ? ", DISK FULL" : "",
                 n->is_stopping ? ", shutting down" : "");
}

static void show_replicas(const struct survey *v, const struct oneid_replica *leader)
{
    for (size_t i = 0; i < leader->n_members; i++) {
        const struct oneid_member *m = &leader->members[i];
        uint64_t lag = lag_of(leader, m);
        (void)printf("%s node %u", i ? "," : ";", m->node);
        if (m->role != ONEID_VOTER)
            (void)printf(" (%s)", member_role_name(m->role));
        const struct oneid_node *n = survey_node(v, m->node);
        const struct oneid_replica *r = survey_replica(n, leader->shard);
        if (!n)
            (void)printf(" away");
        if (r && r->is_fetching)
            (void)printf(" fetches a state");
        if (lag)
            (void)printf(" %" PRIu64 " behind", lag);
    }
}

static void show_shard(const struct survey *v, const struct oneid_shard *s)
{
    uint16_t node = 0;
    const struct oneid_replica *leader = survey_leader(v, s->shard, &node);
    (void)printf("shard   %-4u %s", s->shard, s->reachable ? "serving" : "does not answer");
    if (s->reachable)
        (void)printf(", %" PRIu64 " profiles, %" PRIu64 " applied", s->profiles, s->applied);
    if (leader) {
        (void)printf("; leader node %u, term %" PRIu64, node, leader->term);
        show_replicas(v, leader);
    } else {
        (void)printf("; no leader");
    }
    (void)printf("\n");
}

static void show_tasks(const struct survey *v)
{
    const struct oneid_map *m = survey_map(v);
    for (size_t i = 0; m && i < m->n_tasks; i++) {
        if (goes_on(&m->tasks[i]))
            node_show_task(&m->tasks[i]);
    }
}

static void show_status(const struct survey *v)
{
    const struct oneid_result *any = survey_any(v), *stats = best_stats(v);
    for (size_t i = 0; i < v->n_routers; i++)
        (void)printf("router  %s  %s\n", v->routers[i].endpoint,
                     v->routers[i].answers ? "answers" : "does not answer");
    for (size_t i = 0; any && i < any->n_nodes; i++)
        show_node(v, &any->nodes[i]);
    show_tasks(v);
    if (!stats)
        return;
    for (size_t i = 0; i < stats->n_shards; i++)
        show_shard(v, &stats->shards[i]);
    (void)printf("map     epoch %" PRIu64 ", %" PRIu64 " merges in flight\n", stats->map_epoch,
                 stats->in_flight_merges);
}

static int judge(const struct survey *v)
{
    if (all_serve(v))
        return EXIT_OK;
    for (size_t i = 0; i < v->n_routers; i++) {
        const struct router_state *r = &v->routers[i];
        if (!r->answers)
            complain("router %s: %s", r->endpoint, r->text);
        else if (!r->stats || r->stats->code != ONEID_OK || r->stats->partial)
            complain("router %s: not every shard answers", r->endpoint);
    }
    return EXIT_PROBLEM;
}

int run_status(const struct options *o)
{
    static struct survey v;
    int rc = survey_open(&v, o, true);
    if (rc == EXIT_OK) {
        if (o->json)
            emit_status(&v);
        else
            show_status(&v);
        rc = judge(&v);
    }
    survey_close(&v);
    return rc;
}
