#include "health_parts.h"

#include <base/clock.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

const char *finding_name(enum finding_kind kind)
{
    static const char *const NAMES[] = {
#define X(name, text) [FINDING_##name] = (text),
        FINDING_LIST(X)
#undef X
    };
    return NAMES[kind];
}

void findings_close(struct findings *f)
{
    free(f->list);
    *f = (struct findings){0};
}

static struct finding *add(struct findings *f)
{
    if (f->n == f->cap) {
        f->cap = f->cap ? 2 * f->cap : 16;
        f->list = realloc(f->list, f->cap * sizeof *f->list);
        if (!f->list)
            abort(); /* out of memory */
    }
    return &f->list[f->n++];
}

struct finding *finding_add(struct look *l, enum finding_kind kind)
{
    struct finding *x = add(l->out);
    *x = (struct finding){.kind = kind};
    return x;
}

static bool is_same(const struct finding *a, const struct finding *b)
{
    return a->kind == b->kind && a->shard == b->shard && a->node == b->node &&
           a->router == b->router;
}

static bool has(const struct findings *f, const struct finding *x)
{
    for (size_t i = 0; i < f->n; i++) {
        if (is_same(&f->list[i], x))
            return true;
    }
    return false;
}

bool findings_confirm(struct findings *f, struct findings *again)
{
    struct findings both = {0};
    for (size_t i = 0; i < again->n; i++) {
        if (has(f, &again->list[i]))
            *add(&both) = again->list[i];
    }
    bool is_clear = both.n > 0 || again->n == 0;
    findings_close(f);
    *f = is_clear ? both : *again;
    if (!is_clear)
        *again = (struct findings){0};
    return is_clear;
}

void finding_says(struct finding *f, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(f->what, sizeof f->what, fmt, args);
    va_end(args);
}

void finding_mend(struct finding *f, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(f->mend, sizeof f->mend, fmt, args);
    va_end(args);
}

static uint16_t mark_of_shard(uint16_t shard)
{
    return (uint16_t)(shard + 1);
}

/* --- processes --- */

static void check_routers(struct look *l)
{
    for (size_t i = 0; i < l->v->n_routers; i++) {
        const struct router_state *r = &l->v->routers[i];
        if (r->answers)
            continue;
        struct finding *f = finding_add(l, FINDING_ROUTER_AWAY);
        f->router = (uint16_t)(i + 1);
        finding_says(f, "router %s does not answer: %.120s", r->endpoint, r->text);
        finding_mend(f,
                     "start it: oneid-router -c FILE -r ID; if it runs, see its log (map_refused, "
                     "refused_messages)");
    }
}

static void say_away(const struct look *l, struct finding *f, const struct oneid_node *named)
{
    const char *endpoint = "";
    for (size_t i = 0; l->map && i < l->map->n_nodes; i++) {
        if (l->map->nodes[i].node == named->node)
            endpoint = l->map->nodes[i].endpoint;
    }
    f->node = named->node;
    finding_says(f, "node %u does not answer: %.80s%s%.80s", named->node, named->text,
                 endpoint[0] ? ", at " : "", endpoint);
    finding_mend(f,
                 "start it: oneid-node -c FILE -n %u; if it runs, see its log; if it is lost for "
                 "good: oneidctl node replace %u NEW ENDPOINT, or oneidctl node remove %u",
                 named->node, named->node, named->node);
}

static void check_nodes(struct look *l)
{
    for (size_t i = 0; i < l->any->n_nodes; i++) {
        const struct oneid_node *named = &l->any->nodes[i];
        const struct oneid_node *n = survey_node(l->v, named->node);
        struct finding *f;
        if (!n) {
            f = finding_add(l, FINDING_NODE_AWAY);
            say_away(l, f, named);
        } else if (n->is_stopping) {
            f = finding_add(l, FINDING_NODE_STOPPING);
            f->node = n->node;
            finding_says(f, "node %u is shutting down", n->node);
            finding_mend(f, "start it again when it has ended: oneid-node -c FILE -n %u", n->node);
        }
    }
}

/* A node that one router hears and another does not. */
static void check_links(struct look *l)
{
    for (size_t i = 0; i < l->v->n_routers; i++) {
        const struct router_state *r = &l->v->routers[i];
        for (size_t k = 0; r->status && k < r->status->n_nodes; k++) {
            const struct oneid_node *n = &r->status->nodes[k];
            if (n->answers || !survey_node(l->v, n->node))
                continue;
            struct finding *f = finding_add(l, FINDING_NODE_CUT_OFF);
            f->node = n->node;
            f->router = (uint16_t)(i + 1);
            finding_says(f, "router %s does not reach node %u, which others reach: %.80s",
                         r->endpoint, n->node, n->text);
            finding_mend(
                f, "look at the network between the two, and whether the router's cluster file "
                   "has the node's address");
        }
    }
}

