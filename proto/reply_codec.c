#include "direct.h"
#include "generic.h"
#include "wire.h"

#include <proto/command.h>

#include <assert.h>

const char *reply_status_name(enum reply_status s)
{
    switch (s) {
    case REPLY_OK:
        return "OK";
    case REPLY_DUP:
        return "DUP";
    case REPLY_GOTO:
        return "GOTO";
    case REPLY_ABSENT:
        return "ABSENT";
    case REPLY_MERGING:
        return "MERGING";
    case REPLY_MISSING:
        return "MISSING";
    case REPLY_CLAIMED:
        return "CLAIMED";
    case REPLY_KNOWN:
        return "KNOWN";
    case REPLY_FROZEN:
        return "FROZEN";
    case REPLY_ABSORBED:
        return "ABSORBED";
    case REPLY_REFUSED:
        return "REFUSED";
    case REPLY_STALE:
        return "STALE";
    case REPLY_BUSY:
        return "BUSY";
    case REPLY_HERE:
        return "HERE";
    case REPLY_ELSE:
        return "ELSE";
    case REPLY_WRONG_SHARD:
        return "WRONG_SHARD";
    case REPLY_ERROR:
        return "ERROR";
    case REPLY_STATUS_END:
        break;
    }
    return "UNKNOWN";
}

/* --- encoding --- */

static Wire__Missing **missing_of(struct scratch *s, const struct missing *from, size_t n)
{
    Wire__Missing **to = scratch_array(s, n, sizeof *to);
    Wire__Missing *row = scratch_array(s, n, sizeof *row);
    for (size_t i = 0; i < n; i++) {
        to[i] = &row[i];
        wire__missing__init(to[i]);
        to[i]->index = from[i].index;
        to[i]->hint = from[i].hint;
    }
    return to;
}

static Wire__Holder **holders_of(struct scratch *s, const struct holder *from, size_t n)
{
    Wire__Holder **to = scratch_array(s, n, sizeof *to);
    Wire__Holder *row = scratch_array(s, n, sizeof *row);
    for (size_t i = 0; i < n; i++) {
        to[i] = &row[i];
        wire__holder__init(to[i]);
        to[i]->ns = from[i].id.ns;
        to[i]->value = binary_of(from[i].id.value);
        to[i]->version = from[i].version;
    }
    return to;
}

static Wire__SweepRow **sweeps_of(struct scratch *s, const struct sweep_row *from, size_t n)
{
    Wire__SweepRow **to = scratch_array(s, n, sizeof *to);
    Wire__SweepRow *row = scratch_array(s, n, sizeof *row);
    for (size_t i = 0; i < n; i++) {
        to[i] = &row[i];
        wire__sweep_row__init(to[i]);
        to[i]->kind = (uint32_t)from[i].kind;
        to[i]->profile = from[i].profile;
        to[i]->n_ids = from[i].n_ids;
        to[i]->ids = holders_of(s, from[i].ids, from[i].n_ids);
        to[i]->n_absorbed = from[i].n_absorbed;
        to[i]->absorbed = from[i].absorbed;
    }
    return to;
}

static Wire__RefusedRow **refusals_of(struct scratch *s, const struct refused_row *from, size_t n)
{
    Wire__RefusedRow **to = scratch_array(s, n, sizeof *to);
    Wire__RefusedRow *row = scratch_array(s, n, sizeof *row);
    for (size_t i = 0; i < n; i++) {
        to[i] = &row[i];
        wire__refused_row__init(to[i]);
        to[i]->number = from[i].number;
        to[i]->at = from[i].at;
        to[i]->profile = from[i].profile;
        to[i]->ns = from[i].id.ns;
        to[i]->value = binary_of(from[i].id.value);
        to[i]->with_ns = from[i].with.ns;
        to[i]->with_value = binary_of(from[i].with.value);
        to[i]->reason = (uint32_t)from[i].reason;
        to[i]->message_id = binary_of(from[i].message_id);
        to[i]->source = binary_of(from[i].source);
    }
    return to;
}

