/* CURVE on every link of a process, who may connect, and what each key may ask for.
 *
 * A net that was secured speaks nothing else: its servers take only keys of the allowed-keys file
 * (trust.h), which is read again when it changes, and its links accept only the keys by which the
 * server they go to is known. One thread of the net answers libzmq's questions about keys (ZAP) and
 * reads the file. Keys are looked up for each message, so that one that is taken off the list is
 * refused from then on, connected or not.
 *
 * All but net_secure may be called by any thread. */
#ifndef PROTO_SECURITY_H
#define PROTO_SECURITY_H

#include <base/clock.h>
#include <base/logger.h>
#include <cluster/config.h>
#include <proto/endpoint.h>
#include <proto/trust.h>

#include <stdatomic.h>

/* Where a server is, and by what it is known. */
struct known_server {
    const char *endpoint;
    const char *name; /* of its keys in the allowed-keys file; NULL: `keys` says them */
    const char *keys; /* public keys with spaces between them */
};

struct security_options {
    const struct key_pair *own;
    const char *allowed; /* the allowed-keys file; NULL: servers are known by `keys` alone */
    bool serves; /* the net has servers, which need the file; else it is read as links connect */
    const struct known_server *servers;
    size_t n_servers;
    struct log *log; /* kept; may be NULL */
};

/* Before the first server or link of the net. Copies the options. Errors of the keys and of the
 * file: ERR_CONFIG, ERR_IO. */
enum error_code net_secure(struct net *n, const struct security_options *o, struct error *err);
/* The same for the process `name` ("node-1", "router-1") of a cluster file, with its key from the
 * file's key folder; nothing is done where the file says `security: none`. */
enum error_code net_secure_process(struct net *n, const struct cluster_config *c, const char *name,
                                   struct log *log, struct error *err);
/* From now on links to the endpoint accept the keys of `node` (its name is node-N), whatever the
 * endpoint was known by before. Nothing is done on a plain net. ERR_NOMEM. */
enum error_code net_know_node(struct net *n, const char *endpoint, unsigned node,
                              struct error *err);

/* What a tool needs to reach routers: its own key file and the routers' keys. */
struct client_keys {
    char *key_file; /* NULL: plain text */
    /* As the options of the client library: for each router its keys, with spaces between them, or
     * where there is a trust file, the name of its keys there. */
    char *trust_file;
    char **server_keys;
    size_t n;
};
/* For routers of the cluster file, by their endpoints. `key_file` NULL: the environment's
 * ONEID_KEY, else admin.key of the key folder. */
enum error_code client_keys_open(const struct cluster_config *c, const char *key_file,
                                 const char *const *routers, size_t n, struct client_keys *out,
                                 struct error *err);
/* For any routers: `server_key` is their public key, or a file as `oneidctl keygen` makes it
 * (NAME.pub), or a list of allowed keys, of which those with the role node count. */
enum error_code client_keys_for(const char *key_file, const char *server_key, size_t n,
                                struct client_keys *out, struct error *err);
void client_keys_close(struct client_keys *k);

/* --- what a sender may do --- */

/* Takes the requests of one message of `bytes` into account: ERR_OK, ERR_TOO_LARGE, or ERR_BUSY
 * when the key has used up its rate or has too much in flight; `err` says which limit. What was
 * taken is returned with security_return, as the requests are answered. */
enum error_code security_take(struct net *n, const struct sender *from, uint32_t requests,
                              size_t bytes, msec_t now, struct error *err);
void security_return(struct net *n, const struct sender *from, uint32_t requests);
/* Is the sender's key still on the list? */
bool security_allows(struct net *n, const struct sender *from, unsigned role);
/* Counts and logs that the sender asked for what only `role` may. */
void security_note_denied(struct net *n, const struct sender *from, unsigned role);
/* Who the sender is, for logs: false: a plain net, nobody in particular. */
bool security_describe(struct net *n, const struct sender *from, char name[KEY_NAME_MAX + 1],
                       char fingerprint[FINGERPRINT_SIZE]);

/* --- what is counted --- */

#define SECURITY_COUNTERS(X)                                                                       \
    X(accepted, "connections of allowed keys")                                                     \
    X(unknown_key, "connections of keys that are not on the list")                                 \
    X(bad_handshake, "connections that were no CURVE, of a key that is not allowed, or damaged")   \
    X(ended, "connections that ended, also because a message could not be decrypted")              \
    X(revoked, "messages of connected keys that are not on the list any more")                     \
    X(denied, "requests and messages that the sender's role does not allow")                       \
    X(over_rate, "messages refused for requests_per_second")                                       \
    X(over_size, "messages refused for message_kb")                                                \
    X(over_in_flight, "messages refused for in_flight")                                            \
    X(reloads, "times the allowed-keys file was read anew")                                        \
    X(failed_reloads, "times it was damaged, and the old list kept")

struct security_counters {
#define X(name, what) _Atomic uint64_t name;
    SECURITY_COUNTERS(X)
#undef X
};
/* NULL: a plain net. Lives as long as the net. */
const struct security_counters *security_counters(const struct net *n);

#endif
