#include "state.h"

#include <assert.h>
#include <stdlib.h>

enum { STATE_VERSION = 1, LAMPORT_BITS = 40, SEQUENCE_MAX = 1023 };

/* --- the 'S' row --- */

static void put_state(struct machine *m)
{
    const struct shard_stats *s = &m->counters;
    struct buf *out = &m->row;
    buf_reset(out);
    buf_put_u8(out, STATE_VERSION);
    buf_put_zigzag(out, m->clock);
    buf_put_varint(out, m->last_lamport);
    buf_put_varint(out, m->last_seq);
    buf_put_varint(out, m->next_handle);
    buf_put_varint(out, m->next_refused);
    buf_put_varint(out, s->profiles);
    buf_put_varint(out, s->identities);
    buf_put_varint(out, s->events);
    buf_put_varint(out, s->merges);
    buf_put_varint(out, s->refused);
    buf_put_varint(out, s->duplicates);
    buf_put_varint(out, s->tombstones);
    buf_put_varint(out, s->dedup_cut);
    for (size_t i = 0; i < sizeof s->refused_by / sizeof s->refused_by[0]; i++)
        buf_put_varint(out, s->refused_by[i]);
    store_put(m->o.store, bytes_of_str("S"), buf_bytes(out));
}

static bool take_state(struct machine *m, struct bytes value)
{
    struct shard_stats *s = &m->counters;
    struct reader r = reader_of(value);
    if (reader_u8(&r) != STATE_VERSION)
        return false;
    m->clock = reader_zigzag(&r);
    m->last_lamport = reader_varint(&r);
    m->last_seq = (uint32_t)reader_varint(&r);
    m->next_handle = reader_varint(&r);
    m->next_refused = reader_varint(&r);
    s->profiles = reader_varint(&r);
    s->identities = reader_varint(&r);
    s->events = reader_varint(&r);
    s->merges = reader_varint(&r);
    s->refused = reader_varint(&r);
    s->duplicates = reader_varint(&r);
    s->tombstones = reader_varint(&r);
    s->dedup_cut = reader_varint(&r);
    for (size_t i = 0; i < sizeof s->refused_by / sizeof s->refused_by[0]; i++)
        s->refused_by[i] = reader_varint(&r);
    return r.ok && reader_left(&r) == 0;
}

/* --- opening --- */

static bool load_flight(void *ctx, struct bytes key, struct bytes value)
{
    struct machine *m = ctx;
    struct reader k = reader_of(key), v = reader_of(value);
    reader_u8(&k);
    one_id id = reader_be64(&k);
    msec_t began = reader_zigzag(&v);
    if (k.ok && v.ok && id)
        flight_add(&m->flight, id, began);
    else
        machine_damaged(m, "merge in flight");
    return true;
}

static enum error_code load(struct machine *m, struct error *err)
{
    struct bytes value;
    m->next_handle = m->next_refused = 1;
    if (store_get(m->o.store, bytes_of_str("S"), &value) && !take_state(m, value))
        return error_set(err, ERR_CORRUPT, "the machine's counters are damaged");
    store_scan(m->o.store, bytes_of_str("m"), load_flight, m);
    enum error_code rc = segments_load(m, err);
    if (rc != ERR_OK)
        return rc;
    rc = map_row_load(m, err);
    if (rc != ERR_OK)
        return rc;
    watch_rows_load(m);
    if (store_error(m->o.store, err) != ERR_OK)
        return store_error(m->o.store, err);
    return machine_error(m, err);
}

enum error_code machine_open(const struct machine_options *o, struct machine **out,
                             struct error *err)
{
    struct machine *m = calloc(1, sizeof *m);
    *out = NULL;
    if (!m)
        return error_set(err, ERR_NOMEM, "no memory for a machine");
    m->o = *o;
    arena_init(&m->scratch, 0);
    enum error_code code = load(m, err);
    if (code != ERR_OK) {
        machine_close(m);
        return code;
    }
    *out = m;
    return ERR_OK;
}

