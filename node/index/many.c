/* Several queries in one pass over the chunks, so that what they share stays in the caches. */
#include "session.h"

#include <stdlib.h>
#include <string.h>

/* Their programs; NULL where one cannot be answered, for which `errors` says why. */
static enum error_code compile_each(struct session *s, const struct index_query *queries, size_t n,
                                    struct node **roots, struct index_answer *answers,
                                    struct error *err)
{
    for (size_t i = 0; i < n; i++) {
        enum error_code code =
            program_compile(&s->ix->core, &queries[i], &s->arena, &roots[i], &answers[i].err);
        if (code == ERR_NOMEM)
            return error_set(err, code, "no memory left for %zu queries at once", n);
        answers[i].err.code = code;
        if (code != ERR_OK)
            roots[i] = NULL;
    }
    return run_init(&s->run, &s->ix->core, queries, roots, n, err);
}

static enum error_code count_each(struct session *s, struct node *const *roots, size_t n,
                                  struct index_answer *answers, struct error *err)
{
    for (uint32_t chunk = 0; chunk < s->ix->core.ids.n_chunks; chunk++) {
        for (size_t i = 0; i < n; i++) {
            if (!roots[i])
                continue;
            answers[i].count.members += run_count_chunk(&s->run, roots[i], chunk);
        }
        enum error_code code = run_check(&s->run, err);
        if (code != ERR_OK)
            return code;
    }
    return ERR_OK;
}

enum error_code index_count_many(struct index *ix, const struct index_query *queries, size_t n,
                                 struct index_answer *answers, struct error *err)
{
    struct session s;
    memset(answers, 0, n * sizeof *answers);
    if (n == 0)
        return ERR_OK;
    enum error_code code = session_enter(&s, ix, queries, err);
    if (code != ERR_OK)
        return code;
    struct node **roots = arena_zalloc(&s.arena, n * sizeof(struct node *));
    code = roots ? compile_each(&s, queries, n, roots, answers, err)
                 : error_set(err, ERR_NOMEM, "no memory left for %zu queries at once", n);
    if (code == ERR_OK)
        code = count_each(&s, roots, n, answers, err);
    for (size_t i = 0; i < n; i++) {
        answers[i].count.population = ix->core.ids.n_live;
        answers[i].count.applied = ix->core.applied;
    }
    session_close(&s);
    return code;
}

/* --- overlap --- */

struct overlap {
    struct session s;
    struct node *roots[INDEX_OVERLAP_MAX];
    size_t n;
    struct reg *regs;   /* per query, who satisfies it in the chunk; dense */
    uint64_t *scratch;  /* per depth of the descent, CHUNK_WORDS each */
    uint64_t *at_least; /* per combination: who is in all of its queries, whatever else */
};

/* Adds up the combinations that are `mask` and any queries from `from` on; `words` is who is in all
 * of `mask` (NULL: everybody). Combinations of nobody are not gone into. */
static void count_combinations(struct overlap *o, size_t mask, size_t from, size_t depth,
                               const uint64_t *words)
{
    const struct kernels *k = o->s.run.kernels;
    for (size_t i = from; i < o->n; i++) {
        size_t with = mask | (size_t)1 << i;
        const uint64_t *both = o->regs[i].words;
        if (words) {
            uint64_t *to = o->scratch + depth * CHUNK_WORDS;
            memcpy(to, words, CHUNK_BYTES);
            if (k->and (to, o->regs[i].words) == 0)
                continue;
            both = to;
        }
        o->at_least[with] += k->count(both);
        if (i + 1 < o->n)
            count_combinations(o, with, i + 1, depth + 1, both);
    }
}

static void overlap_chunk(struct overlap *o, uint32_t chunk)
{
    for (size_t i = 0; i < o->n; i++) {
        (void)run_chunk(&o->s.run, o->roots[i], chunk);
        reg_copy(&o->regs[i], o->s.run.result);
        reg_spread(&o->regs[i]);
    }
    count_combinations(o, 0, 0, 0, NULL);
}

/* From "in at least these" to "in exactly these": each query in turn is taken out of who is not in
 * it. */
static void make_exact(uint64_t *counts, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t mask = 0; mask < (size_t)1 << n; mask++)
            if (!(mask >> i & 1))
                counts[mask] -= counts[mask | (size_t)1 << i];
}

static enum error_code overlap_prepare(struct overlap *o, const struct index_query *queries,
                                       struct error *err)
{
    struct arena *arena = &o->s.arena;
    for (size_t i = 0; i < o->n; i++) {
        enum error_code code =
            program_compile(&o->s.ix->core, &queries[i], arena, &o->roots[i], err);
        if (code != ERR_OK)
            return error_wrap(err, "segment %zu", i + 1);
    }
    o->regs = aligned_alloc(64, o->n * sizeof *o->regs);
    o->scratch = arena_alloc(arena, o->n * CHUNK_BYTES);
    if (!o->regs || !o->scratch)
        return error_set(err, ERR_NOMEM, "no memory left for the query");
    return run_init(&o->s.run, &o->s.ix->core, queries, o->roots, o->n, err);
}

static enum error_code overlap_count(struct overlap *o, const struct index_query *queries,
                                     struct error *err)
{
    enum error_code code = overlap_prepare(o, queries, err);
    for (uint32_t chunk = 0; chunk < o->s.ix->core.ids.n_chunks && code == ERR_OK; chunk++) {
        overlap_chunk(o, chunk);
        code = run_check(&o->s.run, err);
    }
    return code;
}

enum error_code index_overlap(struct index *ix, const struct index_query *queries, size_t n,
                              uint64_t *counts, struct index_count *all, struct error *err)
{
    struct overlap o = {.n = n, .at_least = counts};
    if (n == 0 || n > INDEX_OVERLAP_MAX)
        return error_set(err, ERR_TOO_LARGE, "an overlap takes 1 to %d segments, not %zu",
                         INDEX_OVERLAP_MAX, n);
    memset(counts, 0, ((size_t)1 << n) * sizeof *counts);
    *all = (struct index_count){0};
    enum error_code code = session_enter(&o.s, ix, queries, err);
    if (code != ERR_OK)
        return code;
    code = overlap_count(&o, queries, err);
    counts[0] = all->population = ix->core.ids.n_live;
    all->applied = ix->core.applied;
    make_exact(counts, n);
    all->members = all->population - counts[0];
    free(o.regs);
    session_close(&o.s);
    return code;
}
