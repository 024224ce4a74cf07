#include "direct.h"
#include "generic.h"
#include "wire.h"

#include <proto/envelope.h>
#include <proto/request.h>

/* --- encoding --- */

static Wire__NamedRefusal **refused_of(struct scratch *s, const struct named_refusal *from,
                                       size_t n)
{
    Wire__NamedRefusal **to = scratch_array(s, n, sizeof *to);
    Wire__NamedRefusal *row = scratch_array(s, n, sizeof *row);
    for (size_t i = 0; i < n; i++) {
        to[i] = &row[i];
        wire__named_refusal__init(to[i]);
        to[i]->ns = binary_of(from[i].ns);
        to[i]->reason = (uint32_t)from[i].reason;
    }
    return to;
}

static Wire__RefusedLine **lines_of(struct scratch *s, const struct refused_line *from, size_t n)
{
    Wire__RefusedLine **to = scratch_array(s, n, sizeof *to);
    Wire__RefusedLine *row = scratch_array(s, n, sizeof *row);
    for (size_t i = 0; i < n; i++) {
        to[i] = &row[i];
        wire__refused_line__init(to[i]);
        to[i]->number = from[i].number;
        to[i]->shard = from[i].shard;
        to[i]->at = from[i].at;
        to[i]->profile = from[i].profile;
        to[i]->ns = binary_of(from[i].id.ns);
        to[i]->value = binary_of(from[i].id.value);
        to[i]->with_ns = binary_of(from[i].with.ns);
        to[i]->with_value = binary_of(from[i].with.value);
        to[i]->reason = (uint32_t)from[i].reason;
        to[i]->message_id = binary_of(from[i].message_id);
        to[i]->source = binary_of(from[i].source);
    }
    return to;
}

static Wire__ShardStatus **shards_of(struct scratch *s, const struct shard_status *from, size_t n)
{
    Wire__ShardStatus **to = scratch_array(s, n, sizeof *to);
    Wire__ShardStatus *row = scratch_array(s, n, sizeof *row);
    for (size_t i = 0; i < n; i++) {
        to[i] = &row[i];
        wire__shard_status__init(to[i]);
        to[i]->shard = from[i].shard;
        to[i]->node = from[i].node;
        to[i]->reachable = from[i].reachable;
        to[i]->stats = wire_stats_of(s, &from[i].stats);
    }
    return to;
}

static Wire__SegmentRow **segments_of(struct scratch *s, const struct segment_row *from, size_t n)
{
    Wire__SegmentRow **to = scratch_array(s, n, sizeof *to);
    Wire__SegmentRow *row = scratch_array(s, n, sizeof *row);
    for (size_t i = 0; i < n; i++) {
        to[i] = &row[i];
        wire__segment_row__init(to[i]);
        to[i]->name = binary_of(from[i].name);
        to[i]->expr = binary_of(from[i].expr);
        to[i]->code = (uint32_t)from[i].code;
    }
    return to;
}

static Wire__ExplainShard **explain_of(struct scratch *s, const struct explain_shard *from,
                                       size_t n)
{
    Wire__ExplainShard **to = scratch_array(s, n, sizeof *to);
    Wire__ExplainShard *row = scratch_array(s, n, sizeof *row);
    for (size_t i = 0; i < n; i++) {
        to[i] = &row[i];
        wire__explain_shard__init(to[i]);
        to[i]->shard = from[i].shard;
        to[i]->nanos = from[i].nanos;
        to[i]->count = from[i].count;
        to[i]->in_flight = from[i].in_flight;
        to[i]->n_rows = from[i].n_rows;
        to[i]->rows = wire_explain_of(s, from[i].rows, from[i].n_rows);
    }
    return to;
}