void machine_close(struct machine *m)
{
    if (!m)
        return;
    flight_close(&m->flight);
    catalogue_drop(m->catalogue);
    free(m->map);
    buf_free(&m->key);
    buf_free(&m->row);
    buf_free(&m->join);
    arena_close(&m->scratch);
    free(m);
}

/* --- what the others use --- */

void machine_damaged(struct machine *m, const char *what)
{
    if (m->error.code == ERR_OK)
        error_set(&m->error, ERR_CORRUPT, "damaged row in the shard's state: %s", what);
}

enum error_code machine_error(const struct machine *m, struct error *err)
{
    if (m->error.code != ERR_OK && err)
        *err = m->error;
    return m->error.code;
}

bool machine_owns(const struct machine *m, slot_id slot)
{
    return m->o.map->shard_of_slot[slot] == m->o.shard;
}

one_id machine_new_one_id(struct machine *m, slot_id slot, one_id above)
{
    uint64_t lamport = m->clock > ONE_ID_EPOCH_MS ? (uint64_t)(m->clock - ONE_ID_EPOCH_MS) : 0;
    if (lamport < m->last_lamport)
        lamport = m->last_lamport;
    if (above && lamport <= one_id_lamport(above))
        lamport = one_id_lamport(above) + 1;
    uint32_t seq = 0;
    if (lamport == m->last_lamport) {
        seq = m->last_seq + 1;
        if (seq > SEQUENCE_MAX) {
            lamport++;
            seq = 0;
        }
    }
    if (lamport >> LAMPORT_BITS)
        return 0;
    m->last_lamport = lamport;
    m->last_seq = seq;
    m->dirty = true;
    return lamport << 24 | (one_id)slot << 10 | seq;
}

uint64_t machine_new_handle(struct machine *m)
{
    m->dirty = true;
    return m->next_handle++;
}

void reply_fail(struct reply *out, enum error_code code, const char *text)
{
    *out = (struct reply){.status = REPLY_ERROR, .error = code, .text = bytes_of_str(text)};
}

void reply_fail_copy(struct reply *out, enum error_code code, const char *text, struct arena *arena)
{
    *out = (struct reply){
        .status = REPLY_ERROR, .error = code, .text = arena_copy(arena, bytes_of_str(text))};
}

/* --- commands --- */

/* The slot at which a command acts, -1 for one that acts on the shard. */
static int slot_of_command(const struct command *c)
{
    switch (c->type) {
    case COMMAND_APPLY:
    case COMMAND_LOCATE:
    case COMMAND_GET:
        return c->profile ? slot_of_one_id(c->profile) : slot_of_identity(c->ids[0]);
    case COMMAND_CLAIM:
    case COMMAND_REPAIR:
        return slot_of_identity(c->ids[0]);
    case COMMAND_FREEZE:
    case COMMAND_ABSORB:
    case COMMAND_DONE:
    case COMMAND_ABORT:
    case COMMAND_DROP:
        return slot_of_one_id(c->profile);
    case COMMAND_SEGMENT_DEFINE:
    case COMMAND_SEGMENT_DROP:
    case COMMAND_SEGMENT_SYNC:
    case COMMAND_DAY:
    case COMMAND_WATCH_START:
    case COMMAND_WATCH_STOP:
    case COMMAND_MAP:
    case COMMAND_SWEEP:
    case COMMAND_STATS:
    case COMMAND_REFUSED:
    case COMMAND_CHECK:
    case COMMAND_SEGMENTS:
    case COMMAND_LEAD:
    case COMMAND_COUNT:
    case COMMAND_LIST:
    case COMMAND_BREAKDOWN:
    case COMMAND_REFRESH:
    case COMMAND_OVERLAP:
    case COMMAND_ROWS:
    case COMMAND_WATCH_READ:
    case COMMAND_TYPE_END:
    default:
        return -1;
    }
}

