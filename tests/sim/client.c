#include "sim.h"

#include <base/hash.h>
#include <proto/facts.h>
#include <proto/request.h>

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* --- messages --- */

static bool has_id(const struct message *m, uint32_t id)
{
    for (uint32_t i = 0; i < m->n_ids; i++) {
        if (m->ids[i] == id)
            return true;
    }
    return false;
}

static uint32_t rank(const struct world *w, uint32_t id)
{
    const struct schema_namespace *ns =
        schema_namespace_by_id(&w->config->schema, w->ids[id].id.ns);

    return (w->ids[id].bridges ? 0 : 1000) + ns->priority;
}

/* Bridging ones first, each part strongest first, as a router prepares them. */
static void sort_ids(const struct world *w, struct message *m)
{
    for (uint32_t i = 1; i < m->n_ids; i++) {
        for (uint32_t k = i; k > 0 && rank(w, m->ids[k]) < rank(w, m->ids[k - 1]); k--) {
            uint32_t t = m->ids[k];
            m->ids[k] = m->ids[k - 1];
            m->ids[k - 1] = t;
        }
    }
    while (m->n_bridging < m->n_ids && w->ids[m->ids[m->n_bridging]].bridges)
        m->n_bridging++;
}

static void choose_ids(struct world *w, struct message *m)
{
    uint32_t want = 1 + (uint32_t)rng_below(&w->rng, 4);
    bool hot = rng_below(&w->rng, 100) < w->plan.hot;

    if (hot)
        m->ids[m->n_ids++] = (uint32_t)rng_below(&w->rng, 2);
    while (m->n_ids < want) {
        uint32_t id = (uint32_t)rng_below(&w->rng, w->plan.n_ids);
        if (!has_id(m, id))
            m->ids[m->n_ids++] = id;
    }
    sort_ids(w, m);
}

static void add_fact(struct facts_builder *b, enum fact_kind kind, name_id name, const char *sub,
                     msec_t ts, int64_t number)
{
    struct fact f = {.kind = kind,
                     .name = name,
                     .sub = bytes_of_str(sub),
                     .ts = ts,
                     .type = FACT_NUMBER,
                     .number = number};

    facts_builder_add(b, &f);
}

/* A message leaves a sum and a tag of its own, so that one that counts twice, or not, is seen. */
static void make_facts(struct world *w, uint32_t k)
{
    struct message *m = &w->messages[k];
    struct schema *schema = &w->config->schema;
    struct facts_builder b;
    struct buf out = {0};
    char tag[16], city[16];
    struct fact latest = {.kind = FACT_LATEST, .ts = m->ts, .type = FACT_TEXT};

    snprintf(tag, sizeof tag, "t%u", k);
    snprintf(city, sizeof city, "c%u", k);
    facts_builder_init(&b, &w->arena);
    add_fact(&b, FACT_SUM, 100000 + k, NULL, 0, 1);
    add_fact(&b, FACT_SUM, schema_trait_by_name(schema, bytes_of_str("points"))->id, NULL, 0, k);
    add_fact(&b, FACT_TAG, 0, tag, m->ts, 1);
    latest.name = schema_trait_by_name(schema, bytes_of_str("city"))->id;
    latest.text = bytes_of_str(city);
    facts_builder_add(&b, &latest);
    if (!facts_builder_finish(&b, &out))
        abort();
    m->facts = arena_copy(&w->arena, buf_bytes(&out));
    buf_free(&out);
}

static void make_behaviour(struct world *w, struct message *m)
{
    const struct schema_event *order =
        schema_event_by_name(&w->config->schema, bytes_of_str("order"));
    struct behaviour b = {.event = order->id,
                          .ts = m->ts,
                          .day = (int32_t)(m->ts / MSEC_PER_DAY),
                          .count = 1,
                          .n_fields = 1};
    struct buf out = {0};

    b.fields[0] = (struct behaviour_field){
        .id = order->fields[0].id, .type = FIELD_NUMBER, .number = 5000000};
    behaviour_encode(&b, &out);
    m->behaviour = arena_copy(&w->arena, buf_bytes(&out));
    m->has_behaviour = true;
    buf_free(&out);
}

