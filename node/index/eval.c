#include "program.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    PROBE_MAX = 512,        /* up to so many candidates a column is probed, not scanned */
    RUN_WORK_MAX = 1 << 20, /* words and rows between two looks at the clock */
};

static bool eval(struct run *r, const struct node *n, uint32_t chunk, struct reg *reg,
                 struct reg *scratch);

enum error_code run_init(struct run *r, const struct core *c, const struct index_query *q,
                         struct node *const *roots, size_t n_roots, struct error *err)
{
    *r = (struct run){.core = c, .kernels = kernels_get()};
    r->deadline_mono_ms = q->deadline_mono_ms;
    r->cancelled = q->cancelled;
    size_t n_regs = 1;
    bool totals = false;
    for (size_t i = 0; i < n_roots; i++) {
        if (!roots[i])
            continue;
        n_regs = roots[i]->regs + 1 > n_regs ? roots[i]->regs + 1 : n_regs;
        totals = totals || roots[i]->cost == COST_METRIC;
    }
    r->result = aligned_alloc(64, n_regs * sizeof(struct reg));
    r->regs = r->result ? r->result + 1 : NULL;
    if (totals)
        r->totals = calloc(CHUNK_SIZE, sizeof *r->totals);
    if (!r->result || (totals && !r->totals))
        return error_set(err, ERR_NOMEM, "no memory left for the query");
    return ERR_OK;
}

void run_close(struct run *r)
{
    free(r->result);
    free(r->totals);
    *r = (struct run){0};
}

static void look(struct run *r)
{
    r->work = 0;
    if (r->cancelled && __atomic_load_n(r->cancelled, __ATOMIC_RELAXED))
        r->stopped = ERR_CANCELLED;
    else if (r->deadline_mono_ms != 0 && clock_mono_ms() >= r->deadline_mono_ms)
        r->stopped = ERR_TIMEOUT;
}

enum error_code run_check(struct run *r, struct error *err)
{
    if (r->stopped == ERR_OK)
        look(r);
    if (r->stopped == ERR_CANCELLED)
        return error_set(err, ERR_CANCELLED, "the query was cancelled");
    if (r->stopped == ERR_TIMEOUT)
        return error_set(err, ERR_TIMEOUT, "the query's deadline passed");
    return ERR_OK;
}

/* Counts work done; true when the evaluation is to be given up. */
static inline bool is_stopped(struct run *r, uint32_t work)
{
    r->work += work;
    if (r->work > RUN_WORK_MAX)
        look(r);
    return r->stopped != ERR_OK;
}

static bool any_of(const struct reg *reg, const struct kernels *k)
{
    return reg_count(reg, k) > 0;
}

static bool eval_const(const struct node *n, struct reg *reg, const struct kernels *k)
{
    if (n->truth)
        return any_of(reg, k);
    reg_clear(reg);
    return false;
}

static bool eval_set(struct run *r, const struct node *n, uint32_t chunk, struct reg *reg)
{
    struct set_view v;
    set_view_chunk(n->sets[0], chunk, &v);
    return reg_and_view(reg, &v, r->kernels);
}

static bool eval_union(struct run *r, const struct node *n, uint32_t chunk, struct reg *reg,
                       struct reg *scratch)
{
    memset(scratch->words, 0, sizeof scratch->words);
    for (size_t i = 0; i < n->n_sets; i++) {
        struct set_view v;
        set_view_chunk(n->sets[i], chunk, &v);
        if (v.kind != VIEW_EMPTY)
            words_or_view(scratch->words, &v, r->kernels);
    }
    return reg_and_words(reg, scratch->words, r->kernels);
}

static bool eval_exists(struct run *r, const struct node *n, uint32_t chunk, struct reg *reg)
{
    const struct column_chunk *c = column_chunk_at(n->column, chunk);
    if (c)
        return reg_and_words(reg, c->exists, r->kernels);
    reg_clear(reg);
    return false;
}

static bool in_node_range(const struct node *n, int64_t v)
{
    return (n->lo <= v && v <= n->hi) != n->negate;
}

