#define KERNELS kernels_plain
#define KERNELS_NAME "plain"
#include "kernels_body.h"

#include <index/index.h>

#include <stddef.h>
#include <stdio.h>
#include <string.h>

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

/* What index_use_kernels chose; NULL: the best. */
static const struct kernels *chosen;

const struct kernels *kernels_get(void)
{
    const struct kernels *k = __atomic_load_n(&chosen, __ATOMIC_RELAXED);
    return k ? k : kernels_at(0);
}

enum error_code index_use_kernels(const char *name, struct error *err)
{
    char names[64] = "auto";
    const struct kernels *k = NULL;
    bool found = !name || strcmp(name, "auto") == 0;
    for (size_t i = 0; kernels_at(i); i++) {
        size_t len = strlen(names);
        (void)snprintf(names + len, sizeof names - len, ", %s", kernels_at(i)->name);
        if (!name || strcmp(name, kernels_at(i)->name) != 0)
            continue;
        k = kernels_at(i);
        found = true;
    }
    if (!found)
        return error_set(err, ERR_INVALID, "no kernels '%.32s' on this processor: choose one of %s",
                         name, names);
    __atomic_store_n(&chosen, k, __ATOMIC_RELAXED);
    return ERR_OK;
}

const char *index_kernels(void)
{
    return kernels_get()->name;
}