/* --- shards --- */

static size_t count_voters(const struct oneid_replica *r)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n_members; i++)
        n += r->members[i].role == ONEID_VOTER;
    return n;
}

static void check_served(struct look *l, uint16_t shard)
{
    for (size_t i = 0; i < l->v->n_routers; i++) {
        const struct router_state *r = &l->v->routers[i];
        for (size_t k = 0; r->stats && r->stats->code == ONEID_OK && k < r->stats->n_shards; k++) {
            if (r->stats->shards[k].shard != shard || r->stats->shards[k].reachable)
                continue;
            struct finding *f = finding_add(l, FINDING_NOT_SERVED);
            f->shard = mark_of_shard(shard);
            f->router = (uint16_t)(i + 1);
            finding_says(f, "shard %u has a leader but does not answer through router %s", shard,
                         r->endpoint);
            finding_mend(f, "look at the network between the router and the leader's node");
        }
    }
}

static void no_leader(struct look *l, uint16_t shard)
{
    size_t n_here = 0, n_wanted = 0;
    for (size_t i = 0; i < l->any->n_nodes; i++) {
        const struct oneid_replica *r =
            survey_replica(survey_node(l->v, l->any->nodes[i].node), shard);
        n_here += r != NULL;
        n_wanted = r ? r->wanted_voters : n_wanted;
    }
    struct finding *f = finding_add(l, FINDING_NO_LEADER);
    f->shard = mark_of_shard(shard);
    finding_says(f, "shard %u has no leader: it serves nothing", shard);
    if (n_here == 0)
        finding_mend(f, "start the nodes that hold it: none of them answers");
    else if (2 * n_here <= n_wanted)
        finding_mend(f, "start its nodes: %zu of %zu replicas answer, a majority is needed", n_here,
                     n_wanted);
    else
        finding_mend(
            f, "an election takes about 2 s; if it stays, the nodes do not reach each other: see "
               "`role` in their logs");
}

/* A task changes its replicas: members come and go. What holds that up is found by itself. */
static bool is_moving(const struct look *l, uint16_t shard)
{
    return l->map && shard < l->map->n_shards && l->map->shards[shard].moving;
}

static void check_voters(struct look *l, const struct oneid_replica *leader)
{
    size_t n = count_voters(leader);
    if (n >= leader->wanted_voters || is_moving(l, leader->shard))
        return;
    struct finding *f = finding_add(l, FINDING_FEW_VOTERS);
    f->shard = mark_of_shard(leader->shard);
    finding_says(f, "shard %u has %zu voters, %u are wanted", leader->shard, n,
                 leader->wanted_voters);
    finding_mend(f,
                 "the leader takes missing ones in by itself once their nodes answer: start them");
}

static void check_lag(struct look *l, const struct oneid_replica *leader,
                      const struct oneid_member *m)
{
    uint16_t node = 0;
    uint64_t lag = leader->last > m->match ? leader->last - m->match : 0;
    const struct oneid_replica *then =
        l->before ? survey_leader(l->before, leader->shard, &node) : NULL;
    bool moves = true;
    for (size_t i = 0; then && i < then->n_members; i++)
        moves &= then->members[i].node != m->node || then->members[i].match != m->match;
    bool is_standby = m->role == ONEID_STANDBY;
    if (is_standby && is_moving(l, leader->shard))
        return;
    if (!survey_node(l->v, m->node) || (!is_standby && lag <= HEALTH_LAG_ENTRIES))
        return; /* that it is away is said already */
    struct finding *f = finding_add(l, is_standby ? FINDING_STANDBY : FINDING_REPLICA_LAGS);
    f->shard = mark_of_shard(leader->shard);
    f->node = m->node;
    finding_says(f, "shard %u on node %u is %s%" PRIu64 " entries behind%s", leader->shard, m->node,
                 is_standby ? "no voter yet, " : "", lag, moves ? "" : " and stands still");
    const struct oneid_replica *r = survey_replica(survey_node(l->v, m->node), leader->shard);
    if (r && r->is_fetching)
        finding_mend(f, "it gets another replica's state: look again; see state_needed in its log");
    else if (moves)
        finding_mend(f, "it is catching up: look again");
    else
        finding_mend(f, "see the log of node %u (disk_full, state_needed) and the network to it",
                     m->node);
}

