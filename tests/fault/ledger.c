/* Keeps books of a cluster while it is being harmed: sends events, remembers what was acknowledged,
 * reads along, and balances at the end. A program of its own on liboneid, as customers write them.
 *
 * Usage: oneid-fault-ledger RATE IN_FLIGHT SEED RUN KEY TRUST ROUTER...
 * KEY and TRUST: files as of oneidctl keygen, empty for plain text; the routers are router-1, ...
 * Commands on standard input, each answered with a line of JSON:
 *   lap    what happened since the last lap, once all that was sent before it has ended
 *   end    stops sending, settles what is in doubt, reads everybody through each router; then ends
 *
 * A person has several identities, at first apart; increments name one, links name two. Persons are
 * used for a while and then left, so that there always are some to be linked. An event that ends in
 * an error is counted as one and sent again under its message_id until it is acknowledged, as an
 * application would. So at the end everybody must hold exactly what was sent, in two counters: one
 * counts events, one adds a weight of the message's own, so that one event lost and another one
 * counted twice do not make up for each other. */
#include <oneid/oneid.h>

#include <assert.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    IDS = 4,              /* identities of a person */
    PERSONS_MAX = 200000, /* then they come again */
    CROWD = 2000,         /* persons in use at a time */
    MOVE_EVENTS = 8,      /* one of them is replaced after so many events */
    LINK_PERCENT = 12,
    READ_PERCENT = 15,
    DEADLINE_MS = 10000,
    AGAIN_MS = 200, /* before an event that failed is sent again */
    ROUTERS_MAX = 8,
    CODES = 16
};

struct person {
    uint32_t acked[IDS]; /* increments, by the identity that they came under */
    uint8_t linked[IDS]; /* bit mask of who is known to be the same */
    uint32_t increments; /* that were sent */
    uint64_t weight;     /* of all of them */
};

enum kind { INCREMENT, LINK, READ };

struct call {
    enum kind kind;
    uint32_t person;
    unsigned id, other; /* identities; other: of a link */
    uint64_t number;    /* of the event */
    uint64_t lap;       /* in which it was begun */
    int64_t began_ms, again_ms;
    uint32_t at_least; /* READ: increments that it must show */
    struct call *next;
};

struct lap {
    uint64_t acked, reads, errors, stale, duplicates;
    int64_t max_ms;
    enum kind max_kind;
    int64_t max_began_ms;  /* wall clock */
    uint64_t codes[CODES]; /* of the errors */
    char text[160];        /* of the last one */
};

static struct {
    struct oneid_client *clients[ROUTERS_MAX];
    const char *routers[ROUTERS_MAX];
    size_t n_routers;
    struct person *persons;
    uint32_t base, touched; /* the crowd's first; persons[0 .. touched) were used */
    uint64_t number, reads, rng;
    const char *run, *key_file, *trust_file; /* files: NULL: plain text */
    char server_names[ROUTERS_MAX][32];
    size_t in_flight, in_flight_max;
    struct call *again, *spare;
    struct lap lap;
    uint64_t lap_no, open[2]; /* calls of this lap and of the one before it, by lap_no & 1 */
    uint64_t final_lost, final_double, final_unread;
} book;

static int64_t now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static uint32_t below(uint32_t n)
{
    book.rng = book.rng * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((book.rng >> 33) % n);
}

static uint32_t weight_of(uint64_t number)
{
    return (uint32_t)((number + 1) * UINT64_C(0x9E3779B97F4A7C15) >> 44) + 1;
}

static struct oneid_str str(const char *s)
{
    return (struct oneid_str){s, strlen(s)};
}

