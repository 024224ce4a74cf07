/* How messages are spoiled, and which of them a key makes legitimate. */
#include "hostile.h"

#include <proto/command.h>
#include <transfer/message.h>

#include <string.h>

enum {
    FLIPS_MAX = 8,
    GROWTH_MAX = 64,
    RANDOM_MAX = 2000,
    HELLO_VERSION = 2,
    HELLO_JOINER = 2,
    FETCH_OPEN_ONE_IN = 20
};
enum { AT_TYPE = 3, AT_SHARD = 4, AT_FLAGS = 6, AT_EPOCH = 8, AT_ITEMS = 24, AT_LENGTH = 28 };

static void put_random(struct hostile *h, struct buf *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf_put_u8(b, (uint8_t)below(h, 256));
}

static void flip(struct hostile *h, struct buf *b)
{
    size_t from = chance(h, 70) && b->len > ENVELOPE_SIZE ? ENVELOPE_SIZE : 0;
    for (uint64_t n = 1 + below(h, FLIPS_MAX); n > 0 && b->len > from; n--)
        b->data[from + below(h, b->len - from)] ^= (uint8_t)(1U << below(h, 8));
}

/* So that what is wrong is found behind the envelope, too. */
static void mend_length(struct hostile *h, struct buf *b)
{
    if (b->len >= ENVELOPE_SIZE && chance(h, 80))
        bytes_store_u32(b->data + AT_LENGTH, (uint32_t)(b->len - ENVELOPE_SIZE));
}

static void grow(struct hostile *h, struct buf *b)
{
    struct buf tail = {0};
    size_t at = below(h, b->len + 1);
    buf_put(&tail, b->data + at, b->len - at);
    b->len = at;
    put_random(h, b, 1 + below(h, GROWTH_MAX));
    buf_put(b, tail.data, tail.len);
    buf_free(&tail);
    mend_length(h, b);
}

static uint32_t any_u32(struct hostile *h)
{
    static const uint32_t EDGES[] = {0,     1,          2,          255,        65535,
                                     65536, 0x7fffffff, 0x80000000, UINT32_MAX, MESSAGE_SIZE_MAX};
    return chance(h, 60) ? EDGES[below(h, sizeof EDGES / sizeof *EDGES)]
                         : (uint32_t)rng_u64(&h->rng);
}

static void misplace(struct hostile *h, struct buf *b)
{
    uint64_t what = below(h, 3);
    if (what == 0) {
        b->data[AT_SHARD] = (uint8_t)below(h, 256);
        b->data[AT_SHARD + 1] = chance(h, 50) ? 0 : (uint8_t)below(h, 256);
    } else if (what == 1) {
        bytes_store_u64(b->data + AT_EPOCH, chance(h, 50) ? h->epoch + 1 : rng_u64(&h->rng));
    } else {
        b->data[AT_FLAGS] = (uint8_t)below(h, 256);
        b->data[AT_FLAGS + 1] = (uint8_t)below(h, 256);
    }
}

static void splice(struct hostile *h, const struct target *to, struct buf *b)
{
    struct buf other = {0};
    message_make(h, to, &other);
    size_t from = below(h, other.len + 1);
    b->len = below(h, b->len + 1);
    buf_put(b, other.data + from, other.len - from);
    buf_free(&other);
    mend_length(h, b);
}

/* --- in the name of others --- */

static node_id any_other_node(struct hostile *h, const struct target *to)
{
    node_id node;
    do
        node = (node_id)(1 + below(h, NODES_MAX));
    while (node == h->node || node == to->node);
    return node;
}

static uint64_t folder_of(const struct hostile *h, node_id node)
{
    for (size_t i = 0; i < h->n_targets; i++) {
        if (h->targets[i].node == node)
            return h->targets[i].replica_folder;
    }
    return 1;
}

/* A replica that is really there, and whose words would count. */
static void put_forged_peer(struct hostile *h, const struct target *to, struct buf *out)
{
    node_id from = any_other_node(h, to);
    struct envelope e = {
        .type = MESSAGE_PEER, .shard = (uint16_t)below(h, SHARDS), .request_id = h->request_id};
    size_t offset = envelope_begin(out);
    buf_put_u64(out, folder_of(h, from) << 16 | from);
    buf_put_u64(out, to->replica_folder << 16 | to->node);
    forge_raft_of(&h->rng, out);
    envelope_finish(out, offset, &e);
}

/* Node `node` has a new folder, the newest that there can be, and has founded nothing. */
static void put_hello(struct hostile *h, uint64_t cluster, node_id node, struct buf *out)
{
    struct buf hello = {0};
    struct envelope e = {.type = MESSAGE_HELLO, .request_id = h->request_id};
    size_t offset = envelope_begin(out);
    buf_put_u8(&hello, HELLO_VERSION);
    buf_put_u64(&hello, cluster);
    buf_put_u64(&hello, h->digest);
    buf_put_varint(&hello, node);
    buf_put_varint(&hello, UINT64_MAX >> 16);
    buf_put_u8(&hello, HELLO_JOINER);
    buf_put_varint(&hello, 0);
    buf_put_bytes(out, buf_bytes(&hello));
    buf_put_varint(out, 0); /* no map */
    buf_put_varint(out, 0); /* no shards */
    buf_free(&hello);
    envelope_finish(out, offset, &e);
}

/* Of another cluster: as a node whose cluster file is that of somebody else. */
static void put_foreign_hello(struct hostile *h, const struct target *to, struct buf *out)
{
    put_hello(h, h->cluster_id ^ (1 + below(h, 1000)), any_other_node(h, to), out);
}

