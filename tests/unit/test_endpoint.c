#include <proto/endpoint.h>
#include <proto/envelope.h>

#include "net.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zmq.h>
#include <cmocka.h>

enum { PATIENCE_MS = 20000, SMALL = 1000 };

struct fixture {
    struct net *net;
    struct server *server;
    struct link *link;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_int_equal(net_open(1, &f->net, NULL), ERR_OK);
    assert_int_equal(server_open(f->net, "tcp://127.0.0.1:*", SMALL, &f->server, NULL), ERR_OK);
    assert_int_equal(link_open(f->net, server_endpoint(f->server), &f->link, NULL), ERR_OK);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    link_close(f->link);
    server_close(f->server);
    net_close(f->net);
    free(f);
    return 0;
}

static struct frame frame_with(const char *text)
{
    struct frame f = {.full = false};
    assert_int_equal(frame_copy(&f, bytes_of_str(text)), ERR_OK);
    return f;
}

static void send_text(struct link *l, const char *text)
{
    struct frame f = frame_with(text);
    assert_true(link_send(l, &f));
    assert_false(f.full);
}

static bool server_await(struct server *s, struct peer *from, struct frame *f)
{
    struct waitable w = {.server = s};
    while (!server_recv(s, from, f)) {
        if (endpoint_wait(&w, 1, PATIENCE_MS) == 0)
            return false;
        assert_true(w.ready);
    }
    return true;
}

static bool link_await(struct link *l, struct frame *f)
{
    struct waitable w = {.link = l};
    while (!link_recv(l, f)) {
        if (endpoint_wait(&w, 1, PATIENCE_MS) == 0)
            return false;
    }
    return true;
}

/* The server hears `text` next, and its answer arrives. */
static void expect_exchange(struct server *s, struct link *l, const char *text)
{
    struct frame f = {.full = false};
    struct peer from;
    assert_true(server_await(s, &from, &f));
    assert_true(bytes_equal(frame_bytes(&f), bytes_of_str(text)));
    assert_true(server_send(s, &from, &f));
    assert_false(f.full);
    assert_true(link_await(l, &f));
    assert_true(bytes_equal(frame_bytes(&f), bytes_of_str(text)));
    frame_close(&f);
}

static void test_endpoint_request_and_answer(void **state)
{
    struct fixture *f = *state;
    send_text(f->link, "one");
    send_text(f->link, "two");
    expect_exchange(f->server, f->link, "one");
    expect_exchange(f->server, f->link, "two");
    assert_int_equal(server_dropped(f->server), 0);
}

/* A socket that was found empty is not asked again; what comes, or came while it sent, must show
 * all the same, as often as one waits for it. */
static void test_endpoint_wait_shows_what_was_left(void **state)
{
    struct fixture *fix = *state;
    struct frame f = {.full = false};
    struct peer from;
    send_text(fix->link, "hello");
    expect_exchange(fix->server, fix->link, "hello");
    for (int round = 0; round < 200; round++) {
        struct waitable at_server = {.server = fix->server}, at_link = {.link = fix->link};
        assert_false(server_recv(fix->server, &from, &f));
        assert_false(link_recv(fix->link, &f));
        send_text(fix->link, "one");
        for (int again = 0; again < 2; again++)
            assert_int_equal(endpoint_wait(&at_server, 1, PATIENCE_MS), 1);
        assert_true(server_recv(fix->server, &from, &f));
        assert_true(server_send(fix->server, &from, &f));
        send_text(fix->link, "two"); /* may take in what announced the answer */
        for (int again = 0; again < 2; again++)
            assert_int_equal(endpoint_wait(&at_link, 1, PATIENCE_MS), 1);
        assert_true(link_recv(fix->link, &f));
        assert_true(server_await(fix->server, &from, &f));
        /* Two at once, of which one is taken without waiting. */
        struct pollfd at_fd = {.fd = link_fd(fix->link), .events = POLLIN};
        assert_false(link_recv(fix->link, &f));
        for (int i = 0; i < 2; i++) {
            assert_int_equal(frame_copy(&f, bytes_of_str("three")), ERR_OK);
            assert_true(server_send(fix->server, &from, &f));
        }
        assert_int_equal(poll(&at_fd, 1, PATIENCE_MS), 1);
        assert_true(link_recv(fix->link, &f) || link_await(fix->link, &f));
        assert_int_equal(endpoint_wait(&at_link, 1, PATIENCE_MS), 1);
        assert_true(link_recv(fix->link, &f));
    }
    frame_close(&f);
}