/* Members that are not the node's replica any more: its folder was made anew. */
static void check_folders(struct look *l, const struct oneid_replica *leader)
{
    for (size_t i = 0; i < leader->n_members; i++) {
        const struct oneid_member *m = &leader->members[i];
        const struct oneid_node *n = survey_node(l->v, m->node);
        bool is_double = false;
        for (size_t k = 0; k < i; k++)
            is_double |= leader->members[k].node == m->node;
        const struct oneid_replica *r = survey_replica(n, leader->shard);
        bool is_here = !n || (!r && is_moving(l, leader->shard)) || (r && r->folder == m->folder);
        if (!is_double && is_here)
            continue; /* that it is away is said already */
        struct finding *f = finding_add(l, FINDING_MEMBER_LOST);
        f->shard = mark_of_shard(leader->shard);
        f->node = m->node;
        finding_says(f, "shard %u has a member of a folder that node %u does not have%s",
                     leader->shard, m->node, r ? " any more" : "");
        finding_mend(
            f, "the leader replaces it by the node's present folder by itself; if it stays, start "
               "the shard's other nodes");
    }
}

static void check_place(struct look *l, const struct oneid_replica *leader, uint16_t node)
{
    const struct oneid_node *wanted = survey_node(l->v, leader->wanted);
    if (node == leader->wanted || leader->led_ms < HEALTH_ELSEWHERE_MS || !wanted)
        return;
    struct finding *f = finding_add(l, FINDING_LEADER_ELSEWHERE);
    f->shard = mark_of_shard(leader->shard);
    f->node = leader->wanted;
    f->fix = FIX_LEADER;
    finding_says(f, "shard %u is led by node %u for %" PRId64 " s, the map wants node %u",
                 leader->shard, node, leader->led_ms / 1000, leader->wanted);
    finding_mend(f, "oneidctl leader %u %u", leader->shard, leader->wanted);
}

static void check_merges(struct look *l, const struct oneid_replica *leader)
{
    if (leader->stuck == 0)
        return;
    struct finding *f = finding_add(l, FINDING_MERGES_STUCK);
    f->shard = mark_of_shard(leader->shard);
    finding_says(f, "shard %u has %" PRIu64 " merges that are older than a minute", leader->shard,
                 leader->stuck);
    finding_mend(
        f, "a router finishes them: start one; if one runs, the other shard of the merge does "
           "not answer");
}

static void check_catalogue(struct look *l, const struct oneid_replica *leader)
{
    uint16_t node = 0;
    const struct oneid_replica *authority = survey_leader(l->v, 0, &node);
    if (!authority || leader->catalogue >= authority->catalogue)
        return;
    struct finding *f = finding_add(l, FINDING_CATALOGUE_BEHIND);
    f->shard = mark_of_shard(leader->shard);
    f->fix = FIX_CATALOGUE;
    finding_says(f, "shard %u has version %" PRIu64 " of the saved segments, shard 0 has %" PRIu64,
                 leader->shard, leader->catalogue, authority->catalogue);
    finding_mend(f, "oneidctl segment refresh");
}

static void check_shard(struct look *l, uint16_t shard)
{
    uint16_t node = 0;
    const struct oneid_replica *leader = survey_leader(l->v, shard, &node);
    if (!leader) {
        no_leader(l, shard);
        return;
    }
    check_served(l, shard);
    check_voters(l, leader);
    check_folders(l, leader);
    for (size_t i = 0; i < leader->n_members; i++)
        check_lag(l, leader, &leader->members[i]);
    check_place(l, leader, node);
    check_merges(l, leader);
    check_catalogue(l, leader);
}

/* All that anybody knows of. */
static void check_shards(struct look *l)
{
    uint32_t n = l->v->config ? l->v->config->n_shards : 0;
    for (size_t i = 0; i < l->any->n_nodes; i++) {
        const struct oneid_node *node = survey_node(l->v, l->any->nodes[i].node);
        for (size_t k = 0; node && k < node->n_replicas; k++) {
            if (node->replicas[k].shard >= n)
                n = (uint32_t)node->replicas[k].shard + 1;
        }
    }
    for (uint32_t shard = 0; shard < n; shard++)
        check_shard(l, (uint16_t)shard);
}

/* --- disks and threads --- */

