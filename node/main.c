/* oneid-node: one process of a cluster file's `nodes`. */
#include <host/host.h>
#include <index/index.h>

#include <base/clock.h>
#include <base/descriptors.h>
#include <base/pages.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char USAGE[] =
    "usage: oneid-node -c FILE -n ID [-l LOGFILE]\n"
    "  -c FILE     the cluster file (cluster.yml)\n"
    "  -n ID       which of its nodes this is\n"
    "  -l LOGFILE  append log lines to it (default: standard error); SIGHUP opens it again\n"
    "environment: ONEID_KERNELS=auto|avx512|avx2|plain, how segments are counted\n"
    "SIGTERM and SIGINT drain, checkpoint and end.\n"
    "exit: 0 ended as told, 1 problem, 2 usage\n";

struct options {
    const char *config, *log;
    long node;
};

static bool parse_options(int argc, char **argv, struct options *o)
{
    int c;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): before the first thread starts */
    while ((c = getopt(argc, argv, "c:n:l:h")) != -1) {
        if (c == 'c')
            o->config = optarg;
        else if (c == 'n')
            o->node = strtol(optarg, NULL, 10);
        else if (c == 'l')
            o->log = optarg;
        else
            return false;
    }
    return optind == argc && o->config && o->node > 0 && o->node <= UINT16_MAX;
}

/* Waits for the signal to end; all threads have them blocked, so only this one takes them. */
static void wait_for_end(const sigset_t *set, struct log *log)
{
    for (;;) {
        int sig = 0;
        if (sigwait(set, &sig) != 0)
            continue;
        if (sig != SIGHUP) {
            log_event(log, LOG_LEVEL_INFO, "stopping", "signal=%d", sig);
            return;
        }
        struct error err;
        if (log_reopen(log, &err) != ERR_OK)
            log_event(log, LOG_LEVEL_ERROR, "log_not_reopened", "text=\"%s\"", err.msg);
        else
            log_event(log, LOG_LEVEL_INFO, "log_reopened", "signal=%d", sig);
    }
}

/* Says why on both channels and takes the log. */
static int start_failed(const struct options *o, struct log *log, const struct error *err)
{
    log_event(log, LOG_LEVEL_ERROR, "start_failed", "code=%s text=\"%s\"", error_name(err->code),
              err->msg);
    if (o->log)
        (void)fprintf(stderr, "oneid-node: %s\n", err->msg);
    log_close(log);
    return 1;
}

static int run(const struct options *o, const struct cluster_config *config, const sigset_t *set)
{
    struct error err;
    struct log *log = NULL;
    struct host *host = NULL;
    char who[16];
    (void)snprintf(who, sizeof who, "node-%ld", o->node);
    if (log_open(o->log, who, LOG_LEVEL_INFO, &log, &err) != ERR_OK) {
        (void)fprintf(stderr, "oneid-node: %s\n", err.msg);
        return 1;
    }
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): before the first thread starts */
    if (index_use_kernels(getenv("ONEID_KERNELS"), &err) != ERR_OK) {
        (void)error_wrap(&err, "ONEID_KERNELS");
        return start_failed(o, log, &err);
    }
    log_event(log, LOG_LEVEL_INFO, "index_kernels", "name=%s", index_kernels());
    enum error_code rc = host_open(config, (node_id)o->node, log, &host, &err);
    if (rc == ERR_SHUTDOWN) { /* told to, while it waited for the others */
        log_event(log, LOG_LEVEL_INFO, "stopped", "text=\"%s\"", err.msg);
        log_close(log);
        return 0;
    }
    if (rc != ERR_OK)
        return start_failed(o, log, &err);
    log_event(log, LOG_LEVEL_INFO, "serving", "pid=%ld", (long)getpid());
    wait_for_end(set, log);
    host_close(host);
    log_event(log, LOG_LEVEL_INFO, "stopped", "pid=%ld", (long)getpid());
    log_close(log);
    return 0;
}

int main(int argc, char **argv)
{
    struct options o = {0};
    if (!parse_options(argc, argv, &o)) {
        (void)fputs(USAGE, stderr);
        return 2;
    }
    pages_keep_freed();
    descriptors_allow_many();
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGHUP);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN);
    struct error err;
    struct cluster_config *config = NULL;
    if (cluster_config_open(o.config, &config, &err) != ERR_OK) {
        (void)fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    if (clock_set_timezone(config->timezone) != 0) {
        (void)fprintf(stderr, "oneid-node: the system has no time zone %s\n", config->timezone);
        cluster_config_close(config);
        return 1;
    }
    int rc = run(&o, config, &set);
    cluster_config_close(config);
    return rc;
}
