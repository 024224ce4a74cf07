/* The commands. Each returns the exit status. */
#ifndef CTL_COMMANDS_H
#define CTL_COMMANDS_H

#include "options.h"

int run_status(const struct options *o);
int run_stats(const struct options *o);
int run_import(const struct options *o);
int run_get(const struct options *o);
int run_count(const struct options *o);
int run_list(const struct options *o);
int run_breakdown(const struct options *o);
int run_export(const struct options *o);
int run_segment(const struct options *o);
int run_watch(const struct options *o);
int run_refused(const struct options *o);
int run_check(const struct options *o);
int run_fix(const struct options *o);
int run_leader(const struct options *o);
int run_node(const struct options *o);
int run_config(const struct options *o);
int run_keygen(const struct options *o);

#endif
