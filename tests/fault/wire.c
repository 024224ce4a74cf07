/* A network of namespaces, one for each host, joined by a switch in this process that can cut,
 * delay and lose packets between any two of them, in one direction or both. Needs only TUN devices;
 * all of it is gone when the process ends.
 *
 * Usage: oneid-fault-wire SEED IPV4...   (root of its user namespace)
 * Prints "host I FD" for each host, then "ready": nsenter --net=/proc/PID/fd/FD runs a program
 * there. Takes lines from standard input and answers each with "ok" or "error ...": cut I J packets
 * from host I to host J vanish slow I J DELAY JITTER LOSS   they take DELAY to DELAY+JITTER ms,
 * LOSS in a thousand vanish heal                     all is as at the start The end of the input
 * ends it. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { HOSTS_MAX = 16, MTU = 9000, READS_MAX = 64, WAITING_MAX = 4096, IPV4_HEADER = 20 };

struct packet {
    struct packet *next;
    int64_t due_us;
    size_t len;
    uint8_t data[];
};

/* From one host to another. Packets keep their order. */
struct path {
    bool cut;
    unsigned delay_ms, jitter_ms, loss; /* loss: of a thousand */
    struct packet *first, **last;
    size_t n;
};

static struct {
    int tun[HOSTS_MAX], ns[HOSTS_MAX];
    struct in_addr ip[HOSTS_MAX];
    struct path paths[HOSTS_MAX][HOSTS_MAX];
    size_t n;
    unsigned seed;
} wire;

static void die(const char *fmt, ...)
{
    va_list args;
    int code = errno;
    va_start(args, fmt);
    (void)fputs("oneid-fault-wire: ", stderr);
    (void)vfprintf(stderr, fmt, args);
    va_end(args);
    (void)fprintf(stderr, ": %s\n", strerror(code));
    exit(1);
}

static int64_t now_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* --- the hosts --- */

static void set_up(int sock, const char *device)
{
    struct ifreq r = {0};
    (void)snprintf(r.ifr_name, sizeof r.ifr_name, "%s", device);
    if (ioctl(sock, SIOCGIFFLAGS, &r) != 0)
        die("flags of %s", device);
    r.ifr_flags = (short)(r.ifr_flags | IFF_UP);
    if (ioctl(sock, SIOCSIFFLAGS, &r) != 0)
        die("up %s", device);
}

static void set_address(int sock, const char *device, struct in_addr ip, const char *mask)
{
    struct ifreq r = {0};
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = ip};
    (void)snprintf(r.ifr_name, sizeof r.ifr_name, "%s", device);
    memcpy(&r.ifr_addr, &a, sizeof a);
    if (ioctl(sock, SIOCSIFADDR, &r) != 0)
        die("address of %s", device);
    (void)inet_aton(mask, &a.sin_addr);
    memcpy(&r.ifr_netmask, &a, sizeof a);
    if (ioctl(sock, SIOCSIFNETMASK, &r) != 0)
        die("mask of %s", device);
    r.ifr_mtu = MTU;
    if (ioctl(sock, SIOCSIFMTU, &r) != 0)
        die("MTU of %s", device);
}

/* The process is in the namespace of the host that was made last. */
static void make_host(size_t i, const char *ip)
{
    struct ifreq r = {.ifr_name = "wire", .ifr_flags = IFF_TUN | IFF_NO_PI};
    if (inet_aton(ip, &wire.ip[i]) == 0)
        die("%s is not an address", ip);
    if (unshare(CLONE_NEWNET) != 0)
        die("a network namespace");
    if ((wire.ns[i] = open("/proc/self/ns/net", O_RDONLY)) < 0)
        die("/proc/self/ns/net");
    if ((wire.tun[i] = open("/dev/net/tun", O_RDWR | O_NONBLOCK)) < 0)
        die("/dev/net/tun");
    if (ioctl(wire.tun[i], TUNSETIFF, &r) != 0)
        die("a TUN device");
    int sock = socket(AF_INET, SOCK_DGRAM, 0);
    if (sock < 0)
        die("socket");
    set_up(sock, "lo");
    set_address(sock, "wire", wire.ip[i], "255.255.255.0");
    set_up(sock, "wire");
    (void)close(sock);
    (void)printf("host %zu %d\n", i, wire.ns[i]);
}

/* --- packets --- */

static unsigned below(unsigned n)
{
    return n ? (unsigned)rand_r(&wire.seed) % n : 0;
}

static void deliver(size_t to, const uint8_t *data, size_t len)
{
    ssize_t n = write(wire.tun[to], data, len);
    (void)n; /* a queue that is full loses it, as networks do */
}

static void hold(struct path *p, const uint8_t *data, size_t len)
{
    struct packet *k = p->n < WAITING_MAX ? malloc(sizeof *k + len) : NULL;
    if (!k)
        return;
    k->next = NULL;
    k->due_us = now_us() + 1000 * (int64_t)(p->delay_ms + below(p->jitter_ms + 1));
    k->len = len;
    memcpy(k->data, data, len);
    *p->last = k;
    p->last = &k->next;
    p->n++;
}