static void test_endpoint_port_in_use(void **state)
{
    struct fixture *f = *state;
    struct server *second;
    struct error err;
    assert_int_equal(server_open(f->net, server_endpoint(f->server), SMALL, &second, &err), ERR_IO);
    assert_null(second);
    assert_non_null(strstr(err.msg, server_endpoint(f->server)));
    assert_int_not_equal(err.sys, 0);
}

static void test_endpoint_malformed_names(void **state)
{
    struct fixture *f = *state;
    struct server *s;
    struct link *l;
    struct error err;
    assert_int_equal(link_open(f->net, "tcp//nowhere", &l, &err), ERR_INVALID);
    assert_null(l);
    assert_int_equal(link_open(f->net, "carrier-pigeon://x", &l, &err), ERR_INVALID);
    assert_int_equal(server_open(f->net, "tcp://", SMALL, &s, &err), ERR_IO);
    assert_null(s);
}

static void test_endpoint_link_may_come_first(void **state)
{
    struct fixture *f = *state;
    char path[] = "/tmp/oneid-endpoint-XXXXXX", endpoint[64];
    assert_non_null(mkdtemp(path));
    (void)snprintf(endpoint, sizeof endpoint, "ipc://%s/s", path);
    struct link *l;
    struct server *s;
    assert_int_equal(link_open(f->net, endpoint, &l, NULL), ERR_OK);
    send_text(l, "early");
    assert_int_equal(server_open(f->net, endpoint, SMALL, &s, NULL), ERR_OK);
    expect_exchange(s, l, "early");
    link_close(l);
    server_close(s);
    (void)snprintf(endpoint, sizeof endpoint, "%s/s", path);
    (void)unlink(endpoint);
    assert_int_equal(rmdir(path), 0);
}

static void test_endpoint_sender_of_too_much_is_cut_off(void **state)
{
    struct fixture *f = *state;
    struct link *greedy;
    char big[2 * SMALL];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    assert_int_equal(link_open(f->net, server_endpoint(f->server), &greedy, NULL), ERR_OK);
    send_text(greedy, big);
    send_text(f->link, "fine");
    expect_exchange(f->server, f->link, "fine");
    link_close(greedy);
}

static void test_endpoint_unknown_peer_loses_its_answer(void **state)
{
    struct fixture *f = *state;
    struct frame answer = frame_with("x");
    struct peer nobody = {.len = 5, .id = {0, 1, 2, 3, 4}};
    assert_false(server_send(f->server, &nobody, &answer));
    assert_false(answer.full);
    assert_int_equal(server_dropped(f->server), 1);
}

static void test_endpoint_gone_peer_loses_its_answer(void **state)
{
    struct fixture *f = *state;
    struct link *leaving;
    struct frame got = {.full = false};
    struct peer from;
    assert_int_equal(link_open(f->net, server_endpoint(f->server), &leaving, NULL), ERR_OK);
    send_text(leaving, "bye");
    assert_true(server_await(f->server, &from, &got));
    frame_close(&got);
    link_close(leaving);
    bool sent;
    do {
        struct frame answer = frame_with("x");
        sent = server_send(f->server, &from, &answer);
        assert_false(answer.full);
        struct waitable w = {.server = f->server};
        (void)endpoint_wait(&w, 1, 1);
    } while (sent);
    assert_int_equal(server_dropped(f->server), 1);
}

static void send_parts(void *socket, int n)
{
    for (int i = 0; i < n; i++)
        assert_int_equal(zmq_send(socket, "part", 4, i + 1 < n ? ZMQ_SNDMORE : 0), 4);
}

static void test_endpoint_multipart_junk_is_dropped(void **state)
{
    struct fixture *f = *state;
    void *ctx = zmq_ctx_new(), *stranger = zmq_socket(ctx, ZMQ_DEALER);
    const char long_name[] = "a routing id of more than thirty-one bytes";
    void *named = zmq_socket(ctx, ZMQ_DEALER);
    assert_int_equal(zmq_setsockopt(named, ZMQ_ROUTING_ID, long_name, sizeof long_name), 0);
    assert_int_equal(zmq_connect(stranger, server_endpoint(f->server)), 0);
    assert_int_equal(zmq_connect(named, server_endpoint(f->server)), 0);
    send_parts(stranger, 2);
    send_parts(stranger, 5);
    send_parts(stranger, 1);
    struct frame got = {.full = false};
    struct peer from;
    assert_true(server_await(f->server, &from, &got));
    assert_true(bytes_equal(frame_bytes(&got), bytes_of_str("part")));
    assert_int_equal(server_dropped(f->server), 2);
    frame_close(&got);

    send_parts(named, 1);
    struct waitable w = {.server = f->server};
    while (server_dropped(f->server) == 2) {
        assert_int_equal(endpoint_wait(&w, 1, PATIENCE_MS), 1);
        assert_false(server_recv(f->server, &from, &got));
    }
    assert_int_equal(server_dropped(f->server), 3);
    assert_int_equal(zmq_close(stranger), 0);
    assert_int_equal(zmq_close(named), 0);
    assert_int_equal(zmq_ctx_term(ctx), 0);
}

