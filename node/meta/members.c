#include <meta/members.h>

#include <base/hash.h>

#include <inttypes.h>

/* A hello, little-endian:
 *   u8 version | u64 cluster_id | u64 digest | varint node | varint folder | u8 state
 *   | varint n | n × (varint node, varint founder, varint newest folder)
 * What is kept in the log is the same. */
enum { HELLO_VERSION = 2 };

uint64_t replica_id_of(folder_id folder, node_id node, uint32_t since)
{
    uint64_t number = folder;
    if (since) {
        uint64_t both[2] = {folder, since};
        number = hash64(bytes_of(both, sizeof both));
    }
    return number << REPLICA_NODE_BITS | node;
}

struct member *members_add(struct members *m, node_id node)
{
    struct member *there = members_find(m, node);
    if (there || m->n == CLUSTER_NODES_MAX)
        return there;
    m->list[m->n] = (struct member){.node = node};
    return &m->list[m->n++];
}

void members_init(struct members *m, const struct cluster_map *map, node_id self, folder_id folder)
{
    *m = (struct members){
        .cluster_id = map->cluster_id, .digest = cluster_map_digest(map), .self = self};
    struct member *own = members_add(m, self);
    own->folder = own->founder = folder;
    for (size_t i = 0; i < map->n_nodes; i++)
        (void)members_add(m, map->nodes[i].id);
    m->is_unsaved = true;
}

struct member *members_find(struct members *m, node_id node)
{
    for (size_t i = 0; i < m->n; i++) {
        if (m->list[i].node == node)
            return &m->list[i];
    }
    return NULL;
}

const struct member *members_self(const struct members *m)
{
    return &m->list[0];
}

void members_put_hello(const struct members *m, struct buf *out)
{
    buf_put_u8(out, HELLO_VERSION);
    buf_put_u64(out, m->cluster_id);
    buf_put_u64(out, m->digest);
    buf_put_varint(out, m->self);
    buf_put_varint(out, members_self(m)->folder);
    buf_put_u8(out, (uint8_t)m->state);
    buf_put_varint(out, m->n);
    for (size_t i = 0; i < m->n; i++) {
        buf_put_varint(out, m->list[i].node);
        buf_put_varint(out, m->list[i].founder);
        buf_put_varint(out, m->list[i].folder);
    }
}

struct hello {
    uint64_t digest;
    node_id node;
    folder_id folder;
    enum members_state state;
    size_t n;
    struct {
        node_id node;
        folder_id founder, folder;
    } list[CLUSTER_NODES_MAX];
};

static bool is_folder(uint64_t v)
{
    return v <= UINT64_MAX >> REPLICA_NODE_BITS;
}

node_id members_hello_node(struct bytes hello)
{
    struct reader r = reader_of(hello);
    uint8_t version = reader_u8(&r);
    (void)reader_u64(&r); /* the cluster */
    (void)reader_u64(&r); /* the map's digest */
    uint64_t node = reader_varint(&r);
    return r.ok && version == HELLO_VERSION && node <= UINT16_MAX ? (node_id)node : 0;
}

static enum error_code read_hello(const struct members *m, struct bytes b, struct hello *h,
                                  struct error *err)
{
    struct reader r = reader_of(b);
    uint8_t version = reader_u8(&r);
    uint64_t cluster = reader_u64(&r);
    h->digest = reader_u64(&r);
    uint64_t node = reader_varint(&r);
    h->folder = reader_varint(&r);
    uint8_t state = reader_u8(&r);
    uint64_t n = reader_varint(&r);
    if (!r.ok || version != HELLO_VERSION || node < 1 || node > UINT16_MAX || h->folder == 0 ||
        !is_folder(h->folder) || state > MEMBERS_JOINER || n > CLUSTER_NODES_MAX)
        return error_set(err, ERR_MALFORMED, "not a hello of a node");
    if (cluster != m->cluster_id)
        return error_set(err, ERR_MISMATCH, "node %" PRIu64 " belongs to another cluster", node);
    h->node = (node_id)node;
    h->state = (enum members_state)state;
    for (h->n = 0; h->n < n; h->n++) {
        uint64_t id = reader_varint(&r), founder = reader_varint(&r), folder = reader_varint(&r);
        if (!r.ok || id < 1 || id > UINT16_MAX || !is_folder(founder) || !is_folder(folder))
            return error_set(err, ERR_MALFORMED, "not a hello of a node");
        h->list[h->n].node = (node_id)id;
        h->list[h->n].founder = founder;
        h->list[h->n].folder = folder;
    }
    return reader_left(&r) == 0 ? ERR_OK : error_set(err, ERR_MALFORMED, "not a hello of a node");
}

static folder_id founder_in(const struct hello *h, node_id node)
{
    for (size_t i = 0; i < h->n; i++) {
        if (h->list[i].node == node)
            return h->list[i].founder;
    }
    return 0;
}

static void set_state(struct members *m, enum members_state state)
{
    m->state = state;
    m->is_unsaved = true;
}

