/* CURVE at the endpoints: who gets through, who does not, and that it is noticed. */
#include "wire_proxy.h"

#include <proto/envelope.h>
#include <proto/security.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <tempdir.h>

enum { PATIENCE_MS = 30000, TURN_MS = 10, MESSAGE_MAX = 100000 };
enum { SERVER, SERVER_NEW, READER, WRITER, STRANGER, KEYS };

struct fixture {
    char *dir;
    char allowed[600], endpoint[64];
    struct key_pair keys[KEYS];
    struct net *net;
    struct server *server;
    int port;
};

/* --- the list of allowed keys --- */

static void write_allowed(const struct fixture *f, const char *text)
{
    char temporary[700];
    (void)snprintf(temporary, sizeof temporary, "%s.new", f->allowed);
    FILE *out = fopen(temporary, "w");
    assert_non_null(out);
    assert_true(fputs(text, out) >= 0);
    assert_int_equal(fclose(out), 0);
    assert_int_equal(rename(temporary, f->allowed), 0);
}

/* `who`: places of keys that are allowed, beside the servers'. */
static void allow(const struct fixture *f, const int *who, size_t n)
{
    static const char *const ROLES[KEYS] = {"node", "node", "reader", "writer", "reader"};
    char text[2000] = "";
    for (int i = 0; i < KEYS; i++) {
        bool listed = i <= SERVER_NEW;
        for (size_t k = 0; k < n; k++)
            listed = listed || who[k] == i;
        size_t at = strlen(text);
        if (listed)
            (void)snprintf(text + at, sizeof text - at, "%s %s %s\n", f->keys[i].public_key,
                           ROLES[i], f->keys[i].name);
    }
    write_allowed(f, text);
}
#define ALLOW(f, ...)                                                                              \
    allow(f, (const int[]){__VA_ARGS__}, sizeof((const int[]){__VA_ARGS__}) / sizeof(int))

/* --- the server and its clients --- */

static void open_server(struct fixture *f, int key, const char *endpoint)
{
    struct error err = {0};
    struct security_options o = {.own = &f->keys[key], .allowed = f->allowed, .serves = true};
    assert_int_equal(net_open(1, &f->net, NULL), ERR_OK);
    if (net_secure(f->net, &o, &err) != ERR_OK)
        fail_msg("%s", err.msg);
    if (server_open(f->net, endpoint, MESSAGE_MAX, &f->server, &err) != ERR_OK)
        fail_msg("%s", err.msg);
    (void)snprintf(f->endpoint, sizeof f->endpoint, "%s", server_endpoint(f->server));
    f->port = atoi(strrchr(f->endpoint, ':') + 1);
}

static void close_server(struct fixture *f)
{
    server_close(f->server);
    net_close(f->net);
}

struct caller {
    struct net *net;
    struct link *link;
};

static struct caller open_caller(const struct fixture *f, int key, int port,
                                 const char *server_keys)
{
    struct caller c = {NULL, NULL};
    char endpoint[64];
    struct error err = {0};
    (void)snprintf(endpoint, sizeof endpoint, "tcp://127.0.0.1:%d", port);
    struct known_server server = {.endpoint = endpoint, .keys = server_keys};
    struct security_options o = {.own = &f->keys[key], .servers = &server, .n_servers = 1};
    assert_int_equal(net_open(1, &c.net, NULL), ERR_OK);
    if (server_keys && net_secure(c.net, &o, &err) != ERR_OK)
        fail_msg("%s", err.msg);
    if (link_open(c.net, endpoint, &c.link, &err) != ERR_OK)
        fail_msg("%s", err.msg);
    return c;
}

static void close_caller(struct caller *c)
{
    link_close(c->link);
    net_close(c->net);
}

static int setup(void **state)
{
    static const char *const NAMES[KEYS] = {"node-1", "node-1", "ann", "shop", "mallory"};
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->dir = tempdir_make();
    (void)snprintf(f->allowed, sizeof f->allowed, "%s/allowed", f->dir);
    for (int i = 0; i < KEYS; i++)
        assert_int_equal(key_pair_make(NAMES[i], &f->keys[i], NULL), ERR_OK);
    ALLOW(f, READER, WRITER);
    open_server(f, SERVER, "tcp://127.0.0.1:*");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    close_server(f);
    tempdir_remove(f->dir);
    free(f);
    return 0;
}