/* `lo` and `hi` in the column's frame. */
#define PROBE(type)                                                                                \
    for (uint32_t i = 0; i < reg->n; i++) {                                                        \
        uint16_t low = reg->list[i];                                                               \
        bool in = (uint64_t)(((const type *)data)[low] - lo) <= hi - lo;                           \
        reg->list[left] = low;                                                                     \
        left += bit_get(c->exists, low) ? in != n->negate : n->absent;                             \
    }

/* All candidates are below the column's end. */
static bool range_probe(const struct node *n, const struct column_chunk *c, uint64_t lo,
                        uint64_t hi, struct reg *reg)
{
    const void *data = c->data;
    uint32_t left = 0;
    if (c->width == 1)
        PROBE(uint8_t)
    else if (c->width == 2)
        PROBE(uint16_t)
    else if (c->width == 4)
        PROBE(uint32_t)
    else
        PROBE(uint64_t)
    reg->n = left;
    return left > 0;
}

/* Candidates are rising, so those behind the column's end are the last; they have no value. */
static bool probe_whole(const struct node *n, const struct column_chunk *c, uint64_t lo,
                        uint64_t hi, struct reg *reg)
{
    uint32_t within = reg->n, all = reg->n;
    while (within > 0 && reg->list[within - 1] >= c->cap)
        within--;
    reg->n = within;
    (void)range_probe(n, c, lo, hi, reg);
    if (n->absent) {
        memmove(reg->list + reg->n, reg->list + within, (all - within) * sizeof *reg->list);
        reg->n += all - within;
    }
    return reg->n > 0;
}

static void scan_raw(const struct kernels *k, const void *data, uint8_t width, uint32_t n,
                     uint64_t lo, uint64_t hi, uint64_t *out)
{
    switch (width) {
    case 1:
        k->range8(data, n, (uint8_t)lo, (uint8_t)hi, out);
        return;
    case 2:
        k->range16(data, n, (uint16_t)lo, (uint16_t)hi, out);
        return;
    case 4:
        k->range32(data, n, (uint32_t)lo, (uint32_t)hi, out);
        return;
    default:
        k->range64(data, n, lo, hi, out);
    }
}

/* How many of the values between `min` and `max` are in lo..hi. */
enum span { SPAN_NONE, SPAN_SOME, SPAN_ALL };

static enum span span_of(int64_t lo, int64_t hi, int64_t min, int64_t max)
{
    if (lo > hi || lo > max || hi < min)
        return SPAN_NONE;
    return lo <= min && max <= hi ? SPAN_ALL : SPAN_SOME;
}

static void list_few(struct reg *reg)
{
    uint32_t n = 0;
    for (uint32_t w = 0; w < CHUNK_WORDS; w++)
        for (uint64_t bits = reg->words[w]; bits; bits &= bits - 1)
            reg->list[n++] = (uint16_t)(w * 64 + (uint32_t)__builtin_ctzll(bits));
    reg->is_list = true;
    reg->n = n;
}

static void note_decided(struct run *r, const struct node *n)
{
    if (r->trace)
        r->trace[n->id].decided++;
}

/* Few candidates: to a list, and true. */
static bool want_probes(struct run *r, const struct node *n, struct reg *reg)
{
    if (!reg->is_list && reg_count(reg, r->kernels) <= PROBE_MAX)
        list_few(reg);
    if (reg->is_list && r->trace)
        r->trace[n->id].probed++;
    return reg->is_list;
}

static bool keep_all(struct run *r, struct reg *reg)
{
    return any_of(reg, r->kernels);
}

static bool keep_none(struct reg *reg)
{
    reg_clear(reg);
    return false;
}

/* Keeps who has a value (present) and who has none (absent) in the column. */
static bool keep_by_presence(struct run *r, const struct column_chunk *c, bool present, bool absent,
                             struct reg *reg)
{
    if (present == absent)
        return present ? keep_all(r, reg) : keep_none(reg);
    return present ? reg_and_words(reg, c->exists, r->kernels)
                   : reg_and_not_words(reg, c->exists, r->kernels);
}

