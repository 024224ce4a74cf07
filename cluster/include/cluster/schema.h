/* The schema of a cluster: what identities, traits, tags, events and levels there are.
 *
 * Immutable after loading; shared by any number of threads. Inside the system a name travels as its
 * 32-bit name_id, which is a hash of kind and name and so the same in every process and file; two
 * names of one kind with the same id are refused when the cluster file is read.
 */
#ifndef CLUSTER_SCHEMA_H
#define CLUSTER_SCHEMA_H

#include <base/arena.h>
#include <base/bytes.h>
#include <base/decimal.h>

#include <stdbool.h>
#include <stdint.h>

typedef uint32_t name_id; /* never 0 */

/* What a name names; part of its hash. */
enum name_kind { NAME_NAMESPACE = 1, NAME_TRAIT, NAME_EVENT, NAME_FIELD, NAME_LEVEL };

/* The low 32 bits of XXH3-64 over the kind's byte and the name, 0 turned into 1. Of a name longer
 * than NAME_MAX_LEN, which nothing declared has, the first NAME_MAX_LEN bytes count. */
name_id name_id_of(enum name_kind kind, struct bytes name);

enum {
    IDENTITY_VALUE_MAX = 256, /* bytes, after normalisation */
    NAME_MAX_LEN = 64,        /* bytes of a declared name: [a-z][a-z0-9_]* */
    TAG_MAX_LEN = 64,
    STRING_VALUE_MAX = 1024, /* bytes of a string or enum value */
    SOURCE_MAX_LEN = 64,
    MESSAGE_ID_MAX = 128,
    EVENT_MAX_SIZE = 32 * 1024, /* bytes of one event as it comes in */
    EVENT_FIELDS_MAX = 8,
    EVENT_IDENTITIES_MAX = 64,
};

/* How a value becomes an identity. All trim white space around it first (ASCII and U+3000). Doing
 * it twice gives the same as doing it once.
 * A phone number may be written with a leading + and the separators space - ( ) . and has 5 to 15
 * digits in the end; 86 goes when exactly 11 digits that begin with 1 remain. */
enum normalize {
    NORMALIZE_NONE,
    NORMALIZE_LOWER, /* ASCII letters to lower case */
    NORMALIZE_PHONE, /* digits without separators, leading 00 or +, and 86 before a mobile number */
    NORMALIZE_EMAIL, /* lower case; must have one @ with something on both sides */
};

struct schema_namespace {
    const char *name;
    name_id id;
    uint32_t priority; /* 1 is strongest: the order in the file, or `priority:` */
    uint32_t limit;    /* most identities of it in one profile */
    enum normalize normalize;
    bool bridges;        /* may it cause a merge? */
    struct bytes *block; /* normalised values that are never an identity, lower case */
    size_t n_block;
};

enum trait_type { TRAIT_ENUM, TRAIT_STRING, TRAIT_DATE, TRAIT_NUMBER, TRAIT_COUNTER, TRAIT_SET };

/* How one value is made from those of several fragments. */
enum trait_merge {
    MERGE_LATEST, /* greatest event time; ties: the greater value */
    MERGE_FIRST,  /* least event time; ties: the lesser value */
    MERGE_MIN,
    MERGE_MAX,
    MERGE_SUM,             /* counters, numbers */
    MERGE_UNION,           /* sets */
    MERGE_SOURCE_PRIORITY, /* best-ranked source; within one source the latest */
};

struct schema_trait {
    const char *name;
    name_id id;
    enum trait_type type;
    enum trait_merge merge;
    struct bytes *sources; /* MERGE_SOURCE_PRIORITY: best first; others rank behind all of them */
    size_t n_sources;
};

enum field_type { FIELD_NUMBER, FIELD_ENUM };

struct schema_field {
    const char *name;
    name_id id;
    enum field_type type;
    bool summed; /* a metric sum(field) is kept */
};

struct schema_event {
    const char *name;
    name_id id;
    struct schema_field fields[EVENT_FIELDS_MAX];
    size_t n_fields;
    bool counted; /* the metric count is kept */
    uint32_t keep_days;
};

struct schema_level {
    const char *name;
    int64_t at_least; /* in whole units of the trait `by` */
};

/* One row of a look-up table, sorted by id. */
struct schema_entry {
    name_id id;
    uint32_t at; /* place in the array it indexes */
};

struct schema {
    struct schema_namespace *namespaces; /* strongest first */
    size_t n_namespaces;
    struct schema_trait *traits;
    size_t n_traits;
    struct schema_event *events;
    size_t n_events;
    const struct schema_trait *level_by; /* NULL: no levels */
    struct schema_level *levels;         /* by rising `at_least` */
    size_t n_levels;
    uint32_t tags_max; /* tags a profile may hold */
    /* Filled by schema_seal; while NULL, look-ups scan. */
    const struct schema_entry *namespace_index, *trait_index, *event_index;
};

/* Builds the look-up tables in `arena`, which must live as long as the schema. False: out of
 * memory. cluster_config_open has done it; only a schema made by hand needs it. */
bool schema_seal(struct schema *s, struct arena *arena);

/* Of all that it says: processes of one cluster have the same. Comments and limits of the cluster
 * file, and how it is written, do not count. */
uint64_t schema_digest(const struct schema *s);

/* Look-ups; NULL where there is no such name. Logarithmic or better. */
const struct schema_namespace *schema_namespace_by_name(const struct schema *s, struct bytes name);
const struct schema_namespace *schema_namespace_by_id(const struct schema *s, name_id id);
const struct schema_trait *schema_trait_by_name(const struct schema *s, struct bytes name);
const struct schema_trait *schema_trait_by_id(const struct schema *s, name_id id);
const struct schema_event *schema_event_by_name(const struct schema *s, struct bytes name);
const struct schema_event *schema_event_by_id(const struct schema *s, name_id id);
const struct schema_field *schema_field_by_name(const struct schema_event *e, struct bytes name);

/* Why a value is not an identity. */
enum identity_verdict {
    IDENTITY_OK,
    IDENTITY_BLOCKED,
    IDENTITY_EMPTY,
    IDENTITY_TOO_LONG,
    IDENTITY_NOT_UTF8,
    IDENTITY_BAD_FORM
};

/* Normalises `raw`; the result lives in `arena` (or borrows from `raw`); `out` is set only with
 * IDENTITY_OK. An arena that has no room for the result makes it IDENTITY_TOO_LONG. Blocked are the
 * namespace's own `block` values and, in every namespace: empty, null, none, nil, undefined,
 * unknown, anonymous, guest, n/a, na, nan, -, and values of one repeated character 0, -, x, or *
 * of at least 4 characters ("0000"). Comparisons ignore ASCII case. */
enum identity_verdict schema_normalize(const struct schema_namespace *ns, struct bytes raw,
                                       struct arena *arena, struct bytes *out);

#endif
