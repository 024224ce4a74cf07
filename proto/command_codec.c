#include "direct.h"
#include "generic.h"
#include "wire.h"

#include <proto/command.h>
#include <proto/facts.h>

#include <assert.h>

const char *command_type_name(enum command_type t)
{
    switch (t) {
    case COMMAND_APPLY:
        return "APPLY";
    case COMMAND_CLAIM:
        return "CLAIM";
    case COMMAND_FREEZE:
        return "FREEZE";
    case COMMAND_ABSORB:
        return "ABSORB";
    case COMMAND_DONE:
        return "DONE";
    case COMMAND_ABORT:
        return "ABORT";
    case COMMAND_REPAIR:
        return "REPAIR";
    case COMMAND_DROP:
        return "DROP";
    case COMMAND_SEGMENT_DEFINE:
        return "SEGMENT_DEFINE";
    case COMMAND_SEGMENT_DROP:
        return "SEGMENT_DROP";
    case COMMAND_SEGMENT_SYNC:
        return "SEGMENT_SYNC";
    case COMMAND_DAY:
        return "DAY";
    case COMMAND_WATCH_START:
        return "WATCH_START";
    case COMMAND_WATCH_STOP:
        return "WATCH_STOP";
    case COMMAND_MAP:
        return "MAP";
    case COMMAND_LOCATE:
        return "LOCATE";
    case COMMAND_GET:
        return "GET";
    case COMMAND_SWEEP:
        return "SWEEP";
    case COMMAND_STATS:
        return "STATS";
    case COMMAND_REFUSED:
        return "REFUSED";
    case COMMAND_CHECK:
        return "CHECK";
    case COMMAND_SEGMENTS:
        return "SEGMENTS";
    case COMMAND_LEAD:
        return "LEAD";
    case COMMAND_COUNT:
        return "COUNT";
    case COMMAND_LIST:
        return "LIST";
    case COMMAND_BREAKDOWN:
        return "BREAKDOWN";
    case COMMAND_REFRESH:
        return "REFRESH";
    case COMMAND_OVERLAP:
        return "OVERLAP";
    case COMMAND_ROWS:
        return "ROWS";
    case COMMAND_WATCH_READ:
        return "WATCH_READ";
    case COMMAND_TYPE_END:
        break;
    }
    return NULL;
}

bool command_is_read(enum command_type t)
{
    return t >= COMMAND_LOCATE && t < COMMAND_COUNT;
}

bool command_is_query(enum command_type t)
{
    return t >= COMMAND_COUNT && t < COMMAND_WATCH_READ;
}

bool command_is_watch(enum command_type t)
{
    return t == COMMAND_WATCH_READ;
}

const char *refusal_text(enum refusal r)
{
    switch (r) {
#define X(name, wire, text)                                                                        \
    case REFUSAL_##name:                                                                           \
        return text;
        REFUSAL_LIST(X)
#undef X
    }
    return "unknown reason";
}

const char *refusal_name(enum refusal r)
{
    switch (r) {
#define X(name, wire, text)                                                                        \
    case REFUSAL_##name:                                                                           \
        return #name;
        REFUSAL_LIST(X)
#undef X
    }
    return "UNKNOWN";
}

bool refusal_is_known(uint32_t wire)
{
    switch (wire) {
#define X(name, number, text) case number:
        REFUSAL_LIST(X)
#undef X
        return true;
    default:
        return false;
    }
}

/* --- encoding --- */

Wire__Skip **wire_skips_of(struct scratch *s, const struct skip *skips, size_t n)
{
    Wire__Skip **to = scratch_array(s, n, sizeof *to);
    Wire__Skip *row = scratch_array(s, n, sizeof *row);
    for (size_t i = 0; i < n; i++) {
        to[i] = &row[i];
        wire__skip__init(to[i]);
        to[i]->ns = skips[i].id.ns;
        to[i]->value = binary_of(skips[i].id.value);
        to[i]->reason = (uint32_t)skips[i].reason;
    }
    return to;
}

