#include <load/skew.h>

#include <gen/permute.h>

#include <ctype.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define THETA_MAX 10.0

static bool parse_number(const char *text, char until, double max, double *out, const char **rest)
{
    char *end;
    if (!isdigit((unsigned char)*text) && *text != '.')
        return false;
    *out = strtod(text, &end);
    *rest = end + 1;
    return *end == until && *out > 0 && *out <= max;
}

enum error_code skew_parse(const char *text, struct skew *out, struct error *err)
{
    const char *rest;
    *out = (struct skew){.kind = SKEW_UNIFORM};
    if (strcmp(text, "uniform") == 0)
        return ERR_OK;
    if (strncmp(text, "zipf:", 5) == 0) {
        out->kind = SKEW_ZIPF;
        if (parse_number(text + 5, 0, THETA_MAX, &out->theta, &rest))
            return ERR_OK;
        return error_set(err, ERR_USAGE, "--skew zipf:THETA: expected a number above 0, at most %g",
                         THETA_MAX);
    }
    if (strncmp(text, "hotspot:", 8) == 0) {
        out->kind = SKEW_HOTSPOT;
        if (parse_number(text + 8, '/', 1, &out->hot_persons, &rest) &&
            parse_number(rest, 0, 1, &out->hot_requests, &rest))
            return ERR_OK;
        return error_set(err, ERR_USAGE,
                         "--skew hotspot:PERSONS/REQUESTS: expected two shares above 0, at most 1");
    }
    return error_set(err, ERR_USAGE,
                     "--skew: expected uniform, zipf:THETA or hotspot:PERSONS/REQUESTS");
}

/* --- zipf: H(x) is the integral of x^-theta, by forms that stay exact near theta = 1 --- */

/* expm1(x) / x and log1p(x) / x, continued over 0. */
static double exp_ratio(double x)
{
    return fabs(x) > 1e-8 ? expm1(x) / x : 1 + x / 2 * (1 + x / 3);
}
static double log_ratio(double x)
{
    return fabs(x) > 1e-8 ? log1p(x) / x : 1 - x * (0.5 - x / 3);
}

static double h_of(double theta, double x)
{
    return exp(-theta * log(x));
}

static double integral_of(double theta, double x)
{
    double l = log(x);
    return exp_ratio((1 - theta) * l) * l;
}

static double integral_inverse(double theta, double y)
{
    double t = y * (1 - theta);
    return exp(log_ratio(t < -1 ? -1 : t) * y);
}

static uint64_t zipf_rank(const struct sampler *s, struct rng *r)
{
    double theta = s->skew.theta;
    for (;;) {
        double u = s->h_last + rng_unit(r) * (s->h_first - s->h_last);
        double x = integral_inverse(theta, u), k = floor(x + 0.5);
        k = k < 1 ? 1 : k > (double)s->n ? (double)s->n : k;
        if (k - x <= s->shortcut || u >= integral_of(theta, k + 0.5) - h_of(theta, k))
            return (uint64_t)k - 1;
    }
}

/* --- */

static uint64_t hotspot_rank(const struct sampler *s, struct rng *r)
{
    uint64_t hot = (uint64_t)ceil(s->skew.hot_persons * (double)s->n);
    if (hot >= s->n || rng_unit(r) < s->skew.hot_requests)
        return rng_below(r, hot < s->n ? hot : s->n);
    return hot + rng_below(r, s->n - hot);
}

void sampler_init(struct sampler *s, const struct skew *skew, uint64_t n, uint64_t key)
{
    double theta = skew->theta;
    *s = (struct sampler){.skew = *skew, .n = n, .key = key};
    if (skew->kind != SKEW_ZIPF)
        return;
    s->h_first = integral_of(theta, 1.5) - 1;
    s->h_last = integral_of(theta, (double)n + 0.5);
    s->shortcut = 2 - integral_inverse(theta, integral_of(theta, 2.5) - h_of(theta, 2));
}

uint64_t sampler_rank(const struct sampler *s, struct rng *r)
{
    switch (s->skew.kind) {
    case SKEW_UNIFORM:
        return rng_below(r, s->n);
    case SKEW_ZIPF:
        return zipf_rank(s, r);
    case SKEW_HOTSPOT:
        return hotspot_rank(s, r);
    }
    return 0;
}

uint64_t sampler_draw(const struct sampler *s, struct rng *r)
{
    uint64_t rank = sampler_rank(s, r);
    return s->skew.kind == SKEW_UNIFORM ? rank : gen_permute(s->n, s->key, rank);
}
