#include <json/event_line.h>

#include <base/arena.h>

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { NUMBER_TEXT_MAX = 24, KEY_SHOWN_MAX = 40 };

struct event_line {
    json_t *root; /* what the event borrows from; never released: it lives in the arena */
    struct arena arena;
    struct oneid_event event;
    struct complaint *complaint;
};

/* The parser takes its memory from the arena of the line it works on, which makes it a fifth
 * faster. Its allocator is set for the whole process: this file is the only one that uses it. */
static _Thread_local struct arena *parsing;

static void *parser_alloc(size_t size)
{
    return parsing ? arena_alloc(parsing, size) : NULL;
}

static void parser_free(void *p)
{
    (void)p;
}

struct event_line *event_line_new(void)
{
    json_set_alloc_funcs(parser_alloc, parser_free);
    return calloc(1, sizeof(struct event_line));
}

void event_line_free(struct event_line *l)
{
    if (!l)
        return;
    arena_close(&l->arena);
    free(l);
}

__attribute__((format(printf, 2, 3))) static bool refuse(struct event_line *l, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(l->complaint->reason, sizeof l->complaint->reason, fmt, args);
    va_end(args);
    return false;
}

/* A key of the input as it may stand in a message: short, printable. */
struct shown {
    char text[KEY_SHOWN_MAX + 1];
};
static struct shown show(const char *key)
{
    struct shown s;
    size_t n = 0;
    for (; n < KEY_SHOWN_MAX && key[n]; n++)
        s.text[n] = (char)(key[n] >= 0x20 && key[n] < 0x7F ? key[n] : '?');
    s.text[n] = '\0';
    return s;
}

static void *array(struct event_line *l, size_t n, size_t size)
{
    void *p = arena_alloc(&l->arena, (n ? n : 1) * size);
    if (!p)
        (void)refuse(l, "out of memory");
    return p;
}

static struct oneid_str str_of(const json_t *v)
{
    return (struct oneid_str){json_string_value(v), json_string_length(v)};
}

/* --- identities --- */

static bool add_identity(struct event_line *l, const char *ns, const json_t *v,
                         struct oneid_identity *ids)
{
    struct oneid_identity *id = &ids[l->event.n_ids];
    id->ns = ns;
    if (json_is_string(v)) {
        id->value = str_of(v);
    } else if (json_is_integer(v)) {
        char *text = array(l, NUMBER_TEXT_MAX, 1);
        if (!text)
            return false;
        int n = snprintf(text, NUMBER_TEXT_MAX, "%" PRId64, (int64_t)json_integer_value(v));
        id->value = (struct oneid_str){text, (size_t)n};
    } else {
        return refuse(l, "ids.%s: a text, a whole number or a list of them is expected",
                      show(ns).text);
    }
    l->event.n_ids++;
    return true;
}

static size_t elements_of(json_t *object)
{
    const char *key;
    json_t *v;
    size_t n = 0;
    json_object_foreach(object, key, v)
    {
        n += json_is_array(v) ? json_array_size(v) : 1;
    }
    return n;
}

static bool read_ids(struct event_line *l, json_t *object)
{
    if (!json_is_object(object))
        return refuse(l, "ids: an object of namespaces and values is expected");
    struct oneid_identity *ids = array(l, elements_of(object), sizeof *ids);
    const char *ns;
    json_t *v;
    if (!ids)
        return false;
    l->event.ids = ids;
    json_object_foreach(object, ns, v)
    {
        bool is_list = json_is_array(v);
        size_t n = is_list ? json_array_size(v) : 1;
        for (size_t i = 0; i < n; i++) {
            if (!add_identity(l, ns, is_list ? json_array_get(v, i) : v, ids))
                return false;
        }
    }
    return true;
}

/* --- texts and values --- */

