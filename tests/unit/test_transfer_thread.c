/* States between two nodes in one process: real sockets, files and threads; between them a front
 * that loses messages when it is told to. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "transfer.h"

#include <tempdir.h>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SHARD = 3, CLUSTER = 0xC1, WAIT_S = 120 };

struct node {
    char *dir;
    node_id id;
    struct cluster_config config;
    struct cluster_node entries[2];
    char *listen[2]; /* what the entries point to */
    struct host_shared shared;
    struct shard shards[SHARD + 1], *shard;
    struct transfer_thread transfer;
    struct server *server;
    struct inbox *front_inbox;
    struct outbox *to_transfer;
    pthread_t front;
    bool front_runs;
    atomic_bool stop;
    _Atomic int64_t pass;     /* requests that the front still lets through; -1: all */
    _Atomic uint64_t damaged; /* answers to be damaged, each n-th; 0: none */
    _Atomic uint64_t answers;
};

/* --- the front --- */

static void front_request(struct node *n, struct outbox *to_transfer)
{
    struct message *m;
    struct frame frame = {0};
    struct peer peer;
    while (server_recv(n->server, &peer, &frame)) {
        m = message_new(MESSAGE_REQUEST);
        m->peer = peer;
        frame_move(&m->frame, &frame);
        int64_t pass = atomic_load(&n->pass);
        if (pass > 0)
            atomic_store(&n->pass, pass - 1);
        if (pass == 0 || envelope_decode(frame_bytes(&m->frame), &m->envelope, NULL) != ERR_OK)
            message_free(m);
        else if (m->envelope.type == MESSAGE_FETCH)
            message_send(to_transfer, m);
        else
            message_free(m);
    }
}

static void front_answer(struct node *n, struct message *m)
{
    uint64_t no = atomic_fetch_add(&n->answers, 1) + 1, each = atomic_load(&n->damaged);
    struct bytes b = frame_bytes(&m->frame);
    struct frame changed = {0};
    if (each > 0 && no % each == 0) {
        struct buf copy = {0};
        buf_put(&copy, b.data, b.len);
        copy.data[b.len - 1] ^= 4;
        assert_int_equal(frame_of_buf(&changed, &copy), ERR_OK);
        (void)server_send(n->server, &m->peer, &changed);
        frame_close(&changed);
    } else {
        (void)server_send(n->server, &m->peer, &m->frame);
    }
    message_free(m);
}

static void *front(void *node)
{
    struct node *n = node;
    struct outbox *to_transfer;
    struct message *m;
    if (outbox_open(n->shared.net, "transfer", &to_transfer, NULL) != ERR_OK)
        abort();
    while (!atomic_load(&n->stop)) {
        struct waitable wait[] = {{.server = n->server}, {.inbox = n->front_inbox}};
        front_request(n, to_transfer);
        while ((m = inbox_take(n->front_inbox)))
            front_answer(n, m);
        (void)endpoint_wait(wait, 2, 20);
    }
    outbox_close(to_transfer);
    return NULL;
}

/* --- nodes --- */

static void ok(enum error_code rc, const struct error *err)
{
    if (rc != ERR_OK)
        fail_msg("%s", err->msg);
}

static void open_store(struct node *n)
{
    struct error err = {0};
    struct store_options o = {.path = n->shard->folder,
                              .map_bytes = UINT64_C(1) << 30,
                              .cluster_id = CLUSTER,
                              .shard = SHARD};
    ok(store_open(&o, &n->shard->store, &err), &err);
}

/* Some `mb` of rows that depend on the seed alone. */
static void fill(struct node *n, uint64_t seed, unsigned mb, uint64_t applied)
{
    uint8_t value[4000];
    char key[24];
    struct error err = {0};
    for (unsigned i = 0; i < mb * 256; i++) {
        (void)snprintf(key, sizeof key, "key%u", i);
        for (size_t k = 0; k < sizeof value; k++)
            value[k] = (uint8_t)((seed * 31 + i) * (k + 7) >> 3);
        store_put(n->shard->store, bytes_of_str(key), bytes_of(value, sizeof value));
    }
    store_freeze(n->shard->store, applied);
    ok(store_write_frozen(n->shard->store, &err), &err);
    store_release_frozen(n->shard->store);
}