void client_plan(struct world *w)
{
    for (uint32_t k = 0; k < w->plan.n_messages; k++) {
        struct message *m = &w->messages[k];
        snprintf(m->text, sizeof m->text, "m%u", k);
        m->ts = world_wall(w) - (msec_t)rng_below(&w->rng, 100000);
        choose_ids(w, m);
        make_facts(w, k);
        if (rng_below(&w->rng, 3) == 0)
            make_behaviour(w, m);
        world_schedule(w, (msec_t)rng_below(&w->rng, (uint64_t)w->plan.issue_ms), EVENT_SEND)->a =
            k;
    }
    for (uint32_t k = 0; k < w->plan.n_reads; k++)
        world_schedule(w, (msec_t)rng_below(&w->rng, (uint64_t)w->plan.issue_ms + 1500),
                       EVENT_READ);
}

/* Any router will do, also while another still works on it; sometimes two at once. */
void client_send(struct world *w, uint32_t message)
{
    struct message *m = &w->messages[message];
    uint32_t copies = rng_below(&w->rng, 10) == 0 ? 2 : 1;

    if (m->acked)
        return;
    m->attempts++;
    if (m->attempts == 1)
        m->sent_at = w->steps;
    for (uint32_t i = 0; i < copies; i++) {
        uint32_t router = (uint32_t)rng_below(&w->rng, w->plan.n_routers);
        struct event *e;
        if (world_chance(w, w->plan.loss))
            continue;
        e = world_schedule(w, (msec_t)rng_below(&w->rng, (uint64_t)w->plan.delay_max),
                           EVENT_ARRIVE);
        e->a = message;
        e->b = router;
    }
    world_schedule(w, 300 + (msec_t)rng_below(&w->rng, 2500), EVENT_SEND)->a = message;
}

void client_on_answer(struct world *w, uint32_t message, const struct saga_answer *a)
{
    struct message *m = &w->messages[message];

    if (a->code != ERR_OK) {
        if (!error_is_retryable(a->code))
            world_fail(w, "m%u is answered %s", message, error_name(a->code));
        return;
    }
    if (!m->committed) {
        world_fail(w, "m%u is acknowledged and was not applied", message);
        return;
    }
    if (world_chance(w, w->plan.loss))
        return;
    m->told = a->profile;
    world_schedule(w, (msec_t)rng_below(&w->rng, (uint64_t)w->plan.delay_max), EVENT_ACKED)->a =
        message;
}

void client_on_acked(struct world *w, uint32_t message)
{
    struct message *m = &w->messages[message];

    if (m->acked)
        return;
    m->acked = true;
    m->ack_number = w->acks++;
    m->acked_at = w->steps;
}

/* --- reads --- */

static uint32_t some_told(struct world *w)
{
    uint32_t from = (uint32_t)rng_below(&w->rng, w->plan.n_messages);

    for (uint32_t i = 0; i < w->plan.n_messages; i++) {
        uint32_t k = (from + i) % w->plan.n_messages;
        if (w->messages[k].acked && w->messages[k].told)
            return k;
    }
    return MESSAGES_MAX;
}

uint32_t client_ask(struct world *w, uint32_t id)
{
    struct read_op *d;

    if (w->n_reads == READS_MAX)
        return READS_MAX;
    d = &w->reads[w->n_reads];
    *d = (struct read_op){.id = id,
                          .want_profile = rng_below(&w->rng, 3) != 0,
                          .acks = w->acks,
                          .asked_at = w->steps};
    if (id >= w->plan.n_ids) {
        d->id = IDS_MAX;
        d->message = some_told(w);
        if (d->message < MESSAGES_MAX)
            d->profile = w->messages[d->message].told;
        d->want_profile = true;
    }
    return w->n_reads++;
}

static id_set ids_of_view(struct world *w, const struct profile_view *v)
{
    id_set set = 0;

    for (size_t i = 0; i < v->n_ids; i++) {
        const struct schema_namespace *ns =
            schema_namespace_by_name(&w->config->schema, v->ids[i].ns);
        uint32_t id = IDS_MAX;
        if (ns)
            id = world_id_of(w, (struct identity){ns->id, v->ids[i].value});
        if (id < IDS_MAX)
            set |= UINT64_C(1) << id;
    }
    return set;
}

static bool has_seen(const struct read_op *d, uint32_t message)
{
    return d->saw[message / 64] >> message % 64 & 1;
}

