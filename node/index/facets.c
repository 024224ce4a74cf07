/* What changes and terms are about, as 63 bits by hash and one for birth and death: a segment is
 * evaluated at a member only if they meet. Two names that fall on one bit cost an evaluation. */
#include "watch.h"

#include <base/hash.h>

enum facet_kind { FACET_TAG = 1, FACET_CHANNEL, FACET_NAMESPACE, FACET_TRAIT, FACET_EVENT };
enum { FACET_BITS = 63 };

static uint64_t facet_of_hash(uint64_t hash)
{
    return UINT64_C(1) << hash % FACET_BITS;
}

static uint64_t facet_of_text(enum facet_kind kind, struct bytes text)
{
    return facet_of_hash(hash64_seed(text, kind));
}

static uint64_t facet_of_name(enum facet_kind kind, name_id name)
{
    return facet_of_hash(hash_u64((uint64_t)kind << 32 | name));
}

uint64_t facets_of_op(const struct index_op *op)
{
    switch (op->kind) {
    case INDEX_ADD:
    case INDEX_REMOVE:
        return FACET_LIFE;
    case INDEX_TAG:
        return facet_of_text(FACET_TAG, op->text);
    case INDEX_CHANNEL:
        return facet_of_text(FACET_CHANNEL, op->text);
    case INDEX_HAS:
        return facet_of_name(FACET_NAMESPACE, op->name);
    case INDEX_VALUE:
    case INDEX_NUMBER:
        return facet_of_name(FACET_TRAIT, op->name);
    case INDEX_LAST:
    case INDEX_EVENT:
        return facet_of_name(FACET_EVENT, op->name);
    }
    return UINT64_MAX;
}

static uint64_t facets_of_term(const struct expr *e, const struct schema *s)
{
    const struct schema_trait *trait = e->trait;
    switch (e->kind) {
    case EXPR_TAG:
        return facet_of_text(FACET_TAG, e->name);
    case EXPR_CHANNEL:
        return facet_of_text(FACET_CHANNEL, e->name);
    case EXPR_HAS:
        return e->ns ? facet_of_name(FACET_NAMESPACE, e->ns->id) : 0;
    case EXPR_VALUES:
        if (!trait)
            trait = s->level_by;
        return trait ? facet_of_name(FACET_TRAIT, trait->id) : 0;
    case EXPR_EXISTS:
    case EXPR_RANGE:
        return trait ? facet_of_name(FACET_TRAIT, trait->id) : 0;
    case EXPR_COUNT:
    case EXPR_SUM:
    case EXPR_LAST:
        return e->event ? facet_of_name(FACET_EVENT, e->event->id) : 0;
    case EXPR_AND:
    case EXPR_OR:
    case EXPR_NOT:
    case EXPR_CONST:
    case EXPR_SEGMENT:
        return 0;
    }
    return UINT64_MAX;
}

uint64_t facets_of_expr(const struct expr *e, const struct schema *s)
{
    uint64_t facets = FACET_LIFE | facets_of_term(e, s);
    for (size_t i = 0; i < e->n_children; i++)
        facets |= facets_of_expr(e->children[i], s);
    return facets;
}

bool expr_is_timed(const struct expr *e)
{
    if (e->kind == EXPR_COUNT || e->kind == EXPR_SUM || (e->kind == EXPR_LAST && e->relative))
        return true;
    for (size_t i = 0; i < e->n_children; i++)
        if (expr_is_timed(e->children[i]))
            return true;
    return false;
}
