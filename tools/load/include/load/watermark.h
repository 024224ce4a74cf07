/* Up to where numbered things have all ended, when they begin in order and end in any. A core. */
#ifndef LOAD_WATERMARK_H
#define LOAD_WATERMARK_H

#include <stdint.h>

enum { WATERMARK_WINDOW = 1 << 20 };

/* All zero is one where nothing has ended. */
struct watermark {
    uint64_t low; /* all below have ended */
    uint64_t
        ended[WATERMARK_WINDOW / 64]; /* bits of [low, low + window), by number modulo window */
};

/* Number n, not ended before, ends. What lags behind by more than the window is taken for ended. */
void watermark_end(struct watermark *w, uint64_t n);

#endif
