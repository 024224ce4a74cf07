/* What must hold of one group of replicas, whatever happens to it: the properties of Raft (Ongaro
 * 2014, figure 3.2), looked at from outside. The first violation stays in `what`. */
#ifndef GROUP_CHECK_H
#define GROUP_CHECK_H

#include <replica/replica.h>

/* One version of a log index that reached a disk. */
struct group_version {
    uint64_t term, hash, before; /* before: term of the entry in front; 0 = not known */
};

/* All that was ever seen at one log index. */
struct group_index {
    struct group_version *versions;
    size_t n;
    bool committed;
    uint64_t term, hash; /* of the committed entry */
    uint64_t seen_in;    /* lowest term in which somebody applied it */
    uint64_t history;    /* of the state after it; 0 = not known */
};

struct group_check {
    struct group_index *indexes;
    size_t n_indexes;
    uint64_t committed; /* highest committed index known */
    uint64_t *leaders;  /* by term: the replica that leads it; 0 = none was seen */
    size_t n_terms;
    uint64_t elections, applies;
    bool failed;
    char what[200];
};

void group_check_close(struct group_check *g);
void group_check_fail(struct group_check *g, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Log matching: index and term name one entry, with one entry in front of it. Entries are judged
 * when they reach a disk. Before that, a sole voter that dies with its new term unwritten takes the
 * same term again, and what it had put there was never seen by anybody. `before`: the term of the
 * entry in front of the first one. */
void group_check_durable(struct group_check *g, uint64_t replica, const struct replica_entry *list,
                         size_t n, uint64_t before);
/* State machine safety: everybody applies the same entry at an index, after the same history.
 * `*applied` and `*history` go on by this entry. `term` is the replica's. */
void group_check_applied(struct group_check *g, uint64_t replica, uint64_t term,
                         const struct replica_entry *e, uint64_t *applied, uint64_t *history);
/* Election safety, and leader completeness: `r` has just become the leader of `term`. */
void group_check_leader(struct group_check *g, uint64_t replica, uint64_t term,
                        const struct replica *r);

#endif