void command_encode_generic(const struct command *c, struct buf *out)
{
    assert(command_type_name(c->type));
    struct scratch s;
    scratch_init(&s);
    Wire__Command m = WIRE__COMMAND__INIT;
    m.type = (uint32_t)c->type;
    m.profile = c->profile;
    m.other = c->other;
    m.epoch = c->epoch;
    m.version = c->version;
    m.n_ids = c->n_ids;
    m.ids = wire_identities_of(&s, c->ids, c->n_ids);
    m.message_id = binary_of(c->message_id);
    m.ts = c->ts;
    m.source = binary_of(c->source);
    m.facts = binary_of(c->facts);
    m.behaviour = binary_of(c->behaviour);
    m.content = binary_of(c->content);
    m.n_skips = c->n_skips;
    m.skips = wire_skips_of(&s, c->skips, c->n_skips);
    m.want_content = c->want_content;
    m.expr = binary_of(c->expr);
    m.by = binary_of(c->by);
    m.today = c->today;
    m.cursor = c->cursor;
    m.limit = c->limit;
    m.age_ms = c->age_ms;
    m.deadline_ms = c->deadline_ms;
    m.name = binary_of(c->name);
    m.catalogue = c->catalogue;
    m.n_exprs = c->n_exprs;
    m.exprs = wire_list_of(&s, c->exprs, c->n_exprs);
    m.by2 = binary_of(c->by2);
    m.n_fields = c->n_fields;
    m.fields = wire_list_of(&s, c->fields, c->n_fields);
    m.explain = c->explain;
    wire_append(&m.base, out);
    scratch_close(&s);
}

void command_encode(const struct command *c, struct buf *out)
{
    if (!direct_write_command(c, out))
        command_encode_generic(c, out);
}

/* --- decoding --- */

bool wire_take_skips(struct decoder *d, Wire__Skip **from, size_t n, struct skip **out,
                     size_t *n_out)
{
    *n_out = n;
    if (n == 0)
        return true;
    struct skip *to = *out = decoder_array(d, n, sizeof *to);
    if (!to)
        return false;
    for (size_t i = 0; i < n; i++)
        to[i] = (struct skip){{from[i]->ns, bytes_of_binary(from[i]->value)},
                              (enum refusal)from[i]->reason};
    return true;
}

bool wire_check_skips(struct decoder *d, const struct skip *skips, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (skips[i].id.value.len > IDENTITY_VALUE_MAX)
            return decoder_fail(d, "a refused identity's value is too long");
        if (!refusal_is_known((uint32_t)skips[i].reason))
            return decoder_fail(d, "unknown reason of a refusal");
    }
    return true;
}

static bool check_sizes(struct decoder *d, const struct command *c)
{
    if (c->message_id.len > MESSAGE_ID_MAX)
        return decoder_fail(d, "message_id is too long");
    if (c->source.len > SOURCE_MAX_LEN)
        return decoder_fail(d, "source is too long");
    if (c->n_skips > EVENT_IDENTITIES_MAX)
        return decoder_fail(d, "too many skips");
    if (c->expr.len > COMMAND_TEXT_MAX || c->by.len > COMMAND_TEXT_MAX)
        return decoder_fail(d, "expr or by is too long");
    if (c->limit > COMMAND_LIMIT_MAX)
        return decoder_fail(d, "limit is too great");
    if (c->name.len > NAME_MAX_LEN)
        return decoder_fail(d, "name is too long");
    if (c->n_exprs > COMMAND_EXPRS_MAX || c->n_fields > COMMAND_FIELDS_MAX)
        return decoder_fail(d, "too many exprs or fields");
    for (size_t i = 0; i < c->n_exprs; i++) {
        if (c->exprs[i].len == 0 || c->exprs[i].len > COMMAND_TEXT_MAX)
            return decoder_fail(d, "one of exprs is empty or too long");
    }
    if (c->type == COMMAND_SEGMENT_SYNC && c->content.len > COMMAND_CATALOGUE_MAX)
        return decoder_fail(d, "content is too long");
    if (c->type == COMMAND_MAP && c->content.len > COMMAND_MAP_MAX)
        return decoder_fail(d, "content is too long");
    return true;
}

