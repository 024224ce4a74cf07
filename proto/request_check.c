#include <cluster/placement.h>
#include <proto/request.h>

#include <math.h>

enum {
    WATCH_TOKEN_MAX = 2 << 20, /* of as many shards as there can be */
    CHANGE_MAX = 1024
};

/* In the words of the language's own errors. */
static const char TOO_LONG[] = "column 1: expected at most 65536 bytes, found more";
_Static_assert(COMMAND_TEXT_MAX == 65536, "what TOO_LONG says");

/* Counts the bytes of an event while its parts are looked at. */
struct checker {
    struct error *err;
    enum error_code code; /* the first mistake */
    size_t bytes;
};

static bool fail(struct checker *c, enum error_code code, const char *what)
{
    if (c->code == ERR_OK)
        c->code = error_set(c->err, code, "%s", what);
    return false;
}

static bool check_text(struct checker *c, struct bytes b, size_t most, const char *too_long)
{
    c->bytes += b.len;
    if (b.len > most)
        return fail(c, ERR_TOO_LARGE, too_long);
    if (!bytes_is_utf8(b))
        return fail(c, ERR_INVALID, "not UTF-8");
    return true;
}

static bool check_ids(struct checker *c, const struct event_message *e)
{
    if (e->n_ids == 0)
        return fail(c, ERR_NO_IDENTITY, "no identity");
    if (e->n_ids > EVENT_IDENTITIES_MAX)
        return fail(c, ERR_TOO_LARGE, "too many identities");
    for (size_t i = 0; i < e->n_ids; i++) {
        if (!check_text(c, e->ids[i].ns, NAME_MAX_LEN, "the name of a namespace is too long"))
            return false;
        /* A long or ill-formed value is a refused identity, not a refused event. */
        c->bytes += e->ids[i].value.len;
    }
    return true;
}

static bool check_tags(struct checker *c, const struct bytes *tags, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (tags[i].len == 0)
            return fail(c, ERR_INVALID, "an empty tag");
        if (!check_text(c, tags[i], TAG_MAX_LEN, "a tag is too long"))
            return false;
    }
    return true;
}

static bool check_value(struct checker *c, const struct named_value *v)
{
    if (v->name.len == 0)
        return fail(c, ERR_INVALID, "a value without name");
    if (!check_text(c, v->name, NAME_MAX_LEN, "a name is too long") ||
        !check_text(c, v->text, STRING_VALUE_MAX, "a text is too long"))
        return false;
    if (v->type == VALUE_REAL && !isfinite(v->real))
        return fail(c, ERR_INVALID, "a number that is not finite");
    for (size_t i = 0; i < v->n_list; i++) {
        if (v->list[i].len == 0)
            return fail(c, ERR_INVALID, "an empty element of a set");
        if (!check_text(c, v->list[i], STRING_VALUE_MAX, "an element of a set is too long"))
            return false;
    }
    return true;
}

static bool check_values(struct checker *c, const struct named_value *values, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!check_value(c, &values[i]))
            return false;
    }
    return true;
}

static bool check_behaviour(struct checker *c, const struct event_message *e)
{
    if (!check_text(c, e->event, NAME_MAX_LEN, "the name of the event is too long"))
        return false;
    if (e->event.len == 0 && e->n_fields)
        return fail(c, ERR_INVALID, "fields without an event");
    if (e->n_fields > EVENT_FIELDS_MAX)
        return fail(c, ERR_TOO_LARGE, "too many fields");
    for (size_t i = 0; i < e->n_fields; i++) {
        if (e->fields[i].type == VALUE_LIST || e->fields[i].type == VALUE_NULL)
            return fail(c, ERR_INVALID, "a field that is neither number nor text");
    }
    return check_values(c, e->fields, e->n_fields);
}

static bool check_event(struct checker *c, const struct event_message *e)
{
    if (e->message_id.len == 0)
        return fail(c, ERR_INVALID, "missing message_id");
    if (!check_text(c, e->message_id, MESSAGE_ID_MAX, "message_id is too long") ||
        !check_text(c, e->source, SOURCE_MAX_LEN, "source is too long"))
        return false;
    for (size_t i = 0; i < e->n_adds; i++) {
        if (e->adds[i].type != VALUE_INTEGER)
            return fail(c, ERR_INVALID, "what is added to a counter is not a whole number");
    }
    return check_ids(c, e) && check_values(c, e->traits, e->n_traits) &&
           check_values(c, e->adds, e->n_adds) && check_tags(c, e->tags_add, e->n_tags_add) &&
           check_tags(c, e->tags_remove, e->n_tags_remove) && check_behaviour(c, e) &&
           (c->bytes <= EVENT_MAX_SIZE || fail(c, ERR_TOO_LARGE, "event is too large"));
}

static bool check_name(struct checker *c, struct bytes name)
{
    if (name.len == 0)
        return fail(c, ERR_INVALID, "missing name of a segment");
    return check_text(c, name, NAME_MAX_LEN, "name of a segment: more than 64 bytes");
}

