#include "parts.h"

#include <proto/rows.h>
#include <proto/watch.h>

#include <stdlib.h>

/* A result and the memory of all that it points to. */
struct owned_result {
    struct oneid_result result; /* first: what the application holds is its address */
    struct arena arena;
};

/* What is being built. After the first allocation that failed, everything comes out empty. */
struct builder {
    struct arena *arena;
    bool failed;
};

/* Zeroed, so that a half-built array holds no wild pointers. */
static void *array(struct builder *b, size_t n, size_t size)
{
    void *p = n && !b->failed ? arena_zalloc(b->arena, n * size) : NULL;
    if (n && !p)
        b->failed = true;
    return p;
}

/* With a NUL behind it, for those who take it as a C string. */
static const char *text_of(struct builder *b, struct bytes s)
{
    if (s.len == 0 || b->failed)
        return "";
    char *p = arena_alloc(b->arena, s.len + 1);
    b->failed = !p;
    if (!p)
        return "";
    memcpy(p, s.data, s.len);
    p[s.len] = '\0';
    return p;
}

static struct oneid_str str_of(struct builder *b, struct bytes s)
{
    const char *p = text_of(b, s);
    return (struct oneid_str){p, b->failed ? 0 : s.len};
}

static struct oneid_str *strs_of(struct builder *b, const struct bytes *from, size_t n)
{
    struct oneid_str *to = array(b, n, sizeof *to);
    for (size_t i = 0; to && i < n; i++)
        to[i] = str_of(b, from[i]);
    return to;
}

static struct oneid_identity identity_of(struct builder *b, struct bytes ns, struct bytes value)
{
    return (struct oneid_identity){ns.len ? text_of(b, ns) : NULL, str_of(b, value)};
}

static enum oneid_type type_of(enum value_type t)
{
    switch (t) {
    case VALUE_NULL:
        return ONEID_NULL;
    case VALUE_INTEGER:
        return ONEID_INTEGER;
    case VALUE_REAL:
        return ONEID_REAL;
    case VALUE_TEXT:
        return ONEID_TEXT;
    case VALUE_LIST:
        return ONEID_LIST;
    }
    return ONEID_NULL;
}

static struct oneid_value *values_of(struct builder *b, const struct named_value *from, size_t n)
{
    struct oneid_value *to = array(b, n, sizeof *to);
    for (size_t i = 0; to && i < n; i++) {
        to[i] = (struct oneid_value){.name = text_of(b, from[i].name),
                                     .type = type_of(from[i].type),
                                     .integer = from[i].integer,
                                     .real = from[i].real,
                                     .text = str_of(b, from[i].text),
                                     .list = strs_of(b, from[i].list, from[i].n_list),
                                     .n_list = from[i].n_list};
    }
    return to;
}

/* --- profile --- */

static struct oneid_metric *metrics_of(struct builder *b, const struct profile_event *from,
                                       size_t n)
{
    struct oneid_metric *to = array(b, n, sizeof *to);
    for (size_t i = 0; to && i < n; i++) {
        to[i] = (struct oneid_metric){.event = text_of(b, from[i].name),
                                      .count = from[i].count,
                                      .last_ms = from[i].last,
                                      .sums = values_of(b, from[i].sums, from[i].n_sums),
                                      .n_sums = from[i].n_sums};
    }
    return to;
}

static struct oneid_profile *profile_of(struct builder *b, const struct profile_view *v)
{
    struct oneid_profile *p = array(b, 1, sizeof *p);
    struct oneid_identity *ids = array(b, v->n_ids, sizeof *ids);
    struct oneid_channel *channels = array(b, v->n_channels, sizeof *channels);
    if (b->failed)
        return NULL;
    for (size_t i = 0; i < v->n_ids; i++)
        ids[i] = identity_of(b, v->ids[i].ns, v->ids[i].value);
    for (size_t i = 0; i < v->n_channels; i++)
        channels[i] = (struct oneid_channel){str_of(b, v->channels[i].source), v->channels[i].first,
                                             v->channels[i].last};
    *p = (struct oneid_profile){
        .one_id = v->id,
        .ids = ids,
        .n_ids = v->n_ids,
        .traits = values_of(b, v->traits, v->n_traits),
        .n_traits = v->n_traits,
        .counters = values_of(b, v->counters, v->n_counters),
        .n_counters = v->n_counters,
        .tags = strs_of(b, v->tags, v->n_tags),
        .n_tags = v->n_tags,
        .channels = channels,
        .n_channels = v->n_channels,
        .events = metrics_of(b, v->events, v->n_events),
        .n_events = v->n_events,
        .level = v->level.len ? text_of(b, v->level) : NULL,
    };
    return p;
}