static void start(struct node *n)
{
    struct error err = {0};
    struct net *net;
    ok(net_open(1, &net, &err), &err);
    n->shared.net = net;
    ok(server_open(
           net, n->entries[n->id - 1].listen ? n->entries[n->id - 1].listen : "tcp://127.0.0.1:*",
           MESSAGE_SIZE_MAX, &n->server, &err),
       &err);
    ok(inbox_open(net, "front", &n->front_inbox, &err), &err);
    ok(inbox_open(net, "transfer", &n->transfer.inbox, &err), &err);
    ok(inbox_open(net, "shard-3", &n->shard->inbox, &err), &err);
    ok(outbox_open(net, "transfer", &n->to_transfer, &err), &err);
    ok(outbox_open(net, "front", &n->transfer.to_front, &err), &err);
    n->transfer.shared = &n->shared;
    ok(outbox_open(net, "shard-3", &n->shard->to_shard, &err), &err);
    atomic_store(&n->pass, -1);
    atomic_store(&n->stop, false);
    assert_int_equal(pthread_create(&n->transfer.thread, NULL, transfer_thread_main, &n->transfer),
                     0);
    assert_int_equal(pthread_create(&n->front, NULL, front, n), 0);
}

static void drop_inbox(struct inbox *b)
{
    struct message *m;
    while ((m = inbox_take(b)))
        message_free(m);
    inbox_close(b);
}

static void stop(struct node *n)
{
    message_send(n->to_transfer, message_new(MESSAGE_STOP));
    assert_int_equal(pthread_join(n->transfer.thread, NULL), 0);
    atomic_store(&n->stop, true);
    assert_int_equal(pthread_join(n->front, NULL), 0);
    outbox_close(n->to_transfer);
    outbox_close(n->transfer.to_front);
    outbox_close(n->shard->to_shard);
    drop_inbox(n->shard->inbox);
    drop_inbox(n->transfer.inbox);
    drop_inbox(n->front_inbox);
    server_close(n->server);
    net_close(n->shared.net);
    n->transfer = (struct transfer_thread){0};
}

static void set_endpoint(struct node *n, node_id of, const char *endpoint)
{
    n->listen[of - 1] = strdup(endpoint);
    n->entries[of - 1].listen = n->listen[of - 1];
}

static void make(struct node *n, node_id id)
{
    *n = (struct node){.dir = tempdir_make(), .id = id};
    n->entries[0].id = 1;
    n->entries[1].id = 2;
    n->config.nodes = n->entries;
    n->config.n_nodes = 2;
    n->config.map_gb = 1;
    n->shared.config = &n->config;
    n->shared.slots.cluster_id = CLUSTER;
    n->shared.node = id;
    assert_true(maps_open(&n->shared));
    n->shared.shards = n->shards;
    n->shared.n_shards = SHARD + 1;
    n->shard = &n->shards[SHARD];
    n->shard->shared = &n->shared;
    atomic_store(&n->shard->state, SHARD_OPEN);
    n->shard->id = SHARD;
    (void)snprintf(n->shared.folder, sizeof n->shared.folder, "%s", n->dir);
    (void)snprintf(n->shard->folder, sizeof n->shard->folder, "%s/shard-3", n->dir);
    assert_int_equal(pthread_rwlock_init(&n->shard->in_place, NULL), 0);
    open_store(n);
    start(n);
    set_endpoint(n, id, server_endpoint(n->server));
}

static void unmake(struct node *n)
{
    stop(n);
    store_close(n->shard->store);
    assert_int_equal(pthread_rwlock_destroy(&n->shard->in_place), 0);
    maps_close(&n->shared);
    for (int i = 0; i < 2; i++)
        free(n->listen[i]);
    tempdir_remove(n->dir);
}

struct pair {
    struct node a, b; /* a has a state, b wants it */
};

static struct pair *make_pair(unsigned mb)
{
    struct pair *p = calloc(1, sizeof *p);
    make(&p->a, 1);
    make(&p->b, 2);
    set_endpoint(&p->b, 1, p->a.listen[0]);
    fill(&p->a, 5, mb, 50);
    return p;
}

static void unmake_pair(struct pair *p)
{
    unmake(&p->b);
    unmake(&p->a);
    free(p);
}

static void ask(struct node *n, node_id from, uint64_t at_least)
{
    struct message *m = message_new(MESSAGE_FETCH_STATE);
    m->shard = n->shard;
    m->node = from;
    m->seq = at_least;
    message_send(n->to_transfer, m);
}

/* The shard's answer; NULL after `seconds`. */
static struct message *answer_within(struct node *n, int seconds)
{
    msec_t end = clock_mono_ms() + seconds * 1000;
    struct waitable wait = {.inbox = n->shard->inbox};
    while (clock_mono_ms() < end) {
        struct message *m = inbox_take(n->shard->inbox);
        if (m)
            return m;
        (void)endpoint_wait(&wait, 1, 100);
    }
    return NULL;
}