static void say(struct caller *c, const char *text)
{
    struct frame f = {.full = false};
    assert_int_equal(frame_copy(&f, bytes_of_str(text)), ERR_OK);
    (void)link_send(c->link, &f);
    frame_close(&f);
}

/* A turn of both sides; true: the server heard something, which goes back to where it came from. */
static bool turn(struct fixture *f, struct caller *c, struct frame *heard)
{
    struct peer from;
    struct frame back = {.full = false};
    struct waitable wait[] = {{.server = f->server}, {.link = c->link}};
    (void)endpoint_wait(wait, 2, TURN_MS);
    if (!server_recv(f->server, &from, heard))
        return false;
    assert_int_equal(frame_copy(&back, frame_bytes(heard)), ERR_OK);
    (void)server_send(f->server, &from, &back);
    return true;
}

/* Says it again and again, as all owners of links do, until it comes back. */
static void exchange(struct fixture *f, struct caller *c, const char *text)
{
    struct frame heard = {.full = false}, back = {.full = false};
    msec_t end = clock_mono_ms() + PATIENCE_MS, said = 0;
    bool done = false;
    while (!done && clock_mono_ms() < end) {
        if (clock_mono_ms() - said > 100) {
            say(c, text);
            said = clock_mono_ms();
        }
        if (turn(f, c, &heard))
            assert_true(bytes_equal(frame_bytes(&heard), bytes_of_str(text)));
        while (!done && link_recv(c->link, &back))
            done = bytes_equal(frame_bytes(&back), bytes_of_str(text));
    }
    frame_close(&heard);
    frame_close(&back);
    assert_true(done);
    while (turn(f, c, &heard) || link_recv(c->link, &back))
        frame_close(&heard); /* the copies */
    frame_close(&back);
}

/* The caller talks until `counter` counts, and nothing of it is heard. */
static void expect_silence(struct fixture *f, struct caller *c, const _Atomic uint64_t *counter)
{
    struct frame heard = {.full = false};
    msec_t end = clock_mono_ms() + PATIENCE_MS;
    while (atomic_load(counter) == 0 && clock_mono_ms() < end) {
        say(c, "let me in");
        assert_false(turn(f, c, &heard));
    }
    assert_true(atomic_load(counter) > 0);
}

/* --- who gets through --- */

static void test_curve_an_allowed_key_is_heard_and_known(void **state)
{
    struct fixture *f = *state;
    struct caller c = open_caller(f, WRITER, f->port, f->keys[SERVER].public_key);
    char name[KEY_NAME_MAX + 1], fingerprint[FINGERPRINT_SIZE], expected[FINGERPRINT_SIZE];
    exchange(f, &c, "hello");
    struct sender who = server_sender(f->server);
    assert_int_equal(who.roles, ROLE_WRITER | ROLE_READER);
    assert_true(security_describe(f->net, &who, name, fingerprint));
    assert_string_equal(name, "shop");
    key_fingerprint(f->keys[WRITER].public_key, expected);
    assert_string_equal(fingerprint, expected);
    assert_true(atomic_load(&security_counters(f->net)->accepted) > 0);
    assert_int_equal(link_trouble(c.link), LINK_NO_TROUBLE);
    close_caller(&c);
}

static void test_curve_an_unknown_key_is_refused_until_it_is_listed(void **state)
{
    struct fixture *f = *state;
    struct caller c = open_caller(f, STRANGER, f->port, f->keys[SERVER].public_key);
    expect_silence(f, &c, &security_counters(f->net)->unknown_key);
    struct frame none = {.full = false};
    for (msec_t end = clock_mono_ms() + PATIENCE_MS;
         link_trouble(c.link) == LINK_NO_TROUBLE && clock_mono_ms() < end;)
        assert_false(turn(f, &c, &none));
    assert_int_equal(link_trouble(c.link), LINK_KEY_REFUSED);
    ALLOW(f, READER, STRANGER);
    exchange(f, &c, "now I may");
    assert_int_equal(link_trouble(c.link), LINK_NO_TROUBLE);
    close_caller(&c);
}