/* A view is one cut through time: its counter is the sum of the messages whose tags it shows. */
static void take_tags(struct world *w, struct read_op *d, uint32_t read,
                      const struct profile_view *v)
{
    int64_t sum = 0, points = 0;

    for (size_t i = 0; i < v->n_tags; i++) {
        struct bytes tag = v->tags[i];
        uint32_t k = 0;
        for (size_t c = 1; c < tag.len; c++)
            k = k * 10 + (uint32_t)(tag.data[c] - '0');
        if (k >= w->plan.n_messages) {
            world_fail(w, "read %u shows a message that nobody sent", read);
            return;
        }
        d->saw[k / 64] |= UINT64_C(1) << k % 64;
        sum += k;
    }
    for (size_t i = 0; i < v->n_counters; i++)
        points +=
            bytes_equal(v->counters[i].name, bytes_of_str("points")) ? v->counters[i].integer : 0;
    if (points != sum)
        world_fail(w, "read %u shows %" PRId64 " points and tags of %" PRId64, read, points, sum);
}

/* What was acknowledged before the question must be in the answer, whichever end was asked. */
static void check_view(struct world *w, const struct read_op *d, uint32_t read,
                       const struct profile_view *v)
{
    id_set ids = ids_of_view(w, v);

    for (uint32_t k = 0; k < w->plan.n_messages && !w->failed; k++) {
        const struct message *m = &w->messages[k];
        bool mine = d->id < IDS_MAX ? (m->linked >> d->id & 1) != 0 : k == d->message;
        if (!m->acked || m->ack_number >= d->acks || !mine)
            continue;
        if ((ids & m->linked) != m->linked)
            world_fail(w, "read %u does not show all identities of m%u", read, k);
        else if (!has_seen(d, k))
            world_fail(w, "read %u does not show m%u", read, k);
    }
}

/* A tombstone may be dropped before another one that leads to it, where clocks were wrong
 * (docs/protocol.md, limits). */
static bool may_be_lost(struct world *w, one_id profile)
{
    const struct ghost *g = ghost_find(w, profile);

    for (int hops = 0; g && hops <= IDS_MAX; hops++) {
        if (g->dropped)
            return true;
        g = g->state == PROFILE_REDIRECT ? ghost_find(w, g->target) : NULL;
    }
    return false;
}

static void check_not_found(struct world *w, const struct read_op *d, uint32_t read)
{
    if (d->id == IDS_MAX) {
        if (d->profile && !may_be_lost(w, d->profile))
            world_fail(w, "read %u does not find a One-ID that was told", read);
        return;
    }
    for (uint32_t k = 0; k < w->plan.n_messages; k++) {
        const struct message *m = &w->messages[k];
        if (m->acked && m->ack_number < d->acks && (m->linked >> d->id & 1))
            world_fail(w, "read %u does not find the identity of m%u", read, k);
    }
}

void client_on_read(struct world *w, uint32_t read, const struct saga_answer *a)
{
    struct read_op *d = &w->reads[read];
    struct profile_view *v = NULL;
    struct error err;

    w->seen.reads++;
    d->answered_at = w->steps;
    if (a->code == ERR_NOT_FOUND) {
        d->answered = true;
        d->shown = d->id < IDS_MAX;
        check_not_found(w, d, read);
        return;
    }
    if (a->code != ERR_OK) {
        if (!error_is_retryable(a->code))
            world_fail(w, "read %u is answered %s", read, error_name(a->code));
        return;
    }
    d->answered = true;
    if (!d->want_profile) {
        const struct ghost *g = ghost_find(w, a->profile);
        if (!g || (d->id < IDS_MAX && !(g->ids >> d->id & 1)))
            world_fail(w, "read %u resolves to a profile that never held it", read);
        return;
    }
    if (profile_decode(a->content, &w->scratch, &v, &err) != ERR_OK) {
        world_fail(w, "read %u: the profile does not decode: %s", read, err.msg);
        return;
    }
    if (v->id != a->profile)
        world_fail(w, "read %u answers %" PRIx64 " with the view of %" PRIx64, read, a->profile,
                   v->id);
    d->shown = true;
    take_tags(w, d, read, v);
    check_view(w, d, read, v);
}
