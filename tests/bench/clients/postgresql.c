/* The measuring client of PostgreSQL, on libpq.
 *
 *     bench_postgresql ingest CONNINFO EVENTS BATCH CONNECTIONS   batches of lines to ingest()
 *     bench_postgresql get CONNINFO IDS CONNECTIONS DEPTH SECONDS profiles by identity, DEPTH > 1:
 *                                                                  in pipeline mode
 *     bench_postgresql ask CONNINFO REPEATS < QUESTIONS           `name<TAB>SQL`, prepared
 *
 * A question's SQL gives one row with a count, or rows of a group's number and its count.
 */
#include "common.h"

#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONNECTIONS_MAX = 256 };

static PGconn *connect_to(const char *conninfo)
{
    PGconn *c = PQconnectdb(conninfo);
    if (PQstatus(c) != CONNECTION_OK)
        die("%s", PQerrorMessage(c));
    return c;
}

static void expect(PGconn *c, PGresult *r, ExecStatusType status)
{
    if (PQresultStatus(r) != status)
        die("%s", PQerrorMessage(c));
    PQclear(r);
}

/* --- ingest --- */

/* Connections draw batches of lines from one file. */
struct ingest {
    const char *conninfo;
    long batch, connections;
    pthread_mutex_t mutex; /* of what follows */
    FILE *in;
    uint64_t lines, applied;
};

/* A JSON array of the next lines; false: there are none. `room` is enough for a whole batch. */
static bool next_batch(struct ingest *g, char *buf)
{
    char line[PEER_LINE_MAX];
    size_t at = 0;
    long n = 0;
    buf[at++] = '[';
    pthread_mutex_lock(&g->mutex);
    while (n < g->batch && fgets(line, sizeof line, g->in)) {
        size_t len = strcspn(line, "\n");
        if (line[len] != '\n')
            die("a line of more than %d bytes", PEER_LINE_MAX);
        if (n++)
            buf[at++] = ',';
        memcpy(buf + at, line, len);
        at += len;
    }
    g->lines += (uint64_t)n;
    pthread_mutex_unlock(&g->mutex);
    buf[at++] = ']';
    buf[at] = '\0';
    return n > 0;
}

static bool may_retry(const PGresult *r)
{
    const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
    return state && (strcmp(state, "40P01") == 0 || strcmp(state, "40001") == 0);
}

static uint64_t send_batch(PGconn *c, const char *batch)
{
    for (;;) {
        PGresult *r = PQexecPrepared(c, "ingest", 1, &batch, NULL, NULL, 0);
        if (PQresultStatus(r) == PGRES_TUPLES_OK) {
            uint64_t applied = strtoull(PQgetvalue(r, 0, 0), NULL, 10);
            PQclear(r);
            return applied;
        }
        if (!may_retry(r))
            die("%s", PQerrorMessage(c));
        PQclear(r);
    }
}

static void *ingest_worker(void *ctx)
{
    struct ingest *g = ctx;
    PGconn *c = connect_to(g->conninfo);
    uint64_t applied = 0;
    char *buf = need(malloc((size_t)g->batch * PEER_LINE_MAX + 16));
    const char *call =
        g->connections > 1 ? "select ingest($1::jsonb, true)" : "select ingest($1::jsonb, false)";
    expect(c, PQexec(c, "set client_min_messages = warning"), PGRES_COMMAND_OK);
    expect(c, PQexec(c, "select ingest_setup()"), PGRES_TUPLES_OK);
    expect(c, PQprepare(c, "ingest", call, 1, NULL), PGRES_COMMAND_OK);
    while (next_batch(g, buf))
        applied += send_batch(c, buf);
    pthread_mutex_lock(&g->mutex);
    g->applied += applied;
    pthread_mutex_unlock(&g->mutex);
    free(buf);
    PQfinish(c);
    return NULL;
}