static bool read_texts(struct event_line *l, const char *what, json_t *v,
                       const struct oneid_str **out, size_t *n_out)
{
    if (!json_is_array(v))
        return refuse(l, "%s: a list of texts is expected", what);
    size_t n = json_array_size(v);
    struct oneid_str *to = array(l, n, sizeof *to);
    for (size_t i = 0; to && i < n; i++) {
        const json_t *e = json_array_get(v, i);
        if (!json_is_string(e))
            return refuse(l, "%s: a list of texts is expected", what);
        to[i] = str_of(e);
    }
    *out = to;
    *n_out = n;
    return to != NULL;
}

static bool read_value(struct event_line *l, const char *what, const char *name, json_t *v,
                       struct oneid_value *out)
{
    char where[2 * KEY_SHOWN_MAX];
    *out = (struct oneid_value){.name = name};
    switch (json_typeof(v)) {
    case JSON_NULL:
        out->type = ONEID_NULL;
        return true;
    case JSON_INTEGER:
        out->type = ONEID_INTEGER;
        out->integer = json_integer_value(v);
        return true;
    case JSON_REAL:
        out->type = ONEID_REAL;
        out->real = json_real_value(v);
        return true;
    case JSON_STRING:
        out->type = ONEID_TEXT;
        out->text = str_of(v);
        return true;
    case JSON_ARRAY:
        out->type = ONEID_LIST;
        (void)snprintf(where, sizeof where, "%s.%s", what, show(name).text);
        return read_texts(l, where, v, &out->list, &out->n_list);
    case JSON_OBJECT:
    case JSON_TRUE:
    case JSON_FALSE:
        break;
    }
    return refuse(l, "%s.%s: a text, a number, a list of texts or null is expected", what,
                  show(name).text);
}

static bool read_traits(struct event_line *l, json_t *object)
{
    if (!json_is_object(object))
        return refuse(l, "traits: an object of names and values is expected");
    struct oneid_value *to = array(l, json_object_size(object), sizeof *to);
    const char *name;
    json_t *v;
    if (!to)
        return false;
    l->event.traits = to;
    json_object_foreach(object, name, v)
    {
        if (!read_value(l, "traits", name, v, &to[l->event.n_traits++]))
            return false;
    }
    return true;
}

static bool read_add(struct event_line *l, json_t *object)
{
    if (!json_is_object(object))
        return refuse(l, "add: an object of counters and whole numbers is expected");
    struct oneid_value *to = array(l, json_object_size(object), sizeof *to);
    const char *name;
    json_t *v;
    if (!to)
        return false;
    l->event.adds = to;
    json_object_foreach(object, name, v)
    {
        double real = json_real_value(v); /* 0 unless it is one */
        bool whole = json_is_real(v) && trunc(real) == real && fabs(real) < 9e15;
        if (!json_is_integer(v) && !whole)
            return refuse(l, "add.%s: a whole number is expected", show(name).text);
        to[l->event.n_adds++] =
            (struct oneid_value){.name = name,
                                 .type = ONEID_INTEGER,
                                 .integer = whole ? (int64_t)real : json_integer_value(v)};
    }
    return true;
}

static bool read_tags(struct event_line *l, json_t *v)
{
    struct oneid_event *e = &l->event;
    const char *key;
    json_t *list;
    if (!json_is_object(v))
        return read_texts(l, "tags", v, &e->tags_add, &e->n_tags_add);
    json_object_foreach(v, key, list)
    {
        bool add = strcmp(key, "add") == 0;
        if (!add && strcmp(key, "remove") != 0)
            return refuse(l, "tags: unknown key '%s', add or remove is expected", show(key).text);
        if (add && !read_texts(l, "tags.add", list, &e->tags_add, &e->n_tags_add))
            return false;
        if (!add && !read_texts(l, "tags.remove", list, &e->tags_remove, &e->n_tags_remove))
            return false;
    }
    return true;
}

static bool read_behaviour(struct event_line *l, json_t *object)
{
    const json_t *name = json_object_get(object, "name");
    if (!json_is_string(name) || json_string_length(name) == 0)
        return refuse(l, "event: an object with a name is expected");
    struct oneid_value *to = array(l, json_object_size(object), sizeof *to);
    const char *key;
    json_t *v;
    if (!to)
        return false;
    l->event.name = json_string_value(name);
    l->event.fields = to;
    json_object_foreach(object, key, v)
    {
        if (v == name || json_is_null(v)) /* a field without a value is none */
            continue;
        if (json_is_array(v))
            return refuse(l, "event.%s: a text or a number is expected", show(key).text);
        if (!read_value(l, "event", key, v, &to[l->event.n_fields++]))
            return false;
    }
    return true;
}

