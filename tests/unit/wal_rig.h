/* Writes and looks at a log in a folder of its own. */
#ifndef WAL_RIG_H
#define WAL_RIG_H

#include <wal/wal.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static inline struct bytes b(const char *s)
{
    return bytes_of_str(s);
}

static inline struct wal_options options(const char *path)
{
    return (struct wal_options){
        .path = path, .map_bytes = UINT64_C(64) << 30, .cluster_id = 0xC1, .node = 2};
}

static inline struct wal *open_at(const char *path)
{
    struct wal_options o = options(path);
    struct wal *w;
    struct error err = {0};
    if (wal_open(&o, &w, &err) != ERR_OK)
        fail_msg("%s", err.msg);
    return w;
}

static inline struct wal *reopen(struct wal *w, const char *path)
{
    wal_close(w);
    return open_at(path);
}

static inline void begin(struct wal *w)
{
    assert_int_equal(wal_begin(w, NULL), ERR_OK);
}

static inline void commit(struct wal *w)
{
    struct error err = {0};
    if (wal_commit(w, &err) != ERR_OK)
        fail_msg("%s", err.msg);
}

static inline struct wal_entry entry(uint64_t term, const char *data)
{
    return (struct wal_entry){.term = term, .type = 1, .data = b(data)};
}

/* Appends in a transaction that is open. Each character of `data` is one entry. */
static inline void append(struct wal *w, uint16_t shard, uint64_t index, uint64_t term,
                          const char *data)
{
    for (; *data; data++, index++) {
        char text[2] = {*data, 0};
        struct wal_entry e = entry(term, text);
        struct error err = {0};
        if (wal_append(w, shard, index, &e, 1, &err) != ERR_OK)
            fail_msg("%s", err.msg);
    }
}

struct reading {
    uint64_t next;
    char text[64]; /* first bytes of the entries */
    size_t n;
};

static inline enum error_code read_cb(void *ctx, uint64_t index, const struct wal_entry *e)
{
    struct reading *r = ctx;
    assert_int_equal(index, r->next++);
    assert_true(r->n + 1 < sizeof r->text);
    assert_true(e->data.len > 0);
    r->text[r->n++] = (char)e->data.data[0];
    return ERR_OK;
}

static inline void assert_log(struct wal *w, uint16_t shard, uint64_t first, const char *text)
{
    struct wal_shard s;
    assert_int_equal(wal_load(w, shard, &s, NULL), ERR_OK);
    assert_int_equal(s.first_index, first);
    assert_int_equal(s.last_index, first + strlen(text) - 1);
    struct reading r = {.next = first};
    assert_int_equal(wal_read(w, shard, first, read_cb, &r, NULL), ERR_OK);
    assert_string_equal(r.text, text);
}

static inline void assert_vote(struct wal *w, uint16_t shard, uint64_t term, uint64_t vote)
{
    struct wal_shard s;
    assert_int_equal(wal_load(w, shard, &s, NULL), ERR_OK);
    assert_int_equal(s.term, term);
    assert_int_equal(s.vote, vote);
}

#endif
