#include <prepare/prepare.h>

#include <proto/facts.h>

#include <math.h>
#include <string.h>

/* A name from outside, fit for a message: names are not personal data, but may hold any byte. */
struct shown {
    char text[48];
};

static struct shown show(struct bytes name)
{
    struct shown s;
    size_t n = name.len < sizeof s.text - 1 ? name.len : sizeof s.text - 1;
    for (size_t i = 0; i < n; i++) {
        bool plain = name.data[i] >= 0x20 && name.data[i] < 0x7F;
        s.text[i] = '?';
        if (plain)
            s.text[i] = (char)name.data[i];
    }
    s.text[n] = '\0';
    return s;
}

static bool is_text(struct bytes b, size_t max)
{
    return b.len >= 1 && b.len <= max && bytes_is_utf8(b);
}

/* --- identities --- */

struct candidate {
    struct identity id;
    const struct schema_namespace *ns;
};

static bool is_stronger(const struct candidate *x, const struct candidate *y)
{
    if (x->ns->bridges != y->ns->bridges)
        return x->ns->bridges;
    return x->ns->priority < y->ns->priority;
}

/* Behind those that are as strong. Nearly all events have one to three identities. */
static void put_by_strength(struct candidate *c, size_t n, struct candidate fresh)
{
    size_t at = n;
    for (; at > 0 && is_stronger(&fresh, &c[at - 1]); at--)
        c[at] = c[at - 1];
    c[at] = fresh;
}

static bool is_known(const struct candidate *c, size_t n, struct identity id)
{
    for (size_t i = 0; i < n; i++) {
        if (identity_equal(c[i].id, id))
            return true;
    }
    return false;
}

static enum error_code sort_identities(const struct event_message *e, const struct schema *schema,
                                       struct arena *arena, struct candidate *c, size_t *n,
                                       struct skip *skips, size_t *n_skips, struct error *err)
{
    for (size_t i = 0; i < e->n_ids; i++) {
        const struct named_identity *in = &e->ids[i];
        const struct schema_namespace *ns = schema_namespace_by_name(schema, in->ns);
        if (!ns)
            return error_set(err, ERR_UNKNOWN_NAME, "ids: unknown namespace '%s'",
                             show(in->ns).text);
        struct bytes value;
        enum identity_verdict verdict = schema_normalize(ns, in->value, arena, &value);
        if (verdict != IDENTITY_OK) {
            size_t len = in->value.len < IDENTITY_VALUE_MAX ? in->value.len : IDENTITY_VALUE_MAX;
            bool blocked = verdict == IDENTITY_BLOCKED || verdict == IDENTITY_EMPTY;
            if (len > 0) /* an empty value has nothing that could be listed */
                skips[(*n_skips)++] =
                    (struct skip){.id = {ns->id, bytes_of(in->value.data, len)},
                                  .reason = blocked ? REFUSAL_BLOCKED : REFUSAL_BAD_VALUE};
            continue;
        }
        struct identity id = {ns->id, value};
        if (!is_known(c, *n, id))
            put_by_strength(c, (*n)++, (struct candidate){id, ns});
    }
    return ERR_OK;
}

static enum error_code prepare_ids(const struct event_message *e, const struct schema *schema,
                                   struct arena *arena, struct saga_ingest *out, struct error *err)
{
    if (e->n_ids == 0)
        return error_set(err, ERR_NO_IDENTITY, "ids: at least one identity is expected");
    if (e->n_ids > EVENT_IDENTITIES_MAX)
        return error_set(err, ERR_TOO_LARGE, "ids: %zu identities, at most %d are taken", e->n_ids,
                         EVENT_IDENTITIES_MAX);
    struct candidate c[EVENT_IDENTITIES_MAX];
    size_t n = 0;
    struct skip *skips = arena_alloc(arena, e->n_ids * sizeof *skips);
    struct identity *ids = arena_alloc(arena, e->n_ids * sizeof *ids);
    if (!skips || !ids)
        return error_set(err, ERR_NOMEM, "event");
    enum error_code rc = sort_identities(e, schema, arena, c, &n, skips, &out->n_skips, err);
    if (rc != ERR_OK)
        return rc;
    if (n == 0)
        return error_set(err, ERR_NO_IDENTITY,
                         "ids: none of the %zu identities is usable (blocked or ill-formed values)",
                         e->n_ids);
    for (size_t i = 0; i < n; i++) {
        ids[i] = c[i].id;
        out->n_bridging += c[i].ns->bridges;
    }
    out->ids = ids;
    out->n_ids = n;
    out->skips = skips;
    return ERR_OK;
}

