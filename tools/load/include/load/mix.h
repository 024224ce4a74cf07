/* What is asked, and in which shares. */
#ifndef LOAD_MIX_H
#define LOAD_MIX_H

#include <base/error.h>
#include <base/rng.h>

enum op {
    OP_INGEST,  /* the next event of the generated stream */
    OP_UPDATE,  /* an event beyond the stream, of a person that is already there */
    OP_GET,     /* a profile by identity */
    OP_RESOLVE, /* a One-ID by identity */
    OP_COUNT,   /* a segment count */
    OP_KINDS
};

const char *op_name(enum op op);
/* OP_KINDS: there is none of that name. */
enum op op_of_name(const char *name, size_t len);

struct mix {
    uint32_t weight[OP_KINDS]; /* 0: not in it */
    uint64_t total;
};

/* "ingest=70,get=25,count=5": weights, which need not add up to 100. ERR_USAGE with what is wrong.
 */
enum error_code mix_parse(const char *text, struct mix *out, struct error *err);
struct mix mix_of_one(enum op op);
/* Each kind with the probability of its weight. */
enum op mix_draw(const struct mix *m, struct rng *r);

#endif
