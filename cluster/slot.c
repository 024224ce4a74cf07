#include <cluster/slot.h>

#include <base/hash.h>

enum { ONE_ID_DIGITS = 16 };

uint64_t identity_hash(struct identity i)
{
    return hash64_seed(i.value, i.ns);
}

slot_id slot_of_identity(struct identity i)
{
    return (slot_id)(identity_hash(i) % SLOT_COUNT);
}

void one_id_format(one_id p, char *out)
{
    static const char HEX[] = "0123456789abcdef";
    for (int i = ONE_ID_DIGITS - 1; i >= 0; i--) {
        out[i] = HEX[p & 0xF];
        p >>= 4;
    }
    out[ONE_ID_DIGITS] = '\0';
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool one_id_parse(struct bytes text, one_id *out)
{
    if (text.len != ONE_ID_DIGITS)
        return false;
    one_id p = 0;
    for (size_t i = 0; i < text.len; i++) {
        int d = hex_digit(text.data[i]);
        if (d < 0)
            return false;
        p = p << 4 | (one_id)d;
    }
    *out = p;
    return true;
}