/* Of these routers, in this order. */
static struct oneid_client *open_client(const size_t *order, size_t n)
{
    const char *routers[ROUTERS_MAX], *names[ROUTERS_MAX];
    char text[240];
    struct oneid_client *c;
    for (size_t i = 0; i < n; i++) {
        routers[i] = book.routers[order[i]];
        names[i] = book.server_names[order[i]];
    }
    struct oneid_options o = {.routers = routers, .n_routers = n};
    if (book.key_file) {
        o.key_file = book.key_file;
        o.server_keys = names;
        o.trust_file = book.trust_file;
    }
    if (oneid_open(&o, &c, text, sizeof text) != ONEID_OK) {
        (void)fprintf(stderr, "ledger: %s\n", text);
        exit(1);
    }
    return c;
}

/* Each asks another router first. */
static void open_clients(void)
{
    for (size_t i = 0; i < book.n_routers; i++) {
        size_t order[ROUTERS_MAX];
        for (size_t k = 0; k < book.n_routers; k++)
            order[k] = (i + k) % book.n_routers;
        book.clients[i] = open_client(order, book.n_routers);
    }
}

/* --- sending --- */

struct name {
    char text[64];
    struct oneid_identity id;
};

static void name_of(uint32_t person, unsigned i, struct name *out)
{
    static const char *const SPACES[IDS] = {"openid", "unionid", "tmall", "openid"};
    (void)snprintf(out->text, sizeof out->text, "p%" PRIu32 "-%u", person, i);
    out->id = (struct oneid_identity){SPACES[i], str(out->text)};
}

static void on_answer(void *ctx, const struct oneid_result *r);

static enum oneid_code submit_event(struct oneid_client *c, struct call *k)
{
    char message_id[64];
    struct name names[2];
    struct oneid_identity ids[2];
    struct oneid_value adds[] = {
        {.name = "points", .type = ONEID_INTEGER, .integer = 1},
        {.name = "qty", .type = ONEID_INTEGER, .integer = weight_of(k->number)}};
    (void)snprintf(message_id, sizeof message_id, "%s-%" PRIu64, book.run, k->number);
    name_of(k->person, k->id, &names[0]);
    name_of(k->person, k->other, &names[1]);
    ids[0] = names[0].id;
    ids[1] = names[1].id;
    struct oneid_event e = {.message_id = str(message_id), .ids = ids, .n_ids = 1};
    if (k->kind == LINK) {
        e.n_ids = 2;
    } else {
        e.adds = adds;
        e.n_adds = 2;
    }
    return oneid_submit_ingest(c, &e, DEADLINE_MS, on_answer, k);
}

static void put_again(struct call *k)
{
    k->again_ms = now_ms() + AGAIN_MS;
    k->next = book.again;
    book.again = k;
}

static void submit(struct call *k)
{
    struct oneid_client *c = book.clients[below((uint32_t)book.n_routers)];
    enum oneid_code rc;
    if (k->kind == READ) {
        struct name name;
        name_of(k->person, k->id, &name);
        rc = oneid_submit_profile(c, &name.id, 0, DEADLINE_MS, on_answer, k);
    } else {
        rc = submit_event(c, k);
    }
    if (rc == ONEID_ERR_BUSY) { /* nothing was sent */
        put_again(k);
    } else if (rc != ONEID_OK) {
        (void)fprintf(stderr, "ledger: %s\n", oneid_error_text(c));
        exit(1);
    }
}

static uint32_t acked_of(const struct person *p, unsigned id)
{
    uint32_t sum = 0;
    for (unsigned i = 0; i < IDS; i++)
        sum += p->linked[id] >> i & 1 ? p->acked[i] : 0;
    return sum;
}

static void begin(enum kind kind, uint32_t person, unsigned id, unsigned other)
{
    struct call *k = book.spare;
    struct person *p = &book.persons[person];
    if (k)
        book.spare = k->next;
    else if (!(k = malloc(sizeof *k)))
        abort();
    *k = (struct call){.kind = kind,
                       .person = person,
                       .id = id,
                       .other = other,
                       .lap = book.lap_no,
                       .began_ms = now_ms()};
    if (kind == READ) {
        k->at_least = acked_of(p, id);
    } else {
        k->number = book.number++;
    }
    if (kind == INCREMENT) {
        p->increments++;
        p->weight += weight_of(k->number);
    }
    book.in_flight++;
    book.open[k->lap & 1]++;
    submit(k);
}