/* The fields that a type cannot do without. */
struct needs {
    bool profile, other, message_id, content, expr, by, name, catalogue, exprs;
    bool target; /* a profile or an identity */
    size_t least_ids, most_ids;
};

static struct needs needs_of(enum command_type t)
{
    switch (t) {
    case COMMAND_APPLY:
        return (struct needs){.message_id = true, .least_ids = 1, .most_ids = EVENT_IDENTITIES_MAX};
    case COMMAND_CLAIM:
        return (struct needs){.profile = true, .least_ids = 2, .most_ids = 2};
    case COMMAND_FREEZE:
        return (struct needs){.profile = true, .other = true, .least_ids = 2, .most_ids = 2};
    case COMMAND_ABSORB:
        return (struct needs){
            .profile = true, .other = true, .content = true, .least_ids = 2, .most_ids = 2};
    case COMMAND_DONE:
    case COMMAND_ABORT:
    case COMMAND_DROP:
        return (struct needs){.profile = true};
    case COMMAND_REPAIR:
        return (struct needs){.profile = true, .least_ids = 1, .most_ids = 1};
    case COMMAND_LOCATE:
    case COMMAND_GET:
        return (struct needs){.target = true, .most_ids = 1};
    case COMMAND_SEGMENT_DEFINE:
        return (struct needs){.name = true, .expr = true, .catalogue = true};
    case COMMAND_SEGMENT_DROP:
        return (struct needs){.name = true, .catalogue = true};
    case COMMAND_WATCH_START:
    case COMMAND_WATCH_STOP:
    case COMMAND_WATCH_READ:
        return (struct needs){.name = true};
    case COMMAND_SEGMENT_SYNC:
    case COMMAND_MAP:
        return (struct needs){.content = true};
    case COMMAND_COUNT:
    case COMMAND_LIST:
    case COMMAND_ROWS:
        return (struct needs){.expr = true};
    case COMMAND_REFRESH:
        return (struct needs){.catalogue = true};
    case COMMAND_OVERLAP:
        return (struct needs){.exprs = true};
    case COMMAND_BREAKDOWN:
        return (struct needs){.expr = true, .by = true};
    case COMMAND_LEAD:
        return (struct needs){.other = true};
    case COMMAND_SWEEP:
    case COMMAND_STATS:
    case COMMAND_REFUSED:
    case COMMAND_CHECK:
    case COMMAND_SEGMENTS:
    case COMMAND_DAY:
    case COMMAND_TYPE_END:
        break;
    }
    return (struct needs){0};
}

static bool check_needs(struct decoder *d, const struct command *c)
{
    struct needs n = needs_of(c->type);
    if (n.profile && !c->profile)
        return decoder_fail(d, "missing profile");
    if (n.other && !c->other)
        return decoder_fail(d, "missing other");
    if (c->n_ids < n.least_ids)
        return decoder_fail(d, "missing identity");
    if (c->n_ids > n.most_ids)
        return decoder_fail(d, "too many identities for its type");
    if (n.target && !c->profile && c->n_ids == 0)
        return decoder_fail(d, "missing profile and identity");
    if (n.message_id && c->message_id.len == 0)
        return decoder_fail(d, "missing message_id");
    /* That of a profile born merging (epoch 1) goes without saying. */
    if (n.content && c->content.len == 0 && c->epoch != 1)
        return decoder_fail(d, "missing content");
    if (n.expr && c->expr.len == 0)
        return decoder_fail(d, "missing expr");
    if (n.by && c->by.len == 0)
        return decoder_fail(d, "missing by");
    if (n.name && c->name.len == 0)
        return decoder_fail(d, "missing name");
    if (n.catalogue && c->catalogue == 0)
        return decoder_fail(d, "missing catalogue");
    if (n.exprs && c->n_exprs == 0)
        return decoder_fail(d, "missing exprs");
    return true;
}

