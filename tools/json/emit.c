#include <json/emit.h>

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

static void put(struct emit *e, const char *s)
{
    (void)fputs(s, e->out);
}

static void put_escaped(struct emit *e, uint8_t c)
{
    switch (c) {
    case '"':
        put(e, "\\\"");
        return;
    case '\\':
        put(e, "\\\\");
        return;
    case '\n':
        put(e, "\\n");
        return;
    case '\t':
        put(e, "\\t");
        return;
    case '\r':
        put(e, "\\r");
        return;
    default:
        break;
    }
    if (c < 0x20 || c == 0x7F)
        (void)fprintf(e->out, "\\u%04x", (unsigned)c);
    else
        (void)fputc(c, e->out);
}

/* Length of the character that begins here; 0: it is not one. */
static size_t char_len(struct bytes b)
{
    for (size_t n = 1; n <= 4 && n <= b.len; n++) {
        if (bytes_is_utf8(bytes_of(b.data, n)))
            return n;
    }
    return 0;
}

static void put_broken(struct emit *e, struct bytes b)
{
    while (b.len > 0) {
        size_t n = char_len(b);
        if (n == 0)
            put(e, "\xEF\xBF\xBD");
        else if (n == 1)
            put_escaped(e, b.data[0]);
        else
            (void)fwrite(b.data, 1, n, e->out);
        b = bytes_of(b.data + (n ? n : 1), b.len - (n ? n : 1));
    }
}

static bool is_plain(uint8_t c)
{
    return c >= 0x20 && c != 0x7F && c != '"' && c != '\\';
}

/* What needs no escape in one piece each. */
static void put_runs(struct emit *e, struct bytes b)
{
    for (size_t i = 0; i < b.len;) {
        size_t from = i;
        while (i < b.len && is_plain(b.data[i]))
            i++;
        if (i > from)
            (void)fwrite(b.data + from, 1, i - from, e->out);
        if (i < b.len)
            put_escaped(e, b.data[i++]);
    }
}

static void put_text(struct emit *e, struct bytes b)
{
    (void)fputc('"', e->out);
    if (bytes_is_utf8(b)) {
        put_runs(e, b);
    } else {
        put_broken(e, b);
    }
    (void)fputc('"', e->out);
}

/* What comes before a value: the comma, and the key. */
static void begin(struct emit *e, const char *key)
{
    if (e->depth == 0)
        return;
    unsigned level = e->depth - 1;
    assert((key == NULL) == e->is_array[level]);
    if (e->more[level])
        put(e, ",");
    e->more[level] = true;
    if (key) {
        put_text(e, bytes_of_str(key));
        put(e, ":");
    }
}

static void open_level(struct emit *e, const char *key, bool is_array)
{
    assert(e->depth < EMIT_DEPTH_MAX);
    begin(e, key);
    put(e, is_array ? "[" : "{");
    e->is_array[e->depth] = is_array;
    e->more[e->depth++] = false;
}

void emit_init(struct emit *e, FILE *out)
{
    *e = (struct emit){.out = out};
}

void emit_object(struct emit *e, const char *key)
{
    open_level(e, key, false);
}

void emit_array(struct emit *e, const char *key)
{
    open_level(e, key, true);
}

void emit_end(struct emit *e)
{
    assert(e->depth > 0);
    put(e, e->is_array[--e->depth] ? "]" : "}");
    if (e->depth == 0)
        put(e, "\n");
}

void emit_text(struct emit *e, const char *key, struct bytes text)
{
    begin(e, key);
    put_text(e, text);
}

void emit_string(struct emit *e, const char *key, const char *text)
{
    emit_text(e, key, bytes_of_str(text));
}

void emit_integer(struct emit *e, const char *key, int64_t v)
{
    begin(e, key);
    (void)fprintf(e->out, "%" PRId64, v);
}

void emit_unsigned(struct emit *e, const char *key, uint64_t v)
{
    begin(e, key);
    (void)fprintf(e->out, "%" PRIu64, v);
}

void emit_real(struct emit *e, const char *key, double v)
{
    char text[40];
    if (!isfinite(v)) {
        emit_null(e, key);
        return;
    }
    if (fabs(v) < 9e15 && trunc(v) == v) {
        emit_integer(e, key, (int64_t)v);
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v)
            break;
    }
    begin(e, key);
    put(e, text);
}

void emit_bool(struct emit *e, const char *key, bool v)
{
    begin(e, key);
    put(e, v ? "true" : "false");
}

void emit_null(struct emit *e, const char *key)
{
    begin(e, key);
    put(e, "null");
}
