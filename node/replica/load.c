#include "load.h"

#include "core.h"

#include <string.h>

static bool find_entry(const struct replica *r, uint64_t index, const struct replica_entry *loaded,
                       size_t n, struct message_entry *out)
{
    const struct entry_slot *s = entries_get(&r->entries, index);
    if (!s)
        return false;
    *out =
        (struct message_entry){.term = s->term, .type = s->type, .data = bytes_of(s->data, s->len)};
    if (s->block)
        return true;
    if (n == 0 || index < loaded[0].index || index - loaded[0].index >= n)
        return false;
    const struct replica_entry *e = &loaded[index - loaded[0].index];
    out->data = e->data;
    return e->index == index && e->term == s->term && e->type == s->type && e->data.len == s->len;
}

bool load_fill(struct replica *r, struct message *m, const struct replica_entry *loaded, size_t n)
{
    struct raft_append_entries *a = &m->rm.append_entries;
    size_t bytes = 0;
    if (a->n_entries == 0)
        return true;
    m->entries = arena_alloc(&r->arena, a->n_entries * sizeof *m->entries);
    for (unsigned i = 0; m->entries && i < a->n_entries; i++) {
        bool found = find_entry(r, a->prev_log_index + 1 + i, loaded, n, &m->entries[i]);
        if (!found && i == 0)
            return false;
        bytes += found ? m->entries[i].data.len : 0;
        if (i > 0 && (!found || bytes > APPEND_BYTES_MAX))
            a->n_entries = i; /* ends the loop; the follower's answer says what it lacks */
    }
    return m->entries != NULL;
}

static void forget(struct loads *l, size_t i)
{
    l->n--;
    memmove(&l->waiting[i], &l->waiting[i + 1], (l->n - i) * sizeof l->waiting[0]);
}

void load_defer(struct replica *r, const struct raft_message *m)
{
    struct loads *l = &r->loads;
    if (l->n == LOADS_MAX)
        forget(l, 0);
    l->waiting[l->n] = *m;
    l->waiting[l->n].server_address = NULL;
    l->waiting[l->n].append_entries.entries = NULL;
    l->n++;
    replica_emit(r, REPLICA_LOAD)->load = (struct replica_load){
        .index = m->append_entries.prev_log_index + 1, .n = m->append_entries.n_entries};
}

void load_done(struct replica *r, const struct replica_entry *loaded, size_t n)
{
    struct loads *l = &r->loads;
    for (size_t i = 0; i < l->n;) {
        struct message m = {.type = MESSAGE_APPEND, .rm = l->waiting[i]};
        bool is_current = replica_is_leader(r) && m.rm.append_entries.term == r->raft.current_term;
        if (is_current && !load_fill(r, &m, loaded, n)) {
            i++;
            continue;
        }
        if (is_current)
            replica_send(r, m.rm.server_id, &m);
        forget(l, i);
    }
}