static void begin_any(void)
{
    uint32_t person = (book.base + below(CROWD)) % PERSONS_MAX;
    unsigned id = below(IDS), roll = below(100);
    if (person >= book.touched)
        book.touched = person + 1;
    if (roll < LINK_PERCENT)
        begin(LINK, person, id, (id + 1 + below(IDS - 1)) % IDS);
    else if (roll < LINK_PERCENT + READ_PERCENT && acked_of(&book.persons[person], id) > 0)
        begin(READ, person, id, 0);
    else
        begin(INCREMENT, person, id, 0);
    if (book.number % MOVE_EVENTS == 0)
        book.base++;
}

/* --- answers --- */

static int64_t counter_of(const struct oneid_result *r, const char *name)
{
    for (size_t i = 0; r->profile && i < r->profile->n_counters; i++) {
        const struct oneid_value *v = &r->profile->counters[i];
        if (strcmp(v->name, name) == 0)
            return v->type == ONEID_REAL ? (int64_t)v->real : v->integer;
    }
    return 0;
}

static void know_linked(struct person *p, unsigned a, unsigned b)
{
    uint8_t all = (uint8_t)(p->linked[a] | p->linked[b]);
    for (unsigned i = 0; i < IDS; i++) {
        if (all >> i & 1)
            p->linked[i] = all;
    }
}