static bool eval_range(struct run *r, const struct node *n, uint32_t chunk, struct reg *reg,
                       struct reg *scratch)
{
    const struct column_chunk *c = column_chunk_at(n->column, chunk);
    enum span span = c ? span_of(n->lo, n->hi, c->min, c->max) : SPAN_NONE;
    if (!c || span != SPAN_SOME) {
        note_decided(r, n);
        if (!c)
            return n->absent ? keep_all(r, reg) : keep_none(reg);
        return keep_by_presence(r, c, (span == SPAN_ALL) != n->negate, n->absent, reg);
    }
    uint64_t lo = (uint64_t)(n->lo > c->min ? n->lo : c->min) - c->base;
    uint64_t hi = (uint64_t)(n->hi < c->max ? n->hi : c->max) - c->base;
    if (want_probes(r, n, reg))
        return probe_whole(n, c, lo, hi, reg);
    scan_raw(r->kernels, c->data, c->width, c->cap, lo, hi, scratch->words);
    memset(scratch->words + c->cap / 64, 0, (CHUNK_WORDS - c->cap / 64) * sizeof(uint64_t));
    return r->kernels->keep(reg->words, scratch->words, c->exists, n->negate ? UINT64_MAX : 0,
                            n->absent ? UINT64_MAX : 0) != 0;
}

static bool window_probe(const struct node *n, uint32_t chunk, struct reg *reg)
{
    uint32_t left = 0;
    for (uint32_t i = 0; i < reg->n; i++) {
        uint16_t low = reg->list[i];
        reg->list[left] = low;
        left += in_node_range(n, window_get(n->window, chunk << CHUNK_BITS | low));
    }
    reg->n = left;
    return left > 0;
}

static int64_t div_up(int64_t v, int64_t unit)
{
    return v / unit + (v % unit > 0);
}

static int64_t div_down(int64_t v, int64_t unit)
{
    return v / unit - (v % unit < 0);
}

static bool eval_window(struct run *r, const struct node *n, uint32_t chunk, struct reg *reg,
                        struct reg *scratch)
{
    const struct window_chunk *c = window_chunk_at(n->window, chunk);
    int64_t unit = c ? window_unit(n->window, c) : 1;
    int64_t lo = div_up(n->lo, unit), hi = div_down(n->hi, unit);
    enum span span = span_of(lo, hi, c ? c->min : 0, c ? c->max : 0);
    if (span != SPAN_SOME) {
        note_decided(r, n);
        return (span == SPAN_ALL) != n->negate ? keep_all(r, reg) : keep_none(reg);
    }
    if (want_probes(r, n, reg))
        return window_probe(n, chunk, reg);
    lo = lo > c->min ? lo : c->min;
    hi = hi < c->max ? hi : c->max;
    scan_raw(r->kernels, c->data, c->width, c->cap, (uint64_t)lo, (uint64_t)hi, scratch->words);
    /* Behind the column's end all are 0. */
    bool rest = (lo <= 0 && 0 <= hi);
    memset(scratch->words + c->cap / 64, rest ? 0xFF : 0,
           (CHUNK_WORDS - c->cap / 64) * sizeof(uint64_t));
    return n->negate ? reg_and_not_words(reg, scratch->words, r->kernels)
                     : reg_and_words(reg, scratch->words, r->kernels);
}

static inline void total_add(struct run *r, uint32_t low, int64_t v)
{
    r->totals[low] = (int64_t)((uint64_t)r->totals[low] + (uint64_t)v);
    bit_set(r->touched, low);
}

static void total_counts(struct run *r, const struct node *n, const struct metric_block *b)
{
    const uint16_t *pos = metric_positions(b);
    for (uint32_t i = 0; i < b->n; i++)
        if (!n->combos || n->combos[metric_combo_at(b, i)])
            total_add(r, pos[i], metric_count_at(b, i));
}

