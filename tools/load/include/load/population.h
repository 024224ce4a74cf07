/* From the command line and the cluster file to a generator. */
#ifndef LOAD_POPULATION_H
#define LOAD_POPULATION_H

#include <base/error.h>
#include <cluster/config.h>
#include <gen/gen.h>
#include <load/options.h>

enum { POPULATION_DAYS = 120 }; /* events lie in so many days, today included */

/* The first instant of a day in the zone that clock_set_timezone was given. */
msec_t population_day_start(int32_t day);
/* --today, or the day it is; ERR_USAGE when it is not a date. */
enum error_code population_today(const struct load_options *o, int32_t *today, struct error *err);
/* ERR_INVALID, ERR_USAGE. The zone must have been set. */
enum error_code population_init(const struct load_options *o, struct gen *g, int32_t *today,
                                struct error *err);

#endif
