/* The generator against a reader that knows nothing of its plan: lines are parsed, identities
 * joined by union-find, and the profiles that come out compared with the model's. */
#include <gen/line.h>
#include <gen/model.h>

#include <base/hash.h>

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { TODAY = 20633, PERSONS = 3000, EVENTS = 12000 };

static struct gen_options options_of(uint64_t seed, uint64_t shuffle)
{
    struct gen_options o;
    gen_options_default(&o);
    o.persons = PERSONS;
    o.events = EVENTS;
    o.seed = seed;
    o.shuffle = shuffle;
    o.from_ms = INT64_C(86400000) * (TODAY - 119) - 8 * 3600000;
    o.to_ms = INT64_C(86400000) * (TODAY + 1) - 8 * 3600000;
    return o;
}

static void start(struct gen *g, uint64_t seed, uint64_t shuffle)
{
    struct gen_options o = options_of(seed, shuffle);
    struct error err = {0};
    assert_int_equal(gen_init(g, &o, &err), ERR_OK);
}

static uint64_t hash_of_stream(uint64_t seed, uint64_t shuffle)
{
    struct gen g;
    struct gen_event e;
    struct buf out = {0};
    start(&g, seed, shuffle);
    while (gen_next(&g, &e))
        gen_line_put(&out, &e);
    uint64_t h = hash64(buf_bytes(&out));
    buf_free(&out);
    return h;
}

static void test_stream_depends_on_its_seed_alone(void **state)
{
    (void)state;
    assert_true(hash_of_stream(7, 0) == hash_of_stream(7, 0));
    assert_true(hash_of_stream(7, 0) != hash_of_stream(8, 0));
    assert_true(hash_of_stream(7, 1) != hash_of_stream(7, 0));
    assert_true(hash_of_stream(7, 1) != hash_of_stream(7, 2));
}

/* --- the independent reader --- */

struct node {
    char *key;
    size_t parent;
};

struct reader_profile {
    int64_t points, growth, orders, cents, views;
    msec_t city_ts, gender_ts, birth_year_ts, name_ts, birth_ts;
    int birth_rank;
    const char *city, *gender, *birth, *name;
    int64_t birth_year;
    json_t *tags, *interests; /* tag → [ts, on]; value → true */
    uint64_t n_ids;
};

struct world {
    json_t *index;    /* "ns:value", and message_id → number of its node */
    json_t *messages; /* message_id → the event */
    struct node *nodes;
    size_t n_nodes, cap;
    uint64_t lines;
};

static size_t find(struct world *w, size_t i)
{
    while (w->nodes[i].parent != i)
        i = w->nodes[i].parent;
    return i;
}

static size_t node_of(struct world *w, const char *ns, const char *value)
{
    char key[128];
    snprintf(key, sizeof key, "%s:%s", ns, value);
    json_t *known = json_object_get(w->index, key);
    if (known)
        return (size_t)json_integer_value(known);
    if (w->n_nodes == w->cap) {
        w->cap = w->cap ? 2 * w->cap : 1024;
        w->nodes = realloc(w->nodes, w->cap * sizeof *w->nodes);
        assert_non_null(w->nodes);
    }
    w->nodes[w->n_nodes] = (struct node){strdup(key), w->n_nodes};
    json_object_set_new(w->index, key, json_integer((json_int_t)w->n_nodes));
    return w->n_nodes++;
}

/* Joins what bridges; the number of one of the nodes. */
static size_t join_ids(struct world *w, json_t *ids)
{
    const char *ns;
    json_t *value;
    size_t first = SIZE_MAX;
    unsigned bridging = 0;
    json_object_foreach(ids, ns, value)
    {
        size_t n = json_is_array(value) ? json_array_size(value) : 1;
        for (size_t i = 0; i < n; i++) {
            json_t *one = json_is_array(value) ? json_array_get(value, i) : value;
            if (strcmp(ns, "device") == 0)
                continue;
            size_t node = node_of(w, ns, json_string_value(one));
            bridging++;
            if (first == SIZE_MAX)
                first = node;
            w->nodes[find(w, node)].parent = find(w, first);
        }
    }
    assert_in_range(bridging, 1, 3);
    return first;
}

