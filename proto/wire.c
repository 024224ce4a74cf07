#include "wire.h"

#include <proto/command.h>
#include <proto/envelope.h>

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum { ALIGN = 16, TAG_ITEM = 1 << 3 | 2 /* field 1, length-delimited */ };

/* --- encoding --- */

void scratch_close(struct scratch *s)
{
    arena_close(&s->more);
}

void *scratch_array(struct scratch *s, size_t n, size_t size)
{
    if (n == 0)
        return NULL;
    assert(n <= SIZE_MAX / 2 / size);
    size_t bytes = (n * size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (bytes <= sizeof s->local - s->used) {
        void *p = s->local + s->used;
        s->used += bytes;
        return p;
    }
    void *p = arena_alloc(&s->more, bytes);
    if (!p) {
        (void)fprintf(stderr, "oneid: out of memory encoding a message of %zu bytes\n", bytes);
        abort();
    }
    return p;
}

void wire_pack(const ProtobufCMessage *m, struct buf *out)
{
    size_t n = protobuf_c_message_get_packed_size(m);
    out->len += protobuf_c_message_pack(m, buf_reserve(out, n));
}

void wire_append(const ProtobufCMessage *m, struct buf *out)
{
    size_t n = protobuf_c_message_get_packed_size(m);
    (void)buf_reserve(out, n + 16);
    buf_put_u8(out, TAG_ITEM);
    buf_put_varint(out, n);
    out->len += protobuf_c_message_pack(m, out->data + out->len);
}

ProtobufCBinaryData *wire_list_of(struct scratch *s, const struct bytes *list, size_t n)
{
    ProtobufCBinaryData *to = scratch_array(s, n, sizeof *to);
    for (size_t i = 0; i < n; i++)
        to[i] = binary_of(list[i]);
    return to;
}

Wire__Identity **wire_identities_of(struct scratch *s, const struct identity *ids, size_t n)
{
    Wire__Identity **to = scratch_array(s, n, sizeof *to);
    Wire__Identity *row = scratch_array(s, n, sizeof *row);
    for (size_t i = 0; i < n; i++) {
        to[i] = &row[i];
        wire__identity__init(to[i]);
        to[i]->ns = ids[i].ns;
        to[i]->value = binary_of(ids[i].value);
    }
    return to;
}

Wire__ShardStats *wire_stats_of(struct scratch *s, const struct shard_stats *st)
{
    if (!st)
        return NULL;
    Wire__ShardStats *to = scratch_array(s, 1, sizeof *to);
    wire__shard_stats__init(to);
    to->profiles = st->profiles;
    to->identities = st->identities;
    to->events = st->events;
    to->merges = st->merges;
    to->refused = st->refused;
    to->duplicates = st->duplicates;
    to->merging = st->merging;
    to->tombstones = st->tombstones;
    to->dedup_cut = st->dedup_cut;
    to->n_refused_by = sizeof st->refused_by / sizeof st->refused_by[0];
    to->refused_by = scratch_array(s, to->n_refused_by, sizeof *to->refused_by);
    memcpy(to->refused_by, st->refused_by, sizeof st->refused_by);
    to->applied = st->applied;
    to->disk_bytes = st->disk_bytes;
    to->memtable_bytes = st->memtable_bytes;
    to->index_bytes = st->index_bytes;
    to->index_members = st->index_members;
    to->kernels = binary_of(st->kernels);
    to->catalogue = st->catalogue;
    to->today = st->today;
    return to;
}

Wire__CountRow **wire_counts_of(struct scratch *s, const struct count_row *rows, size_t n)
{
    Wire__CountRow **to = scratch_array(s, n, sizeof *to);
    Wire__CountRow *row = scratch_array(s, n, sizeof *row);
    for (size_t i = 0; i < n; i++) {
        to[i] = &row[i];
        wire__count_row__init(to[i]);
        to[i]->value = binary_of(rows[i].value);
        to[i]->none = rows[i].none;
        to[i]->members = rows[i].members;
        to[i]->value2 = binary_of(rows[i].value2);
        to[i]->none2 = rows[i].none2;
        to[i]->error = (uint32_t)rows[i].error;
    }
    return to;
}

Wire__ExplainRow **wire_explain_of(struct scratch *s, const struct explain_row *rows, size_t n)
{
    Wire__ExplainRow **to = scratch_array(s, n, sizeof *to);
    Wire__ExplainRow *row = scratch_array(s, n, sizeof *row);
    for (size_t i = 0; i < n; i++) {
        to[i] = &row[i];
        wire__explain_row__init(to[i]);
        to[i]->term = binary_of(rows[i].term);
        to[i]->depth = rows[i].depth;
        to[i]->strategy = binary_of(rows[i].strategy);
        to[i]->estimate = rows[i].estimate;
        to[i]->chunks = rows[i].chunks;
        to[i]->skipped = rows[i].skipped;
        to[i]->nanos = rows[i].nanos;
        to[i]->emptied = rows[i].emptied;
        to[i]->decided = rows[i].decided;
        to[i]->probed = rows[i].probed;
    }
    return to;
}

/* --- decoding --- */

static bool fail_as(struct decoder *d, enum error_code code, const char *complaint)
{
    if (d->code != ERR_OK)
        return false;
    d->code = code;
    if (d->whole)
        (void)error_set(d->err, code, "%s: %s", d->what, complaint);
    else
        (void)error_set(d->err, code, "%s %zu: %s", d->what, d->index, complaint);
    return false;
}

bool decoder_fail(struct decoder *d, const char *complaint)
{
    return fail_as(d, ERR_MALFORMED, complaint);
}

void *decoder_array(struct decoder *d, size_t n, size_t size)
{
    void *p = n > SIZE_MAX / 2 / size ? NULL : arena_alloc(d->arena, n * size);
    if (!p)
        (void)fail_as(d, ERR_TOO_LARGE, "needs more memory than it may");
    return p;
}

static void *unpack_alloc(void *ctx, size_t size)
{
    return decoder_array(ctx, 1, size ? size : 1);
}

static void unpack_free(void *ctx, void *p)
{
    (void)ctx;
    (void)p;
}

ProtobufCMessage *wire_unpack(struct decoder *d, struct bytes in,
                              const ProtobufCMessageDescriptor *type)
{
    ProtobufCAllocator allocator = {unpack_alloc, unpack_free, d};
    ProtobufCMessage *m = protobuf_c_message_unpack(type, &allocator, in.len, in.data);
    if (!m)
        (void)decoder_fail(d, "not a message");
    return m;
}

/* The next element of field 1; nothing else may stand in a batch. */
static bool batch_next(struct reader *r, struct bytes *item)
{
    if (reader_u8(r) != TAG_ITEM)
        return false;
    *item = reader_bytes(r);
    return r->ok;
}

static enum error_code batch_fail(struct decoder *d, const char *complaint)
{
    d->code = ERR_MALFORMED;
    return error_set(d->err, ERR_MALFORMED, "%s batch: %s", d->what, complaint);
}

static bool decode_item(struct decoder *d, struct bytes item,
                        const ProtobufCMessageDescriptor *type, wire_item_cb take, void *out)
{
    struct arena_mark before = arena_mark(d->arena);
    if (d->direct && d->direct(d, item, out))
        return true;
    if (d->code != ERR_OK)
        return false;
    arena_rewind(d->arena, before);
    const ProtobufCMessage *m = wire_unpack(d, item, type);
    return m && take(d, m, out) && d->code == ERR_OK;
}

enum error_code wire_batch_decode(struct decoder *d, struct bytes body, uint32_t items,
                                  const ProtobufCMessageDescriptor *type, size_t size,
                                  wire_item_cb take, void **out)
{
    *out = NULL;
    if (items > BATCH_ITEMS_MAX)
        return batch_fail(d, "too many items");
    if (body.len / 2 < items) /* the least an item takes */
        return batch_fail(d, "fewer items than announced");
    uint8_t *rows = items ? decoder_array(d, items, size) : NULL;
    if (items && !rows)
        return d->code;
    struct reader r = reader_of(body);
    for (d->index = 0; reader_left(&r) > 0; d->index++) {
        struct bytes item;
        if (d->index == items)
            return batch_fail(d, "more items than announced");
        if (!batch_next(&r, &item))
            return batch_fail(d, "not a batch");
        if (!decode_item(d, item, type, take, rows + d->index * size))
            return d->code;
    }
    if (d->index != items)
        return batch_fail(d, "fewer items than announced");
    *out = rows;
    return ERR_OK;
}

bool wire_take_list(struct decoder *d, const ProtobufCBinaryData *from, size_t n,
                    struct bytes **out, size_t *n_out)
{
    *n_out = n;
    if (n == 0)
        return true;
    struct bytes *to = *out = decoder_array(d, n, sizeof *to);
    for (size_t i = 0; to && i < n; i++)
        to[i] = bytes_of_binary(from[i]);
    return to != NULL;
}

bool wire_check_identity(struct decoder *d, struct identity id)
{
    if (id.ns == 0)
        return decoder_fail(d, "an identity without namespace");
    if (id.value.len == 0 || id.value.len > IDENTITY_VALUE_MAX)
        return decoder_fail(d, "an identity's value is empty or too long");
    return true;
}

bool wire_check_identities(struct decoder *d, const struct identity *ids, size_t n)
{
    if (n > EVENT_IDENTITIES_MAX)
        return decoder_fail(d, "too many identities");
    for (size_t i = 0; i < n; i++) {
        if (!wire_check_identity(d, ids[i]))
            return false;
    }
    return true;
}

bool wire_take_identities(struct decoder *d, Wire__Identity **from, size_t n, struct identity **out,
                          size_t *n_out)
{
    *n_out = n;
    if (n == 0)
        return true;
    struct identity *to = *out = decoder_array(d, n, sizeof *to);
    for (size_t i = 0; to && i < n; i++)
        to[i] = (struct identity){from[i]->ns, bytes_of_binary(from[i]->value)};
    return to != NULL;
}

bool wire_take_ids(struct decoder *d, const uint64_t *from, size_t n, one_id **out, size_t *n_out)
{
    *n_out = n;
    if (n == 0)
        return true;
    one_id *to = *out = decoder_array(d, n, sizeof *to);
    if (to)
        memcpy(to, from, n * sizeof *to);
    return to != NULL;
}

bool wire_take_stats(struct decoder *d, const Wire__ShardStats *from, struct shard_stats *out)
{
    *out = (struct shard_stats){
        .profiles = from->profiles,
        .identities = from->identities,
        .events = from->events,
        .merges = from->merges,
        .refused = from->refused,
        .duplicates = from->duplicates,
        .merging = from->merging,
        .tombstones = from->tombstones,
        .dedup_cut = from->dedup_cut,
        .applied = from->applied,
        .disk_bytes = from->disk_bytes,
        .memtable_bytes = from->memtable_bytes,
        .index_bytes = from->index_bytes,
        .index_members = from->index_members,
        .kernels = bytes_of_binary(from->kernels),
        .catalogue = from->catalogue,
        .today = from->today,
    };
    if (from->n_refused_by > sizeof out->refused_by / sizeof out->refused_by[0])
        return decoder_fail(d, "too many kinds of refusal");
    for (size_t i = 0; i < from->n_refused_by; i++)
        out->refused_by[i] = from->refused_by[i];
    return true;
}

bool wire_take_counts(struct decoder *d, Wire__CountRow **from, size_t n, struct count_row **out,
                      size_t *n_out)
{
    *n_out = n;
    if (n == 0)
        return true;
    struct count_row *to = *out = decoder_array(d, n, sizeof *to);
    for (size_t i = 0; to && i < n; i++)
        to[i] = (struct count_row){.value = bytes_of_binary(from[i]->value),
                                   .none = from[i]->none != 0,
                                   .members = from[i]->members,
                                   .value2 = bytes_of_binary(from[i]->value2),
                                   .none2 = from[i]->none2 != 0,
                                   .error = error_from_wire(from[i]->error)};
    return to != NULL;
}

bool wire_take_explain(struct decoder *d, Wire__ExplainRow **from, size_t n,
                       struct explain_row **out, size_t *n_out)
{
    *n_out = n;
    if (n == 0)
        return true;
    struct explain_row *to = *out = decoder_array(d, n, sizeof *to);
    for (size_t i = 0; to && i < n; i++)
        to[i] = (struct explain_row){.term = bytes_of_binary(from[i]->term),
                                     .depth = from[i]->depth,
                                     .strategy = bytes_of_binary(from[i]->strategy),
                                     .estimate = from[i]->estimate,
                                     .chunks = from[i]->chunks,
                                     .skipped = from[i]->skipped,
                                     .nanos = from[i]->nanos,
                                     .emptied = from[i]->emptied,
                                     .decided = from[i]->decided,
                                     .probed = from[i]->probed};
    return to != NULL;
}