static Wire__NodeAnswer **nodes_of(struct scratch *s, const struct node_answer *from, size_t n)
{
    Wire__NodeAnswer **to = scratch_array(s, n, sizeof *to);
    Wire__NodeAnswer *row = scratch_array(s, n, sizeof *row);
    for (size_t i = 0; i < n; i++) {
        to[i] = &row[i];
        wire__node_answer__init(to[i]);
        to[i]->node = from[i].node;
        to[i]->answers = from[i].answers;
        to[i]->heard_ms = from[i].heard_ms;
        to[i]->status = binary_of(from[i].status);
        to[i]->text = binary_of(from[i].text);
    }
    return to;
}

void response_encode_generic(const struct response *r, struct buf *out)
{
    struct scratch s;
    scratch_init(&s);
    Wire__Response m = WIRE__RESPONSE__INIT;
    m.code = (uint32_t)r->code;
    m.text = binary_of(r->text);
    m.profile = r->profile;
    m.duplicate = r->duplicate;
    m.n_refused = r->n_refused;
    m.refused = refused_of(&s, r->refused, r->n_refused);
    m.view = binary_of(r->view);
    m.count = r->count;
    m.population = r->population;
    m.in_flight = r->in_flight;
    m.partial = r->partial;
    m.n_groups = r->n_groups;
    m.groups = wire_counts_of(&s, r->groups, r->n_groups);
    m.n_members = r->n_members;
    m.members = r->members;
    m.cursor = binary_of(r->cursor);
    m.n_lines = r->n_lines;
    m.lines = lines_of(&s, r->lines, r->n_lines);
    m.n_shards = r->n_shards;
    m.shards = shards_of(&s, r->shards, r->n_shards);
    m.map_epoch = r->map_epoch;
    m.item = r->item;
    m.n_findings = r->n_findings;
    m.findings = wire_list_of(&s, r->findings, r->n_findings);
    m.n_segments = r->n_segments;
    m.segments = segments_of(&s, r->segments, r->n_segments);
    m.catalogue = r->catalogue;
    m.n_combos = r->n_combos;
    m.combos = r->combos;
    m.rows = binary_of(r->rows);
    m.n_rows = r->n_rows;
    m.n_fields = r->n_fields;
    m.fields = wire_list_of(&s, r->fields, r->n_fields);
    m.events = binary_of(r->events);
    m.n_events = r->n_events;
    m.n_explain = r->n_explain;
    m.explain = explain_of(&s, r->explain, r->n_explain);
    m.nanos = r->nanos;
    m.age_ms = r->age_ms;
    m.n_carrying = r->n_carrying;
    m.carrying = r->carrying;
    m.n_nodes = r->n_nodes;
    m.nodes = nodes_of(&s, r->nodes, r->n_nodes);
    m.router = binary_of(r->router);
    m.map = binary_of(r->map);
    m.task = r->task;
    wire_append(&m.base, out);
    scratch_close(&s);
}

void response_encode(const struct response *r, struct buf *out)
{
    if (!direct_write_response(r, out))
        response_encode_generic(r, out);
}

/* --- decoding --- */

static bool check_response(struct decoder *d, const struct response *r)
{
    if (r->item >= BATCH_ITEMS_MAX)
        return decoder_fail(d, "item out of range");
    for (size_t i = 0; i < r->n_refused; i++) {
        if (!refusal_is_known((uint32_t)r->refused[i].reason))
            return decoder_fail(d, "unknown reason of a refusal");
    }
    return true;
}

static bool take_direct(struct decoder *d, struct bytes item, void *out)
{
    return direct_read_response(item, d->arena, out) && check_response(d, out);
}

static bool take_refused(struct decoder *d, const Wire__Response *m, struct response *r)
{
    r->n_refused = m->n_refused;
    if (m->n_refused == 0)
        return true;
    r->refused = decoder_array(d, m->n_refused, sizeof *r->refused);
    for (size_t i = 0; r->refused && i < m->n_refused; i++)
        r->refused[i] = (struct named_refusal){bytes_of_binary(m->refused[i]->ns),
                                               (enum refusal)m->refused[i]->reason};
    return r->refused != NULL;
}

