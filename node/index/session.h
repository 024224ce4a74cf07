/* One query, or several that are answered together, inside the gate. */
#ifndef INDEX_SESSION_H
#define INDEX_SESSION_H

#include "private.h"
#include "program.h"

struct session {
    struct index *ix;
    struct arena arena; /* the programs live here */
    struct run run;
};

/* Enters the gate under the query's deadline and cancellation; session_close leaves it. */
enum error_code session_enter(struct session *s, struct index *ix, const struct index_query *q,
                              struct error *err);
/* Enters and makes the query ready; on failure the session is closed. */
enum error_code session_open(struct session *s, struct index *ix, const struct index_query *q,
                             struct node **root, struct error *err);
void session_close(struct session *s);

#endif