/* The decoder has checked all of this; a command that is made by hand is told so. */
static bool is_complete(const struct command *c)
{
    size_t ids = 0;
    bool profile = false;
    if (c->n_ids > EVENT_IDENTITIES_MAX)
        return false;
    for (size_t i = 0; i < c->n_ids; i++) {
        if (c->ids[i].ns == 0 || c->ids[i].value.len == 0 ||
            c->ids[i].value.len > IDENTITY_VALUE_MAX)
            return false;
    }
    if (c->type == COMMAND_APPLY || c->type == COMMAND_REPAIR)
        ids = 1;
    else if (c->type == COMMAND_CLAIM || c->type == COMMAND_FREEZE || c->type == COMMAND_ABSORB)
        ids = 2;
    else if ((c->type == COMMAND_LOCATE || c->type == COMMAND_GET) && c->profile == 0)
        ids = 1;
    if (c->type == COMMAND_SEGMENT_DEFINE || c->type == COMMAND_SEGMENT_DROP ||
        c->type == COMMAND_WATCH_START || c->type == COMMAND_WATCH_STOP)
        return c->name.len > 0 && c->name.len <= NAME_MAX_LEN;
    profile = c->type >= COMMAND_CLAIM && c->type <= COMMAND_DROP;
    return c->n_ids >= ids && (!profile || c->profile != 0) &&
           c->message_id.len <= MESSAGE_ID_MAX && c->source.len <= SOURCE_MAX_LEN;
}

static bool may_run(struct machine *m, const struct command *c, struct reply *out)
{
    if (m->error.code != ERR_OK) {
        reply_fail(out, m->error.code, "the shard's state is damaged");
        return false;
    }
    if (!is_complete(c)) {
        reply_fail(out, ERR_MALFORMED, "the command lacks a field or has too long a one");
        return false;
    }
    int slot = slot_of_command(c);
    if (slot >= 0 && !machine_owns(m, (slot_id)slot)) {
        *out = (struct reply){.status = REPLY_WRONG_SHARD};
        return false;
    }
    return true;
}

static void repair(struct machine *m, const struct command *c, struct reply *out)
{
    entry_repair(m, c->ids[0], (struct entry){c->profile, c->version});
    *out = (struct reply){.status = REPLY_OK, .profile = c->profile};
}

static void drop(struct machine *m, const struct command *c, struct reply *out)
{
    struct profile p;
    *out = (struct reply){.status = REPLY_OK, .profile = c->profile};
    if (!profile_load(m, c->profile, &p) || p.rec.state != PROFILE_REDIRECT)
        return;
    profile_move(m, &p, PROFILE_ABSENT);
    profile_save(m, &p);
}

static void dispatch(struct machine *m, const struct command *c, struct arena *arena,
                     struct reply *out)
{
    switch (c->type) {
    case COMMAND_APPLY:
        apply_event(m, c, arena, out);
        break;
    case COMMAND_CLAIM:
        merge_claim(m, c, out);
        break;
    case COMMAND_FREEZE:
        merge_freeze(m, c, arena, out);
        break;
    case COMMAND_ABSORB:
        merge_absorb(m, c, arena, out);
        break;
    case COMMAND_DONE:
        merge_done(m, c, out);
        break;
    case COMMAND_ABORT:
        merge_abort(m, c, out);
        break;
    case COMMAND_REPAIR:
        repair(m, c, out);
        break;
    case COMMAND_DROP:
        drop(m, c, out);
        break;
    case COMMAND_SEGMENT_DEFINE:
        segments_define(m, c, arena, out);
        break;
    case COMMAND_SEGMENT_DROP:
        segments_drop(m, c, arena, out);
        break;
    case COMMAND_SEGMENT_SYNC:
        segments_sync(m, c, out);
        break;
    case COMMAND_DAY:
        day_set(m, c, out);
        break;
    case COMMAND_WATCH_START:
        watch_start(m, c, arena, out);
        break;
    case COMMAND_WATCH_STOP:
        watch_stop(m, c, out);
        break;
    case COMMAND_MAP:
        map_change(m, c, arena, out);
        break;
    case COMMAND_LOCATE:
    case COMMAND_GET:
    case COMMAND_SWEEP:
    case COMMAND_STATS:
    case COMMAND_REFUSED:
    case COMMAND_CHECK:
    case COMMAND_SEGMENTS:
    case COMMAND_LEAD:
    case COMMAND_COUNT:
    case COMMAND_LIST:
    case COMMAND_BREAKDOWN:
    case COMMAND_REFRESH:
    case COMMAND_OVERLAP:
    case COMMAND_ROWS:
    case COMMAND_WATCH_READ:
    case COMMAND_TYPE_END:
    default:
        reply_fail(out, ERR_INVALID, "the command does not write");
    }
}

