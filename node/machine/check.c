/* CHECK: walks the state and says which invariants are broken, with One-IDs and never values. */
#include "state.h"

#include <stdarg.h>
#include <stdio.h>

enum { FINDINGS_MAX = 1000 };

struct checking {
    struct machine *m;
    struct arena *arena;
    struct count_row *rows;
    size_t n;
    uint64_t more;                   /* findings beyond the bound */
    const struct machine_walk *walk; /* NULL: the shard's own machine, to the end */
    uint64_t walked;                 /* rows */
    bool ended;
    uint64_t live, merging, redirect, identities, fragments;
};

static void found(struct checking *c, one_id p, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void found(struct checking *c, one_id p, const char *fmt, ...)
{
    char text[200], id[17];
    va_list args;
    if (!c->rows) /* most find nothing, and several are asked in one message */
        c->rows = arena_zalloc(c->arena, (FINDINGS_MAX + 1) * sizeof *c->rows);
    if (!c->rows || c->n == FINDINGS_MAX) {
        c->more++;
        return;
    }
    one_id_format(p, id);
    int head = p ? snprintf(text, sizeof text, "profile %s: ", id) : 0;
    va_start(args, fmt);
    int n = vsnprintf(text + head, sizeof text - (size_t)head, fmt, args);
    va_end(args);
    size_t len = (size_t)head + (size_t)(n > 0 ? n : 0);
    if (len >= sizeof text)
        len = sizeof text - 1;
    c->rows[c->n].value = arena_copy(c->arena, bytes_of(text, len));
    c->rows[c->n++].members = 1;
}

/* At each row. False: the walk is to end. */
static bool go_on(struct checking *c)
{
    c->walked++;
    c->ended = c->ended || (c->walk && !c->walk->go_on(c->walk->ctx, c->walked));
    return !c->ended;
}

/* --- one profile --- */

static bool has_row(struct machine *m, char kind, uint64_t number)
{
    struct bytes value;
    return store_get(m->o.store, key_of_number(m, kind, number), &value);
}

static void check_limits(struct checking *c, const struct profile *p)
{
    const struct schema *s = c->m->o.schema;
    for (size_t k = 0; k < s->n_namespaces; k++) {
        size_t n = 0;
        for (size_t i = 0; i < p->rec.n_ids; i++)
            n += p->rec.ids[i].id.ns == s->namespaces[k].id;
        if (n > s->namespaces[k].limit)
            found(c, p->id, "%zu identities of %s, limit %u", n, s->namespaces[k].name,
                  s->namespaces[k].limit);
    }
}

static void check_never_links(struct checking *c, const struct record_id *x,
                              const struct record_id *y, one_id p)
{
    for (size_t i = 0; i < x->n_tags; i++) {
        for (size_t k = 0; k < y->n_tags; k++) {
            if (x->tags[i].sid == y->tags[k].sid && x->tags[i].side != y->tags[k].side)
                found(c, p, "holds both sides of an unlink");
        }
    }
}

static void check_entry(struct checking *c, const struct profile *p, const struct record_id *id)
{
    struct entry e;
    if (!machine_owns(c->m, slot_of_identity(id->id)))
        return;
    if (!entry_get(c->m, id->id, &e))
        found(c, p->id, "an identity has no index entry");
    else if (p->rec.state == PROFILE_LIVE && e.version > id->version)
        found(c, p->id, "an identity's index entry is newer than its holder");
    else if (e.version == id->version && e.profile != p->id)
        found(c, p->id, "an identity's index entry points elsewhere at the same version");
}

/* Facts are looked at before they are joined. */
static bool facts_are_sound(struct checking *c, const struct profile *p)
{
    struct bytes view = {0};
    for (size_t i = 0; i < p->rec.n_ids; i++) {
        struct fragment f;
        if (!has_row(c->m, 'F', p->rec.ids[i].handle)) {
            found(c, p->id, "a fragment is missing");
            return false;
        }
        if (!fragment_get(c->m, p->rec.ids[i].handle, &f) || !facts_check(f.facts)) {
            found(c, p->id, "a fragment is damaged");
            return false;
        }
    }
    if (p->rec.n_ids < 2)
        return true;
    if (!store_get(c->m->o.store, view_key(c->m, p->id), &view) || !facts_check(view)) {
        found(c, p->id, "its view is missing or damaged");
        return false;
    }
    return true;
}

static void check_view(struct checking *c, struct profile *p)
{
    if (!facts_are_sound(c, p))
        return;
    profile_load_view(c->m, p);
    if (!bytes_equal(p->view, profile_fold(c->m, &p->rec)))
        found(c, p->id, "its view is not the join of its fragments");
}

static void check_content(struct checking *c, struct profile *p)
{
    check_view(c, p);
    check_limits(c, p);
    c->identities += p->rec.n_ids;
    for (size_t i = 0; i < p->rec.n_ids; i++) {
        check_entry(c, p, &p->rec.ids[i]);
        for (size_t k = i + 1; k < p->rec.n_ids; k++)
            check_never_links(c, &p->rec.ids[i], &p->rec.ids[k], p->id);
    }
}

static bool check_profile(void *ctx, struct bytes key, struct bytes value)
{
    struct checking *c = ctx;
    struct reader k = reader_of(key);
    struct profile p;
    (void)value;
    if (!go_on(c) || row_kind(key) != 'P')
        return !c->ended;
    arena_reset(&c->m->scratch);
    reader_u8(&k);
    if (!profile_load(c->m, reader_be64(&k), &p)) {
        found(c, p.id, "its record is damaged");
        return true;
    }
    if (p.rec.state == PROFILE_LIVE || p.rec.state == PROFILE_MERGING)
        check_content(c, &p);
    c->live += p.rec.state == PROFILE_LIVE;
    c->merging += p.rec.state == PROFILE_MERGING;
    c->redirect += p.rec.state == PROFILE_REDIRECT;
    bool merging = p.rec.state == PROFILE_MERGING, redirect = p.rec.state == PROFILE_REDIRECT;
    if (has_row(c->m, 'm', p.id) != merging || flight_has(&c->m->flight, p.id) != merging)
        found(c, p.id, "is not listed as a merge in flight as it should be");
    if (has_row(c->m, 't', p.id) != redirect)
        found(c, p.id, "is not listed as a tombstone as it should be");
    return true;
}

/* --- the rest --- */

static bool check_index(void *ctx, struct bytes key, struct bytes value)
{
    struct checking *c = ctx;
    struct entry e;
    (void)key;
    if (!go_on(c))
        return false;
    if (!entry_decode(value, &e))
        found(c, 0, "an index entry is damaged");
    else if (machine_owns(c->m, slot_of_one_id(e.profile)) && !has_row(c->m, 'P', e.profile))
        found(c, e.profile, "is not there, but an index entry points to it");
    return true;
}

static bool count_fragment(void *ctx, struct bytes key, struct bytes value)
{
    struct checking *c = ctx;
    (void)value;
    c->fragments += row_kind(key) == 'F';
    return go_on(c);
}

static bool look_at(void *ctx, struct bytes key, struct bytes value)
{
    (void)key;
    (void)value;
    return go_on(ctx);
}

static void check_count(struct checking *c, const char *what, uint64_t counted, uint64_t is)
{
    if (counted != is)
        found(c, 0, "%s: counted %llu, there are %llu", what, (unsigned long long)counted,
              (unsigned long long)is);
}

/* A row of a view whose check sum is wrong: the key's, perhaps, and it may name a person. */
static void on_damaged(void *ctx, struct bytes key)
{
    struct checking *c = ctx;
    struct reader k = reader_of(key);
    char kind = row_kind(key);
    (void)go_on(c);
    if (reader_u8(&k) == 'P' && key.len >= 9)
        found(c, reader_be64(&k), "the check sum of its %s is wrong",
              kind == 'V' ? "view" : "record");
    else
        found(c, 0, "the check sum of a row of kind %c is wrong",
              kind > ' ' && kind <= '~' ? kind : '?');
}

/* The last kinds are read to see that they are sound; the shard's own machine knows its own. */
static void walk_rows(struct checking *c)
{
    static const struct {
        const char *prefix;
        store_scan_cb look;
        bool of_view;
    } PARTS[] = {
        {"P", check_profile, false}, {"I", check_index, false}, {"F", count_fragment, false},
        {"X", look_at, true},        {"G", look_at, true},      {"M", look_at, true},
        {"S", look_at, true},        {"d", look_at, true},      {"g", look_at, true},
        {"m", look_at, true},        {"t", look_at, true},      {"w", look_at, true}};
    for (size_t i = 0; i < sizeof PARTS / sizeof *PARTS && !c->ended; i++) {
        if (c->walk || !PARTS[i].of_view)
            store_scan(c->m->o.store, bytes_of_str(PARTS[i].prefix), PARTS[i].look, c);
    }
}

static void balance(struct checking *c)
{
    const struct machine *m = c->m;
    check_count(c, "profiles", m->counters.profiles, c->live);
    check_count(c, "identities", m->counters.identities, c->identities);
    check_count(c, "merges in flight", m->flight.n, c->merging);
    check_count(c, "tombstones", m->counters.tombstones, c->redirect);
    const char *of_map = map_row_finding(c->m);
    if (of_map)
        found(c, 0, "%s", of_map);
    check_count(c, "fragments", c->fragments, c->identities);
}

/* Nobody else will ever look at the errors of a view. */
static void tell_errors(struct checking *c)
{
    struct error err;
    if (machine_error(c->m, &err) != ERR_OK)
        found(c, 0, "%s", err.msg);
    if (store_error(c->m->o.store, &err) != ERR_OK)
        found(c, 0, "not all of it can be read: %s", err.msg);
}

bool machine_check(struct machine *m, const struct machine_walk *walk, struct arena *arena,
                   struct reply *out)
{
    struct checking c = {.m = m, .arena = arena, .walk = walk};
    *out = (struct reply){.status = REPLY_OK};
    store_view_on_damage(m->o.store, on_damaged, &c);
    walk_rows(&c);
    store_view_on_damage(m->o.store, NULL, NULL);
    if (c.ended)
        return false;
    balance(&c);
    if (walk)
        tell_errors(&c);
    if (c.more && !c.rows) {
        reply_fail(out, ERR_NOMEM, "no memory for the reply");
        return true;
    }
    if (c.more) {
        c.n = FINDINGS_MAX - 1;
        found(&c, 0, "and more findings, not listed");
    }
    out->counts = c.rows;
    out->n_counts = c.n;
    out->in_flight = m->flight.n;
    return true;
}
