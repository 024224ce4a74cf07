/* The ways in which a cluster is not as it should be, each with what mends it. A function of what
 * was heard: it asks nobody. */
#ifndef CTL_HEALTH_H
#define CTL_HEALTH_H

#include "survey.h"

#include <json/emit.h>

/* Name and what can be done about it by itself. */
#define FINDING_LIST(X)                                                                            \
    X(ROUTER_AWAY, "router_away")                                                                  \
    X(NODE_AWAY, "node_away")                                                                      \
    X(NODE_CUT_OFF, "node_cut_off")                                                                \
    X(NODE_STOPPING, "node_stopping")                                                              \
    X(THREAD_STUCK, "thread_stuck")                                                                \
    X(NO_LEADER, "no_leader")                                                                      \
    X(NOT_SERVED, "not_served")                                                                    \
    X(FEW_VOTERS, "few_voters")                                                                    \
    X(MEMBER_LOST, "member_lost")                                                                  \
    X(STANDBY, "standby")                                                                          \
    X(REPLICA_LAGS, "replica_lags")                                                                \
    X(LEADER_ELSEWHERE, "leader_elsewhere")                                                        \
    X(DISK_FULL, "disk_full")                                                                      \
    X(DISK_NEARLY_FULL, "disk_nearly_full")                                                        \
    X(CHECKPOINT_BEHIND, "checkpoint_behind")                                                      \
    X(MERGES_STUCK, "merges_stuck")                                                                \
    X(CATALOGUE_BEHIND, "catalogue_behind")                                                        \
    X(CLOCK_OFF, "clock_off")                                                                      \
    X(SCHEMA_DIFFERS, "schema_differs")                                                            \
    X(MAP_DIFFERS, "map_differs")                                                                  \
    X(MAP_BEHIND, "map_behind")                                                                    \
    X(TASK_WAITS, "task_waits")                                                                    \
    X(FEW_REPLICAS, "few_replicas")                                                                \
    X(NODE_NOT_NAMED, "node_not_named")                                                            \
    X(NODE_NOT_ADDED, "node_not_added")

enum finding_kind {
#define X(name, text) FINDING_##name,
    FINDING_LIST(X)
#undef X
};
const char *finding_name(enum finding_kind kind);

enum {
    HEALTH_LAG_ENTRIES = 1000,    /* a replica may be so far behind while writes come in */
    HEALTH_ELSEWHERE_MS = 30000,  /* a leader may be elsewhere for so long */
    HEALTH_SAID_MS = 5000,        /* a shard's thread says something at least so often */
    HEALTH_CLOCK_MS = 2000,       /* a clock may be off by so much */
    HEALTH_DISK_PERCENT = 5,      /* so much of a disk should be free ... */
    HEALTH_DISK_MIB = 10240,      /* ... unless it is more than this */
    HEALTH_CHECKPOINT_PERIODS = 3 /* checkpoint_seconds; a change may be so old without one */
};

/* What can be done about a finding without a person. */
enum finding_fix { FIX_NONE, FIX_LEADER, FIX_CATALOGUE };

struct finding {
    enum finding_kind kind;
    uint16_t shard, node,
        router; /* `router` and `shard`: place + 1 and number + 1; 0: not about one */
    enum finding_fix fix;
    char what[256];
    char mend[256];
};

struct findings {
    struct finding *list;
    size_t n, cap;
};
void findings_close(struct findings *f);

/* Appends. `before`: the same question somewhat earlier, for what stands still; may be NULL. */
void health_check(const struct survey *v, const struct survey *before, struct findings *out);
/* `f`: of the look before; becomes what there is to tell: what `again` has, too, since what passes
 * by itself is no finding. False: one thing has followed another (a node that is started again is
 * away, then behind, then no voter yet), `f` becomes `again`, and it takes another look. */
bool findings_confirm(struct findings *f, struct findings *again);

/* Looks again where there is something. The exit status: EXIT_PROBLEM when nothing can be asked. */
int health_look(const struct options *o, struct findings *out);
void finding_emit(struct emit *e, const struct finding *f);
/* For people. */
void health_show(const struct findings *f);

#endif