static bool check_overlap(struct checker *c, const struct request *r)
{
    if (r->n_exprs == 0)
        return fail(c, ERR_INVALID, "missing segments");
    if (r->n_exprs > COMMAND_EXPRS_MAX)
        return fail(c, ERR_TOO_LARGE, "at most 8 segments can overlap");
    for (size_t i = 0; i < r->n_exprs; i++) {
        if (r->exprs[i].len == 0)
            return fail(c, ERR_INVALID, "missing expression");
        if (!check_text(c, r->exprs[i], COMMAND_TEXT_MAX, TOO_LONG))
            return false;
    }
    return true;
}

static bool check_fields(struct checker *c, const struct request *r)
{
    if (r->n_fields > COMMAND_FIELDS_MAX)
        return fail(c, ERR_TOO_LARGE, "at most 64 fields can be exported");
    for (size_t i = 0; i < r->n_fields; i++) {
        if (r->fields[i].len == 0)
            return fail(c, ERR_INVALID, "an empty name of a field");
        if (!check_text(c, r->fields[i], NAME_MAX_LEN, "the name of a field is too long"))
            return false;
    }
    return true;
}

static bool check_query(struct checker *c, const struct request *r)
{
    if (r->expr.len == 0)
        return fail(c, ERR_INVALID, "missing expression");
    if (r->type == REQUEST_BREAKDOWN && r->by.len == 0)
        return fail(c, ERR_INVALID, "missing name to break down by");
    return check_text(c, r->expr, COMMAND_TEXT_MAX, TOO_LONG) &&
           check_text(c, r->by, NAME_MAX_LEN, "name to break down by is too long") &&
           check_text(c, r->by2, NAME_MAX_LEN, "name to break down by is too long");
}

/* Clients begin and cancel tasks; what else can be done to the map, the cluster does itself. */
static bool check_change(struct checker *c, struct bytes change)
{
    struct placement_change p;
    if (change.len > CHANGE_MAX)
        return fail(c, ERR_TOO_LARGE, "the change of the map is too large");
    if (placement_change_decode(change, &p, NULL) != ERR_OK ||
        (p.op != PLACEMENT_BEGIN && p.op != PLACEMENT_CANCEL))
        return fail(c, ERR_INVALID, "expected a task of a node, or the end of one");
    if (p.op == PLACEMENT_BEGIN && !bytes_is_utf8(p.request.listen))
        return fail(c, ERR_INVALID, "not UTF-8");
    return true;
}

enum error_code request_check(const struct request *r, struct error *err)
{
    struct checker c = {.err = err};
    if (r->limit > REQUEST_LIMIT_MAX)
        (void)fail(&c, ERR_TOO_LARGE, "limit is too great");
    switch (r->type) {
    case REQUEST_INGEST:
        (void)(r->event ? check_event(&c, r->event) : fail(&c, ERR_INVALID, "missing event"));
        break;
    case REQUEST_RESOLVE:
        if (r->id.ns.len == 0)
            (void)fail(&c, ERR_INVALID, "missing identity");
        break;
    case REQUEST_PROFILE:
        if (r->id.ns.len == 0 && r->profile == 0)
            (void)fail(&c, ERR_INVALID, "missing identity or One-ID");
        break;
    case REQUEST_COUNT:
    case REQUEST_LIST:
    case REQUEST_BREAKDOWN:
        (void)check_query(&c, r);
        break;
    case REQUEST_EXPORT:
        (void)(check_query(&c, r) && check_fields(&c, r));
        break;
    case REQUEST_OVERLAP:
        (void)check_overlap(&c, r);
        break;
    case REQUEST_SEGMENT_DEFINE:
        (void)(check_name(&c, r->name) && check_query(&c, r));
        break;
    case REQUEST_WATCH:
        (void)(check_name(&c, r->name) && (r->cursor.len <= WATCH_TOKEN_MAX ||
                                           fail(&c, ERR_TOO_LARGE, "token: more than 2 MiB")));
        break;
    case REQUEST_UNWATCH:
    case REQUEST_SEGMENT_DROP:
        (void)check_name(&c, r->name);
        break;
    case REQUEST_SEGMENTS:
        (void)(r->name.len == 0 || check_name(&c, r->name));
        break;
    case REQUEST_REFRESH:
    case REQUEST_STATS:
    case REQUEST_REFUSED:
    case REQUEST_STATUS:
    case REQUEST_CHECK:
    case REQUEST_NODES:
        break;
    case REQUEST_NODE_TASK:
        (void)check_change(&c, r->change);
        break;
    case REQUEST_LEAD:
        (void)((r->node > 0 && r->node <= UINT16_MAX) ||
               fail(&c, ERR_INVALID, "node: expected 1 to 65535"));
        break;
    case REQUEST_TYPE_END:
        (void)fail(&c, ERR_INVALID, "unknown type");
        break;
    }
    return c.code;
}
