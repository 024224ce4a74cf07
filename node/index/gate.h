/* Lets many readers or the one writer in. The writer never waits.
 *
 * The writer tries gate_write; where readers are in, it announces that it has something
 * (gate_announce), which keeps new readers out, and tries again later. gate_write_end admits all
 * readers that waited until then, even if the writer announces itself again before they have woken
 * up, so neither side starves. Writer calls: one thread. Reader calls: any thread.
 */
#ifndef INDEX_GATE_H
#define INDEX_GATE_H

#include <base/clock.h>
#include <base/error.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct gate {
    pthread_mutex_t lock;
    pthread_cond_t opened;
    uint32_t readers; /* inside, or admitted and about to wake up */
    uint32_t waiting;
    uint64_t round; /* counts gate_write_end */
    bool writing, announced;
};

void gate_init(struct gate *g);
void gate_close(struct gate *g);

/* OK: inside, gate_read_end follows. ERR_TIMEOUT at the deadline (monotonic ms, 0: none),
 * ERR_CANCELLED when `*cancelled` (may be NULL) turns true. */
enum error_code gate_read(struct gate *g, msec_t deadline_mono_ms, const bool *cancelled);
void gate_read_end(struct gate *g);

bool gate_write(struct gate *g);
void gate_announce(struct gate *g);
void gate_write_end(struct gate *g);

#endif
