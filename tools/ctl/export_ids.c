/* The identities of a page's members: they are not in the segment index, so each profile is asked
 * for by its One-ID. */
#include "export.h"

#include <string.h>

/* One question. */
struct asking {
    struct export_ids *ids;
    const struct export_plan *plan;
    struct export_id_list *lists; /* of its row */
};

static void fail(struct export_ids *ids, enum oneid_code code, const char *text)
{
    if (ids->code != ONEID_OK)
        return;
    ids->code = code;
    (void)snprintf(ids->text, sizeof ids->text, "%s", text);
}

static struct oneid_str copy(struct export_ids *ids, struct oneid_str s)
{
    struct bytes b = arena_copy(&ids->arena, bytes_of(s.data, s.len));
    if (s.len && !b.data)
        fail(ids, ONEID_ERR_NOMEM, "out of memory");
    return (struct oneid_str){(const char *)b.data, b.len};
}

static void take_namespace(struct asking *a, const struct oneid_profile *p, size_t k)
{
    struct export_id_list *list = &a->lists[k];
    list->values = arena_alloc(&a->ids->arena, (p->n_ids + 1) * sizeof *list->values);
    if (!list->values) {
        fail(a->ids, ONEID_ERR_NOMEM, "out of memory");
        return;
    }
    for (size_t i = 0; i < p->n_ids; i++) {
        if (strcmp(p->ids[i].ns, a->plan->namespaces[k]) == 0)
            list->values[list->n++] = copy(a->ids, p->ids[i].value);
    }
}

/* A member that is gone by now has no identities left to show. */
static void on_profile(void *ctx, const struct oneid_result *r)
{
    struct asking *a = ctx;
    a->ids->open--;
    if (r->code == ONEID_ERR_NOT_FOUND)
        return;
    if (r->code != ONEID_OK || !r->profile) {
        fail(a->ids, r->code, r->text);
        return;
    }
    for (size_t k = 0; k < a->plan->n_namespaces; k++)
        take_namespace(a, r->profile, k);
}

bool export_ids_load(struct export_ids *ids, struct oneid_client *client,
                     const struct export_plan *plan, const struct oneid_result *page)
{
    size_t n = page->n_rows, width = plan->n_namespaces;
    arena_reset(&ids->arena);
    ids->code = ONEID_OK;
    ids->lists = arena_zalloc(&ids->arena, (n * width + 1) * sizeof *ids->lists);
    struct asking *all = arena_alloc(&ids->arena, (n + 1) * sizeof *all);
    if (!ids->lists || !all)
        fail(ids, ONEID_ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < n && ids->code == ONEID_OK; i++) {
        enum oneid_code rc;
        all[i] = (struct asking){ids, plan, &ids->lists[i * width]};
        while ((rc = oneid_submit_profile(client, NULL, page->rows[i].one_id, 0, on_profile,
                                          &all[i])) == ONEID_ERR_BUSY)
            (void)oneid_poll(client, -1);
        if (rc == ONEID_OK)
            ids->open++;
        else
            fail(ids, rc, oneid_error_text(client));
    }
    while (ids->open > 0)
        (void)oneid_poll(client, -1);
    return ids->code == ONEID_OK;
}

void export_ids_close(struct export_ids *ids)
{
    arena_close(&ids->arena);
}