static void pose(struct hostile *h, const struct target *to, struct buf *out)
{
    buf_reset(out);
    for (node_id node = 1; node <= NODES_MAX; node++) {
        if (node != h->node && node != to->node) {
            put_hello(h, h->cluster_id, node, out);
            return;
        }
    }
}

static void forge(struct hostile *h, const struct target *to, struct buf *out)
{
    buf_reset(out);
    if (chance(h, 75))
        put_forged_peer(h, to, out);
    else
        put_foreign_hello(h, to, out);
}

void spoil(struct hostile *h, const struct target *to, enum spoil how, struct buf *b)
{
    switch (how) {
    case SPOIL_AGAIN:
        if (h->n_recent >= RECENT) {
            const struct buf *old = &h->recent[below(h, RECENT)];
            buf_reset(b);
            buf_put(b, old->data, old->len);
        }
        break;
    case SPOIL_FLIPPED:
        flip(h, b);
        break;
    case SPOIL_CUT:
        b->len = below(h, b->len + 1);
        mend_length(h, b);
        break;
    case SPOIL_GROWN:
        grow(h, b);
        break;
    case SPOIL_MISCOUNTED:
        bytes_store_u32(b->data + (chance(h, 70) ? AT_ITEMS : AT_LENGTH), any_u32(h));
        break;
    case SPOIL_MISTYPED:
        b->data[AT_TYPE] =
            (uint8_t)(chance(h, 70) ? below(h, MESSAGE_TYPE_END + 1) : below(h, 256));
        break;
    case SPOIL_MISPLACED:
        misplace(h, b);
        break;
    case SPOIL_SPLICED:
        splice(h, to, b);
        break;
    case SPOIL_WILD:
        buf_reset(b);
        message_make_wild(h, to, b);
        if (chance(h, 20))
            flip(h, b);
        break;
    case SPOIL_RANDOM:
        buf_reset(b);
        put_random(h, b, below(h, RANDOM_MAX));
        break;
    case SPOIL_ONCE:
        buf_reset(b);
        if (h->n_once > 0 && chance(h, 60)) {
            const struct buf *old = &h->once[below(h, h->n_once < RECENT ? h->n_once : RECENT)];
            buf_put(b, old->data, old->len);
        } else {
            struct buf *keep = &h->once[h->n_once % RECENT];
            message_make_once(h, b);
            buf_reset(keep);
            buf_put(keep, b->data, b->len);
        }
        break;
    case SPOIL_FORGED:
        forge(h, to, b);
        break;
    case SPOIL_IMPOSTOR:
        pose(h, to, b);
        break;
    case SPOIL_VALID:
    case SPOIL_PARTS:
    case SPOIL_OVERSIZED:
    case SPOIL_END:
        break;
    }
}

/* --- what is no attack --- */

/* Writes that can be read: only events of our own persons. LEAD moves leaders, as it may. */
static bool are_harmless(struct hostile *h, const struct envelope *e)
{
    struct command *c;
    size_t n;
    struct error err;
    if (command_decode(e->body, e->items, &h->arena, &c, &n, &err) != ERR_OK)
        return true;
    for (size_t i = 0; i < n; i++) {
        bool ours = c[i].type == COMMAND_APPLY && c[i].profile == 0;
        for (size_t k = 0; k < c[i].n_ids; k++)
            ours = ours && c[i].ids[k].value.len > 5 &&
                   memcmp(c[i].ids[k].value.data, "zqmut", 5) == 0;
        if (!ours && (e->type == MESSAGE_SHARD_WRITE || c[i].type == COMMAND_LEAD))
            return false;
    }
    return true;
}

static bool is_its_own_raft(struct hostile *h, struct bytes body)
{
    struct reader r = reader_of(body);
    uint64_t from = reader_u64(&r);
    (void)reader_u64(&r);
    return h->trade == TRADE_NODE && (node_id)from == h->node && r.ok &&
           forge_is_raft(&h->arena, bytes_of(r.p, reader_left(&r)));
}

uint64_t hello_cluster(struct bytes greeting, uint64_t *digest)
{
    struct reader r = reader_of(greeting);
    struct reader hello = reader_of(reader_bytes(&r));
    uint8_t version = reader_u8(&hello);
    uint64_t id = reader_u64(&hello);
    *digest = reader_u64(&hello);
    return hello.ok && version == HELLO_VERSION ? id : 0;
}

/* Of this cluster. What it says may be true. */
static bool is_greeting(const struct hostile *h, struct bytes greeting)
{
    uint64_t digest;
    return h->trade == TRADE_NODE && h->only != SPOIL_IMPOSTOR &&
           hello_cluster(greeting, &digest) == h->cluster_id;
}

bool hostile_may_send(struct hostile *h, const struct target *to, struct bytes message)
{
    struct envelope e;
    struct error err;
    struct transfer_ask ask;
    if (h->trade < TRADE_ROUTER || to->node == 0 || envelope_decode(message, &e, &err) != ERR_OK)
        return true;
    switch ((int)e.type) {
    case MESSAGE_SHARD_WRITE:
    case MESSAGE_SHARD_READ:
        return are_harmless(h, &e);
    case MESSAGE_PEER:
        return !is_its_own_raft(h, e.body);
    case MESSAGE_HELLO:
        return !is_greeting(h, e.body);
    case MESSAGE_FETCH:
        return transfer_ask_decode(e.body, &ask, &err) != ERR_OK || ask.type != TRANSFER_OPEN ||
               below(h, FETCH_OPEN_ONE_IN) == 0;
    default:
        return true;
    }
}
