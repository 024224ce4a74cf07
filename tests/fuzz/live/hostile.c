/* Usage: oneid-fuzz-hostile TRADE KEY_FILE SEED RATE SPOIL NAME=ENDPOINT=PUBLIC_KEY...
 * TRADE: reader, writer, admin, router, or node-N with the key of node N. SPOIL: how messages are
 * spoiled (hostile.h), or all. NAME: node-N or router-N.
 * Speaks until standard input ends, then prints what it did as one line of JSON. */
#include "hostile.h"

#include <base/clock.h>
#include <proto/command.h>
#include <proto/request.h>
#include <proto/status.h>

#include <stdlib.h>
#include <string.h>
#include <zmq.h>

enum {
    TURN_MS = 5,
    SILENT_MS = 3000,
    SAY_MAX = 700, /* messages, then a new connection */
    QUEUE = 1000,
    LEARN_ONE_IN = 50,
    ARENA_BYTES = 8 << 20,
    CLIENT_MAX = 16 << 20 /* what routers take */
};

static const char *const SPOIL_NAMES[] = {
#define X(name, text) text,
    SPOILS(X)
#undef X
};

static void die(const char *what)
{
    (void)fprintf(stderr, "oneid-fuzz-hostile: %s\n", what);
    exit(2);
}

/* --- connections --- */

static bool set_text(void *socket, int option, const char *text)
{
    return zmq_setsockopt(socket, option, text, strlen(text)) == 0;
}

static void open_target(struct hostile *h, void *context, struct target *t)
{
    int none = 0, queue = QUEUE;
    if (t->socket)
        (void)zmq_close(t->socket);
    t->socket = zmq_socket(context, ZMQ_DEALER);
    bool ok = t->socket && zmq_setsockopt(t->socket, ZMQ_LINGER, &none, sizeof none) == 0 &&
              zmq_setsockopt(t->socket, ZMQ_SNDHWM, &queue, sizeof queue) == 0 &&
              set_text(t->socket, ZMQ_CURVE_SERVERKEY, t->key) &&
              set_text(t->socket, ZMQ_CURVE_PUBLICKEY, h->keys.public_key) &&
              set_text(t->socket, ZMQ_CURVE_SECRETKEY, h->keys.secret_key) &&
              zmq_connect(t->socket, t->endpoint) == 0;
    if (!ok)
        die(zmq_strerror(zmq_errno()));
    t->opened_ms = t->heard_ms = clock_mono_ms();
    t->said = 0;
}

static void mind_target(struct hostile *h, void *context, struct target *t)
{
    bool is_deaf = t->said > 0 && clock_mono_ms() - t->heard_ms > SILENT_MS;
    if (is_deaf || t->said > SAY_MAX)
        open_target(h, context, t);
}

static bool send_part(struct hostile *h, struct target *t, struct bytes b, int flags)
{
    bool sent = zmq_send(t->socket, b.data, b.len, flags | ZMQ_DONTWAIT) >= 0;
    if (!sent)
        h->undelivered++;
    return sent;
}

/* --- speaking --- */

static enum spoil any_spoil(struct hostile *h, const struct target *to)
{
    if (h->only != SPOIL_END)
        return h->only;
    if (below(h, 4000) == 0)
        return SPOIL_OVERSIZED;
    if (h->trade == TRADE_WRITER && to->node == 0 && chance(h, 20) && h->n_once < ONCE_MAX)
        return SPOIL_ONCE;
    if (h->trade >= TRADE_ROUTER && to->node != 0 && chance(h, 25))
        return SPOIL_FORGED;
    return (enum spoil)below(h, SPOIL_OVERSIZED);
}

static void remember(struct hostile *h, struct bytes b)
{
    struct buf *keep = &h->recent[h->n_recent++ % RECENT];
    buf_reset(keep);
    buf_put(keep, b.data, b.len);
}

static void say_parts(struct hostile *h, struct target *t, struct bytes b)
{
    uint64_t n = 2 + below(h, 4);
    for (uint64_t i = 0; i < n; i++) {
        if (!send_part(h, t, chance(h, 70) ? b : bytes_of(NULL, 0), i + 1 < n ? ZMQ_SNDMORE : 0))
            return;
    }
}

static void say_oversized(struct hostile *h, struct target *t, struct buf *b)
{
    size_t size = (t->node ? (size_t)MESSAGE_SIZE_MAX : CLIENT_MAX) + 1;
    (void)buf_reserve(b, size - b->len);
    memset(b->data + b->len, 0, size - b->len);
    b->len = size;
    (void)send_part(h, t, buf_bytes(b), 0);
}

