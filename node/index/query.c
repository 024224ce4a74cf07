#include "page.h"

enum error_code index_count_members(struct index *ix, const struct index_query *q,
                                    struct index_count *out, struct error *err)
{
    struct session s;
    struct node *root = NULL;
    *out = (struct index_count){0};
    enum error_code code = session_open(&s, ix, q, &root, err);
    if (code != ERR_OK)
        return code;
    for (uint32_t chunk = 0; chunk < ix->core.ids.n_chunks && code == ERR_OK; chunk++) {
        code = run_check(&s.run, err);
        if (code == ERR_OK)
            out->members += run_count_chunk(&s.run, root, chunk);
    }
    if (code == ERR_OK)
        code = run_check(&s.run, err);
    out->population = ix->core.ids.n_live;
    out->applied = ix->core.applied;
    session_close(&s);
    return code;
}

enum error_code index_list_members(struct index *ix, const struct index_query *q, one_id cursor,
                                   size_t limit, one_id *out, size_t *n_out, one_id *next,
                                   struct error *err)
{
    struct session s;
    struct node *root = NULL;
    struct page page;
    *n_out = 0;
    *next = 0;
    enum error_code code = session_open(&s, ix, q, &root, err);
    if (code != ERR_OK)
        return code;
    code = page_collect(&s, root, cursor, limit, &page, err);
    if (code == ERR_OK) {
        for (size_t i = 0; i < page.n; i++)
            out[i] = page.rows[i].member;
        *n_out = page.n;
        *next = page.next;
    }
    session_close(&s);
    return code;
}
