/* The data of the index and how one change goes in. No threads here: index.c guards it. */
#ifndef INDEX_CORE_H
#define INDEX_CORE_H

#include "column.h"
#include "dict.h"
#include "ids.h"
#include "watch.h"
#include "window.h"

#include <index/index.h>

/* Dead ordinals that one chunk may have before it is cleaned. */
enum { CORE_DEAD_MAX = 2048 };

/* A text trait has a dictionary, and a column: of an enum or string the value's number, of a set
 * how many values there are. The others have a column of numbers. */
struct trait_index {
    const struct schema_trait *schema;
    struct dict dict;
    struct column column;
};

struct event_index {
    const struct schema_event *schema;
    struct column last;
    struct metric metric;
};

struct core {
    const struct schema *schema;
    struct mem mem;
    struct ids ids;
    struct dict tags, channels;
    struct set *namespaces; /* in the schema's order, as the next two */
    struct trait_index *traits;
    struct event_index *events;
    struct windows windows;
    uint64_t applied; /* 0: being rebuilt */
    int32_t today;    /* that windows and watched segments count from; 0: not set */
    struct watches watches;
    one_id recent; /* the member looked up last; 0: none */
    uint32_t recent_ordinal;
};

/* Borrows the schema for as long as the core lives. */
void core_init(struct core *c, const struct schema *schema);
void core_close(struct core *c);
void core_apply(struct core *c, const struct index_op *op);
void core_end_entry(struct core *c, uint64_t log_index, msec_t time_ms);
void core_set_today(struct core *c, int32_t day);
void core_expire(struct core *c, int32_t today);
/* Registers these windows in place of those before. */
void core_set_windows(struct core *c, const struct index_window *windows, size_t n);
/* Frees all dead ordinals of the chunk. */
void core_clean_chunk(struct core *c, uint32_t chunk);

/* NULL where the index has no such name. */
struct trait_index *core_trait(const struct core *c, name_id id);
struct event_index *core_event(const struct core *c, name_id id);
struct set *core_namespace(const struct core *c, name_id id);
/* The place of the level that a value of schema's level_by gives, n_levels below the first. */
size_t core_level_of(const struct schema *s, int64_t value);

static inline bool trait_is_single_text(enum trait_type type)
{
    return type == TRAIT_ENUM || type == TRAIT_STRING;
}
static inline bool trait_is_text(enum trait_type type)
{
    return trait_is_single_text(type) || type == TRAIT_SET;
}

#endif
