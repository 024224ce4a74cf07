/* What struct index is, for the files that implement index/index.h. */
#ifndef INDEX_PRIVATE_H
#define INDEX_PRIVATE_H

#include "core.h"
#include "gate.h"

/* The writer's way with the gate since the last publish. */
enum writer_mode {
    WRITER_IDLE,    /* nothing changed */
    WRITER_INSIDE,  /* holds the gate and applies straight through */
    WRITER_PENDING, /* queries were running: changes collect in `pending` */
};

struct index {
    struct core core; /* guarded by the gate; the writer may read it at any time */
    struct gate gate;
    /* The writer's own. */
    enum writer_mode mode;
    struct buf pending;
    struct buf pending_members; /* of each change in `pending`, 8 bytes, to be fetched ahead */
    uint64_t applied;
};

#endif