static bool check_payload(struct decoder *d, const struct command *c)
{
    struct behaviour b;
    if (c->type != COMMAND_APPLY)
        return true;
    if (!facts_check(c->facts))
        return decoder_fail(d, "facts are not canonical");
    if (c->behaviour.len && !behaviour_decode(c->behaviour, &b))
        return decoder_fail(d, "behaviour is not well-formed");
    return true;
}

static bool check_command(struct decoder *d, const struct command *c)
{
    if (c->type >= COMMAND_TYPE_END || !command_type_name(c->type))
        return decoder_fail(d, "unknown type");
    return wire_check_identities(d, c->ids, c->n_ids) &&
           wire_check_skips(d, c->skips, c->n_skips) && check_sizes(d, c) && check_needs(d, c) &&
           check_payload(d, c);
}

static bool take_direct(struct decoder *d, struct bytes item, void *out)
{
    return direct_read_command(item, d->arena, out) && check_command(d, out);
}

static bool take_command(struct decoder *d, const ProtobufCMessage *base, void *out)
{
    const Wire__Command *m = (const Wire__Command *)base;
    struct command *c = out;
    *c = (struct command){
        .type = (enum command_type)m->type,
        .profile = m->profile,
        .other = m->other,
        .epoch = m->epoch,
        .version = m->version,
        .message_id = bytes_of_binary(m->message_id),
        .ts = m->ts,
        .source = bytes_of_binary(m->source),
        .facts = bytes_of_binary(m->facts),
        .behaviour = bytes_of_binary(m->behaviour),
        .content = bytes_of_binary(m->content),
        .want_content = m->want_content != 0,
        .expr = bytes_of_binary(m->expr),
        .by = bytes_of_binary(m->by),
        .today = m->today,
        .cursor = m->cursor,
        .limit = m->limit,
        .age_ms = m->age_ms,
        .deadline_ms = m->deadline_ms,
        .name = bytes_of_binary(m->name),
        .catalogue = m->catalogue,
        .by2 = bytes_of_binary(m->by2),
        .explain = m->explain != 0,
    };
    return wire_take_identities(d, m->ids, m->n_ids, &c->ids, &c->n_ids) &&
           wire_take_skips(d, m->skips, m->n_skips, &c->skips, &c->n_skips) &&
           wire_take_list(d, m->exprs, m->n_exprs, &c->exprs, &c->n_exprs) &&
           wire_take_list(d, m->fields, m->n_fields, &c->fields, &c->n_fields) &&
           check_command(d, c);
}

static enum error_code decode(wire_direct_cb direct, struct bytes body, uint32_t items,
                              struct arena *arena, struct command **out, size_t *n_out,
                              struct error *err)
{
    struct decoder d = {.direct = direct, .arena = arena, .err = err, .what = "command"};
    void *rows;
    *out = NULL;
    *n_out = 0;
    enum error_code code = wire_batch_decode(&d, body, items, &wire__command__descriptor,
                                             sizeof **out, take_command, &rows);
    if (code != ERR_OK)
        return code;
    *out = rows;
    *n_out = items;
    return ERR_OK;
}

enum error_code command_decode(struct bytes body, uint32_t items, struct arena *arena,
                               struct command **out, size_t *n_out, struct error *err)
{
    return decode(take_direct, body, items, arena, out, n_out, err);
}

enum error_code command_decode_generic(struct bytes body, uint32_t items, struct arena *arena,
                                       struct command **out, size_t *n_out, struct error *err)
{
    return decode(NULL, body, items, arena, out, n_out, err);
}
