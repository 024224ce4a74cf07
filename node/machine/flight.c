#include "flight.h"

#include <base/hash.h>

#include <stdio.h>
#include <stdlib.h>

void flight_close(struct flight *f)
{
    free(f->slots);
    *f = (struct flight){0};
}

/* Where the profile is, or the free place where it would go. The table is never full. */
static size_t place_of(const struct flight *f, one_id profile)
{
    size_t i = (size_t)hash_u64(profile) & (f->cap - 1);
    while (f->slots[i].profile != 0 && f->slots[i].profile != profile)
        i = (i + 1) & (f->cap - 1);
    return i;
}

static void grow(struct flight *f)
{
    struct flight old = *f;
    f->cap = old.cap ? old.cap * 2 : 64;
    f->slots = calloc(f->cap, sizeof *f->slots);
    if (!f->slots) {
        fputs("oneid: out of memory\n", stderr);
        abort();
    }
    for (size_t i = 0; i < old.cap; i++) {
        if (old.slots[i].profile)
            f->slots[place_of(f, old.slots[i].profile)] = old.slots[i];
    }
    free(old.slots);
}

void flight_add(struct flight *f, one_id profile, msec_t began)
{
    if (f->n * 2 >= f->cap)
        grow(f);
    f->slots[place_of(f, profile)] = (struct flight_entry){profile, began};
    f->n++;
}

bool flight_has(const struct flight *f, one_id profile)
{
    return f->cap > 0 && f->slots[place_of(f, profile)].profile == profile;
}

bool flight_remove(struct flight *f, one_id profile)
{
    if (!flight_has(f, profile))
        return false;
    size_t mask = f->cap - 1, hole = place_of(f, profile);
    /* Those that were pushed past the hole move back, so that no search stops at it. */
    for (size_t i = (hole + 1) & mask; f->slots[i].profile; i = (i + 1) & mask) {
        size_t home = (size_t)hash_u64(f->slots[i].profile) & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            f->slots[hole] = f->slots[i];
            hole = i;
        }
    }
    f->slots[hole] = (struct flight_entry){0};
    f->n--;
    return true;
}