static void say(struct hostile *h, struct target *t)
{
    struct buf b = {0};
    enum spoil how = any_spoil(h, t);
    message_make(h, t, &b);
    spoil(h, t, how, &b);
    arena_reset(&h->arena);
    if (!hostile_may_send(h, t, buf_bytes(&b))) {
        h->kept_back++;
        buf_free(&b);
        return;
    }
    if (how == SPOIL_VALID)
        remember(h, buf_bytes(&b));
    h->sent[how]++;
    t->said++;
    if (how == SPOIL_PARTS)
        say_parts(h, t, buf_bytes(&b));
    else if (how == SPOIL_OVERSIZED)
        say_oversized(h, t, &b);
    else
        (void)send_part(h, t, buf_bytes(&b), 0);
    buf_free(&b);
}

/* Nodes tell the numbers of their folders and the cluster's to everybody with a node's key. */
static void learn(struct hostile *h, struct target *t)
{
    static const enum message_type ASK[] = {MESSAGE_STATUS, MESSAGE_MAP_REQUEST, MESSAGE_HELLO};
    for (size_t i = 0; i < 3 && t->node != 0 && h->trade >= TRADE_ROUTER; i++) {
        struct buf b = {0};
        struct envelope e = {.type = ASK[i], .request_id = ++h->request_id};
        envelope_encode(&e, 0, &b);
        (void)send_part(h, t, buf_bytes(&b), 0);
        buf_free(&b);
    }
}

/* --- hearing --- */

static void hear_responses(struct hostile *h, const struct envelope *e)
{
    struct response *list;
    size_t n;
    struct error err;
    if (response_decode(e->body, e->items, &h->arena, &list, &n, &err) != ERR_OK) {
        h->unreadable++;
        return;
    }
    for (size_t i = 0; i < n; i++) {
        h->denied += list[i].code == ERR_DENIED;
        h->granted += list[i].code == ERR_OK && h->trade >= TRADE_ROUTER;
        uint64_t number = e->request_id & ~ONCE_BIT;
        bool is_first = list[i].code == ERR_OK && (e->request_id & ONCE_BIT) &&
                        number < h->n_once && !h->acked[number];
        if (is_first) {
            h->acked[number] = 1;
            h->once_acked[number % PERSONS]++;
        }
    }
}

static void hear_error(struct hostile *h, const struct target *t, const struct envelope *e)
{
    struct error err;
    enum error_code code = wire_error_decode(e->body, &err);
    h->errors++;
    h->denied += code == ERR_DENIED;
    h->granted += h->trade < TRADE_ROUTER && t->node != 0 && code != ERR_DENIED;
}

static void hear_status(struct hostile *h, struct target *t, const struct envelope *e)
{
    struct status_node *n;
    struct error err;
    if (status_node_decode(e->body, &h->arena, &n, &err) == ERR_OK)
        t->replica_folder = n->folder;
    else
        h->unreadable++;
}

static void hear_replies(struct hostile *h, const struct envelope *e)
{
    struct reply *list;
    size_t n;
    struct error err;
    if (reply_decode(e->body, e->items, &h->arena, &list, &n, &err) != ERR_OK)
        h->unreadable++;
}

static void hear(struct hostile *h, struct target *t, struct bytes b)
{
    struct envelope e;
    struct error err;
    t->heard_ms = clock_mono_ms();
    h->answers++;
    arena_reset(&h->arena);
    if (envelope_decode(b, &e, &err) != ERR_OK) {
        h->unreadable++;
        return;
    }
    if (e.type == MESSAGE_ERROR) {
        hear_error(h, t, &e);
        return;
    }
    h->granted += h->trade < TRADE_ROUTER && t->node != 0;
    h->epoch = e.epoch ? e.epoch : h->epoch;
    if (e.type == MESSAGE_CLIENT_REPLY)
        hear_responses(h, &e);
    else if (e.type == MESSAGE_SHARD_REPLY)
        hear_replies(h, &e);
    else if (e.type == MESSAGE_STATUS_REPLY)
        hear_status(h, t, &e);
    else if (e.type == MESSAGE_HELLO_REPLY)
        h->cluster_id = hello_cluster(e.body, &h->digest);
}

static void hear_all(struct hostile *h, struct target *t)
{
    zmq_msg_t m;
    (void)zmq_msg_init(&m);
    while (zmq_msg_recv(&m, t->socket, ZMQ_DONTWAIT) >= 0)
        hear(h, t, bytes_of(zmq_msg_data(&m), zmq_msg_size(&m)));
    (void)zmq_msg_close(&m);
}

/* --- the loop --- */

/* False: the input has ended. */
static bool wait_turn(struct hostile *h)
{
    zmq_pollitem_t items[TARGETS_MAX + 1] = {{.fd = 0, .events = ZMQ_POLLIN}};
    for (size_t i = 0; i < h->n_targets; i++)
        items[i + 1] = (zmq_pollitem_t){.socket = h->targets[i].socket, .events = ZMQ_POLLIN};
    (void)zmq_poll(items, (int)h->n_targets + 1, TURN_MS);
    return items[0].revents == 0;
}