void machine_apply(struct machine *m, msec_t now_ms, const struct command *c, struct arena *arena,
                   struct reply *out)
{
    arena_reset(&m->scratch);
    if (now_ms > m->clock) {
        m->clock = now_ms;
        m->dirty = true;
    }
    *out = (struct reply){0};
    if (!may_run(m, c, out))
        return;
    dispatch(m, c, arena, out);
    if (m->error.code != ERR_OK)
        reply_fail(out, m->error.code, "the shard's state is damaged");
}

void machine_prefetch(struct machine *m, const struct command *c, enum store_hint hint)
{
    if (c->profile)
        store_prefetch(m->o.store, key_of_number(m, 'P', c->profile), hint);
    else if (c->n_ids > 0)
        store_prefetch(m->o.store, key_of_identity(m, c->ids[0]), hint);
}

void machine_end_entry(struct machine *m)
{
    if (m->dirty)
        put_state(m);
    m->dirty = false;
}

static void read_stats(struct machine *m, struct arena *arena, struct reply *out)
{
    struct shard_stats *s = arena_alloc(arena, sizeof *s);
    if (!s) {
        reply_fail(out, ERR_NOMEM, "no memory for the reply");
        return;
    }
    *s = m->counters;
    s->merging = m->flight.n;
    s->catalogue = m->catalogue->version;
    s->today = m->today;
    s->disk_bytes = store_disk_bytes(m->o.store);
    s->memtable_bytes = store_active_bytes(m->o.store);
    *out = (struct reply){.status = REPLY_OK, .stats = s, .in_flight = s->merging};
}

void machine_read(struct machine *m, msec_t now_ms, const struct command *c, struct arena *arena,
                  struct reply *out)
{
    arena_reset(&m->scratch);
    *out = (struct reply){0};
    if (!may_run(m, c, out))
        return;
    switch ((unsigned)c->type) {
    case COMMAND_LOCATE:
        read_locate(m, c, arena, out);
        break;
    case COMMAND_GET:
        read_get(m, c, arena, out);
        break;
    case COMMAND_SWEEP:
        read_sweep(m, now_ms, c, arena, out);
        out->catalogue = m->catalogue->version;
        break;
    case COMMAND_STATS:
        read_stats(m, arena, out);
        break;
    case COMMAND_REFUSED:
        read_refused(m, c, arena, out);
        break;
    case COMMAND_CHECK:
        (void)machine_check(m, NULL, arena, out);
        break;
    case COMMAND_SEGMENTS:
        segments_read(m, c, arena, out);
        break;
    default:
        reply_fail(out, ERR_INVALID, "the command does not read the state");
    }
    if (m->error.code != ERR_OK)
        reply_fail(out, m->error.code, "the shard's state is damaged");
}

struct catalogue *machine_catalogue(const struct machine *m)
{
    return m->catalogue;
}

int32_t machine_today(const struct machine *m)
{
    return m->today;
}

uint64_t machine_in_flight(const struct machine *m)
{
    return m->flight.n;
}
