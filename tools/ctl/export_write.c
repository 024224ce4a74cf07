/* Rows as JSON lines, and as CSV by RFC 4180. */
#include "export.h"
#include "show.h"

#include <inttypes.h>
#include <string.h>

/* --- CSV --- */

static void put_quoted(FILE *out, const char *data, size_t len)
{
    (void)fputc('"', out);
    for (size_t i = 0; i < len; i++) {
        if (data[i] == '"')
            (void)fputc('"', out);
        (void)fputc(data[i], out);
    }
    (void)fputc('"', out);
}

static void put_cell(FILE *out, struct oneid_str s)
{
    bool plain = true;
    for (size_t i = 0; i < s.len && plain; i++)
        plain = s.data[i] != '"' && s.data[i] != ',' && s.data[i] != '\r' && s.data[i] != '\n';
    if (plain && s.len)
        (void)fwrite(s.data, 1, s.len, out);
    if (!plain)
        put_quoted(out, s.data, s.len);
}

/* Elements with `;` between them; one that has such a sign, or a backslash, gets a backslash before
 * it. */
static void put_list(FILE *out, const struct oneid_str *list, size_t n)
{
    struct buf text = {0};
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            buf_put_u8(&text, ';');
        for (size_t k = 0; k < list[i].len; k++) {
            if (list[i].data[k] == ';' || list[i].data[k] == '\\')
                buf_put_u8(&text, '\\');
            buf_put_u8(&text, (uint8_t)list[i].data[k]);
        }
    }
    put_cell(out, (struct oneid_str){(const char *)text.data, text.len});
    buf_free(&text);
}

static void put_csv_value(FILE *out, const struct oneid_value *v)
{
    if (v->type == ONEID_TEXT)
        put_cell(out, v->text);
    else if (v->type == ONEID_LIST)
        put_list(out, v->list, v->n_list);
    else if (v->type != ONEID_NULL)
        show_value(out, v);
}

static void write_csv_row(FILE *out, const struct export_plan *plan, const struct oneid_row *row,
                          const struct export_id_list *lists)
{
    char id[17];
    oneid_format(row->one_id, id);
    (void)fputs(id, out);
    for (size_t i = 0; i < plan->n_fields; i++) {
        (void)fputc(',', out);
        put_csv_value(out, &row->values[i]);
    }
    for (size_t i = 0; i < plan->n_namespaces; i++) {
        (void)fputc(',', out);
        put_list(out, lists[i].values, lists[i].n);
    }
    (void)fputs("\r\n", out);
}

void export_write_head(FILE *out, const struct export_plan *plan)
{
    if (!plan->csv)
        return;
    (void)fputs("one_id", out);
    for (size_t i = 0; i < plan->n_fields; i++)
        (void)fprintf(out, ",%s", plan->fields[i]);
    for (size_t i = 0; i < plan->n_namespaces; i++)
        (void)fprintf(out, ",%s", plan->namespaces[i]);
    (void)fputs("\r\n", out);
}

/* --- JSON lines --- */

static void write_json_row(FILE *out, const struct export_plan *plan, const struct oneid_row *row,
                           const struct export_id_list *lists)
{
    struct emit e;
    emit_init(&e, out);
    emit_object(&e, NULL);
    emit_one_id(&e, "one_id", row->one_id);
    for (size_t i = 0; i < plan->n_fields; i++)
        emit_value(&e, plan->fields[i], &row->values[i]);
    if (plan->n_namespaces)
        emit_object(&e, "ids");
    for (size_t i = 0; i < plan->n_namespaces; i++) {
        emit_array(&e, plan->namespaces[i]);
        for (size_t k = 0; k < lists[i].n; k++)
            emit_text(&e, NULL, bytes_of_str_of(lists[i].values[k]));
        emit_end(&e);
    }
    if (plan->n_namespaces)
        emit_end(&e);
    emit_end(&e);
}

void export_write_page(FILE *out, const struct export_plan *plan, const struct oneid_result *page,
                       const struct export_ids *ids)
{
    flockfile(out); /* once, not for each piece */
    for (size_t i = 0; i < page->n_rows; i++) {
        const struct export_id_list *lists = ids ? &ids->lists[i * plan->n_namespaces] : NULL;
        if (plan->csv)
            write_csv_row(out, plan, &page->rows[i], lists);
        else
            write_json_row(out, plan, &page->rows[i], lists);
    }
    funlockfile(out);
}
