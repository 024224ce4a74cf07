#include "named_codec.h"

Wire__NamedIdentity **named_identities_of(struct scratch *s, const struct named_identity *ids,
                                          size_t n)
{
    Wire__NamedIdentity **to = scratch_array(s, n, sizeof *to);
    Wire__NamedIdentity *row = scratch_array(s, n, sizeof *row);
    for (size_t i = 0; i < n; i++) {
        to[i] = &row[i];
        wire__named_identity__init(to[i]);
        to[i]->ns = binary_of(ids[i].ns);
        to[i]->value = binary_of(ids[i].value);
    }
    return to;
}

Wire__NamedValue **named_values_of(struct scratch *s, const struct named_value *values, size_t n)
{
    Wire__NamedValue **to = scratch_array(s, n, sizeof *to);
    Wire__NamedValue *row = scratch_array(s, n, sizeof *row);
    for (size_t i = 0; i < n; i++) {
        to[i] = &row[i];
        wire__named_value__init(to[i]);
        to[i]->name = binary_of(values[i].name);
        to[i]->type = (uint32_t)values[i].type;
        to[i]->integer = values[i].integer;
        to[i]->real = values[i].real;
        to[i]->text = binary_of(values[i].text);
        to[i]->n_list = values[i].n_list;
        to[i]->list = wire_list_of(s, values[i].list, values[i].n_list);
    }
    return to;
}

bool take_named_identities(struct decoder *d, Wire__NamedIdentity **from, size_t n,
                           struct named_identity **out, size_t *n_out)
{
    *n_out = n;
    if (n == 0)
        return true;
    struct named_identity *to = *out = decoder_array(d, n, sizeof *to);
    for (size_t i = 0; to && i < n; i++)
        to[i] =
            (struct named_identity){bytes_of_binary(from[i]->ns), bytes_of_binary(from[i]->value)};
    return to != NULL;
}

static bool take_named_value(struct decoder *d, const Wire__NamedValue *from,
                             struct named_value *to)
{
    if (!value_type_is_known(from->type))
        return decoder_fail(d, "unknown type of a value");
    *to = (struct named_value){
        .name = bytes_of_binary(from->name),
        .type = (enum value_type)from->type,
        .integer = from->integer,
        .real = from->real,
        .text = bytes_of_binary(from->text),
    };
    return wire_take_list(d, from->list, from->n_list, &to->list, &to->n_list);
}

bool take_named_values(struct decoder *d, Wire__NamedValue **from, size_t n,
                       struct named_value **out, size_t *n_out)
{
    *n_out = n;
    if (n == 0)
        return true;
    struct named_value *to = *out = decoder_array(d, n, sizeof *to);
    for (size_t i = 0; to && i < n; i++) {
        if (!take_named_value(d, from[i], &to[i]))
            return false;
    }
    return to != NULL;
}