enum error_code prepare_identity(const struct named_identity *i, const struct schema *schema,
                                 struct arena *arena, struct identity *out, struct error *err)
{
    const struct schema_namespace *ns = schema_namespace_by_name(schema, i->ns);
    if (!ns)
        return error_set(err, ERR_UNKNOWN_NAME, "unknown namespace '%s'", show(i->ns).text);
    out->ns = ns->id;
    switch (schema_normalize(ns, i->value, arena, &out->value)) {
    case IDENTITY_OK:
        return ERR_OK;
    case IDENTITY_BLOCKED:
        return error_set(err, ERR_INVALID, "a blocked value of namespace '%s'", ns->name);
    case IDENTITY_EMPTY:
        return error_set(err, ERR_INVALID, "an empty value of namespace '%s'", ns->name);
    case IDENTITY_TOO_LONG:
        return error_set(err, ERR_INVALID, "a value of namespace '%s' of more than %d bytes",
                         ns->name, IDENTITY_VALUE_MAX);
    case IDENTITY_NOT_UTF8:
        return error_set(err, ERR_INVALID, "a value of namespace '%s' that is not UTF-8", ns->name);
    case IDENTITY_BAD_FORM:
        break;
    }
    return error_set(err, ERR_INVALID, "not a value of namespace '%s'", ns->name);
}

/* --- facts --- */

struct facts_run {
    const struct event_message *event;
    const struct schema *schema;
    msec_t ts;
    struct facts_builder builder;
    struct error *err;
};

static enum error_code wrong_type(struct facts_run *r, const char *where, const char *name,
                                  const char *expected)
{
    return error_set(r->err, ERR_INVALID, "%s: '%s' expects %s", where, name, expected);
}

static bool number_of(const struct named_value *v, decimal_t *out)
{
    if (v->type == VALUE_REAL)
        return decimal_of_double(v->real, out);
    return v->type == VALUE_INTEGER &&
           !__builtin_mul_overflow(v->integer, (int64_t)DECIMAL_ONE, out);
}

static bool day_of(const struct named_value *v, int64_t *out)
{
    char text[11];
    int32_t day;
    if (v->type != VALUE_TEXT || v->text.len != 10)
        return false;
    memcpy(text, v->text.data, 10);
    text[10] = '\0';
    if (clock_parse_date(text, &day) != 0)
        return false;
    *out = day;
    return true;
}

/* One byte: how the source ranks for the trait; sources that are not named rank behind all. */
static struct bytes source_rank(struct facts_run *r, const struct schema_trait *t)
{
    size_t rank = 0;
    while (rank < t->n_sources && !bytes_equal(t->sources[rank], r->event->source))
        rank++;
    uint8_t b = (uint8_t)(rank < 255 ? rank : 255);
    return arena_copy(r->builder.arena, bytes_of(&b, 1));
}