static void test_curve_plain_text_is_not_heard(void **state)
{
    struct fixture *f = *state;
    struct caller c = open_caller(f, READER, f->port, NULL);
    expect_silence(f, &c, &security_counters(f->net)->bad_handshake);
    close_caller(&c);
}

static void test_curve_a_plain_server_hears_nothing(void **state)
{
    struct fixture *f = *state, plain = *f;
    assert_int_equal(net_open(1, &plain.net, NULL), ERR_OK);
    assert_int_equal(server_open(plain.net, "tcp://127.0.0.1:*", MESSAGE_MAX, &plain.server, NULL),
                     ERR_OK);
    plain.port = atoi(strrchr(server_endpoint(plain.server), ':') + 1);
    struct caller c = open_caller(f, READER, plain.port, f->keys[SERVER].public_key);
    struct frame heard = {.full = false};
    for (msec_t end = clock_mono_ms() + PATIENCE_MS;
         link_trouble(c.link) == LINK_NO_TROUBLE && clock_mono_ms() < end;) {
        say(&c, "secret");
        assert_false(turn(&plain, &c, &heard));
    }
    assert_int_equal(link_trouble(c.link), LINK_NO_HANDSHAKE);
    close_caller(&c);
    close_server(&plain);
}

/* Somebody who sits at the server's address with a key of its own learns nothing. */
static void test_curve_another_server_hears_nothing(void **state)
{
    struct fixture *f = *state, fake = *f;
    open_server(&fake, STRANGER, "tcp://127.0.0.1:*");
    struct caller c = open_caller(f, READER, fake.port, f->keys[SERVER].public_key);
    expect_silence(&fake, &c, &security_counters(fake.net)->bad_handshake);
    assert_int_equal(atomic_load(&security_counters(fake.net)->accepted), 0);
    close_caller(&c);
    close_server(&fake);
}

/* --- roles, and keys that are taken off the list --- */

static enum error_code await_error(struct fixture *f, struct caller *c, uint64_t request_id)
{
    struct buf b = {0};
    struct envelope e = {.type = MESSAGE_MAP_REQUEST, .request_id = request_id};
    struct frame frame = {.full = false}, heard = {.full = false};
    enum error_code code = ERR_OK;
    msec_t end = clock_mono_ms() + PATIENCE_MS;
    envelope_encode(&e, 0, &b);
    while (code == ERR_OK && clock_mono_ms() < end) {
        assert_int_equal(frame_copy(&frame, buf_bytes(&b)), ERR_OK);
        (void)link_send(c->link, &frame);
        (void)turn(f, c, &heard);
        struct error err;
        while (link_recv(c->link, &frame)) {
            assert_int_equal(envelope_decode(frame_bytes(&frame), &e, NULL), ERR_OK);
            assert_int_equal(e.request_id, request_id);
            if (e.type == MESSAGE_ERROR)
                code = wire_error_decode(e.body, &err);
        }
    }
    frame_close(&frame);
    frame_close(&heard);
    buf_free(&b);
    return code;
}

static void test_curve_a_role_that_is_missing_is_told_so(void **state)
{
    struct fixture *f = *state;
    server_require(f->server, ROLE_NODE);
    struct caller c = open_caller(f, WRITER, f->port, f->keys[SERVER].public_key);
    struct caller node = open_caller(f, SERVER_NEW, f->port, f->keys[SERVER].public_key);
    assert_int_equal(await_error(f, &c, 77), ERR_DENIED);
    assert_true(atomic_load(&security_counters(f->net)->denied) > 0);
    exchange(f, &node, "I am one");
    close_caller(&c);
    close_caller(&node);
}

