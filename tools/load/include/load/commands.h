/* The commands of oneid-load. Each prints its result to standard output and returns the exit
 * status: 0 all is well, 1 something was wrong with the answers (errors, differences), 2 it could
 * not run. */
#ifndef LOAD_COMMANDS_H
#define LOAD_COMMANDS_H

#include <cluster/config.h>
#include <load/options.h>
#include <oneid/oneid.h>

int load_gen(const struct load_options *o, const struct cluster_config *c);
/* run, and ingest, get and count, which are mixes of one. `line` is the command line. */
int load_run(const struct load_options *o, const struct cluster_config *c, const char *line);
int load_report(const struct load_options *o);
int load_check(const struct load_options *o, const struct cluster_config *c);

/* Connects to --router or the file's routers with room for `in_flight` requests; NULL after a line
 * on standard error. */
struct oneid_client *load_connect(const struct load_options *o, const struct cluster_config *c,
                                  uint32_t in_flight);
/* The same with the reason in `err` instead. */
enum error_code load_open_client(const struct load_options *o, const struct cluster_config *c,
                                 uint32_t in_flight, struct oneid_client **out, struct error *err);
/* Prints "oneid-load: ..." on standard error and returns 2. */
int load_fail(const struct error *err);
/* Parses the command line, reads the cluster file, runs the command. */
int load_main(int argc, char **argv);

#endif
