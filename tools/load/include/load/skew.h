/* Which persons are asked for: all alike, or some more often than others. */
#ifndef LOAD_SKEW_H
#define LOAD_SKEW_H

#include <base/error.h>
#include <base/rng.h>

enum skew_kind { SKEW_UNIFORM, SKEW_ZIPF, SKEW_HOTSPOT };

struct skew {
    enum skew_kind kind;
    double theta; /* zipf: the k-th most wanted is drawn in proportion to 1 / k^theta */
    double hot_persons,
        hot_requests; /* hotspot: this share of the persons gets that of the draws */
};

/* "uniform", "zipf:0.99", "hotspot:0.1/0.9". ERR_USAGE with what was expected. */
enum error_code skew_parse(const char *text, struct skew *out, struct error *err);

/* Draws from a population of n. Zipf by rejection-inversion (W. Hormann, G. Derflinger 1996): exact
 * for every theta and n, no table, less than two tries on average. */
struct sampler {
    struct skew skew;
    uint64_t n;
    uint64_t key; /* of the order in which ranks lie scattered over the population */
    double h_first, h_last, shortcut; /* zipf: the integral's ends; below it no second look */
};

/* The same key, skew and n: the same hot members. n is at least 1. */
void sampler_init(struct sampler *s, const struct skew *skew, uint64_t n, uint64_t key);
/* A rank below n, 0 the most wanted. */
uint64_t sampler_rank(const struct sampler *s, struct rng *r);
/* A member below n: the rank's place in the scattered population. */
uint64_t sampler_draw(const struct sampler *s, struct rng *r);

#endif
