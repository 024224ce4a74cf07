#include <load/view.h>

#include <string.h>

static struct bytes bytes_of_text(struct oneid_str s)
{
    return bytes_of(s.data, s.len);
}

static bool take_ids(const struct oneid_profile *p, struct gen_view *out)
{
    for (size_t i = 0; i < p->n_ids; i++) {
        if (strcmp(p->ids[i].ns, "device") == 0)
            continue;
        if (out->n_ids == GEN_VIEW_IDS_MAX)
            return false;
        out->ids[out->n_ids++] =
            (struct gen_view_identity){bytes_of_str(p->ids[i].ns), bytes_of_text(p->ids[i].value)};
    }
    return true;
}

static bool take_list(const struct oneid_str *from, size_t n, struct bytes *to, size_t *n_to)
{
    if (n > GEN_VIEW_TAGS_MAX)
        return false;
    for (size_t i = 0; i < n; i++)
        to[i] = bytes_of_text(from[i]);
    *n_to = n;
    return true;
}

static bool take_trait(const struct oneid_value *v, struct gen_view *out)
{
    if (strcmp(v->name, "interests") == 0)
        return take_list(v->list, v->n_list, out->interests, &out->n_interests);
    if (strcmp(v->name, "birth_year") == 0) {
        out->birth_year = v->type == ONEID_REAL ? (int64_t)v->real : v->integer;
        return true;
    }
    struct {
        const char *name;
        struct bytes *to;
    } const texts[] = {{"city", &out->city},
                       {"gender", &out->gender},
                       {"birth", &out->birth},
                       {"name", &out->name}};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (strcmp(v->name, texts[i].name) == 0)
            *texts[i].to = bytes_of_text(v->text);
    return true;
}

static void take_counter(const struct oneid_value *v, struct gen_view *out)
{
    if (strcmp(v->name, "points") == 0)
        out->points = v->integer;
    else if (strcmp(v->name, "growth") == 0)
        out->growth = v->integer;
}

static void take_metric(const struct oneid_metric *m, struct gen_view *out)
{
    if (strcmp(m->event, "view") == 0)
        out->views = m->count;
    if (strcmp(m->event, "order") != 0)
        return;
    out->orders = m->count;
    for (size_t i = 0; i < m->n_sums; i++)
        if (strcmp(m->sums[i].name, "amount") == 0)
            out->order_cents = (int64_t)(m->sums[i].real * 100 + 0.5);
}

bool load_view_of(const struct oneid_profile *p, struct gen_view *out)
{
    memset(out, 0, sizeof *out);
    if (!take_ids(p, out) || !take_list(p->tags, p->n_tags, out->tags, &out->n_tags))
        return false;
    for (size_t i = 0; i < p->n_traits; i++)
        if (!take_trait(&p->traits[i], out))
            return false;
    for (size_t i = 0; i < p->n_counters; i++)
        take_counter(&p->counters[i], out);
    for (size_t i = 0; i < p->n_events; i++)
        take_metric(&p->events[i], out);
    return true;
}
