/* The measuring client of Redis, on hiredis.
 *
 *     bench_redis ingest PORT EVENTS PER_CALL CALLS_IN_FLIGHT BITMAPS   lines to the function
 *                                                             `ingest`; BITMAPS 1: keep them live
 *     bench_redis get PORT IDS CONNECTIONS DEPTH SECONDS HOW profiles by identity: `commands`, GET
 *                                                             then HGETALL, or `function`, one call
 *     bench_redis dump PORT                                  every profile, one canonical line each
 *     bench_redis ask PORT REPEATS < QUESTIONS               `name<TAB>function`: called so often
 *
 * The canonical line is that of lib/truth.py; the layout of the keys that of peers/redis/oneid.lua.
 */
#include "common.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONNECTIONS_MAX = 256, MAX_PARTS = 512 };

static redisContext *connect_to(int port)
{
    redisContext *c = redisConnect("127.0.0.1", port);
    if (!c || c->err)
        die("127.0.0.1:%d: %s", port, c ? c->errstr : "out of memory");
    return c;
}

static redisReply *expect(redisContext *c, int type)
{
    redisReply *r;
    if (redisGetReply(c, (void **)&r) != REDIS_OK)
        die("%s", c->errstr);
    if (r->type != type)
        die("an answer of another type: %s", r->str ? r->str : "");
    return r;
}

/* --- ingest --- */

struct ingest {
    redisContext *redis;
    FILE *in;
    size_t per_call;
    const char **args; /* FCALL ingest 0 BITMAPS, then lines */
    size_t *lens;
    char *store;
    uint64_t lines, applied;
};

enum { ARGS_BEFORE_LINES = 4 };

/* Queues the next lines as one call; false: there are none. */
static bool queue_call(struct ingest *g)
{
    size_t n = 0;
    char *at = g->store;
    while (n < g->per_call && fgets(at, PEER_LINE_MAX, g->in)) {
        size_t len = strcspn(at, "\n");
        if (at[len] != '\n')
            die("a line of more than %d bytes", PEER_LINE_MAX);
        g->args[ARGS_BEFORE_LINES + n] = at;
        g->lens[ARGS_BEFORE_LINES + n++] = len;
        at += len + 1;
    }
    if (n == 0)
        return false;
    if (redisAppendCommandArgv(g->redis, (int)(ARGS_BEFORE_LINES + n), g->args, g->lens))
        die("%s", g->redis->errstr);
    g->lines += n;
    return true;
}

static void take_call(struct ingest *g)
{
    redisReply *r = expect(g->redis, REDIS_REPLY_INTEGER);
    g->applied += (uint64_t)r->integer;
    freeReplyObject(r);
}

/* Half a window at a time is refilled, so that calls travel together. */
static void ingest_loop(struct ingest *g, size_t window)
{
    size_t in_flight = 0;
    bool more = true;
    while (more || in_flight > 0) {
        while (more && in_flight < window) {
            more = queue_call(g);
            in_flight += more;
        }
        size_t take = window / 2 > 0 ? window / 2 : 1;
        for (take = take < in_flight ? take : in_flight; take > 0; take--, in_flight--)
            take_call(g);
    }
}

static void ingest(int port, const char *path, size_t per_call, size_t window, const char *bitmaps)
{
    struct ingest g = {.redis = connect_to(port), .in = fopen(path, "r"), .per_call = per_call};
    const char *head[ARGS_BEFORE_LINES] = {"FCALL", "ingest", "0", bitmaps};
    if (!g.in)
        die("%s: %s", path, strerror(errno));
    g.args = need(calloc(per_call + ARGS_BEFORE_LINES, sizeof *g.args));
    g.lens = need(calloc(per_call + ARGS_BEFORE_LINES, sizeof *g.lens));
    g.store = need(malloc(per_call * PEER_LINE_MAX));
    for (size_t i = 0; i < ARGS_BEFORE_LINES; i++) {
        g.args[i] = head[i];
        g.lens[i] = strlen(head[i]);
    }
    double begin = now_s();
    ingest_loop(&g, window);
    ingest_print(g.lines, g.applied, now_s() - begin);
    redisFree(g.redis);
    (void)fclose(g.in);
    free(g.args);
    free(g.lens);
    free(g.store);
}

/* --- get --- */

/* A request in flight: by commands it is answered twice, first with the profile's number. */
struct request {
    double sent;
    bool has_number;
};

struct connection {
    redisContext *redis;
    struct request *ring; /* of `depth` */
    size_t head, in_flight;
};

struct get {
    struct lines ids;
    size_t next, depth;
    bool by_function;
    double count_from;
    struct latencies latencies;
    uint64_t missed;
};

static void push(struct get *g, struct connection *c, struct request r)
{
    c->ring[(c->head + c->in_flight++) % g->depth] = r;
}

static struct request pop(struct get *g, struct connection *c)
{
    struct request r = c->ring[c->head];
    c->head = (c->head + 1) % g->depth;
    c->in_flight--;
    return r;
}