static void add_profile(struct builder *b, const struct response *r, struct oneid_result *out)
{
    struct profile_view *view = NULL;
    struct error err;
    if (r->view.len == 0)
        return;
    enum error_code rc = profile_decode(r->view, b->arena, &view, &err);
    if (rc == ERR_OK) {
        out->profile = profile_of(b, view);
        return;
    }
    if (rc == ERR_NOMEM)
        b->failed = true;
    out->code = ONEID_ERR_INTERNAL;
    out->text = "the router sent a profile that cannot be read";
}

/* --- lists --- */

/* The refusal's name in lower case: "non_bridging". */
static const char *reason_of(struct builder *b, enum refusal reason)
{
    struct bytes name = bytes_of_str(refusal_name(reason));
    char *p = array(b, name.len + 1, 1);
    for (size_t i = 0; p && i < name.len; i++)
        p[i] =
            (char)(name.data[i] >= 'A' && name.data[i] <= 'Z' ? name.data[i] + 32 : name.data[i]);
    return p ? p : "";
}

static struct oneid_refused *refused_of(struct builder *b, const struct response *r)
{
    struct oneid_refused *to = array(b, r->n_refused, sizeof *to);
    for (size_t i = 0; to && i < r->n_refused; i++)
        to[i] = (struct oneid_refused){text_of(b, r->refused[i].ns),
                                       reason_of(b, r->refused[i].reason)};
    return to;
}

static struct oneid_group *groups_of(struct builder *b, const struct response *r)
{
    struct oneid_group *to = array(b, r->n_groups, sizeof *to);
    for (size_t i = 0; to && i < r->n_groups; i++)
        to[i] = (struct oneid_group){.value = str_of(b, r->groups[i].value),
                                     .none = r->groups[i].none,
                                     .members = r->groups[i].members,
                                     .value2 = str_of(b, r->groups[i].value2),
                                     .none2 = r->groups[i].none2,
                                     .code = code_of_error(r->groups[i].error)};
    return to;
}

static struct oneid_segment *segments_of(struct builder *b, const struct response *r)
{
    struct oneid_segment *to = array(b, r->n_segments, sizeof *to);
    for (size_t i = 0; to && i < r->n_segments; i++)
        to[i] =
            (struct oneid_segment){str_of(b, r->segments[i].name), str_of(b, r->segments[i].expr),
                                   r->segments[i].code == ERR_OK};
    return to;
}

static struct oneid_term *terms_of(struct builder *b, const struct explain_row *from, size_t n)
{
    struct oneid_term *to = array(b, n, sizeof *to);
    for (size_t i = 0; to && i < n; i++)
        to[i] = (struct oneid_term){.term = str_of(b, from[i].term),
                                    .strategy = str_of(b, from[i].strategy),
                                    .depth = from[i].depth,
                                    .estimate = from[i].estimate,
                                    .chunks = from[i].chunks,
                                    .skipped = from[i].skipped,
                                    .emptied = from[i].emptied,
                                    .decided = from[i].decided,
                                    .probed = from[i].probed,
                                    .ns = from[i].nanos};
    return to;
}

static struct oneid_explain *explain_of(struct builder *b, const struct response *r)
{
    struct oneid_explain *to = array(b, r->n_explain, sizeof *to);
    for (size_t i = 0; to && i < r->n_explain; i++) {
        const struct explain_shard *s = &r->explain[i];
        to[i] = (struct oneid_explain){.shard = s->shard,
                                       .ns = s->nanos,
                                       .count = s->count,
                                       .in_flight_merges = s->in_flight,
                                       .terms = terms_of(b, s->rows, s->n_rows),
                                       .n_terms = s->n_rows};
    }
    return to;
}

