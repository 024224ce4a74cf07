#include "direct_parts.h"

#include "named_codec.h"

/* --- writing --- */

size_t direct_room_of_names(const struct named_identity *ids, size_t n)
{
    size_t room = 0;
    for (size_t i = 0; i < n; i++)
        room += pb_room(0, 3) + ids[i].ns.len + ids[i].value.len;
    return room;
}

size_t direct_room_of_list(const struct bytes *list, size_t n)
{
    size_t room = 0;
    for (size_t i = 0; i < n; i++)
        room += pb_room(0, 1) + list[i].len;
    return room;
}

size_t direct_room_of_values(const struct named_value *values, size_t n)
{
    size_t room = 0;
    for (size_t i = 0; i < n; i++) {
        const struct named_value *v = &values[i];
        room += pb_room(3, 3) + v->name.len + v->text.len + direct_room_of_list(v->list, v->n_list);
    }
    return room;
}

uint8_t *direct_put_pair(uint8_t *p, unsigned number, struct bytes first, struct bytes second)
{
    p = pb_put_tag(p, number, PB_BYTES);
    p = bytes_store_varint(p, pb_size_bytes(first) + pb_size_bytes(second));
    return pb_put_bytes(pb_put_bytes(p, 1, first), 2, second);
}

uint8_t *direct_put_list(uint8_t *p, unsigned number, const struct bytes *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p = pb_put_element(p, number, list[i]);
    return p;
}

static uint8_t *put_value(uint8_t *p, unsigned number, const struct named_value *v)
{
    size_t expected = v->name.len + v->text.len;
    uint8_t *content = p = pb_open(p, number, expected);
    p = pb_put_bytes(p, 1, v->name);
    p = pb_put_uint(p, 2, (uint32_t)v->type);
    p = pb_put_sint(p, 3, v->integer);
    p = pb_put_double(p, 4, v->real);
    p = pb_put_bytes(p, 5, v->text);
    p = direct_put_list(p, 6, v->list, v->n_list);
    return pb_close(content, expected, p);
}

uint8_t *direct_put_values(uint8_t *p, unsigned number, const struct named_value *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p = put_value(p, number, &values[i]);
    return p;
}

/* --- reading --- */

static bool take_name_field(struct pb_reader *r, unsigned tag, struct arena *a, void *out)
{
    struct named_identity *id = out;
    (void)a;
    if (tag == PB_TAG(1, PB_BYTES))
        return pb_read_bytes(r, &id->ns);
    return tag == PB_TAG(2, PB_BYTES) && pb_read_bytes(r, &id->value);
}

bool direct_take_name(struct bytes content, struct arena *a, void *named_identity)
{
    *(struct named_identity *)named_identity = (struct named_identity){0};
    return pb_read_fields(content, a, take_name_field, named_identity);
}

static bool take_value_field(struct pb_reader *r, unsigned tag, struct arena *a, void *out)
{
    struct named_value *v = out;
    uint32_t type;
    bool ok;
    switch (tag) {
    case PB_TAG(1, PB_BYTES):
        return pb_read_bytes(r, &v->name);
    case PB_TAG(2, PB_VARINT):
        ok = pb_read_u32(r, &type) && value_type_is_known(type);
        v->type = (enum value_type)type;
        return ok;
    case PB_TAG(3, PB_VARINT):
        return pb_read_sint(r, &v->integer);
    case PB_TAG(4, PB_FIXED64):
        return pb_read_double(r, &v->real);
    case PB_TAG(5, PB_BYTES):
        return pb_read_bytes(r, &v->text);
    case PB_TAG(6, PB_BYTES):
        v->list = pb_read_run(r, tag, a, sizeof *v->list, direct_take_bytes, &v->n_list);
        return v->list != NULL;
    default:
        return false;
    }
}

bool direct_take_value(struct bytes content, struct arena *a, void *named_value)
{
    *(struct named_value *)named_value = (struct named_value){0};
    return pb_read_fields(content, a, take_value_field, named_value);
}
