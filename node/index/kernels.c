#define KERNELS kernels_plain
#define KERNELS_NAME "plain"
#include "kernels_body.h"

#include <stddef.h>

const struct kernels *kernels_at(size_t i)
{
    static const struct kernels *const all[] = {
#if defined(INDEX_KERNELS_X86)
        &kernels_avx512,
        &kernels_avx2,
#endif
        &kernels_plain,
    };
    bool runs[] = {
#if defined(INDEX_KERNELS_X86)
        __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
            __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vpopcntdq") &&
            __builtin_cpu_supports("popcnt"),
        __builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt"),
#endif
        true,
    };
    for (size_t k = 0; k < sizeof all / sizeof *all; k++)
        if (runs[k] && i-- == 0)
            return all[k];
    return NULL;
}

const struct kernels *kernels_get(void)
{
    return kernels_at(0);
}