static void send_get(struct get *g, struct connection *c)
{
    const char *id = g->ids.line[g->next];
    g->next = (g->next + 1) % g->ids.n;
    push(g, c, (struct request){.sent = now_s()});
    redisAppendCommand(c->redis, g->by_function ? "FCALL_RO get 0 %s" : "GET i:%s", id);
}

static void flush(redisContext *redis)
{
    int done = 0;
    while (!done) {
        if (redisBufferWrite(redis, &done) != REDIS_OK)
            die("%s", redis->errstr);
    }
}

static void on_reply(struct get *g, struct connection *c, const redisReply *r)
{
    struct request q = pop(g, c);
    if (!g->by_function && !q.has_number && r->type == REDIS_REPLY_STRING) {
        q.has_number = true;
        push(g, c, q);
        redisAppendCommand(c->redis, "HGETALL p:%s", r->str);
        return;
    }
    double now = now_s();
    if (now >= g->count_from) {
        latencies_add(&g->latencies, now - q.sent);
        g->missed += r->type != REDIS_REPLY_ARRAY || r->elements == 0;
    }
    send_get(g, c);
}

static void take_replies(struct get *g, struct connection *c)
{
    redisReply *r;
    if (redisBufferRead(c->redis) != REDIS_OK)
        die("%s", c->redis->errstr);
    for (;;) {
        if (redisGetReplyFromReader(c->redis, (void **)&r) != REDIS_OK)
            die("%s", c->redis->errstr);
        if (!r)
            break;
        if (r->type == REDIS_REPLY_ERROR)
            die("%s", r->str);
        on_reply(g, c, r);
        freeReplyObject(r);
    }
    flush(c->redis);
}

static void get_loop(struct get *g, int port, size_t n, double seconds)
{
    static const double warmup_s = 0.5;
    struct connection c[CONNECTIONS_MAX];
    struct pollfd fds[CONNECTIONS_MAX];
    for (size_t i = 0; i < n; i++) {
        c[i] = (struct connection){.redis = connect_to(port),
                                   .ring = need(calloc(g->depth, sizeof(struct request)))};
        fds[i] = (struct pollfd){.fd = c[i].redis->fd, .events = POLLIN};
    }
    g->count_from = now_s() + warmup_s;
    for (size_t i = 0; i < n; i++) {
        while (c[i].in_flight < g->depth)
            send_get(g, &c[i]);
        flush(c[i].redis);
    }
    while (now_s() < g->count_from + seconds) {
        (void)poll(fds, (nfds_t)n, 1000);
        for (size_t i = 0; i < n; i++) {
            if (fds[i].revents)
                take_replies(g, &c[i]);
        }
    }
    latencies_print(&g->latencies, seconds, g->missed);
    for (size_t i = 0; i < n; i++) {
        redisFree(c[i].redis);
        free(c[i].ring);
    }
}

static void get(int port, char **args)
{
    long connections = number_of(args[1], 1, "CONNECTIONS");
    struct get g = {.depth = (size_t)number_of(args[2], 1, "DEPTH"),
                    .by_function = strcmp(args[4], "function") == 0};
    if (connections > CONNECTIONS_MAX)
        die("CONNECTIONS: at most %d", CONNECTIONS_MAX);
    lines_read(&g.ids, args[0]);
    if (g.ids.n == 0)
        die("no identities");
    get_loop(&g, port, (size_t)connections, (double)number_of(args[3], 1, "SECONDS"));
    latencies_free(&g.latencies);
    lines_free(&g.ids);
}

/* --- dump --- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int by_number(const void *a, const void *b)
{
    long x = *(const long *)a, y = *(const long *)b;
    return (x > y) - (x < y);
}

/* The fields of a profile's hash: "i:" identities, "t:t" tags, points and traits. */
struct profile {
    const char *ids[MAX_PARTS], *points, *city, *gender, *birth_year;
    long tags[MAX_PARTS];
    size_t n_ids, n_tags;
};

static void take_field(struct profile *p, const char *field, const char *value)
{
    if (strncmp(field, "i:", 2) == 0)
        p->ids[p->n_ids++] = field + 2;
    else if (strncmp(field, "t:t", 3) == 0)
        p->tags[p->n_tags++] = number_of(field + 3, 0, "tag");
    else if (strcmp(field, "points") == 0)
        p->points = value;
    else if (strcmp(field, "city") == 0)
        p->city = value;
    else if (strcmp(field, "gender") == 0)
        p->gender = value;
    else if (strcmp(field, "birth_year") == 0)
        p->birth_year = value;
}

static void take_profile(struct profile *p, const redisReply *hash)
{
    *p = (struct profile){.points = "0", .city = "", .gender = "", .birth_year = ""};
    if (hash->elements / 2 > MAX_PARTS)
        die("a profile with %zu fields", hash->elements / 2);
    for (size_t i = 0; i + 1 < hash->elements; i += 2)
        take_field(p, hash->element[i]->str, hash->element[i + 1]->str);
    qsort(p->ids, p->n_ids, sizeof *p->ids, by_text);
    qsort(p->tags, p->n_tags, sizeof *p->tags, by_number);
}