/* --- rows --- */

static struct oneid_value value_of(struct builder *b, const char *name, const struct named_value *v)
{
    return (struct oneid_value){.name = name,
                                .type = type_of(v->type),
                                .integer = v->integer,
                                .real = v->real,
                                .text = str_of(b, v->text),
                                .list = strs_of(b, v->list, v->n_list),
                                .n_list = v->n_list};
}

/* False: not rows of these fields, or no memory (b->failed). */
static bool fill_row(struct builder *b, struct reader *r, const char *const *names, size_t n,
                     struct oneid_row *row)
{
    struct oneid_value *values = array(b, n, sizeof *values);
    row->one_id = reader_u64(r);
    row->values = values;
    for (size_t i = 0; values && i < n; i++) {
        struct named_value v = {.type = VALUE_NULL};
        if (!rows_take_value(r, b->arena, &v)) {
            b->failed |= r->ok;
            return false;
        }
        values[i] = value_of(b, names[i], &v);
    }
    return r->ok && !b->failed;
}

static void add_rows(struct builder *b, const struct response *r, struct oneid_result *out)
{
    struct reader in = reader_of(r->rows);
    if (r->n_rows == 0)
        return;
    const char **names = array(b, r->n_fields + 1, sizeof(char *));
    struct oneid_row *rows = r->n_rows <= r->rows.len ? array(b, r->n_rows, sizeof *rows) : NULL;
    for (size_t i = 0; names && i < r->n_fields; i++)
        names[i] = text_of(b, r->fields[i]);
    size_t n = 0;
    while (rows && !b->failed && n < r->n_rows && fill_row(b, &in, names, r->n_fields, &rows[n]))
        n++;
    out->rows = rows;
    out->n_rows = n;
    out->n_fields = r->n_fields;
    if (n == r->n_rows || b->failed)
        return;
    out->code = ONEID_ERR_INTERNAL;
    out->text = "the router sent rows that cannot be read";
}

static uint16_t *carrying_of(struct builder *b, const struct response *r)
{
    uint16_t *to = array(b, r->n_carrying, sizeof *to);
    for (size_t i = 0; to && i < r->n_carrying; i++)
        to[i] = (uint16_t)r->carrying[i];
    return to;
}

static struct oneid_refused_line *lines_of(struct builder *b, const struct response *r)
{
    struct oneid_refused_line *to = array(b, r->n_lines, sizeof *to);
    for (size_t i = 0; to && i < r->n_lines; i++) {
        const struct refused_line *l = &r->lines[i];
        to[i] = (struct oneid_refused_line){.number = l->number,
                                            .one_id = l->profile,
                                            .shard = l->shard,
                                            .at_ms = l->at,
                                            .id = identity_of(b, l->id.ns, l->id.value),
                                            .with = identity_of(b, l->with.ns, l->with.value),
                                            .reason = reason_of(b, l->reason),
                                            .message_id = str_of(b, l->message_id),
                                            .source = str_of(b, l->source)};
    }
    return to;
}

static struct oneid_shard shard_of(struct builder *b, const struct shard_status *s)
{
    return (struct oneid_shard){.shard = s->shard,
                                .node = s->node,
                                .reachable = s->reachable,
                                .profiles = s->stats.profiles,
                                .identities = s->stats.identities,
                                .events = s->stats.events,
                                .merges = s->stats.merges,
                                .refused = s->stats.refused,
                                .duplicates = s->stats.duplicates,
                                .merging = s->stats.merging,
                                .tombstones = s->stats.tombstones,
                                .dedup_cut = s->stats.dedup_cut,
                                .applied = s->stats.applied,
                                .disk_bytes = s->stats.disk_bytes,
                                .memtable_bytes = s->stats.memtable_bytes,
                                .index_bytes = s->stats.index_bytes,
                                .index_members = s->stats.index_members,
                                .catalogue = s->stats.catalogue,
                                .kernels = text_of(b, s->stats.kernels)};
}

