/* The machine that the load ran on, as far as it explains a result. */
#ifndef LOAD_HOST_H
#define LOAD_HOST_H

#include <stdint.h>

struct host {
    char cpu[128], os[128], kernel[160]; /* "" where the system does not say */
    uint32_t cores;
    uint64_t memory_bytes;
};

void host_look(struct host *out);

#endif
