#include "group_check.h"

#include <core.h> /* node/replica: the checks look inside */

#include <base/hash.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { TERMS_MAX = 20000 };

void group_check_close(struct group_check *g)
{
    for (size_t i = 0; i < g->n_indexes; i++)
        free(g->indexes[i].versions);
    free(g->indexes);
    free(g->leaders);
    *g = (struct group_check){0};
}

void group_check_fail(struct group_check *g, const char *fmt, ...)
{
    if (g->failed)
        return;
    g->failed = true;
    va_list args;
    va_start(args, fmt);
    vsnprintf(g->what, sizeof g->what, fmt, args);
    va_end(args);
}

static struct group_index *index_info(struct group_check *g, uint64_t index)
{
    if (index >= g->n_indexes) {
        size_t n = (size_t)index * 2 + 256;
        g->indexes = realloc(g->indexes, n * sizeof *g->indexes);
        if (!g->indexes)
            abort();
        memset(g->indexes + g->n_indexes, 0, (n - g->n_indexes) * sizeof *g->indexes);
        g->n_indexes = n;
    }
    return &g->indexes[index];
}

static uint64_t entry_hash(const struct replica_entry *e)
{
    return hash64_seed(e->data, e->term * 31 + e->type);
}

static void check_version(struct group_check *g, uint64_t replica, const struct replica_entry *e,
                          uint64_t before)
{
    struct group_index *x = index_info(g, e->index);
    uint64_t hash = entry_hash(e);
    for (size_t i = 0; i < x->n; i++) {
        struct group_version *v = &x->versions[i];
        if (v->term != e->term)
            continue;
        if (v->hash != hash)
            group_check_fail(
                g, "log matching: replica %" PRIx64 " index %" PRIu64 " term %" PRIu64 " differs",
                replica, e->index, e->term);
        if (before && v->before && v->before != before)
            group_check_fail(
                g, "log matching: replica %" PRIx64 " index %" PRIu64 " follows another entry",
                replica, e->index);
        if (!v->before)
            v->before = before;
        return;
    }
    x->versions = realloc(x->versions, (x->n + 1) * sizeof *x->versions);
    if (!x->versions)
        abort();
    x->versions[x->n++] = (struct group_version){.term = e->term, .hash = hash, .before = before};
}

void group_check_durable(struct group_check *g, uint64_t replica, const struct replica_entry *list,
                         size_t n, uint64_t before)
{
    for (size_t i = 0; i < n; i++) {
        check_version(g, replica, &list[i], before);
        before = list[i].term;
    }
}

void group_check_applied(struct group_check *g, uint64_t replica, uint64_t term,
                         const struct replica_entry *e, uint64_t *applied, uint64_t *history)
{
    struct group_index *x = index_info(g, e->index);
    uint64_t hash = entry_hash(e);
    if (e->index != *applied + 1)
        group_check_fail(g, "replica %" PRIx64 " applies %" PRIu64 " after %" PRIu64, replica,
                         e->index, *applied);
    if (x->committed && (x->hash != hash || x->term != e->term))
        group_check_fail(g,
                         "state machine safety: replica %" PRIx64 " index %" PRIu64 " term %" PRIu64
                         ", others have term %" PRIu64,
                         replica, e->index, e->term, x->term);
    if (!x->committed) {
        x->committed = true;
        x->hash = hash;
        x->term = e->term;
        x->seen_in = term;
    } else if (term < x->seen_in) {
        x->seen_in = term;
    }
    *history = hash_u64(*history ^ hash) | 1;
    if (x->history && x->history != *history)
        group_check_fail(
            g, "state machine safety: replica %" PRIx64 " has another history at %" PRIu64, replica,
            e->index);
    x->history = *history;
    *applied = e->index;
    if (e->index > g->committed)
        g->committed = e->index;
    g->applies++;
}

static bool note_leader(struct group_check *g, uint64_t replica, uint64_t term)
{
    if (term >= TERMS_MAX) {
        group_check_fail(g, "livelock: term %" PRIu64, term);
        return false;
    }
    if (term >= g->n_terms) {
        size_t n = (size_t)term * 2 + 64;
        g->leaders = realloc(g->leaders, n * sizeof *g->leaders);
        if (!g->leaders)
            abort();
        memset(g->leaders + g->n_terms, 0, (n - g->n_terms) * sizeof *g->leaders);
        g->n_terms = n;
    }
    if (g->leaders[term] && g->leaders[term] != replica)
        group_check_fail(g,
                         "election safety: replicas %" PRIx64 " and %" PRIx64 " lead term %" PRIu64,
                         g->leaders[term], replica, term);
    g->elections += g->leaders[term] != replica;
    g->leaders[term] = replica;
    return true;
}

void group_check_leader(struct group_check *g, uint64_t replica, uint64_t term,
                        const struct replica *r)
{
    if (!note_leader(g, replica, term))
        return;
    for (uint64_t i = r->entries.first; i <= g->committed; i++) {
        const struct group_index *x = index_info(g, i);
        if (!x->committed || x->seen_in >= term || entries_term(&r->entries, i) == x->term)
            continue;
        group_check_fail(g,
                         "leader completeness: replica %" PRIx64 " leads term %" PRIu64
                         " without %" PRIu64 " of term %" PRIu64,
                         replica, term, i, x->term);
        return;
    }
}
