/* Watches in the saved index: the payloads of their parts. Getters are false where the bytes are
 * not sound; the core is then thrown away. */
#ifndef INDEX_WATCH_FILE_H
#define INDEX_WATCH_FILE_H

#include "core.h"

void watch_file_put(struct buf *b, uint32_t slot, const struct watch *w);
bool watch_file_get(struct core *c, struct reader *r);
/* `n` events from number `from` on. */
void watch_file_put_events(struct buf *b, uint32_t slot, const struct watch *w, uint32_t from,
                           uint32_t n);
bool watch_file_get_events(struct core *c, struct reader *r);

#endif