static bool take_line(struct decoder *d, const Wire__RefusedLine *from, struct refused_line *to)
{
    if (!refusal_is_known(from->reason))
        return decoder_fail(d, "unknown reason of a refusal");
    if (from->shard > UINT16_MAX)
        return decoder_fail(d, "shard out of range");
    *to = (struct refused_line){
        .number = from->number,
        .shard = (uint16_t)from->shard,
        .at = from->at,
        .profile = from->profile,
        .id = {bytes_of_binary(from->ns), bytes_of_binary(from->value)},
        .with = {bytes_of_binary(from->with_ns), bytes_of_binary(from->with_value)},
        .reason = (enum refusal)from->reason,
        .message_id = bytes_of_binary(from->message_id),
        .source = bytes_of_binary(from->source),
    };
    return true;
}

static bool take_lines(struct decoder *d, const Wire__Response *m, struct response *r)
{
    r->n_lines = m->n_lines;
    if (m->n_lines == 0)
        return true;
    r->lines = decoder_array(d, m->n_lines, sizeof *r->lines);
    for (size_t i = 0; r->lines && i < m->n_lines; i++) {
        if (!take_line(d, m->lines[i], &r->lines[i]))
            return false;
    }
    return r->lines != NULL;
}

static bool take_shard(struct decoder *d, const Wire__ShardStatus *from, struct shard_status *to)
{
    if (from->shard > UINT16_MAX || from->node > UINT16_MAX)
        return decoder_fail(d, "shard or node out of range");
    *to = (struct shard_status){.shard = (uint16_t)from->shard,
                                .node = (uint16_t)from->node,
                                .reachable = from->reachable != 0};
    return !from->stats || wire_take_stats(d, from->stats, &to->stats);
}

static bool take_shards(struct decoder *d, const Wire__Response *m, struct response *r)
{
    r->n_shards = m->n_shards;
    if (m->n_shards == 0)
        return true;
    r->shards = decoder_array(d, m->n_shards, sizeof *r->shards);
    for (size_t i = 0; r->shards && i < m->n_shards; i++) {
        if (!take_shard(d, m->shards[i], &r->shards[i]))
            return false;
    }
    return r->shards != NULL;
}

static bool take_segments(struct decoder *d, const Wire__Response *m, struct response *r)
{
    r->n_segments = m->n_segments;
    if (m->n_segments == 0)
        return true;
    r->segments = decoder_array(d, m->n_segments, sizeof *r->segments);
    for (size_t i = 0; r->segments && i < m->n_segments; i++)
        r->segments[i] = (struct segment_row){bytes_of_binary(m->segments[i]->name),
                                              bytes_of_binary(m->segments[i]->expr),
                                              error_from_wire(m->segments[i]->code)};
    return r->segments != NULL;
}

static bool take_explain_shard(struct decoder *d, const Wire__ExplainShard *from,
                               struct explain_shard *to)
{
    if (from->shard > UINT16_MAX)
        return decoder_fail(d, "shard out of range");
    *to = (struct explain_shard){.shard = (shard_id)from->shard,
                                 .nanos = from->nanos,
                                 .count = from->count,
                                 .in_flight = from->in_flight};
    return wire_take_explain(d, from->rows, from->n_rows, &to->rows, &to->n_rows);
}

static bool take_explain(struct decoder *d, const Wire__Response *m, struct response *r)
{
    r->n_explain = m->n_explain;
    if (m->n_explain == 0)
        return true;
    r->explain = decoder_array(d, m->n_explain, sizeof *r->explain);
    for (size_t i = 0; r->explain && i < m->n_explain; i++) {
        if (!take_explain_shard(d, m->explain[i], &r->explain[i]))
            return false;
    }
    return r->explain != NULL;
}

