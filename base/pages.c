#define _DEFAULT_SOURCE /* NOLINT: as the C library asks, for MAP_ANONYMOUS and madvise */
#include <base/pages.h>

#include <malloc.h>
#include <stdint.h>
#include <sys/mman.h>

static size_t rounded(size_t size)
{
    return (size + PAGES_UNIT - 1) / PAGES_UNIT * PAGES_UNIT;
}

void *pages_alloc(size_t size, bool huge)
{
    if (size == 0 || size > SIZE_MAX - 2 * (size_t)PAGES_UNIT)
        return NULL;
    size_t n = rounded(size);
    uint8_t *p =
        mmap(NULL, n + PAGES_UNIT, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    /* Alignment: what stands before and behind goes back. */
    size_t before = (PAGES_UNIT - (uintptr_t)p % PAGES_UNIT) % PAGES_UNIT;
    if (before)
        (void)munmap(p, before);
    (void)munmap(p + before + n, PAGES_UNIT - before);
    if (huge)
        (void)madvise(p + before, n, MADV_HUGEPAGE);
    return p + before;
}

void pages_keep_freed(void)
{
    enum { KEEP_BYTES = 512 << 20, MMAP_BYTES = 32 << 20 };
#ifdef __GLIBC__ /* elsewhere malloc does as it likes */
    /* NOLINTBEGIN(concurrency-mt-unsafe): before the first thread starts */
    (void)mallopt(M_TRIM_THRESHOLD, KEEP_BYTES);
    (void)mallopt(M_MMAP_THRESHOLD, MMAP_BYTES);
    /* NOLINTEND(concurrency-mt-unsafe) */
#endif
}

void pages_free(void *p, size_t size)
{
    if (p)
        (void)munmap(p, rounded(size));
}
