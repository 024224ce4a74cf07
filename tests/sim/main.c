/* sim [--seed N] [--first N] [--seeds N] [--trace] [--mutation N] [--mutations]
 *
 * Runs seeds, some of them twice, and then compares the hashes of the traces. Without arguments the
 * numbers come from ONEID_SIM_FIRST and ONEID_SIM_SEEDS. `--mutation` takes a guard out
 * (enum mutation); `--mutations` takes one guard out at a
 * time and wants the checks to notice each. */
#include "sim.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { SEEDS_DEFAULT = 200, MUTATION_SEEDS = 1500 };

/* Seeds that found something once. */
static const uint64_t regressions[] = {27,      42,      53,      155,     1024,    1034,
                                       10675,   502039,  1036656, 1038747, 1013116, 1066481,
                                       1072002, 2071864, 2083498, 2000630};

/* What happened in all seeds. Each of these must have. */
#define COUNTS(X)                                                                                  \
    X(merges)                                                                                      \
    X(claims)                                                                                      \
    X(refused)                                                                                     \
    X(helped)                                                                                      \
    X(dropped)                                                                                     \
    X(dups)                                                                                        \
    X(crashes)                                                                                     \
    X(reads)                                                                                       \
    X(gotos)                                                                                       \
    X(elections)                                                                                   \
    X(referrals)                                                                                   \
    X(lost) X(checkpoints) X(changes) X(transfers) X(wipes) X(cuts) X(pauses) X(ordered)
#define NEW_COUNTS(X) X(ends) /* from seed HEARS_ENDS_FROM on */
#define ENV_COUNTS(X) X(installs) X(trims) X(truncations) X(loads)

struct totals {
    uint64_t commands;
#define FIELD(name) uint64_t name;
    COUNTS(FIELD) NEW_COUNTS(FIELD) ENV_COUNTS(FIELD)
#undef FIELD
};

static struct world world; /* large */
static enum mutation chosen = MUTATION_NONE;

static void add(struct totals *t)
{
    t->commands += world.commands;
#define ADD(name) t->name += world.seen.name;
    COUNTS(ADD)
    NEW_COUNTS(ADD)
#undef ADD
#define ADD(name) t->name += world.env.counts.name;
    ENV_COUNTS(ADD)
#undef ADD
}

static bool run(uint64_t seed, enum mutation mutation, bool trace, uint64_t *hash, struct totals *t)
{
    bool ok;

    world_open(&world, seed, mutation, trace);
    world_run(&world);
    ok = !world.failed;
    *hash = world.hash;
    if (t)
        add(t);
    world_close(&world);
    return ok;
}

static bool run_checked(uint64_t seed, bool trace, bool twice, struct totals *t)
{
    uint64_t hash, again;

    if (!run(seed, chosen, trace, &hash, t)) {
        printf("FAILED seed %" PRIu64 ": %s\n  again: sim --seed %" PRIu64 " --trace\n", seed,
               world.failure, seed);
        return false;
    }
    if (twice && (!run(seed, chosen, false, &again, NULL) || again != hash)) {
        printf("FAILED seed %" PRIu64 ": two runs differ\n", seed);
        return false;
    }
    if (trace)
        printf("seed %" PRIu64 " hash %016" PRIx64 "\n", seed, hash);
    return true;
}

/* Did anything happen at all? */
static bool is_lively(const struct totals *t, uint64_t first, uint64_t seeds)
{
    bool all = true;

    printf("%" PRIu64 " seeds, %" PRIu64 " commands:", seeds, t->commands);
#define SHOW(name)                                                                                 \
    printf(" " #name " %" PRIu64, t->name);                                                        \
    all = all && t->name;
    COUNTS(SHOW)
    ENV_COUNTS(SHOW)
    if (first >= HEARS_ENDS_FROM) {
        NEW_COUNTS(SHOW)
    }
#undef SHOW
    printf("\n");
    return seeds < 100 || all;
}

static int run_seeds(uint64_t first, uint64_t n, bool trace)
{
    struct totals t = {0};
    int failures = 0;

    for (size_t i = 0; i < sizeof regressions / sizeof regressions[0] && n > 1; i++)
        failures += !run_checked(regressions[i], false, true, &t);
    for (uint64_t s = first; s < first + n && failures < 5; s++)
        failures += !run_checked(s, trace, s % 50 == 0, &t);
    if (!failures && !is_lively(&t, first, n)) {
        printf("FAILED: too little happened\n");
        failures++;
    }
    return failures;
}

/* Where to begin to look for what shows rarely: it saves time, no more. */
static uint64_t first_seed(enum mutation m)
{
    static const uint64_t list[MUTATION_END] = {
        [MUTATION_ANSWER_BY_INDEX] = 12, [MUTATION_READ_LOCAL] = 7,
        [MUTATION_READ_NO_QUORUM] = 100, [MUTATION_SEND_EARLY] = 22,
        [MUTATION_OLD_ID] = 131,         [MUTATION_INSTALL_NOTHING] = 188,
    };

    return list[m] ? list[m] : 1;
}

static int run_mutations(void)
{
    int failures = 0;

    for (enum mutation m = MUTATION_NONE + 1; m < MUTATION_END; m++) {
        uint64_t seed = first_seed(m), hash;
        while (seed <= MUTATION_SEEDS && run(seed, m, false, &hash, NULL))
            seed++;
        if (seed > MUTATION_SEEDS) {
            printf("FAILED: not noticed: %s\n", mutation_name(m));
            failures++;
        } else {
            printf("noticed (seed %" PRIu64 "): %s: %s\n", seed, mutation_name(m), world.failure);
        }
    }
    return failures;
}

static uint64_t number(const char *text, uint64_t otherwise)
{
    return text && *text ? strtoull(text, NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
    uint64_t first = number(getenv("ONEID_SIM_FIRST"), HEARS_ENDS_FROM + 1);
    uint64_t seeds = number(getenv("ONEID_SIM_SEEDS"), SEEDS_DEFAULT);
    bool trace = false, mutations = false;

    setvbuf(stdout, NULL, _IOLBF, 0);

    for (int i = 1; i < argc; i++) {
        const char *next = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--trace") == 0) {
            trace = true;
        } else if (strcmp(argv[i], "--mutations") == 0) {
            mutations = true;
        } else if (strcmp(argv[i], "--mutation") == 0 && next) {
            chosen = (enum mutation)number(next, 0);
            i++;
        } else if (strcmp(argv[i], "--seed") == 0 && next) {
            first = number(next, 1);
            seeds = 1;
            i++;
        } else if (strcmp(argv[i], "--first") == 0 && next) {
            first = number(next, 1);
            i++;
        } else if (strcmp(argv[i], "--seeds") == 0 && next) {
            seeds = number(next, 1);
            i++;
        } else {
            fprintf(stderr, "sim [--seed N] [--first N] [--seeds N] [--trace] [--mutation N] "
                            "[--mutations]\n");
            return 2;
        }
    }
    return (mutations ? run_mutations() : run_seeds(first, seeds, trace)) != 0;
}
