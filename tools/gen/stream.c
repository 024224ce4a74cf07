#include "private.h"

#include <base/rng.h>

#include <string.h>

enum role { ROLE_PART, ROLE_LINK, ROLE_EXTRA, ROLE_RESENT };

/* What a place of the unshuffled stream holds. */
struct place {
    uint64_t pos;
    unsigned wave;
    enum role role;
    uint64_t at; /* among those of the role in the wave */
};

static unsigned wave_of_place(const struct gen *g, uint64_t pos)
{
    unsigned lo = 0, hi = g->n_waves;
    while (hi - lo > 1) {
        unsigned mid = (lo + hi) / 2;
        if (g->waves[mid].start <= pos)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

static struct place place_of(const struct gen *g, uint64_t pos)
{
    struct place p = {.pos = pos, .wave = wave_of_place(g, pos)};
    const struct gen_wave *w = &g->waves[p.wave];
    uint64_t key = gen_hash(g->options.seed, GEN_USE_ORDER, p.wave);
    uint64_t item = gen_permute(gen_wave_size(w), key, pos - w->start);
    const uint64_t sizes[] = {w->n_parts, w->n_links, w->n_extra, w->n_resent};
    for (unsigned i = 0; i < 4; i++) {
        if (item < sizes[i]) {
            p.role = (enum role)i;
            p.at = item;
            break;
        }
        item -= sizes[i];
    }
    return p;
}

/* The place whose event is sent again: one of the few thousand before it. */
static struct place original_of(const struct gen *g, struct place p)
{
    enum { BACK = 5000, TRIES = 32 };
    uint64_t r = gen_hash(g->options.seed, GEN_USE_RESENT, p.pos);
    uint64_t back = p.pos < BACK ? p.pos : BACK;
    for (unsigned i = 0; back && i < TRIES; i++) {
        struct place q = place_of(g, p.pos - 1 - hash_u64(r + i) % back);
        if (q.role != ROLE_RESENT)
            return q;
    }
    struct place q = place_of(g, 0);
    for (uint64_t pos = 1; q.role == ROLE_RESENT; pos++)
        q = place_of(g, pos);
    return q;
}

/* Which identities an event may name: every n_parts-th from `first`. */
struct scope {
    struct gen_person person;
    unsigned first, stride;
};

static unsigned scope_size(const struct scope *s)
{
    return (s->person.n_ids - s->first + s->stride - 1) / s->stride;
}

static void scope_of_part(const struct gen *g, const struct place *p, struct scope *out)
{
    const struct gen_wave *w = &g->waves[p->wave];
    uint64_t three = w->three_linked + w->three_never, two = w->two_linked + w->two_never;
    uint64_t at = p->at;
    uint64_t person;
    if (at < 3 * three) {
        person = at / 3;
        out->first = (unsigned)(at % 3);
    } else if (at -= 3 * three, at < 2 * two) {
        person = three + at / 2;
        out->first = (unsigned)(at % 2);
    } else {
        person = three + two + (at - 2 * two);
        out->first = 0;
    }
    gen_person_of(g, w->first_person + person, &out->person);
    out->stride = out->person.n_parts;
}

static void scope_of_link(const struct gen *g, const struct place *p, struct scope *out)
{
    const struct gen_wave *w = &g->waves[p->wave - 1];
    uint64_t person = p->at < w->three_linked ? p->at : p->at + w->three_never;
    gen_person_of(g, w->first_person + person, &out->person);
    out->first = 0;
    out->stride = 1;
}

/* Half of the events come from early persons more often than from late ones. Before its link, and
 * when it is never linked, a person shows one part at a time. */
static void scope_of_extra(const struct gen *g, const struct place *p, struct rng *r,
                           struct scope *out)
{
    const struct gen_wave *w = &g->waves[p->wave];
    uint64_t persons = w->first_person + w->n_persons;
    uint64_t number = rng_below(r, persons);
    if (rng_u64(r) & 1)
        number = rng_below(r, number + 1);
    gen_person_of(g, number, &out->person);
    bool whole = out->person.linked && p->wave > out->person.wave + 1;
    out->stride = whole ? 1 : out->person.n_parts;
    out->first = (unsigned)rng_below(r, out->stride);
}

static void add_identity(const struct gen *g, const struct gen_person *p, unsigned j,
                         struct gen_event *e)
{
    struct gen_identity *id = &e->ids[e->n_ids++];
    id->ns = j < p->n_ids ? p->ns[j] : GEN_DEVICE;
    id->index = j;
    id->len = gen_identity_value(g, p, j, id->value);
}

static void name_link(const struct gen *g, const struct scope *s, struct rng *r,
                      struct gen_event *e)
{
    for (unsigned part = 0; part < s->person.n_parts; part++) {
        unsigned n = (s->person.n_ids - part + s->person.n_parts - 1) / s->person.n_parts;
        add_identity(g, &s->person, part + s->person.n_parts * (unsigned)rng_below(r, n), e);
    }
}

/* The first event of a part names up to three of its identities; each later one names at least one
 * of those, so that whatever is named hangs together. */
static void name_scope(const struct gen *g, const struct scope *s, enum role role, struct rng *r,
                       struct gen_event *e)
{
    unsigned size = scope_size(s), core = size < 3 || s->person.n_parts > 1 ? size : 3;
    unsigned n = core, start = 0;
    if (role == ROLE_EXTRA) {
        unsigned pick = (unsigned)rng_below(r, 100);
        n = pick < 50 ? 1 : pick < 85 ? 2 : 3;
        n = n < size ? n : size;
        start = (unsigned)rng_below(r, core);
    }
    for (unsigned i = 0; i < n; i++)
        add_identity(g, &s->person, s->first + s->stride * ((start + i) % size), e);
    if (s->person.device && (role == ROLE_PART || rng_u64(r) & 1))
        add_identity(g, &s->person, s->person.n_ids, e);
}

static bool chance(struct rng *r, unsigned percent)
{
    return rng_below(r, 100) < percent;
}

/* Small numbers more often than great ones. */
static int skewed(struct rng *r, unsigned n)
{
    return (int)(rng_unit(r) * rng_unit(r) * n);
}

static void fill_traits(struct rng *r, struct gen_event *e)
{
    enum { FIRST_YEAR = 1950, YEARS = 60, DAYS_PER_YEAR = 365 };
    e->city = e->gender = e->name = e->birth_year = e->birth = GEN_NONE;
    if (chance(r, 35))
        e->city = chance(r, 2) ? GEN_REMOVED : skewed(r, GEN_CITY_COUNT);
    if (chance(r, 20)) {
        unsigned pick = (unsigned)rng_below(r, 100);
        e->gender = pick < 48 ? GEN_MALE : pick < 95 ? GEN_FEMALE : GEN_OTHER;
    }
    if (chance(r, 10))
        e->birth_year = FIRST_YEAR + (int)rng_below(r, YEARS);
    if (chance(r, 8))
        e->birth = (int32_t)rng_below(r, UINT64_C(40) * DAYS_PER_YEAR) + 1;
    if (chance(r, 8))
        e->name = (int)rng_below(r, GEN_NAME_COUNT);
    e->n_interests = chance(r, 6) ? 1 + (unsigned)rng_below(r, 2) : 0;
    int first = (int)rng_below(r, GEN_INTEREST_COUNT);
    for (unsigned i = 0; i < e->n_interests; i++)
        e->interests[i] = (first + 5 * (int)i) % GEN_INTEREST_COUNT;
}

static void fill_tags(struct rng *r, struct gen_event *e)
{
    unsigned pick = (unsigned)rng_below(r, 100);
    e->n_tags_add = pick < 40 ? 0 : pick < 75 ? 1 : 2;
    for (unsigned i = 0; i < e->n_tags_add; i++)
        e->tags_add[i] = skewed(r, GEN_TAG_COUNT);
    if (e->n_tags_add == 2 && e->tags_add[0] == e->tags_add[1])
        e->n_tags_add = 1;
    e->tag_remove = chance(r, 8) ? (int)rng_below(r, GEN_TAG_REMOVABLE) : GEN_NONE;
    for (unsigned i = 0; i < e->n_tags_add; i++)
        if (e->tags_add[i] == e->tag_remove)
            e->tag_remove = GEN_NONE;
}

static void fill_behaviour(struct rng *r, struct gen_event *e)
{
    unsigned pick = (unsigned)rng_below(r, 100);
    e->kind = pick < 30 ? GEN_ORDER : pick < 50 ? GEN_VIEW : GEN_NO_EVENT;
    e->points = chance(r, 80) ? 1 + (int32_t)rng_below(r, 100) : 0;
    e->growth = 0;
    e->category = e->kind == GEN_NO_EVENT ? GEN_NONE : skewed(r, GEN_CATEGORY_COUNT);
    e->amount_cents = 0;
    if (e->kind != GEN_ORDER)
        return;
    e->amount_cents = 990 + (int64_t)rng_below(r, 40000);
    if (chance(r, 12))
        e->amount_cents *= 8;
    e->growth = (int32_t)(e->amount_cents / 100);
    if (chance(r, 1))
        e->growth *= 20;
}

/* Regular events stand on multiples of the step. A late one is a fixed number of places behind and
 * between two multiples, at a millisecond of its kind of lag: no two events have the same time. */
static msec_t time_of(const struct gen *g, uint64_t pos, struct rng *r)
{
    static const unsigned lag_hours[GEN_LAGS] = {1, 6, 24, 48, 120, 240, 480, 720};
    const struct gen_options *o = &g->options;
    msec_t base = o->to_ms - g->step_ms * (msec_t)o->events;
    bool late = rng_below(r, GEN_PPM) < o->late;
    unsigned kind = (unsigned)rng_below(r, GEN_LAGS);
    uint64_t lag = late ? (uint64_t)(lag_hours[kind] * INT64_C(3600000) / g->step_ms) + 1 : 0;
    if (!late || pos < lag)
        return base + (msec_t)pos * g->step_ms;
    return base + (msec_t)(pos - lag) * g->step_ms + (kind + 1) * (g->step_ms / (GEN_LAGS + 1));
}

static char *put_number(char *at, uint64_t v)
{
    char text[24];
    unsigned n = 0;
    do {
        text[n++] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    while (n)
        *at++ = text[--n];
    return at;
}

static void fill_message_id(const struct gen *g, struct gen_event *e)
{
    char *at = e->message_id;
    *at++ = 'g';
    at = put_number(at, g->options.seed);
    *at++ = '-';
    at = put_number(at, e->number);
    *at = 0;
}

static void fill_who(const struct gen *g, const struct place *p, struct rng *r, struct gen_event *e)
{
    struct scope s;
    e->n_ids = 0;
    e->number = p->pos;
    if (p->role == ROLE_PART)
        scope_of_part(g, p, &s);
    else if (p->role == ROLE_LINK)
        scope_of_link(g, p, &s);
    else
        scope_of_extra(g, p, r, &s);
    if (p->role == ROLE_LINK)
        name_link(g, &s, r, e);
    else
        name_scope(g, &s, p->role, r, e);
    e->person = s.person.number;
    e->profile = s.person.first_profile + (s.person.linked ? 0 : s.first);
}

static void fill_what(struct rng *r, struct gen_event *e)
{
    e->source = (enum gen_source)rng_below(r, GEN_SOURCE_COUNT);
    fill_traits(r, e);
    fill_tags(r, e);
    fill_behaviour(r, e);
}

static struct place place_at(const struct gen *g, uint64_t n, bool *resent)
{
    const struct gen_options *o = &g->options;
    uint64_t pos = o->shuffle ? gen_permute(o->events, hash_u64(o->shuffle), n) : n;
    struct place p = place_of(g, pos);
    *resent = p.role == ROLE_RESENT;
    return *resent ? original_of(g, p) : p;
}

static struct rng rng_of_place(const struct gen *g, const struct place *p)
{
    return rng_of_seed(gen_hash(g->options.seed, GEN_USE_EVENT, p->pos));
}

void gen_event_at(const struct gen *g, uint64_t n, struct gen_event *out)
{
    struct place p = place_at(g, n, &out->resent);
    struct rng r = rng_of_place(g, &p);
    fill_who(g, &p, &r, out);
    out->ts = time_of(g, p.pos, &r);
    fill_what(&r, out);
    fill_message_id(g, out);
}

void gen_who_at(const struct gen *g, uint64_t n, struct gen_event *out)
{
    struct place p = place_at(g, n, &out->resent);
    struct rng r = rng_of_place(g, &p);
    fill_who(g, &p, &r, out);
}

void gen_who_of_person(const struct gen *g, uint64_t person, struct rng *r, struct gen_event *out)
{
    struct scope s = {.first = 0};
    gen_person_of(g, person, &s.person);
    s.stride = s.person.n_parts;
    out->n_ids = 0;
    out->resent = false;
    out->number = 0;
    out->person = person;
    out->profile = s.person.first_profile;
    name_scope(g, &s, ROLE_EXTRA, r, out);
}

void gen_renew(struct rng *r, uint64_t run, uint64_t number, struct gen_event *e)
{
    char *at = e->message_id;
    *at++ = 'u';
    at = put_number(at, run);
    *at++ = '-';
    at = put_number(at, number);
    *at = 0;
    e->ts = 0;
    e->resent = false;
    fill_what(r, e);
}

bool gen_next(struct gen *g, struct gen_event *out)
{
    if (g->next >= g->options.events)
        return false;
    gen_event_at(g, g->next++, out);
    return true;
}