static struct oneid_shard *shards_of(struct builder *b, const struct response *r)
{
    struct oneid_shard *to = array(b, r->n_shards, sizeof *to);
    for (size_t i = 0; to && i < r->n_shards; i++)
        to[i] = shard_of(b, &r->shards[i]);
    return to;
}

static uint64_t *numbers_of(struct builder *b, const uint64_t *from, size_t n)
{
    uint64_t *to = array(b, n, sizeof *to);
    if (to)
        memcpy(to, from, n * sizeof *to);
    return to;
}

static const char **findings_of(struct builder *b, const struct response *r)
{
    const char **to = array(b, r->n_findings, sizeof(char *));
    for (size_t i = 0; to && i < r->n_findings; i++)
        to[i] = text_of(b, r->findings[i]);
    return to;
}

/* The rows say themselves how long they are: what they hold and what was promised must agree. */
static void add_events(struct builder *b, const struct response *r, struct oneid_result *out)
{
    struct reader rows = reader_of(r->events);
    struct watch_row row;
    size_t n = 0, most = r->n_events < r->events.len ? r->n_events : r->events.len;
    struct oneid_watch_event *to = array(b, most, sizeof *to);
    for (; to && n < most && watch_row_next(&rows, &row); n++)
        to[n] = (struct oneid_watch_event){.one_id = row.member,
                                           .enter = row.enter,
                                           .at_ms = row.time_ms,
                                           .shard = row.shard,
                                           .log_index = row.log_index};
    out->events = to;
    out->n_events = n;
    if (b->failed || (n == r->n_events && rows.ok && reader_left(&rows) == 0))
        return;
    out->n_events = 0;
    out->code = ONEID_ERR_INTERNAL;
    out->text = "the router sent events that cannot be read";
}

bool result_build(const struct response *r, struct arena *arena, struct oneid_result *out)
{
    struct builder b = {.arena = arena};
    *out = (struct oneid_result){
        .code = code_of_error(r->code),
        .text = text_of(&b, r->text),
        .one_id = r->profile,
        .duplicate = r->duplicate,
        .refused = refused_of(&b, r),
        .n_refused = r->n_refused,
        .count = r->count,
        .population = r->population,
        .in_flight_merges = r->in_flight,
        .partial = r->partial,
        .groups = groups_of(&b, r),
        .n_groups = r->n_groups,
        .members = numbers_of(&b, r->members, r->n_members),
        .n_members = r->n_members,
        .cursor = text_of(&b, r->cursor),
        .lines = lines_of(&b, r),
        .n_lines = r->n_lines,
        .shards = shards_of(&b, r),
        .n_shards = r->n_shards,
        .map_epoch = r->map_epoch,
        .findings = findings_of(&b, r),
        .n_findings = r->n_findings,
        .segments = segments_of(&b, r),
        .n_segments = r->n_segments,
        .catalogue = r->catalogue,
        .carrying = carrying_of(&b, r),
        .n_carrying = r->n_carrying,
        .combos = numbers_of(&b, r->combos, r->n_combos),
        .n_combos = r->n_combos,
        .explain = explain_of(&b, r),
        .n_explain = r->n_explain,
        .router_ns = r->nanos,
        .age_ms = r->age_ms,
        .task = r->task,
    };
    add_profile(&b, r, out);
    add_rows(&b, r, out);
    add_events(&b, r, out);
    b.failed |= !status_build(r, arena, out) || !map_build(r, arena, out);
    return !b.failed;
}

struct oneid_result *result_new(const struct response *r)
{
    struct owned_result *o = calloc(1, sizeof *o);
    if (!o)
        return NULL;
    if (result_build(r, &o->arena, &o->result))
        return &o->result;
    oneid_result_free(&o->result);
    return NULL;
}

void oneid_result_free(struct oneid_result *result)
{
    if (!result)
        return;
    struct owned_result *o = (struct owned_result *)(void *)result;
    arena_close(&o->arena);
    free(o);
}
