/* The HTTP port of a process: GET /metrics and GET /healthz, nothing else. One thread of its own, a
 * few connections, small requests; whatever else is asked gets 404 or 405. */
#ifndef METRICS_HTTP_H
#define METRICS_HTTP_H

#include <base/bytes.h>
#include <base/error.h>

#include <stdint.h>

struct http_server;

/* Both run on the server's thread and append to `out`. */
struct http_pages {
    void (*metrics)(void *ctx, struct buf *out);
    /* Does the process serve? Why it does not goes to `out`. */
    bool (*is_serving)(void *ctx, struct buf *out);
    void *ctx;
};

/* `address` is "a.b.c.d:port", port 0: any. ERR_CONFIG: no such address; ERR_IO: cannot be bound.
 */
enum error_code http_start(const char *address, const struct http_pages *pages,
                           struct http_server **out, struct error *err);
/* Ends the thread; nothing of `pages` is called any more. NULL is fine. */
void http_stop(struct http_server *s);
uint16_t http_port(const struct http_server *s);

#endif