static void check_replica(struct look *l, const struct oneid_node *n, const struct oneid_replica *r)
{
    struct finding *f;
    int64_t limit_ms = 1000 * (int64_t)n->checkpoint_seconds * HEALTH_CHECKPOINT_PERIODS;
    if (r->said_ms > HEALTH_SAID_MS) {
        f = finding_add(l, FINDING_THREAD_STUCK);
        finding_says(f, "shard %u on node %u has said nothing for %" PRId64 " s", r->shard, n->node,
                     r->said_ms / 1000);
        finding_mend(f, "see the log and the disk of node %u; restart it if it stays", n->node);
    } else if (r->checkpoint_fails) {
        f = finding_add(l, FINDING_DISK_FULL);
        finding_says(f, "node %u cannot write the checkpoint of shard %u: its disk is full",
                     n->node, r->shard);
        finding_mend(f, "free space on node %u: it goes on by itself", n->node);
    } else if (r->dirty_ms > limit_ms || r->memtable_bytes > 4 * r->memtable_limit) {
        f = finding_add(l, FINDING_CHECKPOINT_BEHIND);
        finding_says(f,
                     "shard %u on node %u has changes of %" PRId64 " s and %" PRIu64
                     " MiB in no checkpoint",
                     r->shard, n->node, r->dirty_ms / 1000, r->memtable_bytes >> 20);
        finding_mend(f, "the disk of node %u is too slow for what is written, or its log says why",
                     n->node);
    } else {
        return;
    }
    f->shard = mark_of_shard(r->shard);
    f->node = n->node;
}

static void check_disk(struct look *l, const struct oneid_node *n)
{
    struct finding *f;
    if (n->disk_full) {
        f = finding_add(l, FINDING_DISK_FULL);
        finding_says(f, "node %u cannot write its log: its disk is full, it refuses writes",
                     n->node);
        finding_mend(f, "free space on node %u: it goes on by itself", n->node);
    } else if (n->disk_total && n->disk_free < n->disk_total / 100 * HEALTH_DISK_PERCENT &&
               n->disk_free >> 20 < HEALTH_DISK_MIB) {
        f = finding_add(l, FINDING_DISK_NEARLY_FULL);
        finding_says(f, "node %u has %" PRIu64 " MiB of its disk left, less than %d %%", n->node,
                     n->disk_free >> 20, HEALTH_DISK_PERCENT);
        finding_mend(f, "free space on node %u", n->node);
    } else {
        return;
    }
    f->node = n->node;
}

static void check_insides(struct look *l)
{
    for (size_t i = 0; i < l->any->n_nodes; i++) {
        const struct oneid_node *n = survey_node(l->v, l->any->nodes[i].node);
        if (!n)
            continue;
        check_disk(l, n);
        for (size_t k = 0; k < n->n_replicas; k++)
            check_replica(l, n, &n->replicas[k]);
    }
}

/* --- agreement --- */

/* One process: what it says that all should say alike. */
struct process {
    uint16_t node, router; /* one of them; router: place + 1 */
    char name[160];
    int64_t clock_ms; /* its wall clock minus this machine's */
    uint64_t schema, map_epoch, map;
};

static void put_process(struct process *p, const struct oneid_node *n, const struct router_state *r)
{
    int64_t router_ms = r->status->router ? r->status->router->wall_ms - r->heard_ms : 0;
    *p = (struct process){.node = n->node,
                          .clock_ms = n->wall_ms - n->heard_ms + router_ms,
                          .schema = n->schema_digest,
                          .map_epoch = n->map_epoch,
                          .map = n->map_digest};
    (void)snprintf(p->name, sizeof p->name, "node %u", n->node);
}

static size_t list_processes(const struct look *l, struct process *list)
{
    size_t n = 0;
    for (size_t i = 0; i < l->v->n_routers; i++) {
        const struct router_state *r = &l->v->routers[i];
        const struct oneid_router *self = r->status ? r->status->router : NULL;
        if (!self)
            continue;
        list[n] = (struct process){.router = (uint16_t)(i + 1),
                                   .clock_ms = self->wall_ms - r->heard_ms,
                                   .schema = self->schema_digest,
                                   .map_epoch = self->map_epoch,
                                   .map = self->map_digest};
        (void)snprintf(list[n].name, sizeof list[n].name, "router %.120s", r->endpoint);
        n++;
        for (size_t k = 0; k < r->status->n_nodes; k++) {
            const struct oneid_node *node = &r->status->nodes[k];
            if (node->answers && node == survey_node(l->v, node->node))
                put_process(&list[n++], node, r);
        }
    }
    return n;
}

