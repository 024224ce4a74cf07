#include "config_node.h"

#include <cluster/schema.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

/* libyaml's document API and not libcyaml: libcyaml binds a mapping to a struct with fixed keys, so
 * it cannot express mappings whose keys the user chooses (events.fields, levels.steps), and what it
 * loads has no positions any more, which a mistake in meaning needs as much as one in form. */

enum { PATH_SHOWN_MAX = 100, TEXT_MAX = 240, DEPTH_MAX = 16, ANCHORS_MAX = 256 };

struct config_doc {
    const char *path;
    struct arena *arena;
    yaml_document_t yaml;
    struct error first; /* code ERR_OK: no mistake so far */
    yaml_mark_t rank;   /* where `first` stands in the file */
};

static bool mark_before(yaml_mark_t a, yaml_mark_t b)
{
    return a.line != b.line ? a.line < b.line : a.column < b.column;
}

/* Writes "path:line:column: text" to `err`; of a long path the end, which tells more. */
static enum error_code set_mistake(struct error *err, const char *path, yaml_mark_t at,
                                   const char *text)
{
    size_t len = strlen(path);
    bool cut = len > PATH_SHOWN_MAX;
    return error_set(err, ERR_CONFIG, "%s%s:%zu:%zu: %s", cut ? "..." : "",
                     cut ? path + len - PATH_SHOWN_MAX : path, at.line + 1, at.column + 1, text);
}

/* Keeps the mistake if it ranks before the one that is there. */
__attribute__((format(printf, 4, 0))) static void
record(struct config_doc *d, yaml_mark_t rank, yaml_mark_t at, const char *fmt, va_list args)
{
    if (d->first.code == ERR_NOMEM || (d->first.code && !mark_before(rank, d->rank)))
        return;
    char text[TEXT_MAX];
    (void)vsnprintf(text, sizeof text, fmt, args);
    set_mistake(&d->first, d->path, at, text);
    d->rank = rank;
}

/* The position of a byte, for mistakes below the level of YAML. Columns count characters. */
static yaml_mark_t mark_of_offset(struct bytes text, size_t offset)
{
    yaml_mark_t m = {.index = offset};
    for (size_t i = 0; i < offset && i < text.len; i++) {
        if (text.data[i] == '\n') {
            m.line++;
            m.column = 0;
        } else if ((text.data[i] & 0xC0) != 0x80) {
            m.column++;
        }
    }
    return m;
}

static enum error_code syntax_mistake(const yaml_parser_t *p, const char *path, struct bytes text,
                                      struct error *err)
{
    char msg[TEXT_MAX];
    const char *problem = p->problem ? p->problem : "unknown problem";
    if (p->error == YAML_MEMORY_ERROR)
        return error_set(err, ERR_NOMEM, "%s: out of memory", path);
    if (p->error == YAML_READER_ERROR) {
        (void)snprintf(msg, sizeof msg, "expected text in UTF-8: %s", problem);
        return set_mistake(err, path, mark_of_offset(text, p->problem_offset), msg);
    }
    (void)snprintf(msg, sizeof msg, "not YAML: %s%s%s", problem, p->context ? " " : "",
                   p->context ? p->context : "");
    return set_mistake(err, path, p->problem_mark, msg);
}

/* A tag ("!!int", "!secret") asks for a meaning that nothing here gives it. */
static enum error_code refuse_tags(struct config_doc *d, struct error *err)
{
    for (const yaml_node_t *n = d->yaml.nodes.start; n < d->yaml.nodes.top; n++) {
        const char *plain = n->type == YAML_SCALAR_NODE     ? YAML_DEFAULT_SCALAR_TAG
                            : n->type == YAML_SEQUENCE_NODE ? YAML_DEFAULT_SEQUENCE_TAG
                                                            : YAML_DEFAULT_MAPPING_TAG;
        if (strcmp((const char *)n->tag, plain) != 0)
            return set_mistake(err, d->path, n->start_mark, "expected a value without a tag");
    }
    return ERR_OK;
}

