/* Members by the values of up to INDEX_BREAKDOWN_MAX dimensions; open addressing, bounded. */
#ifndef INDEX_TALLY_H
#define INDEX_TALLY_H

#include <index/index.h>

struct tally_key {
    int64_t values[INDEX_BREAKDOWN_MAX]; /* 0 where there is none */
    bool none[INDEX_BREAKDOWN_MAX];
};

struct tally {
    struct tally_entry {
        struct tally_key key;
        uint64_t members; /* 0: the slot is empty */
    } * slots;
    size_t n, n_slots; /* n_slots: a power of two */
    size_t max;        /* keys that it may hold */
};

/* ERR_NOMEM, or ERR_TOO_LARGE beyond `max`. Nothing happens for 0 members. */
enum error_code tally_add(struct tally *t, const struct tally_key *key, uint64_t members);
void tally_close(struct tally *t);

#endif