static int by_clock(const void *a, const void *b)
{
    int64_t x = ((const struct process *)a)->clock_ms, y = ((const struct process *)b)->clock_ms;
    return (x > y) - (x < y);
}

static struct finding *add_about(struct look *l, enum finding_kind kind, const struct process *p)
{
    struct finding *f = finding_add(l, kind);
    f->node = p->node;
    f->router = p->router;
    return f;
}

/* Against the median of all, so that one that is off stands alone. */
static void check_clocks(struct look *l, struct process *list, size_t n)
{
    qsort(list, n, sizeof *list, by_clock);
    int64_t median = list[(n - 1) / 2].clock_ms;
    for (size_t i = 0; i < n; i++) {
        int64_t off = list[i].clock_ms - median;
        if (off <= HEALTH_CLOCK_MS && off >= -HEALTH_CLOCK_MS)
            continue;
        struct finding *f = add_about(l, FINDING_CLOCK_OFF, &list[i]);
        finding_says(f, "the clock of %s is %" PRId64 ".%" PRId64 " s %s of the others'",
                     list[i].name, (off < 0 ? -off : off) / 1000,
                     (off < 0 ? -off : off) % 1000 / 100, off < 0 ? "behind" : "ahead");
        finding_mend(f, "set it there (chrony or another NTP client)");
    }
}

static void check_schema(struct look *l, const struct process *list, size_t n)
{
    uint64_t wanted = l->v->config ? schema_digest(&l->v->config->schema) : list[0].schema;
    for (size_t i = 0; i < n; i++) {
        if (list[i].schema == wanted)
            continue;
        struct finding *f = add_about(l, FINDING_SCHEMA_DIFFERS, &list[i]);
        finding_says(f, "%s was started with another schema than %s has", list[i].name,
                     l->v->config ? "this cluster file" : list[0].name);
        finding_mend(f, "give it the same cluster file, and restart it");
    }
}

static uint64_t newest_epoch(const struct process *list, size_t n)
{
    uint64_t newest = 0;
    for (size_t i = 0; i < n; i++)
        newest = list[i].map_epoch > newest ? list[i].map_epoch : newest;
    return newest;
}

/* Of the look before this one: every process should have that by now. 0: there was none. */
static uint64_t epoch_before(const struct look *l)
{
    const struct oneid_map *m = l->before ? survey_map(l->before) : NULL;
    return m ? m->epoch : 0;
}

static void check_maps(struct look *l, const struct process *list, size_t n)
{
    uint64_t due = epoch_before(l), newest = newest_epoch(list, n);
    const struct process *first = NULL; /* with the newest map */
    for (size_t i = 0; i < n; i++) {
        if (list[i].map_epoch >= (due ? due : newest))
            continue;
        struct finding *f = add_about(l, FINDING_MAP_BEHIND, &list[i]);
        finding_says(f,
                     "%s has the cluster map of epoch %" PRIu64 ", there is one of epoch %" PRIu64,
                     list[i].name, list[i].map_epoch, newest);
        finding_mend(f, "nodes and routers tell each other of newer maps by themselves; if it "
                        "stays, look at the network between it and the others, and at its log");
    }
    for (size_t i = 0; i < n; i++) {
        if (list[i].map_epoch != newest)
            continue;
        if (!first)
            first = &list[i];
        if (list[i].map == first->map)
            continue;
        struct finding *f = add_about(l, FINDING_MAP_DIFFERS, &list[i]);
        finding_says(f, "%s has another cluster map of epoch %" PRIu64 " than %s", list[i].name,
                     newest, first->name);
        finding_mend(f, "the cluster files that they were founded with name other nodes or shards: "
                        "give both the same, and restart the one that is wrong");
    }
}

static void check_agreement(struct look *l)
{
    size_t max = l->v->n_routers * (1 + (size_t)CLUSTER_NODES_MAX);
    struct process *list = calloc(max + 1, sizeof *list);
    size_t n = list ? list_processes(l, list) : 0;
    if (n > 0) {
        check_schema(l, list, n);
        check_maps(l, list, n);
        check_clocks(l, list, n);
    }
    free(list);
}

void health_check(const struct survey *v, const struct survey *before, struct findings *out)
{
    struct look l = {
        .v = v, .before = before, .any = survey_any(v), .map = survey_map(v), .out = out};
    check_routers(&l);
    if (!l.any)
        return; /* nobody says anything of the rest */
    check_nodes(&l);
    check_links(&l);
    check_shards(&l);
    check_insides(&l);
    health_check_map(&l);
    check_agreement(&l);
}