static void world_add(struct world *w, const char *line)
{
    json_error_t err;
    json_t *e = json_loads(line, JSON_REJECT_DUPLICATES, &err);
    if (!e)
        fail_msg("line %llu: %s", (unsigned long long)w->lines, err.text);
    w->lines++;
    const char *id = json_string_value(json_object_get(e, "message_id"));
    json_t *known = json_object_get(w->messages, id);
    if (known) {
        assert_true(json_equal(known, e));
    } else {
        size_t node = join_ids(w, json_object_get(e, "ids"));
        json_object_set(w->messages, id, e);
        json_object_set_new(w->index, id, json_integer((json_int_t)node));
    }
    json_decref(e);
}

static void world_read(struct world *w, struct gen *g)
{
    struct gen_event e;
    struct buf out = {0};
    *w = (struct world){.index = json_object(), .messages = json_object()};
    while (gen_next(g, &e)) {
        buf_reset(&out);
        gen_line_put(&out, &e);
        buf_put_u8(&out, 0);
        world_add(w, (const char *)out.data);
    }
    buf_free(&out);
}

static void world_close(struct world *w)
{
    for (size_t i = 0; i < w->n_nodes; i++)
        free(w->nodes[i].key);
    free(w->nodes);
    json_decref(w->index);
    json_decref(w->messages);
}

static void fold_text(json_t *traits, const char *name, const char **value, msec_t *at, msec_t ts)
{
    json_t *v = json_object_get(traits, name);
    if (!v)
        return;
    assert_true(ts != *at);
    if (ts < *at)
        return;
    *at = ts;
    *value = json_string_value(v);
}

static void fold_birth(struct reader_profile *p, json_t *traits, const char *source, msec_t ts)
{
    int rank = strcmp(source, "crm") == 0 ? 2 : strcmp(source, "tmall") == 0 ? 1 : 0;
    const char *v = json_string_value(json_object_get(traits, "birth"));
    if (!v || (p->birth && (rank < p->birth_rank || (rank == p->birth_rank && ts < p->birth_ts))))
        return;
    p->birth = v;
    p->birth_rank = rank;
    p->birth_ts = ts;
}

static void fold_tags(struct reader_profile *p, json_t *list, msec_t ts, bool on)
{
    size_t i;
    json_t *tag;
    json_array_foreach(list, i, tag)
    {
        json_t *row = json_object_get(p->tags, json_string_value(tag));
        if (row && json_integer_value(json_array_get(row, 0)) > ts)
            continue;
        json_object_set_new(p->tags, json_string_value(tag),
                            json_pack("[I,b]", (json_int_t)ts, on));
    }
}

static void fold_behaviour(struct reader_profile *p, json_t *e)
{
    const char *name = json_string_value(json_object_get(e, "name"));
    if (!name)
        return;
    if (strcmp(name, "view") == 0) {
        p->views++;
        return;
    }
    assert_string_equal(name, "order");
    p->orders++;
    p->cents += (int64_t)(json_real_value(json_object_get(e, "amount")) * 100 + 0.5);
}

static void fold(struct reader_profile *p, json_t *e)
{
    msec_t ts = json_integer_value(json_object_get(e, "ts"));
    json_t *traits = json_object_get(e, "traits"), *add = json_object_get(e, "add");
    if (!p->tags) {
        p->tags = json_object();
        p->interests = json_object();
    }
    fold_text(traits, "city", &p->city, &p->city_ts, ts);
    fold_text(traits, "gender", &p->gender, &p->gender_ts, ts);
    fold_text(traits, "name", &p->name, &p->name_ts, ts);
    fold_birth(p, traits, json_string_value(json_object_get(e, "source")), ts);
    json_t *year = json_object_get(traits, "birth_year"), *interest;
    if (year && ts > p->birth_year_ts) {
        p->birth_year = json_integer_value(year);
        p->birth_year_ts = ts;
    }
    size_t i;
    json_array_foreach(json_object_get(traits, "interests"), i, interest)
        json_object_set_new(p->interests, json_string_value(interest), json_true());
    fold_tags(p, json_object_get(json_object_get(e, "tags"), "add"), ts, true);
    fold_tags(p, json_object_get(json_object_get(e, "tags"), "remove"), ts, false);
    p->points += json_integer_value(json_object_get(add, "points"));
    p->growth += json_integer_value(json_object_get(add, "growth"));
    fold_behaviour(p, json_object_get(e, "event"));
}

