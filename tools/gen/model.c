#include <gen/model.h>

#include <stdlib.h>

static const int32_t window_days[GEN_WINDOW_COUNT] = {INT32_MAX, 7, 14, 30, 60, 90};

enum error_code gen_model_open(struct gen_model *m, const struct gen *g, int32_t today,
                               struct error *err)
{
    *m = (struct gen_model){.gen = g, .today = today};
    m->profiles = calloc(g->n_profiles, sizeof *m->profiles);
    m->devices = calloc(g->options.persons / 128 + 1, sizeof *m->devices);
    if (!m->profiles || !m->devices) {
        gen_model_close(m);
        return error_set(err, ERR_NOMEM, "expected answers of %llu profiles",
                         (unsigned long long)g->n_profiles);
    }
    for (uint64_t i = 0; i < g->n_profiles; i++) {
        struct gen_profile *p = &m->profiles[i];
        p->last_order = INT32_MIN;
        p->birth = GEN_NONE;
        p->city = p->gender = p->birth_year = p->name = GEN_NONE;
    }
    return ERR_OK;
}

void gen_model_close(struct gen_model *m)
{
    free(m->profiles);
    free(m->devices);
    *m = (struct gen_model){0};
}

static void take_latest(int16_t *value, msec_t *ts, int said, msec_t at)
{
    if (said == GEN_NONE || at < *ts)
        return;
    *ts = at;
    *value = (int16_t)(said == GEN_REMOVED ? GEN_NONE : said);
}

static void take_birth(struct gen_profile *p, const struct gen_event *e)
{
    uint8_t rank = e->source == GEN_CRM ? 0 : e->source == GEN_TMALL_SHOP ? 1 : 2;
    bool none = p->birth == GEN_NONE;
    if (e->birth == GEN_NONE)
        return;
    if (!none && (rank > p->birth_rank || (rank == p->birth_rank && e->ts < p->birth_ts)))
        return;
    p->birth = e->birth;
    p->birth_rank = rank;
    p->birth_ts = e->ts;
}

static void take_tag(struct gen_profile *p, int tag, bool on, msec_t ts)
{
    if (tag < GEN_TAG_REMOVABLE) {
        if (ts < p->tag_ts[tag])
            return;
        p->tag_ts[tag] = ts;
    }
    uint64_t bit = UINT64_C(1) << tag;
    p->tags = on ? p->tags | bit : p->tags & ~bit;
}

static void take_order(struct gen_profile *p, const struct gen_event *e, int32_t day, int32_t today)
{
    int32_t age = today - day;
    for (unsigned w = 0; w < GEN_WINDOW_COUNT; w++) {
        if (age < window_days[w]) {
            p->orders[w]++;
            p->order_cents[w] += e->amount_cents;
        }
    }
    if (day > p->last_order)
        p->last_order = day;
    if (e->category == GEN_CATEGORY_MILK && age < 60)
        p->milk_orders_60d++;
    if (e->category == GEN_CATEGORY_MILK && age < 90)
        p->milk_cents_90d += e->amount_cents;
    if ((e->category == GEN_CATEGORY_MILK || e->category == GEN_CATEGORY_NAPPY) && age < 90)
        p->milk_or_nappy_orders_90d++;
}

static void take_behaviour(struct gen_model *m, struct gen_profile *p, const struct gen_event *e)
{
    if (e->kind == GEN_NO_EVENT)
        return;
    int32_t day = clock_day_of_ms(e->ts);
    if (e->kind == GEN_ORDER) {
        take_order(p, e, day, m->today);
        m->n_orders++;
        m->order_cents += e->amount_cents;
        return;
    }
    for (unsigned w = 0; w < GEN_WINDOW_COUNT; w++)
        p->views[w] = (uint16_t)(p->views[w] + (m->today - day < window_days[w]));
}

static void take_identities(struct gen_model *m, struct gen_profile *p, const struct gen_event *e)
{
    for (unsigned i = 0; i < e->n_ids; i++) {
        const struct gen_identity *id = &e->ids[i];
        if (id->ns == GEN_DEVICE) {
            uint64_t device = e->person / 2, bit = UINT64_C(1) << (device & 63);
            m->n_devices += !(m->devices[device / 64] & bit);
            m->devices[device / 64] |= bit;
            continue;
        }
        m->n_identities += !(p->named >> id->index & 1);
        p->named = (uint8_t)(p->named | 1u << id->index);
        p->namespaces = (uint8_t)(p->namespaces | 1u << id->ns);
    }
}

void gen_model_add(struct gen_model *m, const struct gen_event *e)
{
    if (e->resent)
        return;
    struct gen_profile *p = &m->profiles[e->profile];
    p->person = e->person;
    m->n_events++;
    m->points += e->points;
    m->growth += e->growth;
    p->points += e->points;
    p->growth += e->growth;
    p->sources = (uint8_t)(p->sources | 1u << e->source);
    take_identities(m, p, e);
    take_latest(&p->city, &p->city_ts, e->city, e->ts);
    take_latest(&p->gender, &p->gender_ts, e->gender, e->ts);
    take_latest(&p->name, &p->name_ts, e->name, e->ts);
    take_latest(&p->birth_year, &p->birth_year_ts, e->birth_year, e->ts);
    take_birth(p, e);
    for (unsigned i = 0; i < e->n_interests; i++)
        p->interests = (uint16_t)(p->interests | 1u << e->interests[i]);
    for (unsigned i = 0; i < e->n_tags_add; i++)
        take_tag(p, e->tags_add[i], true, e->ts);
    if (e->tag_remove != GEN_NONE)
        take_tag(p, e->tag_remove, false, e->ts);
    take_behaviour(m, p, e);
}

uint64_t gen_model_count(const struct gen_model *m, const struct gen_segment *s)
{
    if (!s->is_member)
        return m->n_devices;
    uint64_t n = 0;
    for (uint64_t i = 0; i < m->gen->n_profiles; i++)
        n += s->is_member(&m->profiles[i], m->today);
    return n;
}
