#include "show.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

void show_text(FILE *out, struct oneid_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.data[i];
        if (c < 0x20 || c == 0x7F)
            (void)fprintf(out, "\\x%02x", c);
        else
            (void)fputc(c, out);
    }
}

void show_value(FILE *out, const struct oneid_value *v)
{
    switch (v->type) {
    case ONEID_NULL:
        (void)fputs("none", out);
        return;
    case ONEID_INTEGER:
        (void)fprintf(out, "%" PRId64, v->integer);
        return;
    case ONEID_REAL:
        (void)fprintf(out, "%.15g", v->real);
        return;
    case ONEID_TEXT:
        show_text(out, v->text);
        return;
    case ONEID_LIST:
        break;
    }
    for (size_t i = 0; i < v->n_list; i++) {
        (void)fputs(i ? ", " : "", out);
        show_text(out, v->list[i]);
    }
}

void show_time(FILE *out, int64_t ms)
{
    time_t t = (time_t)(ms / 1000);
    struct tm tm;
    char text[40];
    if (!gmtime_r(&t, &tm) || strftime(text, sizeof text, "%Y-%m-%d %H:%M:%SZ", &tm) == 0)
        (void)fprintf(out, "%" PRId64, ms);
    else
        (void)fputs(text, out);
}

void emit_value(struct emit *e, const char *key, const struct oneid_value *v)
{
    switch (v->type) {
    case ONEID_NULL:
        emit_null(e, key);
        return;
    case ONEID_INTEGER:
        emit_integer(e, key, v->integer);
        return;
    case ONEID_REAL:
        emit_real(e, key, v->real);
        return;
    case ONEID_TEXT:
        emit_text(e, key, bytes_of_str_of(v->text));
        return;
    case ONEID_LIST:
        break;
    }
    emit_array(e, key);
    for (size_t i = 0; i < v->n_list; i++)
        emit_text(e, NULL, bytes_of_str_of(v->list[i]));
    emit_end(e);
}

void emit_identity(struct emit *e, const char *key, const struct oneid_identity *id)
{
    if (!id->ns) {
        emit_null(e, key);
        return;
    }
    struct buf text = {0};
    buf_put(&text, id->ns, strlen(id->ns));
    buf_put_u8(&text, ':');
    buf_put(&text, id->value.data, id->value.len);
    emit_text(e, key, buf_bytes(&text));
    buf_free(&text);
}

void emit_one_id(struct emit *e, const char *key, uint64_t id)
{
    char text[17];
    oneid_format(id, text);
    emit_string(e, key, text);
}