static void send_garbage(const char *endpoint, const void *data, size_t n)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in to = {.sin_family = AF_INET};
    to.sin_port = htons((uint16_t)atoi(strrchr(endpoint, ':') + 1));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(send(fd, data, n, MSG_NOSIGNAL), (ssize_t)n);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    char answer[256];
    while (recv(fd, answer, sizeof answer, 0) > 0)
        ;
    assert_int_equal(close(fd), 0);
}

static void test_endpoint_garbage_does_not_disturb(void **state)
{
    struct fixture *f = *state;
    uint8_t noise[5000];
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (uint8_t)(i * i * 31 >> 3);
    const char *http = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    send_garbage(server_endpoint(f->server), http, strlen(http));
    send_garbage(server_endpoint(f->server), noise, sizeof noise);
    noise[0] = 0xFF; /* as a ZMTP greeting begins */
    send_garbage(server_endpoint(f->server), noise, sizeof noise);
    send_text(f->link, "still here");
    expect_exchange(f->server, f->link, "still here");
}

static void test_endpoint_full_queue_keeps_the_frame(void **state)
{
    struct fixture *f = *state;
    struct link *l;
    assert_int_equal(link_open(f->net, "ipc:///tmp/oneid-nobody-is-here", &l, NULL), ERR_OK);
    struct frame one = frame_with("1");
    size_t n = 0;
    for (; n < 1000000 && link_send(l, &one); n++)
        one = frame_with("1");
    assert_in_range(n, 1, 999999);
    assert_true(bytes_equal(frame_bytes(&one), bytes_of_str("1")));
    frame_close(&one);
    link_close(l);
}

static void test_endpoint_unqueued_link_keeps_the_frame_until_there_is_a_peer(void **state)
{
    struct fixture *f = *state;
    char path[] = "/tmp/oneid-endpoint-XXXXXX", endpoint[64];
    assert_non_null(mkdtemp(path));
    (void)snprintf(endpoint, sizeof endpoint, "ipc://%s/s", path);
    struct link *l;
    struct server *s;
    assert_int_equal(link_open_unqueued(f->net, endpoint, &l, NULL), ERR_OK);
    struct frame one = frame_with("1");
    assert_false(link_send(l, &one));
    assert_true(bytes_equal(frame_bytes(&one), bytes_of_str("1")));
    assert_int_equal(server_open(f->net, endpoint, SMALL, &s, NULL), ERR_OK);
    struct waitable none = {.fd = -1};
    for (int i = 0; i < PATIENCE_MS && !link_send(l, &one); i++)
        (void)endpoint_wait(&none, 0, 1);
    assert_false(one.full);
    expect_exchange(s, l, "1");
    link_close(l);
    server_close(s);
    (void)snprintf(endpoint, sizeof endpoint, "%s/s", path);
    (void)unlink(endpoint);
    assert_int_equal(rmdir(path), 0);
}

static bool is_up_soon(struct link *l, bool expected)
{
    struct waitable w = {.link = l};
    for (int i = 0; i < PATIENCE_MS && link_is_up(l) != expected; i++)
        (void)endpoint_wait(&w, 1, 1);
    return link_is_up(l) == expected;
}

static void test_endpoint_lost_link_is_noticed(void **state)
{
    struct fixture *f = *state;
    struct link *l;
    struct server *s;
    char endpoint[64];
    assert_int_equal(server_open(f->net, "tcp://127.0.0.1:*", SMALL, &s, NULL), ERR_OK);
    (void)snprintf(endpoint, sizeof endpoint, "%s", server_endpoint(s));
    assert_int_equal(link_open_unqueued(f->net, endpoint, &l, NULL), ERR_OK);
    struct frame one = frame_with("1");
    struct waitable none = {.fd = -1};
    for (int i = 0; i < PATIENCE_MS && !link_send(l, &one); i++)
        (void)endpoint_wait(&none, 0, 1);
    expect_exchange(s, l, "1");
    assert_true(is_up_soon(l, true));
    server_close(s);
    assert_int_equal(link_endings(l), 0);
    assert_true(is_up_soon(l, false));
    assert_int_equal(link_endings(l), 1);
    assert_int_equal(server_open(f->net, endpoint, SMALL, &s, NULL), ERR_OK);
    assert_true(is_up_soon(l, true));
    assert_int_equal(link_endings(l), 1); /* also for who has not looked meanwhile */
    link_close(l);
    server_close(s);
}