static void ingest(const char *conninfo, const char *path, long batch, long connections)
{
    pthread_t threads[CONNECTIONS_MAX];
    struct ingest g = {.conninfo = conninfo,
                       .batch = batch,
                       .connections = connections,
                       .mutex = PTHREAD_MUTEX_INITIALIZER,
                       .in = fopen(path, "r")};
    if (!g.in)
        die("%s: %s", path, strerror(errno));
    double begin = now_s();
    for (long i = 0; i < connections; i++) {
        if (pthread_create(&threads[i], NULL, ingest_worker, &g))
            die("no thread to be had");
    }
    for (long i = 0; i < connections; i++)
        pthread_join(threads[i], NULL);
    ingest_print(g.lines, g.applied, now_s() - begin);
    (void)fclose(g.in);
}

/* --- get --- */

static const char get_sql[] =
    "select p.pid, p.points, p.city, p.gender, p.birth_year, p.tags,"
    " array(select z.ns || ':' || z.val from identity z where z.pid = p.pid)"
    " from identity i join profile p on p.pid = i.pid where i.val = $1 and i.ns = $2::smallint";

struct connection {
    PGconn *pg;
    double *sent; /* ring of `depth` */
    size_t head, in_flight;
};

struct get {
    struct lines ids;
    size_t next, depth;
    double count_from;
    struct latencies latencies;
    uint64_t missed;
};

/* ids.txt names namespaces; the table has their numbers. */
static const char *number_of_namespace(const char *id, size_t len)
{
    static const char *const names[] = {"phone", "openid", "tmall", "douyin",
                                        "jd",    "weibo",  "card"};
    static const char *const numbers[] = {"0", "1", "2", "3", "4", "5", "6"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strlen(names[i]) == len && memcmp(names[i], id, len) == 0)
            return numbers[i];
    }
    die("unknown namespace in '%s'", id);
}

static void send_get(struct get *g, struct connection *c)
{
    const char *id = g->ids.line[g->next];
    const char *colon = strchr(id, ':');
    if (!colon)
        die("expected ns:value, found '%s'", id);
    const char *values[2] = {colon + 1, number_of_namespace(id, (size_t)(colon - id))};
    g->next = (g->next + 1) % g->ids.n;
    c->sent[(c->head + c->in_flight++) % g->depth] = now_s();
    if (!PQsendQueryPrepared(c->pg, "get", 2, values, NULL, NULL, 0) ||
        (g->depth > 1 && !PQpipelineSync(c->pg)))
        die("%s", PQerrorMessage(c->pg));
}

static void refill(struct get *g, struct connection *c)
{
    while (c->in_flight < g->depth)
        send_get(g, c);
    if (PQflush(c->pg) < 0)
        die("%s", PQerrorMessage(c->pg));
}

static void on_row(struct get *g, struct connection *c, const PGresult *r)
{
    double now = now_s();
    if (now >= g->count_from) {
        latencies_add(&g->latencies, now - c->sent[c->head]);
        g->missed += PQntuples(r) != 1;
    }
    c->head = (c->head + 1) % g->depth;
    c->in_flight--;
}

static void take_results(struct get *g, struct connection *c)
{
    if (!PQconsumeInput(c->pg))
        die("%s", PQerrorMessage(c->pg));
    while (!PQisBusy(c->pg)) {
        PGresult *r = PQgetResult(c->pg);
        if (!r) { /* the end of one query's results; without a pipeline, the next may be sent */
            if (c->in_flight == 0 || g->depth == 1)
                return;
            continue;
        }
        ExecStatusType status = PQresultStatus(r);
        if (status == PGRES_TUPLES_OK)
            on_row(g, c, r);
        else if (status != PGRES_PIPELINE_SYNC)
            die("%s", PQerrorMessage(c->pg));
        PQclear(r);
        if (status == PGRES_PIPELINE_SYNC && c->in_flight == 0)
            return;
    }
}

static void open_connections(struct get *g, const char *conninfo, struct connection *c,
                             struct pollfd *fds, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        c[i] = (struct connection){.pg = connect_to(conninfo),
                                   .sent = need(calloc(g->depth, sizeof(double)))};
        expect(c[i].pg, PQprepare(c[i].pg, "get", get_sql, 0, NULL), PGRES_COMMAND_OK);
        if (PQsetnonblocking(c[i].pg, 1) || (g->depth > 1 && !PQenterPipelineMode(c[i].pg)))
            die("%s", PQerrorMessage(c[i].pg));
        fds[i] = (struct pollfd){.fd = PQsocket(c[i].pg), .events = POLLIN};
    }
}