/* An order is "day|cents|category". */
static long long cents_of(const redisReply *orders)
{
    long long sum = 0;
    for (size_t i = 0; i < orders->elements; i++) {
        const char *bar = strchr(orders->element[i]->str, '|');
        sum += bar ? strtoll(bar + 1, NULL, 10) : 0;
    }
    return sum;
}

static void put_profile(const struct profile *p, const redisReply *orders)
{
    for (size_t i = 0; i < p->n_ids; i++)
        printf("%s%s", i ? "," : "", p->ids[i]);
    printf("|%s|%s|%s|%s|", p->points, p->city, p->gender, p->birth_year);
    for (size_t i = 0; i < p->n_tags; i++)
        printf("%s%ld", i ? "," : "", p->tags[i]);
    printf("|%zu|%lld\n", orders->elements, cents_of(orders));
}

static void dump_page(redisContext *c, const redisReply *keys)
{
    struct profile p;
    for (size_t i = 0; i < keys->elements; i++) {
        const char *key = keys->element[i]->str;
        redisAppendCommand(c, "HGETALL %s", key);
        redisAppendCommand(c, "LRANGE o:%s 0 -1", key + 2);
    }
    for (size_t i = 0; i < keys->elements; i++) {
        redisReply *hash = expect(c, REDIS_REPLY_ARRAY);
        redisReply *orders = expect(c, REDIS_REPLY_ARRAY);
        take_profile(&p, hash);
        put_profile(&p, orders);
        freeReplyObject(hash);
        freeReplyObject(orders);
    }
}

/* SCAN gives each key once as long as nobody writes and the table is not resized meanwhile. */
static void dump(int port)
{
    redisContext *c = connect_to(port);
    char cursor[32] = "0";
    do {
        redisAppendCommand(c, "SCAN %s MATCH p:* COUNT 5000", cursor);
        redisReply *r = expect(c, REDIS_REPLY_ARRAY);
        snprintf(cursor, sizeof cursor, "%s", r->element[0]->str);
        dump_page(c, r->element[1]);
        freeReplyObject(r);
    } while (strcmp(cursor, "0") != 0);
    redisFree(c);
}

/* --- ask --- */

/* A count is a number; a breakdown is an array of counts by the group's number. */
static void print_answer(const char *name, const redisReply *r)
{
    char group[32];
    answer_begin(name);
    if (r->type == REDIS_REPLY_INTEGER) {
        answer_count(r->integer);
        return;
    }
    answer_groups();
    for (size_t i = 0; i < r->elements; i++) {
        int len = snprintf(group, sizeof group, "%zu", i);
        answer_group(group, (size_t)len, r->element[i]->integer);
    }
    answer_groups_end();
}

static void ask(redisContext *c, const char *name, const char *function, size_t repeats)
{
    double *seconds = need(calloc(repeats, sizeof *seconds));
    for (size_t i = 0; i <= repeats; i++) { /* the first is not measured */
        double begin = now_s();
        redisReply *r = redisCommand(c, "FCALL %s 0", function);
        double took = now_s() - begin;
        if (!r || r->type == REDIS_REPLY_ERROR)
            die("%s: %s", name, r ? r->str : c->errstr);
        if (i > 0)
            seconds[i - 1] = took;
        if (i == repeats)
            print_answer(name, r);
        freeReplyObject(r);
    }
    answer_end(seconds, repeats);
    free(seconds);
}

static void ask_all(int port, size_t repeats)
{
    struct lines l;
    redisContext *c = connect_to(port);
    lines_read(&l, "-");
    for (size_t i = 0; i < l.n; i++)
        ask(c, l.line[i], after_tab(l.line[i]), repeats);
    lines_free(&l);
    redisFree(c);
}

int main(int argc, char **argv)
{
    const char *command = argc > 2 ? argv[1] : "";
    int port = argc > 2 ? (int)number_of(argv[2], 1, "PORT") : 0;
    if (strcmp(command, "ingest") == 0 && argc == 7)
        ingest(port, argv[3], (size_t)number_of(argv[4], 1, "PER_CALL"),
               (size_t)number_of(argv[5], 1, "CALLS_IN_FLIGHT"), argv[6]);
    else if (strcmp(command, "get") == 0 && argc == 8)
        get(port, argv + 3);
    else if (strcmp(command, "dump") == 0 && argc == 3)
        dump(port);
    else if (strcmp(command, "ask") == 0 && argc == 4)
        ask_all(port, (size_t)number_of(argv[3], 1, "REPEATS"));
    else
        die("usage: bench_redis ingest PORT EVENTS PER_CALL CALLS_IN_FLIGHT BITMAPS | "
            "get PORT IDS CONNECTIONS DEPTH SECONDS commands|function | dump PORT | "
            "ask PORT REPEATS");
    return 0;
}