static struct bytes text_of(const char *s)
{
    return s ? bytes_of_str(s) : bytes_of(NULL, 0);
}

static void view_of(const struct reader_profile *p, struct gen_view *v)
{
    const char *key;
    json_t *row;
    v->city = text_of(p->city);
    v->gender = text_of(p->gender);
    v->birth = text_of(p->birth);
    v->name = text_of(p->name);
    v->birth_year = p->birth_year;
    json_object_foreach(p->tags, key, row)
    {
        if (json_is_true(json_array_get(row, 1)))
            v->tags[v->n_tags++] = bytes_of_str(key);
    }
    json_object_foreach(p->interests, key, row) v->interests[v->n_interests++] = bytes_of_str(key);
    v->points = p->points;
    v->growth = p->growth;
    v->orders = p->orders;
    v->order_cents = p->cents;
    v->views = p->views;
}

struct outcome {
    uint64_t profiles, identities, digest, messages;
};

static struct outcome world_outcome(struct world *w)
{
    struct outcome out = {.identities = w->n_nodes, .messages = json_object_size(w->messages)};
    struct reader_profile *profiles = calloc(w->n_nodes, sizeof *profiles);
    struct gen_view *views = calloc(w->n_nodes, sizeof *views);
    struct buf scratch = {0};
    const char *id;
    json_t *e;
    assert_non_null(profiles);
    assert_non_null(views);
    json_object_foreach(w->messages, id, e)
        fold(&profiles[find(w, (size_t)json_integer_value(json_object_get(w->index, id)))], e);
    for (size_t i = 0; i < w->n_nodes; i++) {
        struct gen_view *v = &views[find(w, i)];
        char *colon = strchr(w->nodes[i].key, ':');
        v->ids[v->n_ids++] = (struct gen_view_identity){
            bytes_of(w->nodes[i].key, (size_t)(colon - w->nodes[i].key)), bytes_of_str(colon + 1)};
    }
    for (size_t i = 0; i < w->n_nodes; i++) {
        if (find(w, i) != i)
            continue;
        out.profiles++;
        view_of(&profiles[i], &views[i]);
        out.digest += gen_view_hash(&views[i], &scratch);
        json_decref(profiles[i].tags);
        json_decref(profiles[i].interests);
    }
    buf_free(&scratch);
    free(profiles);
    free(views);
    return out;
}

static void model_of(struct gen *g, struct gen_model *m)
{
    struct gen_event e;
    struct error err = {0};
    assert_int_equal(gen_model_open(m, g, TODAY, &err), ERR_OK);
    while (gen_next(g, &e))
        gen_model_add(m, &e);
}

static void check_model_against_reader(uint64_t seed, uint64_t shuffle)
{
    struct gen g, again;
    struct world w;
    struct gen_model m;
    start(&g, seed, shuffle);
    start(&again, seed, shuffle);
    world_read(&w, &g);
    model_of(&again, &m);
    struct outcome o = world_outcome(&w);
    assert_int_equal(w.lines, EVENTS);
    assert_int_equal(o.messages, EVENTS - EVENTS / 100);
    assert_int_equal(o.messages, m.n_events);
    assert_int_equal(o.profiles, again.n_profiles);
    assert_int_equal(o.identities, m.n_identities);
    assert_true(o.digest == gen_model_digest(&m));
    world_close(&w);
    gen_model_close(&m);
}

