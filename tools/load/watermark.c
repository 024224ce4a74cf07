#include <load/watermark.h>

#include <stdbool.h>

static uint64_t *word_of(struct watermark *w, uint64_t n)
{
    return &w->ended[n % WATERMARK_WINDOW / 64];
}

/* Takes the bit of the lowest number, which leaves the window. */
static bool take_low(struct watermark *w)
{
    uint64_t *word = word_of(w, w->low), bit = UINT64_C(1) << (w->low % 64);
    bool ended = *word & bit;
    *word &= ~bit;
    return ended;
}

void watermark_end(struct watermark *w, uint64_t n)
{
    if (n < w->low)
        return;
    while (n - w->low >= WATERMARK_WINDOW) {
        (void)take_low(w);
        w->low++;
    }
    *word_of(w, n) |= UINT64_C(1) << (n % 64);
    while (take_low(w))
        w->low++;
}