static enum error_code answer(struct node *n, uint64_t *applied)
{
    struct message *m = answer_within(n, WAIT_S);
    assert_non_null(m);
    assert_int_equal(m->kind, MESSAGE_STATE_FETCHED);
    enum error_code code = m->code;
    *applied = m->seq;
    message_free(m);
    return code;
}

static bool same(void *ctx, struct bytes key, struct bytes value)
{
    struct bytes other;
    if (!store_get(ctx, key, &other) || !bytes_equal(other, value))
        fail_msg("a row differs");
    return true;
}

static bool count_rows(void *ctx, struct bytes key, struct bytes value)
{
    (void)key;
    (void)value;
    ++*(uint64_t *)ctx;
    return true;
}

/* Puts in place what came and compares it with where it came from. */
static void check_state(struct pair *p, uint64_t applied)
{
    char file[700];
    struct error err = {0};
    uint64_t here = 0, there = 0;
    struct store_options o = {.path = p->b.shard->folder,
                              .map_bytes = UINT64_C(1) << 30,
                              .cluster_id = CLUSTER,
                              .shard = SHARD};
    (void)snprintf(file, sizeof file, "%s/install.mdb", p->b.shard->folder);
    store_close(p->b.shard->store);
    ok(store_install(&o, file, &err), &err);
    open_store(&p->b);
    assert_int_equal(store_durable_index(p->b.shard->store), applied);
    store_scan(p->a.shard->store, bytes_of(NULL, 0), same, p->b.shard->store);
    store_scan(p->a.shard->store, bytes_of(NULL, 0), count_rows, &there);
    store_scan(p->b.shard->store, bytes_of(NULL, 0), count_rows, &here);
    assert_int_equal(here, there);
}

static size_t copies_of(struct node *n)
{
    char path[700];
    size_t found = 0;
    (void)snprintf(path, sizeof path, "%s/copies", n->dir);
    DIR *d = opendir(path);
    assert_non_null(d);
    for (const struct dirent *e; (e = readdir(d));)
        found += strstr(e->d_name, ".copy") != NULL;
    assert_int_equal(closedir(d), 0);
    return found;
}

static void wait_for_copies(struct node *n, size_t wanted)
{
    for (msec_t end = clock_mono_ms() + WAIT_S * 1000; copies_of(n) != wanted;) {
        assert_true(clock_mono_ms() < end);
        (void)endpoint_wait(NULL, 0, 5);
    }
}

static uint64_t size_of(const char *dir, const char *name)
{
    char path[900];
    struct stat st;
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

/* --- tests --- */

static void test_a_state_moves_from_node_to_node(void **state)
{
    (void)state;
    struct pair *p = make_pair(12);
    uint64_t applied;
    ask(&p->b, 1, 50);
    assert_int_equal(answer(&p->b, &applied), ERR_OK);
    assert_int_equal(applied, 50);
    assert_int_equal(size_of(p->b.shard->folder, "incoming.mdb"), 0);
    check_state(p, 50);
    wait_for_copies(&p->a, 0); /* closed: gone */
    unmake_pair(p);
}

static void test_a_state_moves_over_damaged_messages(void **state)
{
    (void)state;
    struct pair *p = make_pair(6);
    uint64_t applied;
    atomic_store(&p->a.damaged, 4);
    ask(&p->b, 1, 50);
    assert_int_equal(answer(&p->b, &applied), ERR_OK);
    check_state(p, 50);
    unmake_pair(p);
}

static void test_a_sender_that_restarts_goes_on_with_its_copy(void **state)
{
    (void)state;
    struct pair *p = make_pair(40);
    uint64_t applied;
    atomic_store(&p->a.pass, 20); /* then it hears nothing any more */
    ask(&p->b, 1, 50);
    wait_for_copies(&p->a, 1);
    for (msec_t end = clock_mono_ms() + WAIT_S * 1000; atomic_load(&p->a.pass) > 0;) {
        assert_true(clock_mono_ms() < end);
        (void)endpoint_wait(NULL, 0, 5);
    }
    stop(&p->a);
    assert_int_equal(copies_of(&p->a), 1);
    fill(&p->a, 6, 1, 60); /* a copy made now would be another one */
    start(&p->a);
    assert_int_equal(answer(&p->b, &applied), ERR_OK);
    assert_int_equal(applied, 50);
    wait_for_copies(&p->a, 0);
    unmake_pair(p);
}

static void test_a_receiver_that_restarts_begins_again(void **state)
{
    (void)state;
    struct pair *p = make_pair(20);
    uint64_t applied;
    atomic_store(&p->a.pass, 12);
    ask(&p->b, 1, 50);
    for (msec_t end = clock_mono_ms() + WAIT_S * 1000; atomic_load(&p->a.pass) > 0;) {
        assert_true(clock_mono_ms() < end);
        (void)endpoint_wait(NULL, 0, 5);
    }
    stop(&p->b);
    assert_int_equal(size_of(p->b.shard->folder, "incoming.mdb"), 0);
    atomic_store(&p->a.pass, -1);
    start(&p->b);
    ask(&p->b, 1, 50);
    assert_int_equal(answer(&p->b, &applied), ERR_OK);
    check_state(p, 50);
    unmake_pair(p);
}

static void limit_file_size(rlim_t bytes)
{
    struct rlimit r;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &r), 0);
    r.rlim_cur = bytes == RLIM_INFINITY ? r.rlim_max : bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &r), 0);
}