static void test_model_is_what_an_independent_reader_finds(void **state)
{
    (void)state;
    check_model_against_reader(1, 0);
    check_model_against_reader(42, 0);
}

static void test_model_is_what_an_independent_reader_finds_shuffled(void **state)
{
    (void)state;
    check_model_against_reader(1, 99);
}

static void test_answers_do_not_depend_on_the_order(void **state)
{
    (void)state;
    struct gen a, b;
    struct gen_model x, y;
    start(&a, 5, 0);
    start(&b, 5, 12345);
    model_of(&a, &x);
    model_of(&b, &y);
    assert_true(gen_model_digest(&x) == gen_model_digest(&y));
    for (unsigned i = 0; i < gen_n_segments; i++)
        assert_int_equal(gen_model_count(&x, &gen_segments[i]),
                         gen_model_count(&y, &gen_segments[i]));
    gen_model_close(&x);
    gen_model_close(&y);
}

static void test_segments_tell_profiles_apart(void **state)
{
    (void)state;
    struct gen g;
    struct gen_model m;
    unsigned telling = 0;
    start(&g, 3, 0);
    model_of(&g, &m);
    assert_int_equal(gen_model_count(&m, &gen_segments[0]), g.n_profiles);
    for (unsigned i = 1; i < gen_n_segments; i++) {
        uint64_t n = gen_model_count(&m, &gen_segments[i]);
        telling += n > 0 && n < g.n_profiles;
    }
    assert_true(telling >= gen_n_segments - 3);
    gen_model_close(&m);
}

/* What the default cluster file allows of each namespace, by the order of enum gen_ns. */
static const unsigned ns_limits[GEN_NS_COUNT] = {1, 3, 5, 20, 5, 5, 5, 10};

static void test_persons_keep_within_limits(void **state)
{
    (void)state;
    struct gen g;
    struct gen_person p;
    uint64_t ids = 0, split = 0, never = 0, profiles = 0;
    start(&g, 9, 0);
    for (uint64_t i = 0; i < PERSONS; i++) {
        unsigned per_ns[GEN_NS_COUNT] = {0};
        gen_person_of(&g, i, &p);
        for (unsigned j = 0; j < p.n_ids; j++)
            assert_true(++per_ns[p.ns[j]] <= ns_limits[p.ns[j]]);
        assert_true(p.n_ids >= p.n_parts);
        assert_int_equal(p.first_profile, profiles);
        profiles += gen_profiles_of_person(&p);
        split += p.n_parts > 1;
        never += !p.linked;
        ids += p.n_ids;
    }
    assert_int_equal(profiles, g.n_profiles);
    assert_in_range(split, PERSONS * 3 / 10 - 2, PERSONS * 3 / 10);
    assert_in_range(never, PERSONS * 3 / 10 / 50 - 2, PERSONS * 3 / 10 / 50);
    assert_in_range(ids, PERSONS * 2, PERSONS * 24 / 10);
}

/* In its own order a link comes after the parts, so that there is something to merge. */
static void test_links_come_after_the_parts(void **state)
{
    (void)state;
    struct gen g;
    struct gen_event e;
    struct gen_person p;
    uint8_t *seen = calloc(PERSONS, 1);
    uint64_t merges = 0, planned = 0;
    assert_non_null(seen);
    start(&g, 4, 0);
    while (gen_next(&g, &e)) {
        unsigned parts = 0;
        gen_person_of(&g, e.person, &p);
        for (unsigned i = 0; i < e.n_ids && p.n_parts > 1; i++)
            parts |= 1u << e.ids[i].index % p.n_parts;
        bool links = (parts & (parts - 1)) != 0;
        if (links && seen[e.person] != 255) {
            assert_int_equal(seen[e.person], (1 << p.n_parts) - 1);
            seen[e.person] = 255;
            merges++;
        } else if (seen[e.person] != 255) {
            seen[e.person] = (uint8_t)(seen[e.person] | parts);
        }
    }
    for (uint64_t i = 0; i < PERSONS; i++) {
        gen_person_of(&g, i, &p);
        planned += p.linked && p.n_parts > 1;
    }
    assert_int_equal(merges, planned);
    free(seen);
}

