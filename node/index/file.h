/* The saved index: a header, then parts, all little-endian; docs/segment-index.md has the layout.
 * Every part carries its place in the file, its length and the XXH3-64 of its bytes, seeded with
 * kind and place. */
#ifndef INDEX_FILE_H
#define INDEX_FILE_H

#include "private.h"

enum {
    FILE_HEADER_BYTES = 48,
    FILE_PART_HEADER_BYTES = 24,
    FILE_PART_TARGET_BYTES = 4 << 20, /* a part that may be split is ended beyond this */
};

/* In the order in which they come; a reader needs what comes before. */
enum part_kind {
    PART_META = 1, /* once, first */
    PART_IDS,      /* per chunk */
    PART_DICT,     /* tags, channels, a text trait; as many as it takes */
    PART_SET,      /* per namespace */
    PART_COLUMN,   /* per column and chunk */
    PART_EVENT,    /* per event: its values and combinations */
    PART_METRIC,   /* per event and chunk */
    PART_WATCH,    /* per watched segment */
    PART_JOURNAL,  /* events of a watched segment; as many as it takes */
    PART_END,      /* once, last */
};

enum dict_family { DICT_TAGS, DICT_CHANNELS, DICT_TRAIT };
enum column_family { COLUMN_TRAIT, COLUMN_LAST };

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "the file holds arrays as they lie in RAM");

/* Of what the file's parts depend on. */
uint64_t file_schema_digest(const struct schema *s);
static inline uint64_t file_part_seed(uint32_t kind, uint32_t place)
{
    return (uint64_t)kind << 32 | place;
}
static inline const char *file_magic(void)
{
    return "ONEIDIX\n";
}

#endif
