#include <base/clock.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static msec_t clock_read_us(clockid_t id)
{
    struct timespec ts;
    (void)clock_gettime(id, &ts);
    return (usec_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

msec_t clock_wall_ms(void)
{
    return clock_read_us(CLOCK_REALTIME) / 1000;
}

msec_t clock_mono_ms(void)
{
    return clock_read_us(CLOCK_MONOTONIC) / 1000;
}

usec_t clock_mono_us(void)
{
    return clock_read_us(CLOCK_MONOTONIC);
}

/* A file of the tz database begins with "TZif" (RFC 8536): folders and tables beside it do not. */
static int is_zone_file(const char *path)
{
    char magic[4];
    FILE *f = fopen(path, "rbe");
    if (!f)
        return 0;
    int yes = fread(magic, 1, sizeof magic, f) == sizeof magic && memcmp(magic, "TZif", 4) == 0;
    (void)fclose(f);
    return yes;
}

int clock_has_timezone(const char *zone)
{
    char path[256];
    if (!zone || zone[0] == '\0' || zone[0] == '/' || strstr(zone, ".."))
        return 0;
    if (strcmp(zone, "UTC") == 0)
        return 1;
    int n = snprintf(path, sizeof path, "/usr/share/zoneinfo/%s", zone);
    return n > 0 && (size_t)n < sizeof path && is_zone_file(path);
}

int clock_set_timezone(const char *zone)
{
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): called before any thread starts */
    if (!clock_has_timezone(zone) || setenv("TZ", zone, 1) != 0)
        return -1;
    tzset();
    return 0;
}

int32_t clock_day_of_ms(msec_t wall_ms)
{
    /* A thread asks for near instants again and again: remember the hour's answer. Offsets change
     * on multiples of 15 minutes in every zone of the tz database since 1972. */
    static _Thread_local msec_t cached_quarter = INT64_MIN;
    static _Thread_local int32_t cached_day;
    const msec_t quarter_ms = 900000;
    msec_t quarter = wall_ms / quarter_ms - (wall_ms % quarter_ms < 0);
    if (quarter == cached_quarter)
        return cached_day;
    time_t t = (time_t)(wall_ms / 1000 - (wall_ms % 1000 < 0));
    struct tm tm;
    if (!localtime_r(&t, &tm))
        return (int32_t)(wall_ms / MSEC_PER_DAY);
    cached_quarter = quarter;
    cached_day = clock_day_of_date(tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
    return cached_day;
}

int32_t clock_day_of_date(int year, int month, int mday)
{
    int y = month <= 2 ? year - 1 : year;
    int era = (y >= 0 ? y : y - 399) / 400;
    int yoe = y - era * 400;
    int doy = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + mday - 1;
    int doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return (int32_t)(era * 146097 + doe - 719468);
}

void clock_date_of_day(int32_t day, int *year, int *month, int *mday)
{
    int z = day + 719468;
    int era = (z >= 0 ? z : z - 146096) / 146097;
    int doe = z - era * 146097;
    int yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int mp = (5 * doy + 2) / 153;
    *mday = doy - (153 * mp + 2) / 5 + 1;
    *month = mp < 10 ? mp + 3 : mp - 9;
    *year = yoe + era * 400 + (*month <= 2);
}

/* `n` digits at `s` as a number, -1 if one of them is not a digit. */
static int digits(const char *s, int n)
{
    int v = 0;
    for (int i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9')
            return -1;
        v = v * 10 + (s[i] - '0');
    }
    return v;
}

int clock_parse_date(const char *text, int32_t *day)
{
    if (strlen(text) != 10 || text[4] != '-' || text[7] != '-')
        return -1;
    int y = digits(text, 4), m = digits(text + 5, 2), d = digits(text + 8, 2);
    if (y < 1 || m < 1 || m > 12 || d < 1)
        return -1;
    int32_t n = clock_day_of_date(y, m, d);
    int y2, m2, d2;
    clock_date_of_day(n, &y2, &m2, &d2);
    if (y2 != y || m2 != m || d2 != d)
        return -1;
    *day = n;
    return 0;
}