static enum error_code add_set(struct facts_run *r, const struct schema_trait *t,
                               const struct named_value *v)
{
    if (v->type != VALUE_TEXT && v->type != VALUE_LIST)
        return wrong_type(r, "traits", t->name, "a text or a list of texts");
    const struct bytes *list = v->type == VALUE_LIST ? v->list : &v->text;
    size_t n = v->type == VALUE_LIST ? v->n_list : 1;
    for (size_t i = 0; i < n; i++) {
        if (!is_text(list[i], STRING_VALUE_MAX))
            return wrong_type(r, "traits", t->name, "texts of 1 to 1024 bytes of UTF-8");
        struct fact f = {.kind = FACT_UNION, .name = t->id, .sub = list[i], .ts = r->ts};
        facts_builder_add(&r->builder, &f);
    }
    return ERR_OK;
}

static enum error_code set_value(struct facts_run *r, const struct schema_trait *t,
                                 const struct named_value *v, struct fact *f)
{
    f->type = FACT_NUMBER;
    switch (t->type) {
    case TRAIT_ENUM:
    case TRAIT_STRING:
        f->type = FACT_TEXT;
        f->text = v->text;
        if (v->type == VALUE_TEXT && is_text(v->text, STRING_VALUE_MAX))
            return ERR_OK;
        return wrong_type(r, "traits", t->name, "a text of 1 to 1024 bytes of UTF-8");
    case TRAIT_DATE:
        return day_of(v, &f->number) ? ERR_OK
                                     : wrong_type(r, "traits", t->name, "a date \"YYYY-MM-DD\"");
    case TRAIT_NUMBER:
        return number_of(v, &f->number) ? ERR_OK
                                        : wrong_type(r, "traits", t->name, "a number within ±9e12");
    case TRAIT_COUNTER:
        return wrong_type(r, "traits", t->name, "to be changed by \"add\": it is a counter");
    case TRAIT_SET:
        break;
    }
    return add_set(r, t, v);
}

static enum error_code add_trait(struct facts_run *r, const struct named_value *v)
{
    const struct schema_trait *t = schema_trait_by_name(r->schema, v->name);
    if (!t)
        return error_set(r->err, ERR_UNKNOWN_NAME, "traits: unknown trait '%s'",
                         show(v->name).text);
    struct fact f = {.kind = facts_kind_of_merge(t->merge), .name = t->id, .ts = r->ts};
    if (v->type == VALUE_NULL) {
        if (t->merge != MERGE_LATEST && t->merge != MERGE_SOURCE_PRIORITY)
            return error_set(
                r->err, ERR_INVALID,
                "traits: '%s' cannot be removed by null: only traits that merge by latest or "
                "source_priority can",
                t->name);
        f.type = FACT_NULL;
    } else {
        enum error_code rc = set_value(r, t, v, &f);
        if (rc != ERR_OK || t->type == TRAIT_SET)
            return rc;
    }
    if (t->merge == MERGE_SOURCE_PRIORITY)
        f.sub = source_rank(r, t);
    facts_builder_add(&r->builder, &f);
    return ERR_OK;
}

static enum error_code add_counter(struct facts_run *r, const struct named_value *v)
{
    const struct schema_trait *t = schema_trait_by_name(r->schema, v->name);
    if (!t)
        return error_set(r->err, ERR_UNKNOWN_NAME, "add: unknown trait '%s'", show(v->name).text);
    struct fact f = {.kind = FACT_SUM, .name = t->id};
    if (t->merge != MERGE_SUM)
        return error_set(r->err, ERR_INVALID, "add: '%s' is not a counter", t->name);
    if (t->type == TRAIT_COUNTER) {
        bool whole = v->type == VALUE_REAL && fabs(v->real) <= 9e15 && trunc(v->real) == v->real;
        if (v->type != VALUE_INTEGER && !whole)
            return wrong_type(r, "add", t->name, "a whole number");
        f.number = v->type == VALUE_INTEGER ? v->integer : (int64_t)v->real;
    } else if (!number_of(v, &f.number)) {
        return wrong_type(r, "add", t->name, "a number within ±9e12");
    }
    facts_builder_add(&r->builder, &f);
    return ERR_OK;
}

