/* The cluster file as typed nodes with positions: what every section reader stands on.
 *
 * A reader asks for what it expects and always gets a usable value: the given fallback where the
 * file has nothing, or a mistake. Mistakes are collected in the document, which keeps the one that
 * stands first in the file, so that readers need not stop and the order they ask in is free. A
 * check that compares several values belongs behind `config_doc_ok`, or it reports what only
 * follows from an earlier mistake.
 *
 * Strings live in the arena the document was opened with; nodes die with the document. */
#ifndef CLUSTER_CONFIG_NODE_H
#define CLUSTER_CONFIG_NODE_H

#include <base/arena.h>
#include <base/bytes.h>
#include <base/error.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config_doc;

/* Copied freely; `index` 0 is a node that is not there, which every function takes. */
struct config_node {
    struct config_doc *doc;
    int index;
};

struct config_key {
    const char *name;
    bool required;
};

enum { CONFIG_FILE_MAX = 1024 * 1024, CONFIG_KEYS_MAX = 32, CONFIG_SHOW_MAX = 48 };

/* Parses `text`: exactly one document of well-formed YAML without tags. `path` and `arena` are kept
 * until config_doc_close. ERR_CONFIG with its position, or ERR_NOMEM. */
enum error_code config_doc_open(const char *path, struct bytes text, struct arena *arena,
                                struct config_doc **out, struct error *err);
void config_doc_close(struct config_doc *d);
struct config_node config_doc_root(struct config_doc *d);
/* No mistake so far. */
bool config_doc_ok(const struct config_doc *d);
/* The mistake that stands first in the file, as cluster_config_open reports it. */
enum error_code config_doc_result(const struct config_doc *d, struct error *err);
/* `n` zeroed items in the document's arena; NULL and ERR_NOMEM as the result when memory is out. */
void *config_doc_alloc(struct config_doc *d, size_t n, size_t size);

/* Records a mistake at the node; it says what was expected. */
void config_fail(struct config_node n, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* What the file has there, cut short and on one line, for a message; `out` holds CONFIG_SHOW_MAX.
 */
const char *config_show(struct config_node n, char *out);
bool config_exists(struct config_node n);

/* A mapping with these keys (at most CONFIG_KEYS_MAX) and no others, none twice. False: it is not
 * there or not a mapping. */
bool config_map(struct config_node n, const struct config_key *keys, size_t n_keys);
/* The value of a key, absent where there is none. */
struct config_node config_get(struct config_node map, const char *key);
/* A mapping with keys of its own choosing, min to max of them, none twice; `what` names one. */
bool config_free_map(struct config_node n, const char *what, size_t min, size_t max);
/* A list of min to max items; `what` names one. */
bool config_list(struct config_node n, const char *what, size_t min, size_t max);
/* Items of a list or pairs of a mapping; 0 for anything else. */
size_t config_count(struct config_node n);
struct config_node config_item(struct config_node list, size_t i);
struct config_node config_pair_key(struct config_node map, size_t i);
struct config_node config_pair_value(struct config_node map, size_t i);

/* A string of 1 to `max` bytes, NUL-terminated and without another NUL; "" where there is none. */
const char *config_text(struct config_node n, size_t max);
/* The same where an empty (quoted) string is fine too. */
const char *config_text_or_empty(struct config_node n, size_t max);
/* A string of the form [a-z][a-z0-9_]*, at most NAME_MAX_LEN bytes; "" where there is none. */
const char *config_name(struct config_node n);
int64_t config_int(struct config_node n, int64_t min, int64_t max, int64_t fallback);
bool config_bool(struct config_node n, bool fallback);
/* The place of the string in `words`, which lists what is allowed. */
size_t config_choice(struct config_node n, const char *const *words, size_t n_words,
                     size_t fallback);

#endif