static int compare_times(const void *a, const void *b)
{
    const msec_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void test_times_are_distinct_and_within_bounds(void **state)
{
    (void)state;
    struct gen g;
    struct gen_event e;
    msec_t *times = calloc(EVENTS, sizeof *times);
    size_t n = 0, late = 0;
    msec_t newest = 0;
    assert_non_null(times);
    start(&g, 6, 0);
    while (gen_next(&g, &e)) {
        assert_true(e.ts >= g.options.from_ms && e.ts < g.options.to_ms);
        if (e.resent)
            continue;
        late += e.ts < newest;
        newest = e.ts > newest ? e.ts : newest;
        times[n++] = e.ts;
    }
    qsort(times, n, sizeof *times, compare_times);
    for (size_t i = 1; i < n; i++)
        assert_true(times[i] != times[i - 1]);
    assert_in_range(late, EVENTS / 50, EVENTS / 25);
    free(times);
}

/* Who an event is about can be had alone, in any order of the stream. */
static void test_who_is_that_of_the_event(void **state)
{
    (void)state;
    for (uint64_t shuffle = 0; shuffle < 2; shuffle++) {
        struct gen g;
        start(&g, 6, shuffle);
        for (uint64_t n = 0; n < EVENTS; n += 7) {
            struct gen_event whole, who;
            gen_event_at(&g, n, &whole);
            gen_who_at(&g, n, &who);
            assert_int_equal(who.number, whole.number);
            assert_int_equal(who.person, whole.person);
            assert_int_equal(who.profile, whole.profile);
            assert_int_equal(who.resent, whole.resent);
            assert_int_equal(who.n_ids, whole.n_ids);
            for (unsigned i = 0; i < who.n_ids; i++) {
                assert_int_equal(who.ids[i].ns, whole.ids[i].ns);
                assert_string_equal(who.ids[i].value, whole.ids[i].value);
            }
        }
    }
}

static void test_options_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    struct gen g;
    struct error err = {0};
    struct gen_options o = options_of(1, 0);
    uint64_t least = gen_least_events(&o);
    o.events = least;
    assert_int_equal(gen_init(&g, &o, &err), ERR_OK);
    o.events = least - 1;
    assert_int_equal(gen_init(&g, &o, &err), ERR_INVALID);
    o = options_of(1, 0);
    o.persons = 0;
    assert_int_equal(gen_init(&g, &o, &err), ERR_INVALID);
    o = options_of(1, 0);
    o.to_ms = o.from_ms + EVENTS;
    assert_int_equal(gen_init(&g, &o, &err), ERR_INVALID);
}

static void test_smallest_population_has_its_profile(void **state)
{
    (void)state;
    struct gen g;
    struct gen_event e;
    struct error err = {0};
    struct gen_options o = options_of(1, 0);
    o.persons = 1;
    o.events = gen_least_events(&o);
    assert_int_equal(gen_init(&g, &o, &err), ERR_OK);
    assert_int_equal(g.n_profiles, 1);
    assert_true(gen_next(&g, &e));
    assert_int_equal(e.profile, 0);
    assert_false(gen_next(&g, &e));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stream_depends_on_its_seed_alone),
        cmocka_unit_test(test_model_is_what_an_independent_reader_finds),
        cmocka_unit_test(test_model_is_what_an_independent_reader_finds_shuffled),
        cmocka_unit_test(test_answers_do_not_depend_on_the_order),
        cmocka_unit_test(test_segments_tell_profiles_apart),
        cmocka_unit_test(test_persons_keep_within_limits),
        cmocka_unit_test(test_links_come_after_the_parts),
        cmocka_unit_test(test_times_are_distinct_and_within_bounds),
        cmocka_unit_test(test_who_is_that_of_the_event),
        cmocka_unit_test(test_options_that_do_not_fit_are_refused),
        cmocka_unit_test(test_smallest_population_has_its_profile),
    };
    if (clock_set_timezone("Asia/Shanghai"))
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
