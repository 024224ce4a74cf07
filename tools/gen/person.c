#include "private.h"

#include <stdio.h>
#include <string.h>

/* How many identities a person of so many parts has, in shares of 256 by rising number. */
static unsigned count_ids(unsigned n_parts, unsigned r)
{
    if (n_parts == 1)
        return r < 115 ? 1 : r < 192 ? 2 : r < 230 ? 3 : r < 248 ? 4 : 5;
    unsigned n = r < 154 ? 2 : r < 218 ? 3 : r < 243 ? 4 : 5;
    return n < n_parts ? n_parts : n;
}

/* Some channels reach more people than others: a namespace is picked as often as it stands here. */
static const uint8_t ns_weights[16] = {GEN_PHONE,   GEN_PHONE,  GEN_PHONE,  GEN_PHONE,
                                       GEN_OPENID,  GEN_OPENID, GEN_OPENID, GEN_OPENID,
                                       GEN_TMALL,   GEN_TMALL,  GEN_TMALL,  GEN_UNIONID,
                                       GEN_UNIONID, GEN_DOUYIN, GEN_MEMBER, GEN_CUSTOMER};

/* Only openids repeat, so that no limit of cluster.yml is ever reached. */
static void pick_namespaces(struct gen_person *p, uint64_t r)
{
    unsigned used = 0;
    for (unsigned j = 0; j < p->n_ids; j++) {
        unsigned at = (unsigned)(r >> (8 + 4 * j)) & 15;
        while (used >> ns_weights[at] & 1 && ns_weights[at] != GEN_OPENID)
            at = (at + 3) & 15;
        p->ns[j] = (enum gen_ns)ns_weights[at];
        used |= 1u << ns_weights[at];
    }
}

static unsigned wave_of(const struct gen *g, uint64_t number)
{
    unsigned last = g->n_waves - 1,
             i = (unsigned)((double)number / (double)g->options.persons * last);
    if (i >= last)
        i = last - 1;
    while (number < g->waves[i].first_person)
        i--;
    while (number >= g->waves[i].first_person + g->waves[i].n_persons)
        i++;
    return i;
}

/* Within a wave persons stand by class: three parts linked, three never, two linked, two never,
 * whole. */
static void find_class(const struct gen_wave *w, struct gen_person *p)
{
    uint64_t at = p->number - w->first_person, profiles = w->first_profile;
    const struct {
        uint64_t n;
        unsigned parts;
        bool linked;
    } classes[] = {{w->three_linked, 3, true},
                   {w->three_never, 3, false},
                   {w->two_linked, 2, true},
                   {w->two_never, 2, false}};
    p->n_parts = 1;
    p->linked = true;
    for (unsigned i = 0; i < 4; i++) {
        unsigned each = classes[i].linked ? 1 : classes[i].parts;
        if (at < classes[i].n) {
            p->n_parts = classes[i].parts;
            p->linked = classes[i].linked;
            p->first_profile = profiles + at * each;
            return;
        }
        at -= classes[i].n;
        profiles += classes[i].n * each;
    }
    p->first_profile = profiles + at;
}

void gen_person_of(const struct gen *g, uint64_t number, struct gen_person *out)
{
    memset(out, 0, sizeof *out);
    out->number = number;
    out->wave = wave_of(g, number);
    find_class(&g->waves[out->wave], out);
    uint64_t r = gen_hash(g->options.seed, GEN_USE_PERSON, number);
    out->n_ids = count_ids(out->n_parts, (unsigned)(r & 255));
    pick_namespaces(out, r);
    out->device = out->n_ids == 1 && (r >> 40 & 1);
}

static unsigned put_hex(char *out, uint64_t v)
{
    static const char digits[] = "0123456789abcdef";
    for (unsigned i = 0; i < 16; i++)
        out[i] = digits[v >> (60 - 4 * i) & 15];
    out[16] = 0;
    return 16;
}

/* `width` digits, or as many as it takes. */
static unsigned put_digits(char *out, uint64_t v, unsigned width)
{
    char text[24];
    unsigned n = 0;
    do {
        text[n++] = (char)('0' + v % 10);
        v /= 10;
    } while (v || n < width);
    for (unsigned i = 0; i < n; i++)
        out[i] = text[n - 1 - i];
    out[n] = 0;
    return n;
}

/* 1 3000000000 to 1 9999999999, each once: the factor shares no divisor with 7 * 10^9. Two of them
 * are blocked in cluster.yml; their persons get a number of another form. */
static unsigned put_phone(uint64_t seed, uint64_t number, char *out)
{
    uint64_t n = (number * UINT64_C(1618033) + hash_u64(seed) % GEN_PERSONS_MAX) % GEN_PERSONS_MAX +
                 UINT64_C(3000000000);
    if (n == UINT64_C(3800000000) || n == UINT64_C(3888888888))
        return put_digits(out, UINT64_C(85260000000) + n % 10, 11);
    return put_digits(out, UINT64_C(10000000000) + n, 11);
}

unsigned gen_identity_value(const struct gen *g, const struct gen_person *p, unsigned j,
                            char out[GEN_VALUE_MAX])
{
    static const char *const prefixes[GEN_NS_COUNT] = {"M",  "",    "ou_", "oN",
                                                       "tb", "dy_", "C",   "d-"};
    uint64_t seed = g->options.seed;
    bool device = j >= p->n_ids;
    enum gen_ns ns = device ? GEN_DEVICE : p->ns[j];
    if (ns == GEN_PHONE)
        return put_phone(seed, p->number, out);
    unsigned at = 0;
    for (const char *c = prefixes[ns]; *c; c++)
        out[at++] = *c;
    if (ns == GEN_MEMBER || ns == GEN_CUSTOMER)
        return at + put_digits(out + at, p->number * 3 + (hash_u64(seed) & 0xFFFFF), 10);
    /* gen_hash is one to one in its last argument, so values of one namespace never meet. */
    uint64_t n = device ? p->number / 2 : p->number;
    return at + put_hex(out + at, gen_hash(seed, GEN_USE_VALUE, n << 3 | j));
}