/* --- the line --- */

static bool read_string(struct event_line *l, const char *key, const json_t *v,
                        struct oneid_str *out)
{
    if (!json_is_string(v))
        return refuse(l, "%s: a text is expected", key);
    *out = str_of(v);
    return true;
}

static bool read_key(struct event_line *l, const char *key, json_t *v)
{
    if (strcmp(key, "message_id") == 0)
        return read_string(l, key, v, &l->event.message_id);
    if (strcmp(key, "source") == 0)
        return read_string(l, key, v, &l->event.source);
    if (strcmp(key, "ids") == 0)
        return read_ids(l, v);
    if (strcmp(key, "traits") == 0)
        return read_traits(l, v);
    if (strcmp(key, "tags") == 0)
        return read_tags(l, v);
    if (strcmp(key, "add") == 0)
        return read_add(l, v);
    if (strcmp(key, "event") == 0)
        return read_behaviour(l, v);
    if (strcmp(key, "ts") != 0)
        return refuse(l, "unknown key '%s'", show(key).text);
    if (!json_is_integer(v) || json_integer_value(v) <= 0)
        return refuse(l, "ts: milliseconds since 1970 are expected, a whole number");
    l->event.ts_ms = json_integer_value(v);
    return true;
}

/* The parser's own message quotes what it stumbled over, which may be personal data. */
static const char *syntax_text(const json_error_t *e)
{
    switch (json_error_code(e)) {
    case json_error_invalid_utf8:
        return "not UTF-8";
    case json_error_premature_end_of_input:
        return "the JSON ends too early";
    case json_error_end_of_input_expected:
        return "something follows the JSON object";
    case json_error_duplicate_key:
        return "a key stands twice in an object";
    case json_error_numeric_overflow:
        return "a number is too great";
    case json_error_null_character:
    case json_error_null_byte_in_key:
        return "a text contains a NUL";
    case json_error_stack_overflow:
        return "nested too deep";
    case json_error_out_of_memory:
        return "out of memory";
    case json_error_unknown:
    case json_error_cannot_open_file:
    case json_error_invalid_argument:
    case json_error_invalid_syntax:
    case json_error_invalid_format:
    case json_error_wrong_type:
    case json_error_null_value:
    case json_error_item_not_found:
    case json_error_index_out_of_range:
        break;
    }
    return "not JSON";
}

static bool parse(struct event_line *l, struct bytes line)
{
    json_error_t e;
    parsing = &l->arena;
    l->root = json_loadb((const char *)line.data, line.len, JSON_REJECT_DUPLICATES, &e);
    parsing = NULL;
    if (!l->root) {
        if (!bytes_is_utf8(line)) /* the parser may have stumbled over something else before */
            return refuse(l, "not UTF-8");
        l->complaint->column = e.column > 0 ? (size_t)e.column : 0;
        return refuse(l, "%s", syntax_text(&e));
    }
    if (!json_is_object(l->root))
        return refuse(l, "a JSON object is expected");
    return true;
}

static bool read_line(struct event_line *l, struct bytes line)
{
    const char *key;
    json_t *v;
    if (!parse(l, line))
        return false;
    json_object_foreach(l->root, key, v)
    {
        if (!read_key(l, key, v))
            return false;
    }
    if (l->event.message_id.len == 0)
        return refuse(l, "message_id is missing");
    if (l->event.n_ids == 0)
        return refuse(l, "ids: at least one identity is expected");
    return true;
}

const struct oneid_event *event_line_read(struct event_line *l, struct bytes line,
                                          struct complaint *complaint)
{
    arena_reset(&l->arena);
    l->event = (struct oneid_event){0};
    l->complaint = complaint;
    *complaint = (struct complaint){0};
    return read_line(l, line) ? &l->event : NULL;
}
