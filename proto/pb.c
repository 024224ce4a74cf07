#include "pb.h"

const uint8_t *pb_long_varint(const uint8_t *p, const uint8_t *end, uint64_t *v)
{
    uint64_t n = 0;
    for (unsigned shift = 0; shift < 64 && p < end; shift += 7) {
        uint8_t c = *p++;
        n |= (uint64_t)(c & 0x7F) << shift;
        if (c < 0x80) {
            *v = n;
            return shift < 63 || c <= 1 ? p : NULL;
        }
    }
    return NULL;
}