/* What was agreed on is to be said again. */
static void set_founder(struct members *m, struct member *of, folder_id founder)
{
    if (of->founder == founder)
        return;
    of->founder = founder;
    m->is_unsaved = true;
    for (size_t i = 0; i < m->n; i++)
        m->list[i].agrees = false;
}

/* Who has founded is right: all agreed with it. */
static void adopt(struct members *m, struct member *from, const struct hello *h)
{
    for (size_t i = 0; i < m->n; i++) {
        folder_id founder = founder_in(h, m->list[i].node);
        if (founder)
            set_founder(m, &m->list[i], founder);
    }
    from->is_founded = true;
}

static bool is_adopted(const struct members *m)
{
    bool any = false;
    for (size_t i = 0; i < m->n; i++)
        any = any || m->list[i].is_founded;
    return any;
}

static bool says_the_same(const struct members *m, const struct hello *h)
{
    for (size_t i = 0; i < m->n; i++) {
        folder_id theirs = founder_in(h, m->list[i].node);
        bool both = theirs != 0 && m->list[i].founder != 0;
        if (m->list[i].node == m->self || m->list[i].node == h->node) {
            if (!both || theirs != m->list[i].founder)
                return false;
        } else if (both && theirs != m->list[i].founder) {
            return false;
        }
    }
    return true;
}

/* This node had a folder with a larger number, of a clock that was ahead, or this one's is behind.
 * A folder that is forming has promised nothing yet, and may take another number. */
static void outgrow(struct members *m, const struct hello *h)
{
    struct member *own = &m->list[0];
    for (size_t i = 0; i < h->n; i++) {
        if (h->list[i].node == m->self && h->list[i].folder > own->folder) {
            own->folder = h->list[i].folder + 1;
            set_founder(m, own, own->folder);
        }
    }
}

static void hear_forming(struct members *m, struct member *from, const struct hello *h)
{
    from->is_joiner = h->state == MEMBERS_JOINER;
    if (from->is_joiner)
        return; /* knows nothing of the founders */
    bool founds_others =
        h->state == MEMBERS_FOUNDER && founder_in(h, m->self) != members_self(m)->folder;
    if (founds_others) {
        set_state(m, MEMBERS_JOINER);
        return;
    }
    from->differs = h->digest != m->digest;
    if (from->differs)
        return;
    if (h->state == MEMBERS_FOUNDER) {
        adopt(m, from, h);
        return;
    }
    if (!is_adopted(m))
        set_founder(m, from, from->folder);
    from->agrees = says_the_same(m, h);
}

enum error_code members_hear(struct members *m, struct bytes hello, node_id *from,
                             struct error *err)
{
    struct hello h = {.n = 0};
    enum error_code rc = read_hello(m, hello, &h, err);
    if (rc != ERR_OK)
        return rc;
    *from = h.node;
    struct member *member = members_find(m, h.node);
    if (!member || h.node == m->self || h.folder < member->folder)
        return ERR_OK; /* a late one of a folder that is gone says nothing */
    member->folder = h.folder;
    if (m->state == MEMBERS_FORMING) {
        outgrow(m, &h);
        hear_forming(m, member, &h);
    }
    return ERR_OK;
}

/* There is a cluster already. Safe even where this folder is among its founders: one that is still
 * forming has promised nothing. Not only when all have been heard: of a cluster whose founders'
 * folders are all gone, nobody else could take in a new node while one is away. */
static bool is_late(const struct members *m)
{
    bool any_joined = false;
    for (size_t i = 1; i < m->n; i++)
        any_joined = any_joined || m->list[i].is_joiner;
    return any_joined && !is_adopted(m);
}

enum members_state members_form(struct members *m)
{
    bool all_agree = true;
    if (m->state == MEMBERS_FORMING && is_late(m))
        set_state(m, MEMBERS_JOINER);
    for (size_t i = 1; i < m->n; i++)
        all_agree = all_agree && m->list[i].agrees;
    if (m->state == MEMBERS_FORMING && (all_agree || is_adopted(m)))
        set_state(m, MEMBERS_FOUNDER);
    return m->state;
}

bool members_waits_for(const struct members *m, const struct member *of)
{
    return m->state == MEMBERS_FORMING && of->node != m->self && !of->agrees && !of->is_founded &&
           !of->is_joiner;
}

void members_encode(const struct members *m, struct buf *out)
{
    members_put_hello(m, out);
}

enum error_code members_decode(struct members *m, struct bytes b, struct error *err)
{
    struct hello h = {.n = 0};
    struct error why;
    if (read_hello(m, b, &h, &why) != ERR_OK || h.node != m->self)
        return error_set(err, ERR_CORRUPT, "the record of the cluster's nodes is damaged");
    m->state = h.state;
    for (size_t i = 0; i < h.n; i++) {
        struct member *of = members_find(m, h.list[i].node);
        if (of) {
            of->founder = h.list[i].founder;
            of->folder = h.list[i].folder;
        }
    }
    m->list[0].folder = h.folder;
    m->is_unsaved = false;
    if (m->state == MEMBERS_FORMING)
        m->list[0].founder = h.folder;
    return ERR_OK;
}
