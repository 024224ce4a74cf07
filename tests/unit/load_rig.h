/* A result as a run would have made it, for the tests of what is done with results. */
#ifndef LOAD_RIG_H
#define LOAD_RIG_H

#include <load/result.h>

/* Random answers of three kinds in `intervals` intervals of 100 ms, drawn by the seed; of each kind
 * every 50th is a timeout. The run began at `began_ms`. */
void rig_result(struct result *out, uint64_t seed, unsigned intervals, msec_t began_ms);
/* Every field alike, but for what result_add and files do not keep. */
void rig_assert_same(const struct result *a, const struct result *b);

#endif
