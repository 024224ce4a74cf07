/* The HTTP port over real sockets: its two pages, and what it makes of everything else. */
#include <metrics/http.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static bool serving;

static void show(void *ctx, struct buf *out)
{
    const char *text = ctx;
    buf_put(out, text, strlen(text));
}

static bool is_serving(void *ctx, struct buf *out)
{
    (void)ctx;
    if (!serving)
        buf_put(out, "not now", 7);
    return serving;
}

static int setup(void **state)
{
    static char figures[] = "oneid_x 1\n";
    struct http_pages pages = {show, is_serving, figures};
    struct http_server *s = NULL;
    struct error err;
    serving = true;
    if (http_start("127.0.0.1:0", &pages, &s, &err) != ERR_OK)
        return -1;
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    http_stop(*state);
    return 0;
}

static int reach(const struct http_server *s)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons(http_port(s)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    return fd;
}

/* All that comes back until the server closes. */
static const char *ask(const struct http_server *s, const char *request)
{
    static char answer[8192];
    size_t n = 0;
    ssize_t got;
    int fd = reach(s);
    assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
    while (n < sizeof answer - 1 && (got = recv(fd, answer + n, sizeof answer - 1 - n, 0)) > 0)
        n += (size_t)got;
    answer[n] = '\0';
    (void)close(fd);
    return answer;
}

#define END " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

static void test_metrics_and_health_are_served(void **state)
{
    const char *a = ask(*state, "GET /metrics" END);
    assert_non_null(strstr(a, "HTTP/1.1 200"));
    assert_non_null(strstr(a, "text/plain; version=0.0.4"));
    assert_non_null(strstr(a, "\r\n\r\noneid_x 1\n"));
    a = ask(*state, "GET /healthz" END);
    assert_non_null(strstr(a, "HTTP/1.1 200"));
    assert_non_null(strstr(a, "\r\n\r\nok\n"));
    serving = false;
    a = ask(*state, "GET /healthz" END);
    assert_non_null(strstr(a, "HTTP/1.1 503"));
    assert_non_null(strstr(a, "not now\n"));
    a = ask(*state, "HEAD /metrics" END);
    assert_non_null(strstr(a, "HTTP/1.1 200"));
    assert_null(strstr(a, "oneid_x"));
}

static void test_nothing_else_is_served(void **state)
{
    static const char *const OTHERS[] = {"GET /" END, "GET /metrics/../etc/passwd" END,
                                         "GET /healthz2" END};
    for (size_t i = 0; i < sizeof OTHERS / sizeof *OTHERS; i++)
        assert_non_null(strstr(ask(*state, OTHERS[i]), "HTTP/1.1 404"));
    assert_non_null(strstr(ask(*state, "POST /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                                       "Content-Length: 5\r\n\r\nhello"),
                           "HTTP/1.1 405"));
    assert_non_null(strstr(ask(*state, "DELETE /metrics" END), "HTTP/1.1 405"));
}

static void test_strangers_do_no_harm(void **state)
{
    static char large[100000];
    int fds[40];
    (void)ask(*state, "\x01\x02\x03\r\n\r\n");
    (void)ask(*state, "GET\r\n\r\n");
    memset(large, 'a', sizeof large - 1); /* a head larger than a connection may hold */
    memcpy(large, "GET /", 5);
    int fd = reach(*state);
    for (size_t sent = 0; sent < sizeof large - 1;) {
        ssize_t n = send(fd, large + sent, sizeof large - 1 - sent, MSG_NOSIGNAL);
        if (n <= 0)
            break; /* it has been cut off */
        sent += (size_t)n;
    }
    (void)close(fd);
    for (size_t i = 0; i < 40; i++) /* more than it takes at a time, and silent */
        fds[i] = reach(*state);
    for (size_t i = 0; i < 40; i++)
        (void)close(fds[i]);
    assert_non_null(strstr(ask(*state, "GET /metrics" END), "HTTP/1.1 200"));
}

static void test_addresses_that_cannot_be(void **state)
{
    static const char *const WRONG[] = {
        "",           "127.0.0.1",  "127.0.0.1:",      ":9101",        "x:9101",
        "1.2.3:9101", "[::1]:9101", "127.0.0.1:70000", "127.0.0.1:9x", "127.0.0.1:-1"};
    struct http_pages pages = {show, is_serving, NULL};
    struct http_server *s = NULL;
    struct error err;
    for (size_t i = 0; i < sizeof WRONG / sizeof *WRONG; i++) {
        assert_int_equal(http_start(WRONG[i], &pages, &s, &err), ERR_CONFIG);
        assert_null(s);
    }
    char used[32];
    (void)snprintf(used, sizeof used, "127.0.0.1:%u", http_port(*state));
    assert_int_equal(http_start(used, &pages, &s, &err), ERR_IO);
    assert_non_null(strstr(err.msg, used));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_metrics_and_health_are_served),
        T(test_nothing_else_is_served),
        T(test_strangers_do_no_harm),
        T(test_addresses_that_cannot_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