static bool take_carrying(struct decoder *d, const Wire__Response *m, struct response *r)
{
    r->n_carrying = m->n_carrying;
    if (m->n_carrying == 0)
        return true;
    r->carrying = decoder_array(d, m->n_carrying, sizeof *r->carrying);
    if (r->carrying)
        memcpy(r->carrying, m->carrying, m->n_carrying * sizeof *r->carrying);
    return r->carrying != NULL;
}

static bool take_nodes(struct decoder *d, const Wire__Response *m, struct response *r)
{
    r->n_nodes = m->n_nodes;
    if (m->n_nodes == 0)
        return true;
    r->nodes = decoder_array(d, m->n_nodes, sizeof *r->nodes);
    for (size_t i = 0; r->nodes && i < m->n_nodes; i++) {
        const Wire__NodeAnswer *from = m->nodes[i];
        if (from->node > UINT16_MAX)
            return decoder_fail(d, "node out of range");
        r->nodes[i] =
            (struct node_answer){(node_id)from->node, from->answers != 0, from->heard_ms,
                                 bytes_of_binary(from->status), bytes_of_binary(from->text)};
    }
    return r->nodes != NULL;
}

static bool take_response(struct decoder *d, const ProtobufCMessage *base, void *out)
{
    const Wire__Response *m = (const Wire__Response *)base;
    struct response *r = out;
    *r = (struct response){
        .code = error_from_wire(m->code),
        .text = bytes_of_binary(m->text),
        .profile = m->profile,
        .duplicate = m->duplicate != 0,
        .view = bytes_of_binary(m->view),
        .count = m->count,
        .population = m->population,
        .in_flight = m->in_flight,
        .partial = m->partial != 0,
        .cursor = bytes_of_binary(m->cursor),
        .map_epoch = m->map_epoch,
        .item = m->item,
        .catalogue = m->catalogue,
        .rows = bytes_of_binary(m->rows),
        .n_rows = m->n_rows,
        .events = bytes_of_binary(m->events),
        .n_events = m->n_events,
        .nanos = m->nanos,
        .router = bytes_of_binary(m->router),
        .map = bytes_of_binary(m->map),
        .task = m->task,
        .age_ms = m->age_ms,
    };
    return take_refused(d, m, r) && check_response(d, r) &&
           wire_take_counts(d, m->groups, m->n_groups, &r->groups, &r->n_groups) &&
           wire_take_ids(d, m->members, m->n_members, &r->members, &r->n_members) &&
           take_lines(d, m, r) && take_shards(d, m, r) &&
           wire_take_list(d, m->findings, m->n_findings, &r->findings, &r->n_findings) &&
           wire_take_list(d, m->fields, m->n_fields, &r->fields, &r->n_fields) &&
           take_segments(d, m, r) && take_explain(d, m, r) && take_carrying(d, m, r) &&
           take_nodes(d, m, r) &&
           wire_take_ids(d, m->combos, m->n_combos, &r->combos, &r->n_combos);
}

static enum error_code decode(wire_direct_cb direct, struct bytes body, uint32_t items,
                              struct arena *arena, struct response **out, size_t *n_out,
                              struct error *err)
{
    struct decoder d = {.direct = direct, .arena = arena, .err = err, .what = "response"};
    void *rows;
    *out = NULL;
    *n_out = 0;
    enum error_code code = wire_batch_decode(&d, body, items, &wire__response__descriptor,
                                             sizeof **out, take_response, &rows);
    if (code != ERR_OK)
        return code;
    *out = rows;
    *n_out = items;
    return ERR_OK;
}

enum error_code response_decode(struct bytes body, uint32_t items, struct arena *arena,
                                struct response **out, size_t *n_out, struct error *err)
{
    return decode(take_direct, body, items, arena, out, n_out, err);
}

enum error_code response_decode_generic(struct bytes body, uint32_t items, struct arena *arena,
                                        struct response **out, size_t *n_out, struct error *err)
{
    return decode(NULL, body, items, arena, out, n_out, err);
}
