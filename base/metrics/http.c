#include <metrics/http.h>

#include <microhttpd.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONNECTIONS_MAX = 16, TIMEOUT_S = 10, CONNECTION_BYTES = 16 * 1024 };

struct http_server {
    struct MHD_Daemon *daemon;
    struct http_pages pages;
};

static enum MHD_Result answer(struct MHD_Connection *c, unsigned status, const char *type,
                              const struct buf *page)
{
    struct MHD_Response *r =
        MHD_create_response_from_buffer(page->len, page->data, MHD_RESPMEM_MUST_COPY);
    if (!r)
        return MHD_NO;
    (void)MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    enum MHD_Result rc = MHD_queue_response(c, status, r);
    MHD_destroy_response(r);
    return rc;
}

static enum MHD_Result answer_text(struct MHD_Connection *c, unsigned status, const char *text)
{
    struct buf page = {0};
    buf_put(&page, text, strlen(text));
    enum MHD_Result rc = answer(c, status, "text/plain; charset=utf-8", &page);
    buf_free(&page);
    return rc;
}

static enum MHD_Result show_metrics(struct http_server *s, struct MHD_Connection *c)
{
    struct buf page = {0};
    s->pages.metrics(s->pages.ctx, &page);
    enum MHD_Result rc = answer(c, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8", &page);
    buf_free(&page);
    return rc;
}

static enum MHD_Result show_health(struct http_server *s, struct MHD_Connection *c)
{
    struct buf page = {0};
    bool serving = s->pages.is_serving(s->pages.ctx, &page);
    const char *end = serving ? "ok\n" : "\n";
    buf_put(&page, end, strlen(end));
    enum MHD_Result rc = answer(c, serving ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE,
                                "text/plain; charset=utf-8", &page);
    buf_free(&page);
    return rc;
}

/* What a request may carry along is not looked at. */
static enum MHD_Result on_request(void *ctx, struct MHD_Connection *c, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *data_len, void **state)
{
    struct http_server *s = ctx;
    (void)version;
    (void)data;
    (void)state;
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0) {
        *data_len = 0;
        return answer_text(c, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET\n");
    }
    if (strcmp(url, "/metrics") == 0)
        return show_metrics(s, c);
    if (strcmp(url, "/healthz") == 0)
        return show_health(s, c);
    return answer_text(c, MHD_HTTP_NOT_FOUND, "there are /metrics and /healthz\n");
}

static bool parse_address(const char *text, struct sockaddr_in *out)
{
    char host[INET_ADDRSTRLEN];
    const char *colon = strrchr(text, ':');
    size_t len = colon ? (size_t)(colon - text) : 0;
    *out = (struct sockaddr_in){.sin_family = AF_INET};
    if (len == 0 || len >= sizeof host)
        return false;
    memcpy(host, text, len);
    host[len] = '\0';
    char *end;
    long port = strtol(colon + 1, &end, 10);
    out->sin_port = htons((uint16_t)port);
    return colon[1] >= '0' && colon[1] <= '9' && *end == '\0' && port <= UINT16_MAX &&
           inet_pton(AF_INET, host, &out->sin_addr) == 1;
}

enum error_code http_start(const char *address, const struct http_pages *pages,
                           struct http_server **out, struct error *err)
{
    struct sockaddr_in at;
    *out = NULL;
    if (!parse_address(address, &at))
        return error_set(err, ERR_CONFIG, "metrics: expected address:port, as in 127.0.0.1:9101");
    struct http_server *s = calloc(1, sizeof *s);
    if (!s)
        return error_set(err, ERR_NOMEM, "metrics");
    s->pages = *pages;
    errno = 0;
    /* Not by select(), which knows the first 1024 descriptors only. */
    s->daemon = MHD_start_daemon(
        MHD_USE_POLL | MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL, on_request, s,
        MHD_OPTION_SOCK_ADDR, &at, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)TIMEOUT_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)CONNECTION_BYTES, MHD_OPTION_END);
    if (s->daemon) {
        *out = s;
        return ERR_OK;
    }
    int sys = errno;
    free(s);
    return error_set_sys(err, ERR_IO, sys, "metrics: %s cannot be listened on", address);
}

void http_stop(struct http_server *s)
{
    if (!s)
        return;
    MHD_stop_daemon(s->daemon);
    free(s);
}

uint16_t http_port(const struct http_server *s)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_BIND_PORT);
    return info ? info->port : 0;
}
