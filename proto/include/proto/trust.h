/* Who is trusted: the allowed-keys file, the same for every process of a cluster.
 *
 *   # a comment
 *   <public key> <role>[,<role>] <name> [requests_per_second=N] [in_flight=N] [message_kb=N]
 *
 * It says which keys may do what, and by which keys the servers `node-1`, `router-1`, ... are
 * known. Several keys may have one name: while a key is being changed, the old and the new one are
 * good. A list does not change once it was made. */
#ifndef PROTO_TRUST_H
#define PROTO_TRUST_H

#include <proto/key.h>

enum {
    ROLE_READER = 1 << 0, /* asks: profiles, segments, counts, lists, watches */
    ROLE_WRITER = 1 << 1, /* sends events; a reader as well */
    ROLE_ADMIN = 1 << 2,  /* defines and drops segments, exports, operates; a writer as well */
    ROLE_NODE = 1 << 3,   /* nodes and routers, among themselves */
    ROLE_ALL = ROLE_READER | ROLE_WRITER | ROLE_ADMIN | ROLE_NODE
};
enum { TRUST_FILE_MAX = 1 << 20, TRUST_KEYS_MAX = 4096 };

/* What one key may ask for. */
struct key_limits {
    uint32_t requests_per_second; /* 0: any number; a burst of one second's is allowed */
    uint32_t in_flight;           /* requests without an answer; 0: any number */
    uint32_t message_kb;          /* size of one message; 0: any that the server takes */
};

struct trusted {
    char key[KEY_SIZE];
    char name[KEY_NAME_MAX + 1];
    char fingerprint[FINGERPRINT_SIZE];
    unsigned roles; /* with those that they include */
    struct key_limits limits;
};

struct trust_list {
    struct trusted *keys; /* in the file's order */
    size_t n;
};

/* ERR_CONFIG with "path:line:column: " and what was expected. */
enum error_code trust_parse(const char *path, struct bytes text, struct trust_list **out,
                            struct error *err);
enum error_code trust_read(const char *path, struct trust_list **out, struct error *err);
void trust_free(struct trust_list *t);

/* NULL: it is not trusted. */
const struct trusted *trust_find(const struct trust_list *t, const char *key);
/* The keys by which a server of that name is known, in the file's order as far as there is room;
 * each is KEY_SIZE bytes. How many. */
size_t trust_server_keys(const struct trust_list *t, const char *name, char (*out)[KEY_SIZE],
                         size_t max);

/* "reader", "writer", ... of a single bit. */
const char *role_name(unsigned role);
/* Bits of "reader,node", with what they include; 0: not a list of roles. */
unsigned roles_of(struct bytes text);

#endif
