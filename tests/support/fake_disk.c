#include "fake_disk.h"

#include <stdlib.h>

struct bytes fake_copy(struct bytes b)
{
    uint8_t *p = malloc(b.len + 1);
    if (!p)
        abort();
    if (b.len)
        memcpy(p, b.data, b.len);
    return bytes_of(p, b.len);
}

void fake_free(struct bytes b)
{
    union {
        const uint8_t *in;
        void *out;
    } p = {.in = b.data};
    free(p.out);
}

static void drop_from(struct fake_disk *d, size_t at)
{
    while (d->n > at)
        fake_free(d->entries[--d->n].data);
}

static void append(struct fake_disk *d, const struct replica_entry *e)
{
    if (d->n == d->capacity) {
        d->capacity = d->capacity ? d->capacity * 2 : 64;
        d->entries = realloc(d->entries, d->capacity * sizeof *d->entries);
        if (!d->entries)
            abort();
    }
    d->entries[d->n++] =
        (struct fake_entry){.term = e->term, .type = e->type, .data = fake_copy(e->data)};
}

static void trim(struct fake_disk *d, uint64_t upto, const struct replica_snapshot *snapshot)
{
    size_t drop = upto >= d->first ? (size_t)(upto - d->first + 1) : 0;
    if (drop > d->n)
        drop = d->n;
    for (size_t i = 0; i < drop; i++)
        fake_free(d->entries[i].data);
    if (drop)
        memmove(d->entries, d->entries + drop, (d->n - drop) * sizeof *d->entries);
    d->n -= drop;
    d->first += drop;
    fake_free(d->snapshot.conf);
    d->snapshot = *snapshot;
    d->snapshot.conf = fake_copy(snapshot->conf);
}

void fake_disk_format(struct fake_disk *d, struct bytes entry_1)
{
    *d = (struct fake_disk){.first = 1};
    if (entry_1.len == 0)
        return;
    struct replica_entry first = {.index = 1, .term = 1, .type = REPLICA_CHANGE, .data = entry_1};
    d->term = 1;
    append(d, &first);
}

void fake_disk_close(struct fake_disk *d)
{
    drop_from(d, 0);
    free(d->entries);
    fake_free(d->snapshot.conf);
    *d = (struct fake_disk){0};
}

const char *fake_disk_write(struct fake_disk *d, const struct replica_write *w)
{
    const char *wrong = NULL;
    if (w->has_vote) {
        if (w->term < d->term)
            wrong = "its term falls on disk";
        if (w->term == d->term && d->vote && d->vote != w->vote)
            wrong = "it votes twice in a term";
        d->term = w->term;
        d->vote = w->vote;
    }
    if (w->n_entries > 0) {
        uint64_t index = w->entries[0].index;
        if (index < d->first || index > d->first + d->n)
            return "it writes a gap";
        drop_from(d, (size_t)(index - d->first));
        for (size_t i = 0; i < w->n_entries; i++)
            append(d, &w->entries[i]);
    }
    if (w->has_trim)
        trim(d, w->trim_upto, &w->snapshot);
    return wrong;
}

void fake_disk_install(struct fake_disk *d, const struct replica_snapshot *s)
{
    drop_from(d, 0);
    trim(d, 0, s);
    d->first = s->index + 1;
}

void fake_disk_lose_last(struct fake_disk *d)
{
    if (d->n > 0)
        drop_from(d, d->n - 1);
}

size_t fake_disk_read(const struct fake_disk *d, uint64_t index, struct replica_entry *out,
                      size_t n)
{
    size_t k = 0;
    for (; k < n && index + k >= d->first && index + k - d->first < d->n; k++) {
        const struct fake_entry *e = &d->entries[index + k - d->first];
        out[k] = (struct replica_entry){
            .index = index + k, .term = e->term, .type = e->type, .data = e->data};
    }
    return k;
}

uint64_t fake_disk_term_before(const struct fake_disk *d, uint64_t index)
{
    if (index == d->snapshot.index + 1)
        return d->snapshot.term;
    return index > d->first && index - d->first <= d->n ? d->entries[index - 1 - d->first].term : 0;
}
