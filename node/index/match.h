/* Does one member satisfy a program? For who watches members one by one; in tests, a second way to
 * the answers of eval.c. */
#ifndef INDEX_MATCH_H
#define INDEX_MATCH_H

#include "program.h"

/* The ordinal must be one that was given out; false where it is not live. Cheap but for windows
 * that are not registered, which read the chunk's rows of their days. No allocation; any thread
 * that may read the core. */
bool program_matches(const struct core *c, const struct node *program, uint32_t ordinal);

#endif
