#include <load/host.h>

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

/* The text behind the first line that begins with `key`, without blanks and quotes around it. */
static void read_field(const char *path, const char *key, char *out, size_t size)
{
    char line[256];
    FILE *in = fopen(path, "r");
    while (in && fgets(line, sizeof line, in)) {
        if (strncmp(line, key, strlen(key)) != 0)
            continue;
        char *value = line + strlen(key);
        value += strspn(value, " \t:=\"");
        value[strcspn(value, "\"\n")] = 0;
        snprintf(out, size, "%s", value);
        break;
    }
    if (in)
        (void)fclose(in);
}

void host_look(struct host *out)
{
    struct utsname u;
    long cores = sysconf(_SC_NPROCESSORS_ONLN), pages = sysconf(_SC_PHYS_PAGES);
    *out = (struct host){.cores = cores > 0 ? (uint32_t)cores : 0};
    read_field("/proc/cpuinfo", "model name", out->cpu, sizeof out->cpu);
    read_field("/etc/os-release", "PRETTY_NAME", out->os, sizeof out->os);
    if (uname(&u) == 0)
        snprintf(out->kernel, sizeof out->kernel, "%s %s", u.sysname, u.release);
    if (pages > 0)
        out->memory_bytes = (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}
