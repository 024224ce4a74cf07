/* A node process: the shell around the shards that the cluster map gives it.
 *
 *   front ──┬─ shard 0 ──┬── log thread (one synced transaction for all that wait)
 *     │     └─ shard 3 ──┴── checkpoint thread
 *     ├─ query threads (segment index)
 *     └─ transfer thread (states from and to other nodes)
 *
 * Threads share nothing but what is said at `struct shard`, and talk through inboxes.
 */
#ifndef HOST_HOST_H
#define HOST_HOST_H

#include <base/logger.h>
#include <cluster/config.h>

struct host;

/* Opens the node's folder, recovers its shards and starts to serve. `config` and `log` are kept.
 * Errors say what to do: another process holds the folder, the port is in use, damaged files ... */
enum error_code host_open(const struct cluster_config *config, node_id id, struct log *log,
                          struct host **out, struct error *err);
/* Drains, checkpoints and ends all threads. */
void host_close(struct host *h);

#endif