static void forward(size_t from, const uint8_t *data, size_t len)
{
    struct in_addr to;
    if (len < IPV4_HEADER || data[0] >> 4 != 4)
        return;
    memcpy(&to, data + 16, sizeof to);
    for (size_t i = 0; i < wire.n; i++) {
        struct path *p = &wire.paths[from][i];
        if (wire.ip[i].s_addr != to.s_addr)
            continue;
        if (p->cut || (p->loss && below(1000) < p->loss))
            return;
        if (p->delay_ms || p->jitter_ms || p->first)
            hold(p, data, len);
        else
            deliver(i, data, len);
    }
}

static void take_packets(size_t from)
{
    uint8_t data[MTU];
    for (int i = 0; i < READS_MAX; i++) {
        ssize_t n = read(wire.tun[from], data, sizeof data);
        if (n <= 0)
            return;
        forward(from, data, (size_t)n);
    }
}

static void drop_first(struct path *p)
{
    struct packet *k = p->first;
    p->first = k->next;
    p->n--;
    if (!p->first)
        p->last = &p->first;
    free(k);
}

/* Lets go what is due; returns when the next one is, INT64_MAX: none waits. */
static int64_t let_go(int64_t now)
{
    int64_t next = INT64_MAX;
    for (size_t i = 0; i < wire.n; i++) {
        for (size_t j = 0; j < wire.n; j++) {
            struct path *p = &wire.paths[i][j];
            while (p->first && p->first->due_us <= now) {
                deliver(j, p->first->data, p->first->len);
                drop_first(p);
            }
            if (p->first && p->first->due_us < next)
                next = p->first->due_us;
        }
    }
    return next;
}

/* --- orders --- */

static void heal(struct path *p)
{
    p->cut = false;
    p->delay_ms = p->jitter_ms = p->loss = 0;
}

static bool obey(const char *line)
{
    char verb[16];
    unsigned i, j, delay = 0, jitter = 0, loss = 0;
    int n = sscanf(line, "%15s %u %u %u %u %u", verb, &i, &j, &delay, &jitter, &loss);
    if (n == 1 && strcmp(verb, "heal") == 0) {
        for (size_t k = 0; k < wire.n * wire.n; k++)
            heal(&wire.paths[k / wire.n][k % wire.n]);
        return true;
    }
    if (n < 3 || i >= wire.n || j >= wire.n)
        return false;
    struct path *p = &wire.paths[i][j];
    if (n == 3 && strcmp(verb, "cut") == 0) {
        p->cut = true;
        while (p->first)
            drop_first(p);
        return true;
    }
    if (n != 6 || strcmp(verb, "slow") != 0)
        return false;
    p->delay_ms = delay;
    p->jitter_ms = jitter;
    p->loss = loss;
    return true;
}

/* False: the input has ended. */
static bool take_orders(void)
{
    static char text[1024];
    static size_t len;
    ssize_t n = read(STDIN_FILENO, text + len, sizeof text - 1 - len);
    if (n <= 0)
        return false;
    len += (size_t)n;
    text[len] = '\0';
    for (char *end; (end = strchr(text, '\n'));) {
        *end = '\0';
        (void)puts(obey(text) ? "ok" : "error not understood");
        len -= (size_t)(end + 1 - text);
        memmove(text, end + 1, len + 1);
    }
    return len < sizeof text - 1;
}

static void run(void)
{
    struct pollfd p[HOSTS_MAX + 1] = {{.fd = STDIN_FILENO, .events = POLLIN}};
    for (size_t i = 0; i < wire.n; i++)
        p[i + 1] = (struct pollfd){.fd = wire.tun[i], .events = POLLIN};
    for (;;) {
        int64_t now = now_us(), next = let_go(now);
        struct timespec left = {.tv_sec = (next - now) / 1000000,
                                .tv_nsec = (next - now) % 1000000 * 1000};
        if (ppoll(p, wire.n + 1, next == INT64_MAX ? NULL : &left, NULL) < 0 && errno != EINTR)
            die("poll");
        for (size_t i = 0; i < wire.n; i++) {
            if (p[i + 1].revents)
                take_packets(i);
        }
        if (p[0].revents && !take_orders())
            return;
    }
}

int main(int argc, char **argv)
{
    if (argc < 3 || argc > HOSTS_MAX + 2) {
        (void)fprintf(stderr, "usage: oneid-fault-wire SEED IPV4... (at most %d)\n", HOSTS_MAX);
        return 2;
    }
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    wire.seed = (unsigned)strtoul(argv[1], NULL, 10);
    wire.n = (size_t)argc - 2;
    for (size_t i = 0; i < wire.n; i++) {
        make_host(i, argv[i + 2]);
        for (size_t j = 0; j < wire.n; j++)
            wire.paths[i][j].last = &wire.paths[i][j].first;
    }
    (void)puts("ready");
    run();
    return 0;
}