/* --- frames --- */

static void test_frame_takes_a_buffer_with_slack(void **state)
{
    (void)state;
    struct frame f = {.full = false}, g = {.full = false};
    struct buf b = {0};
    for (int i = 0; i < 100; i++)
        buf_put_u8(&b, (uint8_t)i);
    const uint8_t *was = b.data;
    assert_true(b.cap > b.len);
    assert_int_equal(frame_of_buf(&f, &b), ERR_OK);
    assert_null(b.data);
    assert_int_equal(frame_bytes(&f).len, 100);
    assert_ptr_equal(frame_bytes(&f).data, was);
    frame_move(&g, &f);
    assert_false(f.full);
    assert_int_equal(frame_bytes(&g).data[99], 99);
    frame_move(&g, &g);
    assert_true(g.full);
    frame_close(&g);
    frame_close(&g);
    assert_int_equal(frame_bytes(&g).len, 0);
}

static void test_frame_of_nothing(void **state)
{
    (void)state;
    struct frame f = {.full = false};
    struct buf b = {0};
    assert_int_equal(frame_of_buf(&f, &b), ERR_OK);
    assert_true(f.full);
    assert_int_equal(frame_bytes(&f).len, 0);
    assert_int_equal(frame_copy(&f, bytes_of(NULL, 0)), ERR_OK);
    assert_int_equal(frame_bytes(&f).len, 0);
    frame_close(&f);
}

/* --- between threads --- */

enum { SENDERS = 4, EACH = 5000 };

struct note {
    int sender, number;
    char text[16];
};
struct putter {
    struct net *net;
    int number;
};

static void *send_notes(void *ctx)
{
    const struct putter *s = ctx;
    struct outbox *out;
    if (outbox_open(s->net, "notes", &out, NULL) != ERR_OK)
        return NULL;
    for (int i = 0; i < EACH; i++) {
        struct note *n = malloc(sizeof *n);
        *n = (struct note){.sender = s->number, .number = i};
        (void)snprintf(n->text, sizeof n->text, "%d", i);
        if (!outbox_put(out, n))
            free(n);
    }
    outbox_close(out);
    return NULL;
}