/* Initialises the parser on the text; false when memory is out. */
static bool start_parser(yaml_parser_t *p, struct bytes text)
{
    if (!yaml_parser_initialize(p))
        return false;
    /* Without this a byte order mark would let a file in UTF-16 through. */
    yaml_parser_set_encoding(p, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(p, text.len ? text.data : (const uint8_t *)"", text.len);
    return true;
}

/* What an event adds to the depth of nesting. */
static int depth_step(const yaml_event_t *e)
{
    if (e->type == YAML_SEQUENCE_START_EVENT || e->type == YAML_MAPPING_START_EVENT)
        return 1;
    return e->type == YAML_SEQUENCE_END_EVENT || e->type == YAML_MAPPING_END_EVENT ? -1 : 0;
}

static bool has_anchor(const yaml_event_t *e)
{
    return (e->type == YAML_SCALAR_EVENT && e->data.scalar.anchor) ||
           (e->type == YAML_SEQUENCE_START_EVENT && e->data.sequence_start.anchor) ||
           (e->type == YAML_MAPPING_START_EVENT && e->data.mapping_start.anchor);
}

/* Walks the events of the whole text: is it YAML, not nested deeply, with few anchors? libyaml
 * takes time in the square of the depth and of the number of anchors, minutes for a bad file. */
static enum error_code check_shape(yaml_parser_t *p, const char *path, struct bytes text,
                                   struct error *err)
{
    int depth = 0, anchors = 0;
    for (bool more = true; more;) {
        yaml_event_t e;
        if (!yaml_parser_parse(p, &e))
            return syntax_mistake(p, path, text, err);
        depth += depth_step(&e);
        anchors += has_anchor(&e);
        more = e.type != YAML_STREAM_END_EVENT;
        yaml_mark_t at = e.start_mark;
        yaml_event_delete(&e);
        if (depth > DEPTH_MAX)
            return set_mistake(err, path, at, "expected at most 16 levels of nesting");
        if (anchors > ANCHORS_MAX)
            return set_mistake(err, path, at, "expected at most 256 anchors");
    }
    return ERR_OK;
}

/* Loads the only document into d->yaml, which config_doc_close deletes in any case. */
static enum error_code load_only(struct config_doc *d, yaml_parser_t *p, struct bytes text,
                                 struct error *err)
{
    yaml_document_t next;
    if (!yaml_parser_load(p, &d->yaml))
        return syntax_mistake(p, d->path, text, err);
    if (!yaml_document_get_root_node(&d->yaml))
        return set_mistake(err, d->path, (yaml_mark_t){0},
                           "the file is empty, expected a mapping that begins with 'cluster'");
    if (!yaml_parser_load(p, &next))
        return syntax_mistake(p, d->path, text, err);
    bool more = yaml_document_get_root_node(&next) != NULL;
    yaml_mark_t at = next.start_mark;
    yaml_document_delete(&next);
    if (more)
        return set_mistake(err, d->path, at, "a second document begins, expected only one");
    return refuse_tags(d, err);
}

/* Two passes: the first refuses what would make the second, which builds the document, slow. */
static enum error_code parse(struct config_doc *d, struct bytes text, struct error *err)
{
    yaml_parser_t p;
    if (!start_parser(&p, text))
        return error_set(err, ERR_NOMEM, "%s: out of memory", d->path);
    enum error_code rc = check_shape(&p, d->path, text, err);
    yaml_parser_delete(&p);
    if (rc)
        return rc;
    if (!start_parser(&p, text))
        return error_set(err, ERR_NOMEM, "%s: out of memory", d->path);
    rc = load_only(d, &p, text, err);
    yaml_parser_delete(&p);
    return rc;
}

enum error_code config_doc_open(const char *path, struct bytes text, struct arena *arena,
                                struct config_doc **out, struct error *err)
{
    if (text.len > CONFIG_FILE_MAX)
        return set_mistake(err, path, (yaml_mark_t){0}, "the file is larger than 1 MiB");
    /* Columns count from behind the mark that some editors begin a file with. */
    if (text.len >= 3 && memcmp(text.data, "\xEF\xBB\xBF", 3) == 0)
        text = bytes_of(text.data + 3, text.len - 3);
    struct config_doc *d = calloc(1, sizeof *d);
    if (!d)
        return error_set(err, ERR_NOMEM, "%s: out of memory", path);
    d->path = path;
    d->arena = arena;
    enum error_code rc = parse(d, text, err);
    if (rc) {
        config_doc_close(d);
        return rc;
    }
    *out = d;
    return ERR_OK;
}

void config_doc_close(struct config_doc *d)
{
    if (!d)
        return;
    yaml_document_delete(&d->yaml);
    free(d);
}

struct config_node config_doc_root(struct config_doc *d)
{
    return (struct config_node){d, 1};
}

bool config_doc_ok(const struct config_doc *d)
{
    return d->first.code == ERR_OK;
}

enum error_code config_doc_result(const struct config_doc *d, struct error *err)
{
    if (err && d->first.code)
        *err = d->first;
    return d->first.code;
}

void *config_doc_alloc(struct config_doc *d, size_t n, size_t size)
{
    void *p = n <= SIZE_MAX / size ? arena_zalloc(d->arena, n * size) : NULL;
    if (!p)
        error_set(&d->first, ERR_NOMEM, "%s: out of memory", d->path);
    return p;
}

static const yaml_node_t *node_of(struct config_node n)
{
    return n.index > 0 ? yaml_document_get_node(&n.doc->yaml, n.index) : NULL;
}

static const yaml_node_t *node_of_type(struct config_node n, yaml_node_type_t type)
{
    const yaml_node_t *y = node_of(n);
    return y && y->type == type ? y : NULL;
}

void config_fail(struct config_node n, const char *fmt, ...)
{
    const yaml_node_t *y = node_of(n);
    yaml_mark_t at = y ? y->start_mark : (yaml_mark_t){0};
    va_list args;
    va_start(args, fmt);
    record(n.doc, at, at, fmt, args);
    va_end(args);
}

/* A mistake that is known at the end of the node only: what is wrong inside comes before it. */
__attribute__((format(printf, 2, 3))) static void fail_at_end(struct config_node n, const char *fmt,
                                                              ...)
{
    const yaml_node_t *y = node_of(n);
    va_list args;
    va_start(args, fmt);
    if (y)
        record(n.doc, y->end_mark, y->start_mark, fmt, args);
    va_end(args);
}

/* A key without a value. */
static bool is_nothing(const yaml_node_t *y)
{
    if (y->type != YAML_SCALAR_NODE || y->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return false;
    const char *s = (const char *)y->data.scalar.value;
    return *s == '\0' || strcmp(s, "~") == 0 || strcmp(s, "null") == 0;
}

const char *config_show(struct config_node n, char *out)
{
    const yaml_node_t *y = node_of(n);
    const char *kind = !y || y->type == YAML_NO_NODE || is_nothing(y) ? "nothing"
                       : y->type == YAML_SEQUENCE_NODE                ? "a list"
                       : y->type == YAML_MAPPING_NODE                 ? "a mapping"
                                                                      : NULL;
    if (kind) {
        (void)snprintf(out, CONFIG_SHOW_MAX, "%s", kind);
        return out;
    }
    enum { SHOWN = CONFIG_SHOW_MAX - 6 }; /* two quotes, three dots, NUL */
    const uint8_t *s = y->data.scalar.value;
    size_t len = y->data.scalar.length;
    bool cut = len > SHOWN;
    if (cut) {
        for (len = SHOWN; len > 0 && (s[len] & 0xC0) == 0x80;)
            len--;
    }
    char *p = out;
    *p++ = '\'';
    for (size_t i = 0; i < len; i++)
        *p++ = s[i] < ' ' || s[i] == 0x7F ? '?' : (char)s[i];
    (void)snprintf(p, 5, "%s'", cut ? "..." : "");
    return out;
}

bool config_exists(struct config_node n)
{
    return node_of(n) != NULL;
}

size_t config_count(struct config_node n)
{
    const yaml_node_t *y = node_of(n);
    if (y && y->type == YAML_SEQUENCE_NODE)
        return (size_t)(y->data.sequence.items.top - y->data.sequence.items.start);
    if (y && y->type == YAML_MAPPING_NODE)
        return (size_t)(y->data.mapping.pairs.top - y->data.mapping.pairs.start);
    return 0;
}

struct config_node config_item(struct config_node list, size_t i)
{
    const yaml_node_t *y = node_of_type(list, YAML_SEQUENCE_NODE);
    int at = y && i < config_count(list) ? y->data.sequence.items.start[i] : 0;
    return (struct config_node){list.doc, at};
}

struct config_node config_pair_key(struct config_node map, size_t i)
{
    const yaml_node_t *y = node_of_type(map, YAML_MAPPING_NODE);
    int at = y && i < config_count(map) ? y->data.mapping.pairs.start[i].key : 0;
    return (struct config_node){map.doc, at};
}

struct config_node config_pair_value(struct config_node map, size_t i)
{
    const yaml_node_t *y = node_of_type(map, YAML_MAPPING_NODE);
    int at = y && i < config_count(map) ? y->data.mapping.pairs.start[i].value : 0;
    return (struct config_node){map.doc, at};
}

static bool scalar_equal(struct config_node n, struct bytes text)
{
    const yaml_node_t *y = node_of_type(n, YAML_SCALAR_NODE);
    return y && bytes_equal(bytes_of(y->data.scalar.value, y->data.scalar.length), text);
}

static bool scalar_is(struct config_node n, const char *text)
{
    return scalar_equal(n, bytes_of_str(text));
}

struct config_node config_get(struct config_node map, const char *key)
{
    for (size_t i = 0; i < config_count(map); i++) {
        if (scalar_is(config_pair_key(map, i), key))
            return config_pair_value(map, i);
    }
    return (struct config_node){map.doc, 0};
}

/* "a, b, c" for a message, as far as it fits. */
static void join(char *out, size_t size, const char *const *words, size_t n)
{
    size_t len = 0;
    out[0] = '\0';
    for (size_t i = 0; i < n && len < size; i++)
        len += (size_t)snprintf(out + len, size - len, "%s%s", i ? ", " : "", words[i]);
}

static void join_keys(char *out, size_t size, const struct config_key *keys, size_t n)
{
    const char *words[CONFIG_KEYS_MAX];
    for (size_t i = 0; i < n; i++)
        words[i] = keys[i].name;
    join(out, size, words, n);
}

/* Which of `keys` the pair's key is, n_keys with a mistake when it is none. */
static size_t known_key(struct config_node key, const struct config_key *keys, size_t n_keys)
{
    for (size_t i = 0; i < n_keys; i++) {
        if (scalar_is(key, keys[i].name))
            return i;
    }
    char shown[CONFIG_SHOW_MAX], list[TEXT_MAX];
    join_keys(list, sizeof list, keys, n_keys);
    config_fail(key, "unknown key %s, expected one of %s", config_show(key, shown), list);
    return n_keys;
}

bool config_map(struct config_node n, const struct config_key *keys, size_t n_keys)
{
    char text[TEXT_MAX];
    if (!config_exists(n))
        return false;
    if (!node_of_type(n, YAML_MAPPING_NODE)) {
        char shown[CONFIG_SHOW_MAX];
        join_keys(text, sizeof text, keys, n_keys);
        config_fail(n, "expected a mapping, found %s; its keys are %s", config_show(n, shown),
                    text);
        return false;
    }
    bool seen[CONFIG_KEYS_MAX] = {false};
    for (size_t i = 0; i < config_count(n); i++) {
        struct config_node key = config_pair_key(n, i);
        size_t k = known_key(key, keys, n_keys);
        if (k == n_keys)
            continue;
        if (seen[k])
            config_fail(key, "key '%s' is there twice, expected it once", keys[k].name);
        seen[k] = true;
    }
    for (size_t k = 0; k < n_keys; k++) {
        if (keys[k].required && !seen[k])
            fail_at_end(n, "expected the key '%s', which is missing", keys[k].name);
    }
    return true;
}

/* Is the count within the bounds? Otherwise a mistake at the node. */
static bool check_count(struct config_node n, const char *what, size_t min, size_t max)
{
    size_t count = config_count(n);
    if (count >= min && count <= max)
        return true;
    config_fail(n, "expected %zu to %zu entries, one for each %s; found %zu", min, max, what,
                count);
    return false;
}

/* A mistake when the i-th key equals one before it. */
static void refuse_repeated_key(struct config_node map, size_t i)
{
    struct config_node key = config_pair_key(map, i);
    const yaml_node_t *y = node_of_type(key, YAML_SCALAR_NODE);
    for (size_t j = 0; y && j < i; j++) {
        struct bytes text = bytes_of(y->data.scalar.value, y->data.scalar.length);
        if (scalar_equal(config_pair_key(map, j), text)) {
            char shown[CONFIG_SHOW_MAX];
            config_fail(key, "key %s is there twice, expected it once", config_show(key, shown));
            return;
        }
    }
}

bool config_free_map(struct config_node n, const char *what, size_t min, size_t max)
{
    char shown[CONFIG_SHOW_MAX];
    if (!config_exists(n))
        return false;
    if (!node_of_type(n, YAML_MAPPING_NODE)) {
        config_fail(n, "expected a mapping with a key for each %s, found %s", what,
                    config_show(n, shown));
        return false;
    }
    if (!check_count(n, what, min, max))
        return false;
    for (size_t i = 0; i < config_count(n); i++)
        refuse_repeated_key(n, i);
    return true;
}

bool config_list(struct config_node n, const char *what, size_t min, size_t max)
{
    if (!config_exists(n))
        return false;
    if (!node_of_type(n, YAML_SEQUENCE_NODE)) {
        char shown[CONFIG_SHOW_MAX];
        config_fail(n, "expected a list, one item for each %s; found %s", what,
                    config_show(n, shown));
        return false;
    }
    return check_count(n, what, min, max);
}

/* A scalar of min to max bytes that is not "nothing"; NULL with a mistake when it is anything else,
 * NULL without one when it is absent. */
static const yaml_node_t *text_node(struct config_node n, size_t min, size_t max)
{
    char shown[CONFIG_SHOW_MAX];
    const yaml_node_t *y = node_of(n);
    if (!y)
        return NULL;
    if (y->type != YAML_SCALAR_NODE || is_nothing(y)) {
        config_fail(n, "expected text, found %s", config_show(n, shown));
        return NULL;
    }
    size_t len = y->data.scalar.length;
    if (len < min || len > max) {
        config_fail(n, "expected text of %zu to %zu bytes, found %zu", min, max, len);
        return NULL;
    }
    if (memchr(y->data.scalar.value, 0, len)) {
        config_fail(n, "expected text without a zero byte");
        return NULL;
    }
    return y;
}

static const char *copy_text(struct config_doc *d, const yaml_node_t *y)
{
    char *copy = y ? config_doc_alloc(d, y->data.scalar.length + 1, 1) : NULL;
    if (!copy)
        return "";
    memcpy(copy, y->data.scalar.value, y->data.scalar.length);
    return copy;
}

const char *config_text(struct config_node n, size_t max)
{
    return copy_text(n.doc, text_node(n, 1, max));
}

const char *config_text_or_empty(struct config_node n, size_t max)
{
    return copy_text(n.doc, text_node(n, 0, max));
}

static bool is_name(const uint8_t *s, size_t len)
{
    if (len < 1 || len > NAME_MAX_LEN || s[0] < 'a' || s[0] > 'z')
        return false;
    for (size_t i = 1; i < len; i++) {
        if ((s[i] < 'a' || s[i] > 'z') && (s[i] < '0' || s[i] > '9') && s[i] != '_')
            return false;
    }
    return true;
}

const char *config_name(struct config_node n)
{
    const yaml_node_t *y = node_of(n);
    if (!y)
        return "";
    if (y->type != YAML_SCALAR_NODE || is_nothing(y) ||
        !is_name(y->data.scalar.value, y->data.scalar.length)) {
        char shown[CONFIG_SHOW_MAX];
        config_fail(n,
                    "expected a name of at most %d letters a-z, digits and _, a letter first; "
                    "found %s",
                    NAME_MAX_LEN, config_show(n, shown));
        return "";
    }
    return copy_text(n.doc, y);
}

/* An unquoted decimal number without a plus or leading zeros (YAML 1.1 would read those as octal).
 * The length bound keeps it within 64 bits. */
static bool parse_int(const yaml_node_t *y, int64_t *out)
{
    if (y->type != YAML_SCALAR_NODE || y->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return false;
    const uint8_t *s = y->data.scalar.value;
    size_t len = y->data.scalar.length, i = len > 0 && s[0] == '-';
    if (len - i < 1 || len - i > 18 || (s[i] == '0' && len > 1))
        return false;
    int64_t v = 0;
    for (size_t k = i; k < len; k++) {
        if (s[k] < '0' || s[k] > '9')
            return false;
        v = v * 10 + (s[k] - '0');
    }
    *out = i ? -v : v;
    return true;
}

/* Why '6' is not a number, for a message. */
static const char *quotes(const yaml_node_t *y)
{
    bool quoted = y->type == YAML_SCALAR_NODE && y->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    return quoted ? " in quotes" : "";
}

int64_t config_int(struct config_node n, int64_t min, int64_t max, int64_t fallback)
{
    int64_t v = 0;
    const yaml_node_t *y = node_of(n);
    if (!y)
        return fallback;
    if (!parse_int(y, &v) || v < min || v > max) {
        char shown[CONFIG_SHOW_MAX];
        config_fail(n, "expected a whole number from %lld to %lld, found %s%s", (long long)min,
                    (long long)max, config_show(n, shown), quotes(y));
        return fallback;
    }
    return v;
}

bool config_bool(struct config_node n, bool fallback)
{
    const yaml_node_t *y = node_of(n);
    if (!y)
        return fallback;
    bool plain = y->type == YAML_SCALAR_NODE && y->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (plain && scalar_is(n, "true"))
        return true;
    if (plain && scalar_is(n, "false"))
        return false;
    char shown[CONFIG_SHOW_MAX];
    config_fail(n, "expected true or false, found %s%s", config_show(n, shown), quotes(y));
    return fallback;
}

size_t config_choice(struct config_node n, const char *const *words, size_t n_words,
                     size_t fallback)
{
    if (!config_exists(n))
        return fallback;
    for (size_t i = 0; i < n_words; i++) {
        if (scalar_is(n, words[i]))
            return i;
    }
    char shown[CONFIG_SHOW_MAX], list[TEXT_MAX];
    join(list, sizeof list, words, n_words);
    config_fail(n, "expected one of %s; found %s", list, config_show(n, shown));
    return fallback;
}