static void total_sums(struct run *r, const struct node *n, const struct metric_block *b)
{
    const uint16_t *pos = metric_positions(b);
    const void *column = metric_sum_column(b, (uint32_t)n->sum);
    bool wide = metric_sum_width(b, (uint32_t)n->sum) == 8;
    for (uint32_t i = 0; i < b->n; i++) {
        if (n->combos && !n->combos[metric_combo_at(b, i)])
            continue;
        int64_t v = wide ? ((const int64_t *)column)[i]
                         : (int64_t)((const int32_t *)column)[i] * METRIC_CENT;
        total_add(r, pos[i], v);
    }
}

/* Fills totals and touched with the node's days. */
static void total_days(struct run *r, const struct node *n, uint32_t chunk)
{
    if (chunk >= n->metric->n_chunks)
        return;
    const struct metric_chunk *c = &n->metric->chunks[chunk];
    for (uint32_t i = c->n; i-- > 0 && c->blocks[i].day >= n->day_from;) {
        if (c->blocks[i].day > n->day_to)
            continue;
        if (is_stopped(r, c->blocks[i].n))
            return;
        if (n->sum < 0)
            total_counts(r, n, &c->blocks[i]);
        else
            total_sums(r, n, &c->blocks[i]);
    }
}

static bool metric_keep_list(struct run *r, const struct node *n, struct reg *reg)
{
    uint32_t left = 0;
    for (uint32_t i = 0; i < reg->n; i++) {
        uint16_t low = reg->list[i];
        reg->list[left] = low;
        left += in_node_range(n, r->totals[low]);
    }
    reg->n = left;
    return left > 0;
}

static bool metric_keep_words(struct run *r, const struct node *n, struct reg *reg)
{
    uint64_t any = 0, absent = n->absent ? UINT64_MAX : 0;
    for (uint32_t w = 0; w < CHUNK_WORDS; w++) {
        uint64_t kept = reg->words[w] & ~r->touched[w] & absent;
        for (uint64_t bits = reg->words[w] & r->touched[w]; bits; bits &= bits - 1) {
            uint64_t one = bits & (0 - bits);
            if (in_node_range(n, r->totals[w * 64 + (uint32_t)__builtin_ctzll(bits)]))
                kept |= one;
        }
        reg->words[w] = kept;
        any |= kept;
    }
    return any != 0;
}

static void total_clear(struct run *r)
{
    for (uint32_t w = 0; w < CHUNK_WORDS; w++) {
        for (uint64_t bits = r->touched[w]; bits; bits &= bits - 1)
            r->totals[w * 64 + (uint32_t)__builtin_ctzll(bits)] = 0;
        r->touched[w] = 0;
    }
}

static bool eval_metric(struct run *r, const struct node *n, uint32_t chunk, struct reg *reg)
{
    total_days(r, n, chunk);
    bool any = reg->is_list ? metric_keep_list(r, n, reg) : metric_keep_words(r, n, reg);
    total_clear(r);
    return any;
}

static bool eval_and(struct run *r, const struct node *n, uint32_t chunk, struct reg *reg,
                     struct reg *scratch)
{
    for (size_t i = 0; i < n->n_children; i++)
        if (!eval(r, n->children[i], chunk, reg, scratch))
            return false;
    return n->n_children > 0 || any_of(reg, r->kernels);
}

/* What is still a candidate goes through each term; `reg` keeps those that none took. */
static bool eval_or(struct run *r, const struct node *n, uint32_t chunk, struct reg *reg,
                    struct reg *scratch)
{
    struct reg *left = scratch, *taken = scratch + 1;
    reg_copy(left, reg);
    for (size_t i = 0; i < n->n_children; i++) {
        reg_copy(taken, left);
        if (eval(r, n->children[i], chunk, taken, scratch + 2) &&
            !reg_and_not(left, taken, r->kernels))
            return true;
    }
    return reg_and_not(reg, left, r->kernels);
}