void reply_encode_generic(const struct reply *r, struct buf *out)
{
    assert(r->status > 0 && r->status < REPLY_STATUS_END);
    struct scratch s;
    scratch_init(&s);
    Wire__Reply m = WIRE__REPLY__INIT;
    m.status = (uint32_t)r->status;
    m.error = (uint32_t)r->error;
    m.text = binary_of(r->text);
    m.profile = r->profile;
    m.other = r->other;
    m.epoch = r->epoch;
    m.version = r->version;
    m.n_ids = r->n_ids;
    m.ids = wire_identities_of(&s, r->ids, r->n_ids);
    m.reason = (uint32_t)r->reason;
    m.n_missing = r->n_missing;
    m.missing = missing_of(&s, r->missing, r->n_missing);
    m.n_refused = r->n_refused;
    m.refused = wire_skips_of(&s, r->refused, r->n_refused);
    m.n_holders = r->n_holders;
    m.holders = holders_of(&s, r->holders, r->n_holders);
    m.content = binary_of(r->content);
    m.n_sweeps = r->n_sweeps;
    m.sweeps = sweeps_of(&s, r->sweeps, r->n_sweeps);
    m.n_refusals = r->n_refusals;
    m.refusals = refusals_of(&s, r->refusals, r->n_refusals);
    m.n_counts = r->n_counts;
    m.counts = wire_counts_of(&s, r->counts, r->n_counts);
    m.n_members = r->n_members;
    m.members = r->members;
    m.cursor = r->cursor;
    m.population = r->population;
    m.in_flight = r->in_flight;
    m.stats = wire_stats_of(&s, r->stats);
    m.created = r->created;
    m.catalogue = r->catalogue;
    m.n_combos = r->n_combos;
    m.combos = r->combos;
    m.rows = binary_of(r->rows);
    m.n_rows = r->n_rows;
    m.n_explain = r->n_explain;
    m.explain = wire_explain_of(&s, r->explain, r->n_explain);
    m.nanos = r->nanos;
    wire_append(&m.base, out);
    scratch_close(&s);
}

void reply_encode(const struct reply *r, struct buf *out)
{
    if (!direct_write_reply(r, out))
        reply_encode_generic(r, out);
}

/* --- decoding --- */

static bool take_missing(struct decoder *d, const Wire__Reply *m, struct reply *r)
{
    r->n_missing = m->n_missing;
    if (m->n_missing == 0)
        return true;
    r->missing = decoder_array(d, m->n_missing, sizeof *r->missing);
    for (size_t i = 0; r->missing && i < m->n_missing; i++)
        r->missing[i] = (struct missing){m->missing[i]->index, m->missing[i]->hint};
    return r->missing != NULL;
}

static bool check_holders(struct decoder *d, const struct holder *holders, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!wire_check_identity(d, holders[i].id))
            return false;
    }
    return true;
}

static bool take_holders(struct decoder *d, Wire__Holder **from, size_t n, struct holder **out,
                         size_t *n_out)
{
    *n_out = n;
    if (n == 0)
        return true;
    struct holder *to = *out = decoder_array(d, n, sizeof *to);
    for (size_t i = 0; to && i < n; i++)
        to[i] = (struct holder){{from[i]->ns, bytes_of_binary(from[i]->value)}, from[i]->version};
    return to != NULL;
}

static bool take_sweep(struct decoder *d, const Wire__SweepRow *from, struct sweep_row *to)
{
    if (from->kind != SWEEP_MERGING && from->kind != SWEEP_TOMBSTONE)
        return decoder_fail(d, "unknown kind of sweep row");
    if (!from->profile)
        return decoder_fail(d, "a sweep row without profile");
    *to = (struct sweep_row){.kind = (enum sweep_kind)from->kind, .profile = from->profile};
    return take_holders(d, from->ids, from->n_ids, &to->ids, &to->n_ids) &&
           check_holders(d, to->ids, to->n_ids) &&
           wire_take_ids(d, from->absorbed, from->n_absorbed, &to->absorbed, &to->n_absorbed);
}

static bool take_sweeps(struct decoder *d, const Wire__Reply *m, struct reply *r)
{
    r->n_sweeps = m->n_sweeps;
    if (m->n_sweeps == 0)
        return true;
    r->sweeps = decoder_array(d, m->n_sweeps, sizeof *r->sweeps);
    for (size_t i = 0; r->sweeps && i < m->n_sweeps; i++) {
        if (!take_sweep(d, m->sweeps[i], &r->sweeps[i]))
            return false;
    }
    return r->sweeps != NULL;
}

static bool take_refusal(struct decoder *d, const Wire__RefusedRow *from, struct refused_row *to)
{
    if (!refusal_is_known(from->reason))
        return decoder_fail(d, "unknown reason of a refusal");
    if (from->value.len > IDENTITY_VALUE_MAX || from->with_value.len > IDENTITY_VALUE_MAX)
        return decoder_fail(d, "a refused identity's value is too long");
    if (from->message_id.len > MESSAGE_ID_MAX || from->source.len > SOURCE_MAX_LEN)
        return decoder_fail(d, "message_id or source is too long");
    *to = (struct refused_row){
        .number = from->number,
        .at = from->at,
        .profile = from->profile,
        .id = {from->ns, bytes_of_binary(from->value)},
        .with = {from->with_ns, bytes_of_binary(from->with_value)},
        .reason = (enum refusal)from->reason,
        .message_id = bytes_of_binary(from->message_id),
        .source = bytes_of_binary(from->source),
    };
    return true;
}

static bool take_refusals(struct decoder *d, const Wire__Reply *m, struct reply *r)
{
    r->n_refusals = m->n_refusals;
    if (m->n_refusals == 0)
        return true;
    r->refusals = decoder_array(d, m->n_refusals, sizeof *r->refusals);
    for (size_t i = 0; r->refusals && i < m->n_refusals; i++) {
        if (!take_refusal(d, m->refusals[i], &r->refusals[i]))
            return false;
    }
    return r->refusals != NULL;
}