static void test_a_full_disk_is_waited_out(void **state)
{
    (void)state;
    struct pair *p = make_pair(20);
    uint64_t applied;
    (void)signal(SIGXFSZ, SIG_IGN);
    atomic_store(&p->a.pass, 0);
    ask(&p->b, 1, 50);
    atomic_store(&p->a.pass, 1); /* one OPEN: makes the copy */
    wait_for_copies(&p->a, 1);
    limit_file_size((7 << 20) + 1000);
    atomic_store(&p->a.pass, -1);
    struct message *m = answer_within(&p->b, 4);
    assert_null(m);
    uint64_t size = size_of(p->b.shard->folder, "incoming.mdb");
    assert_in_range(size, 5 << 20, (7 << 20) + 1000);
    limit_file_size(RLIM_INFINITY);
    assert_int_equal(answer(&p->b, &applied), ERR_OK);
    check_state(p, 50);
    unmake_pair(p);
}

static void test_what_cannot_be_is_answered_with_a_reason(void **state)
{
    (void)state;
    struct pair *p = make_pair(1);
    uint64_t applied;
    ask(&p->b, 9, 50);
    assert_int_equal(answer(&p->b, &applied), ERR_NOT_FOUND);
    p->a.shared.slots.cluster_id =
        CLUSTER; /* but b belongs elsewhere: found before it is in place */
    p->b.shared.slots.cluster_id = CLUSTER + 1;
    ask(&p->b, 1, 50);
    assert_int_equal(answer(&p->b, &applied), ERR_MISMATCH);
    assert_int_equal(size_of(p->b.shard->folder, "install.mdb"), 0);
    assert_int_equal(size_of(p->b.shard->folder, "incoming.mdb"), 0);
    unmake_pair(p);
}

static void test_names_of_copies_say_all(void **state)
{
    (void)state;
    char path[800];
    const struct transfer_copy c = {.id = 0xABCDEF0123456789,
                                    .applied = 12345678901,
                                    .size = 98765,
                                    .chunk_bytes = TRANSFER_CHUNK,
                                    .sum = 1};
    struct transfer_copy got;
    shard_id shard;
    transfer_name_copy(path, sizeof path, "", 513, &c);
    assert_true(transfer_parse_name(path + 1, &shard, &got));
    assert_int_equal(shard, 513);
    assert_int_equal(got.id, c.id);
    assert_int_equal(got.applied, c.applied);
    assert_int_equal(got.size, c.size);
    assert_int_equal(got.chunk_bytes, c.chunk_bytes);
    assert_int_equal(got.sum, c.sum);
    assert_false(transfer_parse_name("shard-1.0.0.0.0.0.copy", &shard, &got));
    assert_false(transfer_parse_name("making-0123", &shard, &got));
    path[strlen(path) - 1] = 'X';
    assert_false(transfer_parse_name(path + 1, &shard, &got));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_of_copies_say_all),
        cmocka_unit_test(test_a_state_moves_from_node_to_node),
        cmocka_unit_test(test_a_state_moves_over_damaged_messages),
        cmocka_unit_test(test_a_sender_that_restarts_goes_on_with_its_copy),
        cmocka_unit_test(test_a_receiver_that_restarts_begins_again),
        cmocka_unit_test(test_a_full_disk_is_waited_out),
        cmocka_unit_test(test_what_cannot_be_is_answered_with_a_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