static void test_curve_a_revoked_key_is_refused_although_connected(void **state)
{
    struct fixture *f = *state;
    struct caller c = open_caller(f, READER, f->port, f->keys[SERVER].public_key);
    struct caller other = open_caller(f, WRITER, f->port, f->keys[SERVER].public_key);
    exchange(f, &c, "hello");
    struct sender who = server_sender(f->server);
    assert_true(security_allows(f->net, &who, ROLE_READER));
    ALLOW(f, WRITER);
    assert_int_equal(await_error(f, &c, 5), ERR_DENIED);
    assert_false(security_allows(f->net, &who, ROLE_READER));
    assert_true(atomic_load(&security_counters(f->net)->revoked) > 0);
    exchange(f, &other, "still here");
    ALLOW(f, WRITER, READER);
    exchange(f, &c, "and back");
    close_caller(&c);
    close_caller(&other);
}

static void test_curve_a_damaged_list_changes_nothing(void **state)
{
    static const char *const DAMAGED[] = {"nonsense\n", "", NULL};
    struct fixture *f = *state;
    struct caller c = open_caller(f, READER, f->port, f->keys[SERVER].public_key);
    exchange(f, &c, "hello");
    for (size_t i = 0; i < 3; i++) {
        const struct security_counters *n = security_counters(f->net);
        uint64_t before = atomic_load(&n->failed_reloads);
        if (DAMAGED[i])
            write_allowed(f, DAMAGED[i]);
        else
            assert_int_equal(unlink(f->allowed), 0);
        for (msec_t end = clock_mono_ms() + PATIENCE_MS;
             atomic_load(&n->failed_reloads) == before && clock_mono_ms() < end;)
            exchange(f, &c, "meanwhile");
        assert_int_equal(atomic_load(&n->failed_reloads), before + 1);
        exchange(f, &c, "as before");
    }
    ALLOW(f, WRITER);
    assert_int_equal(await_error(f, &c, 9), ERR_DENIED);
    close_caller(&c);
}

static void test_curve_a_list_is_needed_to_begin(void **state)
{
    struct fixture *f = *state;
    struct net *n = NULL;
    struct error err;
    struct security_options o = {.own = &f->keys[SERVER], .allowed = f->allowed, .serves = true};
    assert_int_equal(net_open(1, &n, NULL), ERR_OK);
    write_allowed(f, "");
    assert_int_equal(net_secure(n, &o, &err), ERR_CONFIG);
    assert_non_null(strstr(err.msg, "expected at least one key"));
    assert_int_equal(unlink(f->allowed), 0);
    assert_int_equal(net_secure(n, &o, &err), ERR_IO);
    net_close(n);
}

/* --- changing a server's key --- */

static void test_curve_a_server_changes_its_key(void **state)
{
    struct fixture *f = *state;
    char both[2 * KEY_SIZE], endpoint[64];
    (void)snprintf(both, sizeof both, "%s %s", f->keys[SERVER].public_key,
                   f->keys[SERVER_NEW].public_key);
    (void)snprintf(endpoint, sizeof endpoint, "%s", f->endpoint);
    struct caller c = open_caller(f, READER, f->port, both);
    for (int round = 0; round < 4; round++) {
        exchange(f, &c, "hello");
        close_server(f);
        open_server(f, round % 2 ? SERVER : SERVER_NEW, endpoint);
    }
    exchange(f, &c, "at last");
    close_caller(&c);
}

static bool is_up_soon(struct fixture *f, struct caller *c, bool expected)
{
    struct frame heard = {.full = false};
    msec_t end = clock_mono_ms() + PATIENCE_MS;
    while (link_is_up(c->link) != expected && clock_mono_ms() < end) {
        (void)turn(f, c, &heard);
        frame_close(&heard);
    }
    return link_is_up(c->link) == expected;
}

