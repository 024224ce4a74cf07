/* Ctrl-C: what is under way at the cluster is cancelled, and the command ends in order. */
#ifndef CTL_INTERRUPT_H
#define CTL_INTERRUPT_H

#include <oneid/oneid.h>

#include <stdbool.h>

/* From now on SIGINT and SIGTERM cancel the calls of this client; NULL: of none. */
void interrupt_watch(struct oneid_client *client);
bool interrupted(void);

#endif
