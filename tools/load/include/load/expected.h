/* The expected answers as files: expected.json and samples.jsonl. */
#ifndef LOAD_EXPECTED_H
#define LOAD_EXPECTED_H

#include <base/error.h>
#include <gen/model.h>

struct expected_segment {
    char *text;
    uint64_t count;
};
struct expected {
    int32_t today;
    uint64_t profiles, identities, devices, events, digest; /* identities without devices */
    int64_t points, growth, order_cents;
    struct expected_segment *segments;
    size_t n_segments;
};

/* Writes `path` from the model; ERR_IO, ERR_NOMEM. */
enum error_code expected_write(const char *path, const struct gen_model *m, const char *timezone,
                               struct error *err);
/* ERR_IO, or ERR_MALFORMED when it is not what expected_write wrote. */
enum error_code expected_read(const char *path, struct expected *out, struct error *err);
void expected_close(struct expected *e);

/* One line for each of `n` profiles (all when there are fewer) spread over the population. */
enum error_code samples_write(const char *path, const struct gen_model *m, uint64_t n,
                              struct error *err);
/* An identity of a profile and the line that gen_view_put makes of the profile. */
typedef void (*sample_cb)(void *ctx, const char *ns, const char *value, const char *profile);
/* Calls for each line; a file that is not there has none. ERR_IO, ERR_MALFORMED. */
enum error_code samples_read(const char *path, sample_cb cb, void *ctx, struct error *err);

#endif