static void test_curve_a_lost_server_is_noticed(void **state)
{
    struct fixture *f = *state;
    char endpoint[64];
    (void)snprintf(endpoint, sizeof endpoint, "%s", f->endpoint);
    struct caller c = open_caller(f, READER, f->port, f->keys[SERVER].public_key);
    exchange(f, &c, "hello");
    assert_true(is_up_soon(f, &c, true));
    close_server(f);
    open_server(f, SERVER, "tcp://127.0.0.1:*"); /* elsewhere */
    assert_true(is_up_soon(f, &c, false));
    close_server(f);
    open_server(f, SERVER, endpoint);
    exchange(f, &c, "again");
    assert_true(is_up_soon(f, &c, true));
    assert_int_equal(link_endings(c.link), 1);
    close_caller(&c);
}

/* A connection that never came about was not lost. */
static void test_curve_a_refused_link_is_not_lost(void **state)
{
    struct fixture *f = *state;
    struct caller c = open_caller(f, STRANGER, f->port, f->keys[SERVER].public_key);
    expect_silence(f, &c, &security_counters(f->net)->unknown_key);
    assert_int_equal(link_endings(c.link), 0);
    assert_false(link_is_up(c.link));
    close_caller(&c);
}

static void test_curve_a_node_that_came_later_is_known_by_its_name(void **state)
{
    struct fixture *f = *state;
    struct caller c = {NULL, NULL};
    struct error err = {0};
    struct security_options o = {.own = &f->keys[READER], .allowed = f->allowed};
    assert_int_equal(net_open(1, &c.net, NULL), ERR_OK);
    assert_int_equal(net_know_node(c.net, f->endpoint, 1, &err), ERR_OK); /* plain: nothing */
    assert_int_equal(net_secure(c.net, &o, &err), ERR_OK);
    assert_int_equal(net_know_node(c.net, f->endpoint, 2, &err), ERR_OK); /* it has no key */
    assert_int_equal(net_know_node(c.net, f->endpoint, 1, &err), ERR_OK);
    assert_int_equal(link_open(c.net, f->endpoint, &c.link, &err), ERR_OK);
    exchange(f, &c, "hello");
    close_caller(&c);
}

/* --- bytes that are changed or said again on the way --- */

static void test_curve_changed_bytes_are_never_heard(void **state)
{
    static const uint8_t MASKS[] = {0x01, 0x80, 0xff};
    struct fixture *f = *state;
    struct wire_proxy *p = wire_proxy_open(f->port);
    unsigned rounds = 0;
    for (size_t at = 0; at < 900; at += 37, rounds++) {
        bool to_server = rounds % 2 == 0;
        unsigned before = wire_proxy_damaged(p);
        wire_proxy_damage(p, to_server, at, MASKS[rounds % 3]);
        struct caller c = open_caller(f, READER, wire_proxy_port(p), f->keys[SERVER].public_key);
        struct frame heard = {.full = false}, back = {.full = false};
        for (msec_t end = clock_mono_ms() + PATIENCE_MS;
             wire_proxy_damaged(p) == before && clock_mono_ms() < end;) {
            say(&c, "nothing but this");
            if (turn(f, &c, &heard))
                assert_true(bytes_equal(frame_bytes(&heard), bytes_of_str("nothing but this")));
            while (link_recv(c.link, &back))
                assert_true(bytes_equal(frame_bytes(&back), bytes_of_str("nothing but this")));
        }
        assert_true(wire_proxy_damaged(p) > before);
        wire_proxy_damage(p, true, 0, 0);
        exchange(f, &c, "nothing but this"); /* the connection comes back */
        frame_close(&heard);
        frame_close(&back);
        close_caller(&c);
    }
    wire_proxy_close(p);
}

