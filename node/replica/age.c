#include "age.h"

#include <string.h>

/* Close ones are one: the older time with the newer commit index claims less than both do. */
void age_heard(struct age *a, uint64_t commit, msec_t now)
{
    size_t last = a->n - 1;
    if (a->n > 0 && (a->n == AGE_SAMPLES || now - a->samples[last].heard_ms < AGE_SAMPLE_MS)) {
        if (commit > a->samples[last].commit)
            a->samples[last].commit = commit;
        return;
    }
    a->samples[a->n].commit = commit;
    a->samples[a->n].heard_ms = now;
    a->n++;
}

void age_applied(struct age *a, uint64_t applied)
{
    size_t done = 0;
    while (done < a->n && a->samples[done].commit <= applied)
        done++;
    if (done == 0)
        return;
    a->fresh_ms = a->samples[done - 1].heard_ms;
    a->is_known = true;
    a->n -= done;
    memmove(a->samples, a->samples + done, a->n * sizeof a->samples[0]);
}
