/* What the measuring clients share: a clock, a file of lines in memory, latencies, and the end of
 * the program when anything goes wrong (these are tools of the benchmark: there is nobody to carry
 * on for).
 *
 * Every client prints one JSON object a line to standard output. */
#ifndef BENCH_COMMON_H
#define BENCH_COMMON_H

#include <stddef.h>
#include <stdint.h>

enum { PEER_LINE_MAX = 4096 }; /* of an event, with its line end */

/* Seconds of a clock that never goes back. */
double now_s(void);

/* Says what is wrong and ends the program with status 1. */
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Like malloc and friends; the program ends when memory is out. */
void *need(void *memory);

/* A whole number from `min` on; anything else ends the program, naming `what`. */
long number_of(const char *text, long min, const char *what);

/* The lines of a file, NUL-terminated in one block; "-" is standard input. */
struct lines {
    char *block;
    char **line;
    size_t n;
};
void lines_read(struct lines *l, const char *path);
void lines_free(struct lines *l);

/* Cuts the text at the first tab and returns what is behind it; a line without one ends the
 * program. */
char *after_tab(char *text);

/* Latencies in microseconds, all kept. */
struct latencies {
    float *us;
    size_t n, room;
};
void latencies_add(struct latencies *l, double seconds);
/* Sorts them and prints {"ops_s":…,"p50_us":…,"p99_us":…,"n":…,"missed":…}. */
void latencies_print(struct latencies *l, double seconds, uint64_t missed);
void latencies_free(struct latencies *l);

/* {"lines":…,"applied":…,"seconds":…} of an ingest. */
void ingest_print(uint64_t lines, uint64_t applied, double seconds);

/* The answer to a question and how long each repetition took. A name or a group of letters, digits
 * and _ - . is all that is ever printed; anything else ends the program. */
void answer_begin(const char *name);
void answer_count(int64_t count);
/* A group of a breakdown: call answer_groups once before, answer_groups_end once behind. */
void answer_groups(void);
void answer_group(const char *group, size_t len, int64_t count);
void answer_groups_end(void);
void answer_end(const double *seconds, size_t n);

#endif