/* Nothing is sent in a node's or router's name before it is known what would be legitimate. */
static bool knows_enough(const struct hostile *h, const struct target *t)
{
    return h->trade < TRADE_ROUTER || t->node == 0 ||
           (t->replica_folder && (h->trade != TRADE_NODE || h->cluster_id));
}

static void run(struct hostile *h, void *context, uint64_t rate)
{
    int64_t began = clock_mono_ms();
    uint64_t turns = 0, said = 0;
    while (wait_turn(h)) {
        uint64_t due = (uint64_t)(clock_mono_ms() - began) * rate / 1000;
        for (size_t i = 0; i < h->n_targets; i++) {
            struct target *t = &h->targets[i];
            hear_all(h, t);
            mind_target(h, context, t);
            if (turns % LEARN_ONE_IN == 0)
                learn(h, t);
        }
        turns++;
        if (due > said + rate)
            said = due - rate; /* who waited does not catch up */
        for (; said < due; said++) {
            struct target *t = &h->targets[below(h, h->n_targets)];
            if (knows_enough(h, t))
                say(h, t);
        }
    }
}

static void print_list(const char *name, const uint64_t *list)
{
    (void)printf(",\"%s\":[", name);
    for (size_t i = 0; i < PERSONS; i++)
        (void)printf("%s%llu", i ? "," : "", (unsigned long long)list[i]);
    (void)printf("]");
}

static void print_all(const struct hostile *h)
{
    (void)printf("{\"sent\":{");
    for (size_t i = 0; i < SPOIL_END; i++)
        (void)printf("%s\"%s\":%llu", i ? "," : "", SPOIL_NAMES[i], (unsigned long long)h->sent[i]);
    (void)printf("},\"kept_back\":%llu,\"undelivered\":%llu,\"answers\":%llu,\"errors\":%llu,"
                 "\"denied\":%llu,\"unreadable\":%llu,\"granted\":%llu",
                 (unsigned long long)h->kept_back, (unsigned long long)h->undelivered,
                 (unsigned long long)h->answers, (unsigned long long)h->errors,
                 (unsigned long long)h->denied, (unsigned long long)h->unreadable,
                 (unsigned long long)h->granted);
    print_list("once_sent", h->once_sent);
    print_list("once_acked", h->once_acked);
    (void)printf("}\n");
}

static enum trade trade_of(const char *name, node_id *node)
{
    static const char *const NAMES[] = {"reader", "writer", "admin", "router"};
    unsigned number;
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        if (strcmp(name, NAMES[i]) == 0)
            return (enum trade)i;
    }
    if (sscanf(name, "node-%u", &number) != 1)
        die("TRADE is reader, writer, admin, router or node-N");
    *node = (node_id)number;
    return TRADE_NODE;
}

static enum spoil spoil_of(const char *name)
{
    for (size_t i = 0; i < SPOIL_END; i++) {
        if (strcmp(name, SPOIL_NAMES[i]) == 0)
            return (enum spoil)i;
    }
    if (strcmp(name, "all") != 0)
        die("there is no such SPOIL");
    return SPOIL_END;
}

static void add_target(struct hostile *h, const char *text)
{
    struct target *t = &h->targets[h->n_targets++];
    unsigned node;
    if (h->n_targets > TARGETS_MAX ||
        sscanf(text, "%15[^=]=%63[^=]=%40s", t->name, t->endpoint, t->key) != 3)
        die("a target is NAME=ENDPOINT=PUBLIC_KEY");
    if (sscanf(t->name, "node-%u", &node) == 1)
        t->node = (node_id)node;
}

int main(int argc, char **argv)
{
    static struct hostile h;
    struct error err;
    if (argc < 7)
        die("TRADE KEY_FILE SEED RATE SPOIL NAME=ENDPOINT=PUBLIC_KEY...");
    h.trade = trade_of(argv[1], &h.node);
    if (key_pair_load(argv[2], &h.keys, &err) != ERR_OK)
        die(err.msg);
    h.rng = rng_of_seed(strtoull(argv[3], NULL, 10));
    h.only = spoil_of(argv[5]);
    h.request_id = 1;
    h.acked = calloc(1, ONCE_MAX);
    arena_init(&h.arena, ARENA_BYTES);
    void *context = zmq_ctx_new();
    if (!h.acked || !context)
        die("out of memory");
    for (int i = 6; i < argc; i++)
        add_target(&h, argv[i]);
    for (size_t i = 0; i < h.n_targets; i++)
        open_target(&h, context, &h.targets[i]);
    run(&h, context, strtoull(argv[4], NULL, 10));
    print_all(&h);
    for (size_t i = 0; i < h.n_targets; i++)
        (void)zmq_close(h.targets[i].socket);
    (void)zmq_ctx_term(context);
    for (size_t i = 0; i < RECENT; i++) {
        buf_free(&h.recent[i]);
        buf_free(&h.once[i]);
    }
    arena_close(&h.arena);
    free(h.acked);
    key_pair_wipe(&h.keys);
    return 0;
}
