#include "common.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

void *need(void *memory)
{
    if (!memory)
        die("out of memory");
    return memory;
}

long number_of(const char *text, long min, const char *what)
{
    char *end;
    errno = 0;
    long n = strtol(text, &end, 10);
    if (errno || end == text || *end || n < min)
        die("%s: expected a whole number from %ld on, found '%s'", what, min, text);
    return n;
}

/* --- lines --- */

static size_t read_block(char **block, FILE *in)
{
    enum { FIRST_ROOM = 1 << 16 };
    size_t room = FIRST_ROOM, size = 0, got;
    *block = need(malloc(room + 1));
    while ((got = fread(*block + size, 1, room - size, in)) > 0) {
        size += got;
        if (size == room)
            *block = need(realloc(*block, (room *= 2) + 1));
    }
    (*block)[size] = '\0';
    return size;
}

void lines_read(struct lines *l, const char *path)
{
    FILE *in = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
    if (!in)
        die("%s: %s", path, strerror(errno));
    size_t size = read_block(&l->block, in), room = 1;
    if (ferror(in))
        die("%s: %s", path, strerror(errno));
    if (in != stdin)
        (void)fclose(in);
    for (size_t i = 0; i < size; i++)
        room += l->block[i] == '\n';
    l->line = need(malloc(room * sizeof *l->line));
    l->n = 0;
    for (char *at = l->block; at < l->block + size; l->n++) {
        char *end = strchr(at, '\n');
        l->line[l->n] = at;
        if (!end)
            end = l->block + size;
        *end = '\0';
        at = end + 1;
    }
}

void lines_free(struct lines *l)
{
    free(l->line);
    free(l->block);
}

char *after_tab(char *text)
{
    char *tab = strchr(text, '\t');
    if (!tab)
        die("expected a tab in '%s'", text);
    *tab = '\0';
    return tab + 1;
}

/* --- latencies --- */

void latencies_add(struct latencies *l, double seconds)
{
    enum { FIRST_ROOM = 1 << 16 };
    if (l->n == l->room) {
        l->room = l->room ? l->room * 2 : FIRST_ROOM;
        l->us = need(realloc(l->us, l->room * sizeof *l->us));
    }
    l->us[l->n++] = (float)(seconds * 1e6);
}

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* The least latency that `share` of all do not exceed. */
static double quantile(const struct latencies *l, double share)
{
    size_t at = (size_t)((double)l->n * share);
    return (double)l->us[at < l->n ? at : l->n - 1];
}

void latencies_print(struct latencies *l, double seconds, uint64_t missed)
{
    if (l->n == 0)
        die("not one answer in %.1f s", seconds);
    qsort(l->us, l->n, sizeof *l->us, by_value);
    printf("{\"ops_s\":%.1f,\"p50_us\":%.1f,\"p99_us\":%.1f,\"n\":%zu,\"missed\":%llu}\n",
           (double)l->n / seconds, quantile(l, 0.5), quantile(l, 0.99), l->n,
           (unsigned long long)missed);
}

void latencies_free(struct latencies *l)
{
    free(l->us);
}

/* --- what is printed --- */

void ingest_print(uint64_t lines, uint64_t applied, double seconds)
{
    printf("{\"lines\":%llu,\"applied\":%llu,\"seconds\":%.6f}\n", (unsigned long long)lines,
           (unsigned long long)applied, seconds);
}

static void put_word(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (!isalnum((unsigned char)text[i]) && !strchr("_-.", text[i]))
            die("'%.*s' is not a word that could be printed", (int)len, text);
    }
    printf("\"%.*s\"", (int)len, text);
}

static bool first_group;

void answer_begin(const char *name)
{
    printf("{\"name\":");
    put_word(name, strlen(name));
}

void answer_count(int64_t count)
{
    printf(",\"answer\":%lld", (long long)count);
}

void answer_groups(void)
{
    printf(",\"answer\":{");
    first_group = true;
}

void answer_group(const char *group, size_t len, int64_t count)
{
    if (count == 0)
        return;
    if (!first_group)
        putchar(',');
    first_group = false;
    put_word(group, len);
    printf(":%lld", (long long)count);
}

void answer_groups_end(void)
{
    putchar('}');
}

void answer_end(const double *seconds, size_t n)
{
    printf(",\"ms\":[");
    for (size_t i = 0; i < n; i++)
        printf("%s%.4f", i ? "," : "", seconds[i] * 1e3);
    puts("]}");
}