static bool take_stats(struct decoder *d, const Wire__Reply *m, struct reply *r)
{
    if (!m->stats)
        return true;
    struct shard_stats *stats = decoder_array(d, 1, sizeof *stats);
    r->stats = stats;
    return stats && wire_take_stats(d, m->stats, stats);
}

static bool check_missing(struct decoder *d, const struct reply *r)
{
    if (r->n_missing > EVENT_IDENTITIES_MAX)
        return decoder_fail(d, "too many missing identities");
    for (size_t i = 0; i < r->n_missing; i++) {
        if (r->missing[i].index >= EVENT_IDENTITIES_MAX)
            return decoder_fail(d, "index of a missing identity out of range");
    }
    return true;
}

/* What a router would act on without looking again. */
static bool check_needs(struct decoder *d, const struct reply *r)
{
    bool leads_on = r->status == REPLY_GOTO || r->status == REPLY_CLAIMED ||
                    r->status == REPLY_KNOWN || r->status == REPLY_MISSING;
    if (leads_on && !r->profile)
        return decoder_fail(d, "missing profile");
    if ((r->status == REPLY_MERGING || r->status == REPLY_BUSY) && !r->other)
        return decoder_fail(d, "missing other");
    if (r->status == REPLY_MERGING && r->n_ids != 2)
        return decoder_fail(d, "missing evidence");
    if (r->status == REPLY_ERROR && r->error == ERR_OK)
        return decoder_fail(d, "missing error");
    return true;
}

static bool check_reply(struct decoder *d, const struct reply *r)
{
    if (r->status == 0 || r->status >= REPLY_STATUS_END)
        return decoder_fail(d, "unknown status");
    if (!refusal_is_known((uint32_t)r->reason))
        return decoder_fail(d, "unknown reason of a refusal");
    return wire_check_identities(d, r->ids, r->n_ids) && check_missing(d, r) &&
           wire_check_skips(d, r->refused, r->n_refused) &&
           check_holders(d, r->holders, r->n_holders) && check_needs(d, r);
}

static bool take_direct(struct decoder *d, struct bytes item, void *out)
{
    return direct_read_reply(item, d->arena, out) && check_reply(d, out);
}

static bool take_reply(struct decoder *d, const ProtobufCMessage *base, void *out)
{
    const Wire__Reply *m = (const Wire__Reply *)base;
    struct reply *r = out;
    *r = (struct reply){
        .status = (enum reply_status)m->status,
        .error = error_from_wire(m->error),
        .text = bytes_of_binary(m->text),
        .profile = m->profile,
        .other = m->other,
        .epoch = m->epoch,
        .version = m->version,
        .reason = (enum refusal)m->reason,
        .content = bytes_of_binary(m->content),
        .cursor = m->cursor,
        .population = m->population,
        .in_flight = m->in_flight,
        .created = m->created != 0,
        .catalogue = m->catalogue,
        .rows = bytes_of_binary(m->rows),
        .n_rows = m->n_rows,
        .nanos = m->nanos,
    };
    return wire_take_identities(d, m->ids, m->n_ids, &r->ids, &r->n_ids) && take_missing(d, m, r) &&
           wire_take_skips(d, m->refused, m->n_refused, &r->refused, &r->n_refused) &&
           take_holders(d, m->holders, m->n_holders, &r->holders, &r->n_holders) &&
           take_sweeps(d, m, r) && take_refusals(d, m, r) &&
           wire_take_counts(d, m->counts, m->n_counts, &r->counts, &r->n_counts) &&
           wire_take_ids(d, m->members, m->n_members, &r->members, &r->n_members) &&
           wire_take_ids(d, m->combos, m->n_combos, &r->combos, &r->n_combos) &&
           wire_take_explain(d, m->explain, m->n_explain, &r->explain, &r->n_explain) &&
           take_stats(d, m, r) && check_reply(d, r);
}

static enum error_code decode(wire_direct_cb direct, struct bytes body, uint32_t items,
                              struct arena *arena, struct reply **out, size_t *n_out,
                              struct error *err)
{
    struct decoder d = {.direct = direct, .arena = arena, .err = err, .what = "reply"};
    void *rows;
    *out = NULL;
    *n_out = 0;
    enum error_code code = wire_batch_decode(&d, body, items, &wire__reply__descriptor,
                                             sizeof **out, take_reply, &rows);
    if (code != ERR_OK)
        return code;
    *out = rows;
    *n_out = items;
    return ERR_OK;
}

enum error_code reply_decode(struct bytes body, uint32_t items, struct arena *arena,
                             struct reply **out, size_t *n_out, struct error *err)
{
    return decode(take_direct, body, items, arena, out, n_out, err);
}

enum error_code reply_decode_generic(struct bytes body, uint32_t items, struct arena *arena,
                                     struct reply **out, size_t *n_out, struct error *err)
{
    return decode(NULL, body, items, arena, out, n_out, err);
}