static void get_loop(const char *conninfo, const char *path, size_t n, size_t depth, double seconds)
{
    static const double warmup_s = 0.5;
    struct connection c[CONNECTIONS_MAX];
    struct pollfd fds[CONNECTIONS_MAX];
    struct get g = {.depth = depth};
    lines_read(&g.ids, path);
    if (g.ids.n == 0)
        die("no identities");
    open_connections(&g, conninfo, c, fds, n);
    g.count_from = now_s() + warmup_s;
    for (size_t i = 0; i < n; i++)
        refill(&g, &c[i]);
    while (now_s() < g.count_from + seconds) {
        (void)poll(fds, (nfds_t)n, 1000);
        for (size_t i = 0; i < n; i++) {
            if (!fds[i].revents)
                continue;
            take_results(&g, &c[i]);
            refill(&g, &c[i]);
        }
    }
    latencies_print(&g.latencies, seconds, g.missed);
    for (size_t i = 0; i < n; i++) {
        PQfinish(c[i].pg);
        free(c[i].sent);
    }
    latencies_free(&g.latencies);
    lines_free(&g.ids);
}

/* --- ask --- */

static void print_answer(const char *name, const PGresult *r)
{
    answer_begin(name);
    if (PQnfields(r) == 1) {
        answer_count(strtoll(PQgetvalue(r, 0, 0), NULL, 10));
        return;
    }
    answer_groups();
    for (int i = 0; i < PQntuples(r); i++) {
        const char *group = PQgetvalue(r, i, 0);
        answer_group(group, strlen(group), strtoll(PQgetvalue(r, i, 1), NULL, 10));
    }
    answer_groups_end();
}

static void ask(PGconn *c, const char *name, const char *sql, size_t repeats)
{
    double *seconds = need(calloc(repeats, sizeof *seconds));
    expect(c, PQprepare(c, name, sql, 0, NULL), PGRES_COMMAND_OK);
    for (size_t i = 0; i <= repeats; i++) { /* the first is not measured */
        double begin = now_s();
        PGresult *r = PQexecPrepared(c, name, 0, NULL, NULL, NULL, 0);
        double took = now_s() - begin;
        if (PQresultStatus(r) != PGRES_TUPLES_OK)
            die("%s: %s", name, PQerrorMessage(c));
        if (i > 0)
            seconds[i - 1] = took;
        if (i == repeats)
            print_answer(name, r);
        PQclear(r);
    }
    answer_end(seconds, repeats);
    free(seconds);
}

static void ask_all(const char *conninfo, size_t repeats)
{
    struct lines l;
    PGconn *c = connect_to(conninfo);
    lines_read(&l, "-");
    for (size_t i = 0; i < l.n; i++)
        ask(c, l.line[i], after_tab(l.line[i]), repeats);
    lines_free(&l);
    PQfinish(c);
}

static long connections_of(const char *text)
{
    long n = number_of(text, 1, "CONNECTIONS");
    if (n > CONNECTIONS_MAX)
        die("CONNECTIONS: at most %d", CONNECTIONS_MAX);
    return n;
}

int main(int argc, char **argv)
{
    const char *command = argc > 3 ? argv[1] : "";
    if (strcmp(command, "ingest") == 0 && argc == 6)
        ingest(argv[2], argv[3], number_of(argv[4], 1, "BATCH"), connections_of(argv[5]));
    else if (strcmp(command, "get") == 0 && argc == 7)
        get_loop(argv[2], argv[3], (size_t)connections_of(argv[4]),
                 (size_t)number_of(argv[5], 1, "DEPTH"), (double)number_of(argv[6], 1, "SECONDS"));
    else if (strcmp(command, "ask") == 0 && argc == 4)
        ask_all(argv[2], (size_t)number_of(argv[3], 1, "REPEATS"));
    else
        die("usage: bench_postgresql ingest CONNINFO EVENTS BATCH CONNECTIONS | "
            "get CONNINFO IDS CONNECTIONS DEPTH SECONDS | ask CONNINFO REPEATS");
    return 0;
}