static bool eval_not(struct run *r, const struct node *n, uint32_t chunk, struct reg *reg,
                     struct reg *scratch)
{
    const struct node *child = n->children[0];
    if (child->kind == NODE_SET) {
        struct set_view v;
        set_view_chunk(child->sets[0], chunk, &v);
        return reg_and_not_view(reg, &v, r->kernels);
    }
    reg_copy(scratch, reg);
    if (!eval(r, child, chunk, scratch, scratch + 1))
        return any_of(reg, r->kernels);
    return reg_and_not(reg, scratch, r->kernels);
}

static bool eval_node(struct run *r, const struct node *n, uint32_t chunk, struct reg *reg,
                      struct reg *scratch)
{
    switch (n->kind) {
    case NODE_CONST:
        return eval_const(n, reg, r->kernels);
    case NODE_SET:
        return eval_set(r, n, chunk, reg);
    case NODE_UNION:
        return eval_union(r, n, chunk, reg, scratch);
    case NODE_EXISTS:
        return eval_exists(r, n, chunk, reg);
    case NODE_RANGE:
        return eval_range(r, n, chunk, reg, scratch);
    case NODE_METRIC:
        return eval_metric(r, n, chunk, reg);
    case NODE_WINDOW:
        return eval_window(r, n, chunk, reg, scratch);
    case NODE_AND:
        return eval_and(r, n, chunk, reg, scratch);
    case NODE_OR:
        return eval_or(r, n, chunk, reg, scratch);
    case NODE_NOT:
        return eval_not(r, n, chunk, reg, scratch);
    }
    return false;
}

static uint64_t now_ns(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void note(struct run *r, const struct node *n, uint64_t since, bool any)
{
    struct node_trace *t = &r->trace[n->id];
    t->chunks++;
    t->emptied += !any;
    t->nanoseconds += now_ns() - since;
}

/* Refines `reg` by the node; false when no candidate is left. Uses n->regs of `scratch`. */
static bool eval(struct run *r, const struct node *n, uint32_t chunk, struct reg *reg,
                 struct reg *scratch)
{
    if (is_stopped(r, CHUNK_WORDS))
        return false;
    if (!r->trace)
        return eval_node(r, n, chunk, reg, scratch);
    uint64_t since = now_ns();
    bool any = eval_node(r, n, chunk, reg, scratch);
    note(r, n, since, any);
    return any;
}

static bool start_chunk(struct run *r, uint32_t chunk)
{
    const struct ids_chunk *c = &r->core->ids.chunks[chunk];
    if (c->n_live == 0) {
        reg_clear(r->result);
        return false;
    }
    r->result->is_list = false;
    r->result->n = 0;
    memcpy(r->result->words, c->live, sizeof r->result->words);
    return true;
}

bool run_chunk(struct run *r, const struct node *root, uint32_t chunk)
{
    return start_chunk(r, chunk) && eval(r, root, chunk, r->result, r->regs);
}

/* The last set of a conjunction is counted without being stored. */
static uint32_t count_last(struct run *r, const struct node *last, uint32_t chunk)
{
    uint64_t since = r->trace ? now_ns() : 0;
    struct set_view v;
    set_view_chunk(last->sets[0], chunk, &v);
    uint32_t n = reg_count_view(r->result, &v, r->kernels);
    if (r->trace)
        note(r, last, since, n > 0);
    return n;
}

static uint32_t count_conjunction(struct run *r, const struct node *root, uint32_t chunk)
{
    if (!start_chunk(r, chunk))
        return 0;
    for (size_t i = 0; i + 1 < root->n_children; i++)
        if (!eval(r, root->children[i], chunk, r->result, r->regs))
            return 0;
    return count_last(r, root->children[root->n_children - 1], chunk);
}

uint32_t run_count_chunk(struct run *r, const struct node *root, uint32_t chunk)
{
    if (root->kind != NODE_AND || root->n_children == 0 ||
        root->children[root->n_children - 1]->kind != NODE_SET)
        return run_chunk(r, root, chunk) ? reg_count(r->result, r->kernels) : 0;
    uint64_t since = r->trace ? now_ns() : 0;
    uint32_t n = count_conjunction(r, root, chunk);
    if (r->trace && r->core->ids.chunks[chunk].n_live > 0)
        note(r, root, since, n > 0);
    return n;
}
