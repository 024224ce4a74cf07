/* Large pieces of memory straight from the system, for tables that are looked into at random.
 *
 * A big table in 4 KiB pages costs a miss in the processor's page look-up on nearly every access;
 * in 2 MiB pages nearly none. Whether the system gives huge pages is its affair (transparent huge
 * pages set to `madvise` or `always`): without them all works the same, slower. Any thread. */
#ifndef BASE_PAGES_H
#define BASE_PAGES_H

#include <stdbool.h>
#include <stddef.h>

enum { PAGES_UNIT = 2 << 20 };

/* Zeroed memory of at least `size` bytes, aligned to PAGES_UNIT; the system hands it out at the
 * first touch. `huge`: ask for huge pages (the first touch of each takes and clears 2 MiB). NULL
 * when memory is out. */
void *pages_alloc(size_t size, bool huge);
/* Has malloc keep what is freed for the next time instead of returning it to the system, which a
 * process that allocates and frees the same megabytes each second would pay for in page faults.
 * Once, before the first thread starts. */
void pages_keep_freed(void);
/* `size` as it was asked for. NULL is fine. */
void pages_free(void *p, size_t size);

#endif
