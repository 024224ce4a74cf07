/* export: pages of members to a file. */
#ifndef CTL_EXPORT_H
#define CTL_EXPORT_H

#include "session.h"

#include <base/arena.h>

#include <stdio.h>

enum { EXPORT_FIELDS_MAX = 64, EXPORT_NAMESPACES_MAX = 16, EXPORT_PAGE = 10000 };

/* What is exported of each member. */
struct export_plan {
    const char *fields[EXPORT_FIELDS_MAX]; /* without one_id */
    size_t n_fields;
    const char *namespaces[EXPORT_NAMESPACES_MAX];
    size_t n_namespaces;
    bool csv;
    struct arena names;
};

/* The identities of the members of one page: by row and namespace. */
struct export_id_list {
    struct oneid_str *values;
    size_t n;
};
struct export_ids {
    struct arena arena;
    struct export_id_list *lists; /* n_rows * n_namespaces */
    size_t open;                  /* questions without an answer */
    enum oneid_code code;         /* the first thing that went wrong */
    char text[240];
};

/* --- export_ids.c --- */
/* Asks for all members of the page, many at a time; what it gives lives until the next page. */
bool export_ids_load(struct export_ids *ids, struct oneid_client *client,
                     const struct export_plan *plan, const struct oneid_result *page);
void export_ids_close(struct export_ids *ids);

/* --- export_write.c --- */
void export_write_head(FILE *out, const struct export_plan *plan);
/* `ids` NULL: none were asked for. */
void export_write_page(FILE *out, const struct export_plan *plan, const struct oneid_result *page,
                       const struct export_ids *ids);

#endif