static void test_inbox_from_many_threads(void **state)
{
    struct fixture *f = *state;
    struct inbox *in;
    pthread_t threads[SENDERS];
    struct putter senders[SENDERS];
    int next[SENDERS] = {0};
    assert_int_equal(inbox_open(f->net, "notes", &in, NULL), ERR_OK);
    for (int i = 0; i < SENDERS; i++) {
        senders[i] = (struct putter){f->net, i};
        assert_int_equal(pthread_create(&threads[i], NULL, send_notes, &senders[i]), 0);
    }
    for (int got = 0; got < SENDERS * EACH;) {
        struct waitable w = {.inbox = in};
        assert_int_equal(endpoint_wait(&w, 1, PATIENCE_MS), 1);
        for (struct note *n; (n = inbox_take(in)); got++) {
            assert_int_equal(n->number, next[n->sender]++);
            assert_int_equal(atoi(n->text), n->number);
            free(n);
        }
    }
    for (int i = 0; i < SENDERS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_null(inbox_take(in));
    inbox_close(in);
}

static void test_inbox_closed_leaves_the_message(void **state)
{
    struct fixture *f = *state;
    struct inbox *in;
    struct outbox *out;
    int message = 1;
    assert_int_equal(inbox_open(f->net, "x", &in, NULL), ERR_OK);
    assert_int_equal(outbox_open(f->net, "x", &out, NULL), ERR_OK);
    assert_true(outbox_put(out, &message));
    assert_ptr_equal(inbox_take(in), &message);
    struct inbox *second;
    struct error err;
    assert_int_equal(inbox_open(f->net, "x", &second, &err), ERR_IO);
    assert_null(second);
    inbox_close(in);
    while (outbox_put(out, &message)) /* until the close has come round */
        ;
    outbox_close(out);
}

/* A sender lets go of the queue, its message is taken, and only then it writes to wake the owner.
 */
static void test_inbox_late_wake_is_taken_back(void **state)
{
    struct fixture *f = *state;
    struct inbox *in;
    assert_int_equal(inbox_open(f->net, "late", &in, NULL), ERR_OK);
    struct waitable w = {.inbox = in};
    const uint64_t one = 1;
    assert_int_equal(write(inbox_fd(in), &one, sizeof one), sizeof one);
    assert_int_equal(endpoint_wait(&w, 1, 0), 0);
    struct pollfd p = {.fd = inbox_fd(in), .events = POLLIN};
    assert_int_equal(poll(&p, 1, 0), 0);
    inbox_close(in);
}

/* --- waiting --- */

static void test_wait_says_which(void **state)
{
    struct fixture *f = *state;
    int fds[2];
    struct inbox *in;
    struct outbox *out;
    int message = 1;
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(inbox_open(f->net, "w", &in, NULL), ERR_OK);
    assert_int_equal(outbox_open(f->net, "w", &out, NULL), ERR_OK);
    struct waitable w[] = {{.server = f->server}, {.link = f->link}, {.inbox = in}, {.fd = fds[0]}};
    assert_int_equal(endpoint_wait(w, 4, 0), 0);
    assert_int_equal(write(fds[1], "x", 1), 1);
    assert_int_equal(endpoint_wait(w, 4, PATIENCE_MS), 1);
    assert_true(w[3].ready && !w[0].ready && !w[1].ready && !w[2].ready);
    assert_true(outbox_put(out, &message));
    assert_int_equal(endpoint_wait(w, 3, PATIENCE_MS), 1);
    assert_true(w[2].ready);
    assert_int_equal(endpoint_wait(w, 4, PATIENCE_MS), 2);
    assert_true(w[2].ready && w[3].ready);
    assert_true(link_fd(f->link) >= 0);
    assert_ptr_equal(inbox_take(in), &message);
    outbox_close(out);
    inbox_close(in);
    assert_int_equal(close(fds[0]), 0);
    assert_int_equal(close(fds[1]), 0);
}

static volatile sig_atomic_t rung;

static void on_alarm(int sig)
{
    (void)sig;
    rung = 1;
}

static void test_wait_ends_on_a_signal(void **state)
{
    struct fixture *f = *state;
    struct sigaction sa = {.sa_handler = on_alarm}, before;
    assert_int_equal(sigaction(SIGALRM, &sa, &before), 0);
    struct waitable w = {.link = f->link, .ready = true};
    (void)alarm(1);
    while (!rung)
        assert_int_equal(endpoint_wait(&w, 1, -1), 0);
    assert_false(w.ready);
    assert_int_equal(sigaction(SIGALRM, &before, NULL), 0);
}

int main(void)
{
    struct CMUnitTest tests[] = {
        cmocka_unit_test(test_endpoint_request_and_answer),
        cmocka_unit_test(test_endpoint_wait_shows_what_was_left),
        cmocka_unit_test(test_endpoint_port_in_use),
        cmocka_unit_test(test_endpoint_malformed_names),
        cmocka_unit_test(test_endpoint_link_may_come_first),
        cmocka_unit_test(test_endpoint_sender_of_too_much_is_cut_off),
        cmocka_unit_test(test_endpoint_unknown_peer_loses_its_answer),
        cmocka_unit_test(test_endpoint_gone_peer_loses_its_answer),
        cmocka_unit_test(test_endpoint_multipart_junk_is_dropped),
        cmocka_unit_test(test_endpoint_garbage_does_not_disturb),
        cmocka_unit_test(test_endpoint_full_queue_keeps_the_frame),
        cmocka_unit_test(test_endpoint_unqueued_link_keeps_the_frame_until_there_is_a_peer),
        cmocka_unit_test(test_endpoint_lost_link_is_noticed),
        cmocka_unit_test(test_frame_takes_a_buffer_with_slack),
        cmocka_unit_test(test_frame_of_nothing),
        cmocka_unit_test(test_inbox_from_many_threads),
        cmocka_unit_test(test_inbox_closed_leaves_the_message),
        cmocka_unit_test(test_inbox_late_wake_is_taken_back),
        cmocka_unit_test(test_wait_says_which),
        cmocka_unit_test(test_wait_ends_on_a_signal),
    };
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) {
        tests[i].setup_func = setup;
        tests[i].teardown_func = teardown;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
