/* What the parts of health share. */
#ifndef CTL_HEALTH_PARTS_H
#define CTL_HEALTH_PARTS_H

#include "health.h"

/* What is being looked at. */
struct look {
    const struct survey *v, *before;
    const struct oneid_result *any; /* names the nodes */
    const struct oneid_map *map;    /* NULL: no router shows one */
    struct findings *out;
};

struct finding *finding_add(struct look *l, enum finding_kind kind);
void finding_says(struct finding *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void finding_mend(struct finding *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* --- health_map.c --- */
/* Nodes and tasks of the cluster map. */
void health_check_map(struct look *l);

#endif
