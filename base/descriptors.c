#include <base/descriptors.h>

#include <sys/resource.h>

void descriptors_allow_many(void)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0)
        return;
    r.rlim_cur = r.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &r); /* else it stays as it was */
}