static void end_call(struct call *k)
{
    int64_t took = now_ms() - k->began_ms;
    if (took > book.lap.max_ms) {
        struct timespec t;
        (void)clock_gettime(CLOCK_REALTIME, &t);
        book.lap.max_ms = took;
        book.lap.max_kind = k->kind;
        book.lap.max_began_ms = (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000 - took;
    }
    book.in_flight--;
    book.open[k->lap & 1]--;
    k->next = book.spare;
    book.spare = k;
}

static void note_error(const struct oneid_result *r)
{
    book.lap.errors++;
    book.lap.codes[(unsigned)r->code < CODES ? r->code : CODES - 1]++;
    (void)snprintf(book.lap.text, sizeof book.lap.text, "%s", r->text ? r->text : "");
    for (char *s = book.lap.text; *s; s++) {
        if (*s == '"' || *s == '\\' || (unsigned char)*s < ' ')
            *s = '\'';
    }
}

static void end_read(struct call *k, const struct oneid_result *r)
{
    struct person *p = &book.persons[k->person];
    int64_t points = r->code == ONEID_OK ? counter_of(r, "points") : 0;
    book.lap.reads++;
    if (points < (int64_t)k->at_least || points > (int64_t)p->increments) {
        book.lap.stale++;
        (void)fprintf(stderr,
                      "ledger: person %" PRIu32 " identity %u shows %" PRId64
                      ", acknowledged before the read %" PRIu32 ", sent %" PRIu32 "\n",
                      k->person, k->id, points, k->at_least, p->increments);
    }
    end_call(k);
}

static void on_answer(void *ctx, const struct oneid_result *r)
{
    struct call *k = ctx;
    struct person *p = &book.persons[k->person];
    if (k->kind == READ && (r->code == ONEID_OK || r->code == ONEID_ERR_NOT_FOUND)) {
        end_read(k, r);
        return;
    }
    if (r->code != ONEID_OK) {
        note_error(r);
        put_again(k);
        return;
    }
    book.lap.acked++;
    book.lap.duplicates += r->duplicate;
    if (k->kind == INCREMENT)
        p->acked[k->id]++;
    else if (r->n_refused == 0)
        know_linked(p, k->id, k->other);
    end_call(k);
}

/* --- the loop --- */

static void submit_again(void)
{
    struct call *list = book.again;
    int64_t now = now_ms();
    book.again = NULL;
    while (list) {
        struct call *k = list;
        list = k->next;
        if (now >= k->again_ms) {
            submit(k);
        } else {
            k->next = book.again;
            book.again = k;
        }
    }
}

static void turn(int timeout_ms)
{
    struct pollfd p[ROUTERS_MAX + 1] = {{.fd = STDIN_FILENO, .events = POLLIN}};
    submit_again();
    for (size_t i = 0; i < book.n_routers; i++) {
        while (oneid_poll(book.clients[i], 0) > 0)
            ;
        int next = oneid_next_timeout_ms(book.clients[i]);
        if (next >= 0 && next < timeout_ms)
            timeout_ms = next;
        p[i + 1] = (struct pollfd){.fd = oneid_fd(book.clients[i]), .events = POLLIN};
    }
    (void)poll(p, book.n_routers + 1, timeout_ms);
}

static void print_lap(const char *kind)
{
    const struct lap *l = &book.lap;
    static const char *const KINDS[] = {"increment", "link", "read"};
    (void)printf("{\"%s\":true,\"slowest\":\"%s\",\"began_ms\":%" PRId64 ",\"acked\":%" PRIu64
                 ",\"reads\":%" PRIu64 ",\"stale\":%" PRIu64 ",\"client_errors\":%" PRIu64
                 ",\"duplicates\":%" PRIu64 ",\"max_ms\":%" PRId64 ",\"persons\":%" PRIu32
                 ",\"codes\":{",
                 kind, KINDS[l->max_kind], l->max_began_ms, l->acked, l->reads, l->stale, l->errors,
                 l->duplicates, l->max_ms, book.touched);
    const char *comma = "";
    for (unsigned i = 0; i < CODES; i++) {
        if (l->codes[i]) {
            (void)printf("%s\"%s\":%" PRIu64, comma, oneid_code_text((enum oneid_code)i),
                         l->codes[i]);
            comma = ",";
        }
    }
    (void)printf("},\"text\":\"%s\",\"lost\":%" PRIu64 ",\"double\":%" PRIu64 ",\"unread\":%" PRIu64
                 "}\n",
                 l->text, book.final_lost, book.final_double, book.final_unread);
    (void)fflush(stdout);
    book.lap = (struct lap){0};
}

/* One command; 0: none is there. Lines come one at a time, each after the answer to the last. */
static char take_command(void)
{
    struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
    char text[64];
    if (poll(&p, 1, 0) != 1)
        return 0;
    ssize_t n = read(STDIN_FILENO, text, sizeof text);
    if (n <= 0)
        exit(1); /* whoever asked is gone */
    return text[0];
}

/* Until `end`. */
static void send_events(unsigned rate)
{
    int64_t began = now_ms(), last = began;
    double due = 0;
    bool is_lapping = false;
    for (;;) {
        char command = take_command();
        if (command == 'e')
            return;
        if (command == 'l') {
            is_lapping = true;
            book.lap_no++;
        }
        if (is_lapping && book.open[(book.lap_no - 1) & 1] == 0) {
            print_lap("lap");
            is_lapping = false;
        }
        int64_t now = now_ms();
        due += (double)(now - last) * rate / 1000;
        last = now;
        for (; due >= 1 && book.in_flight < book.in_flight_max; due--)
            begin_any();
        due = due > 64 ? 64 : due; /* who waited does not catch up all at once */
        turn(5);
    }
}

static void drain(void)
{
    while (book.in_flight > 0)
        turn(50);
}

/* --- balancing --- */

struct reading {
    uint32_t person;
    size_t router, *under_way;
};

static void on_final(void *ctx, const struct oneid_result *r)
{
    struct reading *g = ctx;
    const struct person *p = &book.persons[g->person];
    (*g->under_way)--;
    if (r->code != ONEID_OK) {
        book.final_unread++;
        (void)fprintf(stderr, "ledger: person %" PRIu32 " cannot be read: %s\n", g->person,
                      r->text);
        free(g);
        return;
    }
    int64_t points = counter_of(r, "points"), missing = (int64_t)p->increments - points;
    int64_t weight = counter_of(r, "qty");
    if (missing != 0 || weight != (int64_t)p->weight) {
        (void)fprintf(stderr,
                      "ledger: person %" PRIu32 " through %s: %" PRId64 " of %" PRIu32
                      " events, weight %" PRId64 " of %" PRIu64 "\n",
                      g->person, book.routers[g->router], points, p->increments, weight, p->weight);
        book.final_lost += missing > 0 ? (uint64_t)missing : missing == 0;
        book.final_double += missing < 0 ? (uint64_t)-missing : missing == 0;
    }
    free(g);
}

static void read_one(struct oneid_client *c, size_t router, uint32_t person, size_t *under_way)
{
    struct reading *g = malloc(sizeof *g);
    struct name name;
    if (!g)
        abort();
    *g = (struct reading){.person = person, .router = router, .under_way = under_way};
    name_of(person, below(IDS), &name);
    if (oneid_submit_profile(c, &name.id, 0, 3 * DEADLINE_MS, on_final, g) != ONEID_OK) {
        (void)fprintf(stderr, "ledger: %s\n", oneid_error_text(c));
        exit(1);
    }
    (*under_way)++;
}

/* Through this router alone. */
static void read_all(size_t router)
{
    struct oneid_client *c = open_client(&router, 1);
    size_t under_way = 0;
    for (uint32_t i = 0; i < book.touched; i++) {
        while (under_way >= book.in_flight_max)
            (void)oneid_poll(c, 100);
        if (book.persons[i].increments > 0)
            read_one(c, router, i, &under_way);
    }
    while (under_way > 0)
        (void)oneid_poll(c, 100);
    oneid_close(c);
}

/* So that what a person has can be read in one place. */
static void link_everybody(void)
{
    for (uint32_t i = 0; i < book.touched; i++) {
        for (unsigned k = 1; k < IDS; k++) {
            while (book.in_flight >= book.in_flight_max)
                turn(50);
            if (book.persons[i].increments > 0 && !(book.persons[i].linked[0] >> k & 1))
                begin(LINK, i, 0, k);
        }
    }
    drain();
}

static void balance(void)
{
    drain();
    link_everybody();
    for (size_t r = 0; r < book.n_routers; r++)
        read_all(r);
    print_lap("end");
}

int main(int argc, char **argv)
{
    if (argc < 8 || argc > 7 + ROUTERS_MAX) {
        (void)fprintf(stderr,
                      "usage: oneid-fault-ledger RATE IN_FLIGHT SEED RUN KEY TRUST ROUTER...\n");
        return 2;
    }
    book.in_flight_max = strtoul(argv[2], NULL, 10);
    book.rng = strtoull(argv[3], NULL, 10);
    book.run = argv[4];
    book.key_file = argv[5][0] ? argv[5] : NULL;
    book.trust_file = argv[6];
    book.n_routers = (size_t)argc - 7;
    for (size_t i = 0; i < book.n_routers; i++) {
        book.routers[i] = argv[7 + i];
        (void)snprintf(book.server_names[i], sizeof book.server_names[i], "router-%zu", i + 1);
    }
    book.persons = calloc(PERSONS_MAX, sizeof *book.persons);
    assert(book.persons);
    for (size_t i = 0; i < PERSONS_MAX; i++) {
        for (unsigned k = 0; k < IDS; k++)
            book.persons[i].linked[k] = (uint8_t)(1U << k);
    }
    open_clients();
    send_events((unsigned)strtoul(argv[1], NULL, 10));
    balance();
    for (size_t i = 0; i < book.n_routers; i++)
        oneid_close(book.clients[i]);
    for (struct call *k = book.spare, *next; k; k = next) {
        next = k->next;
        free(k);
    }
    free(book.persons);
    return 0;
}