static enum error_code add_tags(struct facts_run *r, const struct bytes *tags, size_t n, bool on)
{
    for (size_t i = 0; i < n; i++) {
        if (!is_text(tags[i], TAG_MAX_LEN))
            return error_set(r->err, ERR_INVALID, "tags: a tag is a text of 1 to %d bytes of UTF-8",
                             TAG_MAX_LEN);
        struct fact f = {.kind = FACT_TAG, .sub = tags[i], .ts = r->ts, .number = on};
        facts_builder_add(&r->builder, &f);
    }
    return ERR_OK;
}

static enum error_code prepare_facts(struct facts_run *r, struct bytes *out)
{
    const struct event_message *e = r->event;
    enum error_code rc = ERR_OK;
    for (size_t i = 0; i < e->n_traits && rc == ERR_OK; i++)
        rc = add_trait(r, &e->traits[i]);
    for (size_t i = 0; i < e->n_adds && rc == ERR_OK; i++)
        rc = add_counter(r, &e->adds[i]);
    if (rc == ERR_OK)
        rc = add_tags(r, e->tags_remove, e->n_tags_remove, false);
    if (rc == ERR_OK)
        rc = add_tags(r, e->tags_add, e->n_tags_add, true);
    if (rc != ERR_OK)
        return rc;
    struct buf b = {0};
    if (!facts_builder_finish(&r->builder, &b)) {
        buf_free(&b);
        return error_set(r->err, ERR_NOMEM, "event");
    }
    *out = arena_copy(r->builder.arena, buf_bytes(&b));
    bool ok = b.len == 0 || out->data;
    buf_free(&b);
    return ok ? ERR_OK : error_set(r->err, ERR_NOMEM, "event");
}

/* --- behaviour --- */

static enum error_code add_field(struct facts_run *r, const struct schema_event *ev,
                                 const struct named_value *v, struct behaviour *b)
{
    const struct schema_field *field = schema_field_by_name(ev, v->name);
    if (!field)
        return error_set(r->err, ERR_UNKNOWN_NAME, "event: '%s' has no field '%s'", ev->name,
                         show(v->name).text);
    if (v->type == VALUE_NULL)
        return ERR_OK;
    struct behaviour_field f = {.id = field->id, .type = field->type, .text = v->text};
    if (field->type == FIELD_NUMBER && !number_of(v, &f.number))
        return wrong_type(r, "event", field->name, "a number within ±9e12");
    if (field->type == FIELD_ENUM && (v->type != VALUE_TEXT || !is_text(v->text, STRING_VALUE_MAX)))
        return wrong_type(r, "event", field->name, "a text of 1 to 1024 bytes of UTF-8");
    size_t at = b->n_fields;
    while (at > 0 && b->fields[at - 1].id > f.id)
        at--;
    if (at > 0 && b->fields[at - 1].id == f.id)
        return error_set(r->err, ERR_INVALID, "event: field '%s' is there twice", field->name);
    memmove(&b->fields[at + 1], &b->fields[at], (b->n_fields - at) * sizeof f);
    b->fields[at] = f;
    b->n_fields++;
    return ERR_OK;
}

static enum error_code prepare_behaviour(struct facts_run *r, struct bytes *out)
{
    const struct event_message *e = r->event;
    const struct schema_event *ev = schema_event_by_name(r->schema, e->event);
    if (!ev)
        return error_set(r->err, ERR_UNKNOWN_NAME, "event: unknown event '%s'",
                         show(e->event).text);
    struct behaviour b = {.event = ev->id, .ts = r->ts, .day = clock_day_of_ms(r->ts), .count = 1};
    for (size_t i = 0; i < e->n_fields; i++) {
        enum error_code rc = add_field(r, ev, &e->fields[i], &b);
        if (rc != ERR_OK)
            return rc;
    }
    struct buf buf = {0};
    behaviour_encode(&b, &buf);
    *out = arena_copy(r->builder.arena, buf_bytes(&buf));
    buf_free(&buf);
    return out->data ? ERR_OK : error_set(r->err, ERR_NOMEM, "event");
}