static void test_curve_bytes_said_again_are_not_heard(void **state)
{
    struct fixture *f = *state;
    struct wire_proxy *p = wire_proxy_open(f->port);
    struct caller c = open_caller(f, READER, wire_proxy_port(p), f->keys[SERVER].public_key);
    struct buf said = {0}, answer = {0};
    struct frame heard = {.full = false};
    exchange(f, &c, "pay me again");
    wire_proxy_said(p, &said);
    assert_true(said.len > 500);
    const struct security_counters *n = security_counters(f->net);
    for (int round = 0; round < 3; round++) {
        uint64_t before = atomic_load(&n->bad_handshake), accepted = atomic_load(&n->accepted);
        (void)wire_replay(f->port, buf_bytes(&said), &answer);
        for (msec_t end = clock_mono_ms() + PATIENCE_MS;
             atomic_load(&n->bad_handshake) == before && clock_mono_ms() < end;)
            assert_false(turn(f, &c, &heard));
        assert_true(atomic_load(&n->bad_handshake) > before);
        assert_int_equal(atomic_load(&n->accepted), accepted);
    }
    /* The words are not there to be read, either. */
    for (size_t i = 0; i + 6 <= said.len; i++)
        assert_memory_not_equal(said.data + i, "pay me", 6);
    buf_free(&said);
    buf_free(&answer);
    close_caller(&c);
    wire_proxy_close(p);
}

/* --- limits --- */

static void test_curve_each_key_is_bounded(void **state)
{
    struct fixture *f = *state;
    char text[600];
    struct error err;
    (void)snprintf(text, sizeof text,
                   "%s reader ann requests_per_second=10 in_flight=25 message_kb=2\n",
                   f->keys[READER].public_key);
    close_server(f);
    write_allowed(f, text);
    open_server(f, SERVER, "tcp://127.0.0.1:*");
    struct caller c = open_caller(f, READER, f->port, f->keys[SERVER].public_key);
    exchange(f, &c, "hello");
    struct sender who = server_sender(f->server);
    struct net *n = f->net;
    const struct security_counters *counters = security_counters(n);
    msec_t now = 1000000;
    assert_int_equal(security_take(n, &who, 1, 2049, now, &err), ERR_TOO_LARGE);
    assert_int_equal(security_take(n, &who, 8, 2048, now, &err), ERR_OK);
    assert_int_equal(security_take(n, &who, 8, 100, now, &err), ERR_OK); /* six are owed */
    assert_int_equal(security_take(n, &who, 1, 100, now, &err), ERR_BUSY);
    assert_non_null(strstr(err.msg, "10 requests a second"));
    assert_int_equal(security_take(n, &who, 1, 100, now + 600, &err), ERR_BUSY);
    assert_int_equal(security_take(n, &who, 1, 100, now + 700, &err), ERR_OK);
    assert_int_equal(security_take(n, &who, 9, 100, now + 5000, &err), ERR_BUSY);
    assert_non_null(strstr(err.msg, "25 requests in flight"));
    security_return(n, &who, 17);
    assert_int_equal(security_take(n, &who, 26, 100, now + 5000, &err), ERR_OK); /* alone */
    security_return(n, &who, 1000);
    assert_int_equal(atomic_load(&counters->over_size), 1);
    assert_int_equal(atomic_load(&counters->over_rate), 2);
    assert_int_equal(atomic_load(&counters->over_in_flight), 1);
    close_caller(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CURVE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        CURVE_TEST(test_curve_an_allowed_key_is_heard_and_known),
        CURVE_TEST(test_curve_an_unknown_key_is_refused_until_it_is_listed),
        CURVE_TEST(test_curve_plain_text_is_not_heard),
        CURVE_TEST(test_curve_a_plain_server_hears_nothing),
        CURVE_TEST(test_curve_another_server_hears_nothing),
        CURVE_TEST(test_curve_a_role_that_is_missing_is_told_so),
        CURVE_TEST(test_curve_a_revoked_key_is_refused_although_connected),
        CURVE_TEST(test_curve_a_damaged_list_changes_nothing),
        CURVE_TEST(test_curve_a_list_is_needed_to_begin),
        CURVE_TEST(test_curve_a_server_changes_its_key),
        CURVE_TEST(test_curve_a_lost_server_is_noticed),
        CURVE_TEST(test_curve_a_refused_link_is_not_lost),
        CURVE_TEST(test_curve_a_node_that_came_later_is_known_by_its_name),
        CURVE_TEST(test_curve_changed_bytes_are_never_heard),
        CURVE_TEST(test_curve_bytes_said_again_are_not_heard),
        CURVE_TEST(test_curve_each_key_is_bounded),
#undef CURVE_TEST
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
