/* Is the history of the clients' requests linearizable (Herlihy, Wing 1990)?
 *
 * The model: one object, the set of messages that count. An ingest of m adds m; it lasts from its
 * first sending to the first acknowledgement, over all retries. A read by an identity i answers,
 * for each message that links i, whether it is in the set (other messages it shows are not judged
 * here).
 *
 * Each message is added once and every read says yes or no of it, so a read stands in a known order
 * to each message that it judges: m before r where r shows m, r before m where it does not. The
 * history is linearizable exactly if these orders together with real time (a was answered before b
 * was asked) have no cycle: any order of the requests that keeps to all of them is a legal run, and
 * a legal run keeps to all of them. So nothing has to be searched, and nothing bounded; the set of
 * messages makes what is NP-hard in general (Gibbons, Korach 1997) a matter of sorting. */
#include "sim.h"

#include <inttypes.h>
#include <stdlib.h>

struct op {
    uint64_t from, to; /* steps: asked, answered */
    uint32_t message;  /* MESSAGES_MAX: it is a read */
    const struct read_op *read;
    uint32_t number; /* of the read */
};

struct history {
    const struct world *w;
    struct op ops[MESSAGES_MAX + READS_MAX];
    size_t n;
    size_t before[MESSAGES_MAX + READS_MAX]; /* how many that are not placed must come first */
    bool placed[MESSAGES_MAX + READS_MAX];
};

static void collect(const struct world *w, struct history *h)
{
    h->w = w;
    for (uint32_t k = 0; k < w->plan.n_messages; k++) {
        const struct message *m = &w->messages[k];
        if (m->committed)
            h->ops[h->n++] = (struct op){
                .from = m->sent_at, .to = m->acked ? m->acked_at : UINT64_MAX, .message = k};
    }
    for (uint32_t k = 0; k < w->n_reads; k++) {
        const struct read_op *d = &w->reads[k];
        if (d->shown && (d->id < IDS_MAX || d->message < MESSAGES_MAX))
            h->ops[h->n++] = (struct op){.from = d->asked_at,
                                         .to = d->answered_at,
                                         .message = MESSAGES_MAX,
                                         .read = d,
                                         .number = k};
    }
}

/* Does the read say whether this message counts? One by One-ID does of the message that told it. */
static bool judges(const struct world *w, const struct read_op *d, uint32_t message)
{
    if (d->id == IDS_MAX)
        return d->message == message;
    return w->messages[message].linked >> d->id & 1;
}

static bool is_before(const struct history *h, const struct op *a, const struct op *b)
{
    const struct op *read = a->read ? a : b;
    uint32_t m = a->read ? b->message : a->message;
    bool saw;

    if (a->to < b->from)
        return true;
    if (!read->read || m == MESSAGES_MAX || !judges(h->w, read->read, m))
        return false;
    saw = read->read->saw[m / 64] >> m % 64 & 1;
    return saw == (b == read);
}

static void count_before(struct history *h)
{
    for (size_t a = 0; a < h->n; a++) {
        for (size_t b = 0; b < h->n; b++)
            h->before[b] += a != b && is_before(h, &h->ops[a], &h->ops[b]);
    }
}

/* Places what nothing must precede, until nothing is left or all that is left waits in a circle. */
static size_t place(struct history *h)
{
    size_t ready[MESSAGES_MAX + READS_MAX], n = 0, placed = 0;

    for (size_t i = 0; i < h->n; i++) {
        if (h->before[i] == 0)
            ready[n++] = i;
    }
    while (n > 0) {
        size_t a = ready[--n];
        h->placed[a] = true;
        placed++;
        for (size_t b = 0; b < h->n; b++) {
            if (b != a && is_before(h, &h->ops[a], &h->ops[b]) && --h->before[b] == 0)
                ready[n++] = b;
        }
    }
    return placed;
}

static size_t some_before(const struct history *h, size_t b)
{
    size_t a = 0;

    while (a < h->n && (a == b || h->placed[a] || !is_before(h, &h->ops[a], &h->ops[b])))
        a++;
    return a;
}

/* Back from one that is left to what must precede it, until one comes again. */
static void tell_circle(struct world *w, const struct history *h)
{
    bool met[MESSAGES_MAX + READS_MAX] = {false};
    char text[200] = "";
    size_t at = 0, len = 0, first;

    while (h->placed[at])
        at++;
    for (; !met[at]; at = some_before(h, at))
        met[at] = true;
    first = at;
    do {
        const struct op *o = &h->ops[at];
        int n = snprintf(text + len, sizeof text - len, " %s%u", o->read ? "read " : "m",
                         o->read ? o->number : o->message);
        len += n > 0 && len + (size_t)n < sizeof text ? (size_t)n : 0;
        at = some_before(h, at);
    } while (at != first);
    world_fail(w, "not linearizable, each must come after the next:%s", text);
}

void history_check(struct world *w)
{
    struct history *h = calloc(1, sizeof *h);

    if (!h)
        abort();
    collect(w, h);
    count_before(h);
    w->seen.ordered += h->n;
    if (place(h) < h->n)
        tell_circle(w, h);
    free(h);
}