static enum error_code check_head(const struct event_message *e, msec_t now_ms, msec_t ts,
                                  struct error *err)
{
    if (e->message_id.len == 0 || e->message_id.len > MESSAGE_ID_MAX ||
        !bytes_is_utf8(e->message_id))
        return error_set(err, ERR_INVALID,
                         "message_id: a text of 1 to %d bytes of UTF-8 is expected",
                         MESSAGE_ID_MAX);
    if (e->source.len > SOURCE_MAX_LEN || !bytes_is_utf8(e->source))
        return error_set(err, ERR_INVALID,
                         "source: a text of at most %d bytes of UTF-8 is expected", SOURCE_MAX_LEN);
    if (ts < 0 || ts > now_ms + EVENT_FUTURE_MAX_MS)
        return error_set(
            err, ERR_INVALID,
            "ts: expected milliseconds since 1970, at most a day from now in the future");
    return ERR_OK;
}

enum error_code prepare_event(const struct event_message *e, const struct schema *schema,
                              msec_t now_ms, struct arena *arena, struct saga_ingest *out,
                              struct error *err)
{
    *out = (struct saga_ingest){
        .message_id = e->message_id, .source = e->source, .ts = e->ts ? e->ts : now_ms};
    struct facts_run run = {.event = e, .schema = schema, .ts = out->ts, .err = err};
    facts_builder_init(&run.builder, arena);
    enum error_code rc = check_head(e, now_ms, out->ts, err);
    if (rc == ERR_OK)
        rc = prepare_ids(e, schema, arena, out, err);
    if (rc == ERR_OK)
        rc = prepare_facts(&run, &out->facts);
    if (rc == ERR_OK && e->event.len > 0)
        rc = prepare_behaviour(&run, &out->behaviour);
    return rc;
}

/* --- keeping --- */

static size_t kept_bytes(const struct saga_ingest *in)
{
    size_t n = in->n_ids * (sizeof *in->ids + sizeof *in->hints) + in->n_skips * sizeof *in->skips +
               in->message_id.len + in->source.len + in->facts.len + in->behaviour.len;
    for (size_t i = 0; i < in->n_ids; i++)
        n += in->ids[i].value.len;
    for (size_t i = 0; i < in->n_skips; i++)
        n += in->skips[i].id.value.len;
    return n;
}

static void *keep(uint8_t **at, const void *data, size_t len)
{
    uint8_t *kept = *at;
    if (len > 0)
        memcpy(kept, data, len);
    *at += len;
    return kept;
}

static struct bytes keep_bytes(uint8_t **at, struct bytes b)
{
    return bytes_of(keep(at, b.data, b.len), b.len);
}

one_id *prepare_keep(struct saga_ingest *in, struct arena *arena)
{
    uint8_t *at = arena_alloc(arena, kept_bytes(in));
    if (!at)
        return NULL;
    one_id *hints = (one_id *)(void *)at;
    at += in->n_ids * sizeof *hints;
    struct identity *ids = keep(&at, in->ids, in->n_ids * sizeof *ids);
    struct skip *skips = keep(&at, in->skips, in->n_skips * sizeof *skips);
    for (size_t i = 0; i < in->n_ids; i++)
        ids[i].value = keep_bytes(&at, ids[i].value);
    for (size_t i = 0; i < in->n_skips; i++)
        skips[i].id.value = keep_bytes(&at, skips[i].id.value);
    in->message_id = keep_bytes(&at, in->message_id);
    in->source = keep_bytes(&at, in->source);
    in->facts = keep_bytes(&at, in->facts);
    in->behaviour = keep_bytes(&at, in->behaviour);
    in->ids = ids;
    in->skips = skips;
    in->hints = hints;
    return hints;
}
