#include "wire_random.h"

enum { VARINT = 0, FIXED64 = 1, LENGTH = 2, FIXED32 = 5, LONG_TEXT = 300 };

static bool chance(struct wire_random *w, unsigned percent)
{
    return rng_below(&w->rng, 100) < percent;
}

void wire_put_long_varint(struct buf *out, uint64_t v, size_t size)
{
    size_t n = 1;
    for (; v >= 0x80 || n < size; n++) {
        buf_put_u8(out, (uint8_t)(v | 0x80));
        v >>= 7;
    }
    buf_put_u8(out, (uint8_t)v);
}

static void put_varint(struct wire_random *w, struct buf *out, uint64_t v, size_t longest)
{
    bool strange = w->wild && chance(w, 5);
    wire_put_long_varint(out, v, strange ? 1 + rng_below(&w->rng, longest) : 1);
}

static void put_tag(struct wire_random *w, struct buf *out, uint32_t number, unsigned type)
{
    if (w->wild && chance(w, 1))
        type = (unsigned)rng_below(&w->rng, 8);
    put_varint(w, out, (uint64_t)number << 3 | type, 6);
}

static uint64_t any_number(struct wire_random *w)
{
    static const uint64_t edges[] = {
        1, 2, 63, 64, 127, 128, 16383, 16384, UINT32_MAX, UINT64_C(1) << 32, INT64_MAX, UINT64_MAX};
    if (chance(w, 40))
        return edges[rng_below(&w->rng, sizeof edges / sizeof edges[0])];
    return rng_u64(&w->rng) >> rng_below(&w->rng, 64);
}

static uint64_t any_double(struct wire_random *w)
{
    static const double some[] = {0.5, -1e300, 1e-320, 99.5};
    static const uint64_t odd[] = {UINT64_C(1) << 63, UINT64_C(0x7FF0000000000000),
                                   UINT64_C(0x7FF8000000000001), 0};
    uint64_t bits;
    memcpy(&bits, &some[rng_below(&w->rng, 4)], sizeof bits);
    return chance(w, 30) ? odd[rng_below(&w->rng, 4)] : bits;
}

static void put_text(struct wire_random *w, const char *message, const char *field, struct buf *out)
{
    struct bytes b;
    uint8_t text[LONG_TEXT];
    if (!w->bytes || !w->bytes(&w->rng, message, field, &b)) {
        size_t n = rng_below(&w->rng, chance(w, 5) ? LONG_TEXT : 20);
        for (size_t i = 0; i < n; i++)
            text[i] = (uint8_t)rng_u64(&w->rng);
        b = bytes_of(text, n);
    }
    put_varint(w, out, b.len, 7);
    buf_put(out, b.data, b.len);
}

static void put_nested(struct wire_random *w, const ProtobufCMessageDescriptor *type,
                       struct buf *out)
{
    struct buf content = {0};
    wire_random_message(w, type, &content);
    put_varint(w, out, content.len, 7);
    buf_put(out, content.data, content.len);
    buf_free(&content);
}

static uint64_t number_of(struct wire_random *w, const char *message,
                          const ProtobufCFieldDescriptor *f)
{
    uint64_t v;
    if (w->number && w->number(&w->rng, message, f->name, &v))
        return v;
    return f->type == PROTOBUF_C_TYPE_DOUBLE ? any_double(w) : any_number(w);
}

static void put_value(struct wire_random *w, const ProtobufCMessageDescriptor *type,
                      const ProtobufCFieldDescriptor *f, struct buf *out)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        buf_put_u64(out, number_of(w, type->short_name, f));
        break;
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
        buf_put_u32(out, (uint32_t)number_of(w, type->short_name, f));
        break;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
        put_text(w, type->short_name, f->name, out);
        break;
    case PROTOBUF_C_TYPE_MESSAGE:
        put_nested(w, f->descriptor, out);
        break;
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_BOOL:
    case PROTOBUF_C_TYPE_ENUM:
        put_varint(w, out, number_of(w, type->short_name, f), 10);
        break;
    }
}

static unsigned wire_type_of(const ProtobufCFieldDescriptor *f)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return FIXED64;
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
        return FIXED32;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE:
        return LENGTH;
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_BOOL:
    case PROTOBUF_C_TYPE_ENUM:
        break;
    }
    return VARINT;
}

static void put_field(struct wire_random *w, const ProtobufCMessageDescriptor *type,
                      const ProtobufCFieldDescriptor *f, struct buf *out)
{
    put_tag(w, out, f->id, wire_type_of(f));
    put_value(w, type, f, out);
}

static void put_unknown(struct wire_random *w, struct buf *out)
{
    static const uint32_t numbers[] = {31, 99, 2047, 2048, 500000};
    put_tag(w, out, numbers[rng_below(&w->rng, 5)], VARINT);
    put_varint(w, out, any_number(w), 10);
}

static void put_wild(struct wire_random *w, const ProtobufCMessageDescriptor *type, struct buf *out)
{
    size_t n = rng_below(&w->rng, 2 * type->n_fields);
    for (size_t i = 0; i < n; i++) {
        if (chance(w, 2))
            put_unknown(w, out);
        else
            put_field(w, type, &type->fields[rng_below(&w->rng, type->n_fields)], out);
    }
}

void wire_random_message(struct wire_random *w, const ProtobufCMessageDescriptor *type,
                         struct buf *out)
{
    if (w->wild && chance(w, 30)) {
        put_wild(w, type, out);
        return;
    }
    for (unsigned i = 0; i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &type->fields[i];
        bool repeated = f->label == PROTOBUF_C_LABEL_REPEATED;
        for (size_t k = repeated ? rng_below(&w->rng, 4) : 1; k > 0; k--) {
            /* Without the first field, mostly the type, the rest is seldom looked at. */
            if (f->id == 1 || chance(w, w->presence))
                put_field(w, type, f, out);
        }
    }
}

void wire_random_field(struct wire_random *w, const ProtobufCMessageDescriptor *type,
                       const ProtobufCFieldDescriptor *field, struct buf *out)
{
    bool text = field->type == PROTOBUF_C_TYPE_BYTES || field->type == PROTOBUF_C_TYPE_STRING;
    if (!text) {
        put_field(w, type, field, out);
        return;
    }
    wire_put_long_varint(out, (uint64_t)field->id << 3 | LENGTH, 1);
    buf_put_bytes(out, bytes_of("x", 1));
}
