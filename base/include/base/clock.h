/* The shells' clocks. Cores never call these: they are told the time. Any thread. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

typedef int64_t msec_t; /* milliseconds */
typedef int64_t usec_t; /* microseconds */

enum { MSEC_PER_DAY = 86400000 };

/* Since 1970-01-01 UTC; may jump. */
msec_t clock_wall_ms(void);
/* Monotonic, from an arbitrary start. */
msec_t clock_mono_ms(void);
usec_t clock_mono_us(void);

/* Day numbers (days since 1970-01-01) in one time zone.
 * A day is what the zone's calendar says: it may have 23 or 25 hours.
 * The process-wide TZ is set once by clock_set_timezone, before any thread starts. */
/* 0, or -1 when the system does not know the zone (IANA name, e.g. "Asia/Shanghai"). */
int clock_set_timezone(const char *zone);
/* Is this a zone that clock_set_timezone would take? */
int clock_has_timezone(const char *zone);
/* The day in which the instant lies, in the zone that was set. Any thread. */
int32_t clock_day_of_ms(msec_t wall_ms);
/* The civil date of a day number and back (proleptic Gregorian; H. Hinnant, "chrono-compatible
 * low-level date algorithms"). Month and day count from 1. */
void clock_date_of_day(int32_t day, int *year, int *month, int *mday);
int32_t clock_day_of_date(int year, int month, int mday);
/* "YYYY-MM-DD" of exactly 10 characters to a day number; -1 when it is not a date. */
int clock_parse_date(const char *text, int32_t *day);

#endif
