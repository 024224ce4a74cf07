/* A checked expression made ready for one query: names resolved to sets and columns, the terms of
 * each conjunction ordered so that the cheap and sparse come first. Lives in the query's arena and
 * is valid while the query is inside the gate. */
#ifndef INDEX_PROGRAM_H
#define INDEX_PROGRAM_H

#include "core.h"
#include "reg.h"

enum node_kind {
    NODE_CONST,  /* truth */
    NODE_SET,    /* in `sets[0]` */
    NODE_UNION,  /* in any of `sets` */
    NODE_EXISTS, /* `column` has a value */
    NODE_RANGE,  /* the column's value is in (negate: outside) lo..hi; absent ones: `absent` */
    NODE_METRIC, /* likewise count or sum over days; absent rows count as 0 */
    NODE_WINDOW, /* the same, from a registered window */
    NODE_AND,
    NODE_OR,
    NODE_NOT,
};

/* What a node costs in a chunk, by order of magnitude. */
enum node_cost { COST_SET, COST_COLUMN, COST_METRIC };

struct node {
    enum node_kind kind;
    enum node_cost cost;
    uint64_t estimate; /* members that satisfy it, roughly */
    uint32_t regs;     /* scratch registers that it and all beneath need at once */
    bool truth, negate, absent;
    struct node **children;
    size_t n_children;
    const struct set **sets;
    size_t n_sets;
    const struct column *column;
    int64_t lo, hi;
    const struct metric *metric;
    int sum; /* sum column, -1: the count */
    int64_t day_from, day_to;
    const bool *combos; /* which combinations count; NULL: all */
    const struct window *window;
    const struct expr *source; /* the term that it was made of; NULL: an operator, or what several
                                  terms became, which are then its children */
    uint32_t id;               /* below the program's number of nodes */
};

/* What a node did in the chunks so far (explain). */
struct node_trace {
    uint32_t chunks, emptied, decided, probed;
    uint64_t nanoseconds;
};

enum error_code program_compile(const struct core *c, const struct index_query *q,
                                struct arena *arena, struct node **out, struct error *err);
/* More than the ids of all nodes of a program. */
uint32_t program_size(const struct node *root);

/* The scratch of evaluations, one at a time, for as many programs as it was made for. */
struct run {
    const struct core *core;
    const struct kernels *kernels;
    struct reg *result; /* of the last chunk */
    struct reg *regs;
    int64_t *totals; /* per position; 0 between uses */
    uint64_t touched[CHUNK_WORDS];
    /* Looked at between chunks, and within one after much work. */
    msec_t deadline_mono_ms;
    const bool *cancelled;
    uint32_t work;            /* done since the last look, in RUN_WORK_MAX */
    enum error_code stopped;  /* why the evaluation was given up; what came of it is undefined */
    struct node_trace *trace; /* by node id; NULL: nobody wants to know */
};

/* Deadline and cancellation are the query's; roots that are NULL are passed over. ERR_NOMEM.
 * run_close takes a half-made one. */
enum error_code run_init(struct run *r, const struct core *c, const struct index_query *q,
                         struct node *const *roots, size_t n_roots, struct error *err);
void run_close(struct run *r);
/* ERR_OK, or ERR_TIMEOUT or ERR_CANCELLED: the query is over. */
enum error_code run_check(struct run *r, struct error *err);
/* The live members of a chunk that satisfy the program, in r->result; false: none. */
bool run_chunk(struct run *r, const struct node *root, uint32_t chunk);
/* How many they are; r->result is then undefined. */
uint32_t run_count_chunk(struct run *r, const struct node *root, uint32_t chunk);

#endif
