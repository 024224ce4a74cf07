/* The disk of one simulated replica: its log as the log thread keeps it, without I/O. What is in
 * here is durable; what is under way is the shell's (fake_replica.h). */
#ifndef FAKE_DISK_H
#define FAKE_DISK_H

#include <replica/replica.h>

struct fake_entry {
    uint64_t term;
    uint8_t type;
    struct bytes data; /* owned */
};

struct fake_disk {
    uint64_t term, vote;
    struct replica_snapshot snapshot; /* conf is owned */
    struct fake_entry *entries;       /* entries[0] is `first` */
    size_t n, capacity;
    uint64_t first;
};

/* A copy on the heap, and its end. */
struct bytes fake_copy(struct bytes b);
void fake_free(struct bytes b);

/* An empty disk; with `entry_1` that of a first voter. */
void fake_disk_format(struct fake_disk *d, struct bytes entry_1);
void fake_disk_close(struct fake_disk *d);
/* One transaction. NULL, or what no log would take: then nothing of the entries was written. */
const char *fake_disk_write(struct fake_disk *d, const struct replica_write *w);
/* All entries go; the log begins behind the snapshot. */
void fake_disk_install(struct fake_disk *d, const struct replica_snapshot *s);
/* Takes the newest entry away, which no disk may do. */
void fake_disk_lose_last(struct fake_disk *d);
/* Borrows; returns how many of the n are there from `index` on. */
size_t fake_disk_read(const struct fake_disk *d, uint64_t index, struct replica_entry *out,
                      size_t n);
/* The term of the entry in front of `index`; 0: not known. */
uint64_t fake_disk_term_before(const struct fake_disk *d, uint64_t index);

#endif
