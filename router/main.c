/* oneid-router: one process of a cluster file's `routers`. */
#include <route/router.h>

#include <base/clock.h>
#include <base/descriptors.h>
#include <base/pages.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char USAGE[] =
    "usage: oneid-router -c FILE -r ID [-l LOGFILE]\n"
    "  -c FILE     the cluster file (cluster.yml)\n"
    "  -r ID       which of its routers this is\n"
    "  -l LOGFILE  append log lines to it (default: standard error); SIGHUP opens it again\n"
    "SIGTERM and SIGINT end it; clients go on with another router.\n"
    "exit: 0 ended as told, 1 problem, 2 usage\n";

struct options {
    const char *config, *log;
    long router;
};

struct watcher {
    sigset_t set;
    struct router *router;
    struct log *log;
};

static bool parse_options(int argc, char **argv, struct options *o)
{
    int c;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): before the first thread starts */
    while ((c = getopt(argc, argv, "c:r:l:h")) != -1) {
        if (c == 'c')
            o->config = optarg;
        else if (c == 'r')
            o->router = strtol(optarg, NULL, 10);
        else if (c == 'l')
            o->log = optarg;
        else
            return false;
    }
    return optind == argc && o->config && o->router > 0 && o->router <= UINT16_MAX;
}

/* The thread that takes signals; all others have them blocked. */
static void *watch_signals(void *ctx)
{
    struct watcher *w = ctx;
    for (;;) {
        int sig = 0;
        if (sigwait(&w->set, &sig) != 0)
            continue;
        if (sig != SIGHUP) {
            log_event(w->log, LOG_LEVEL_INFO, "stopping", "signal=%d", sig);
            router_stop(w->router);
            return NULL;
        }
        struct error err;
        if (log_reopen(w->log, &err) != ERR_OK)
            log_event(w->log, LOG_LEVEL_ERROR, "log_not_reopened", "text=\"%s\"", err.msg);
        else
            log_event(w->log, LOG_LEVEL_INFO, "log_reopened", "signal=%d", sig);
    }
}

static int run(const struct options *o, const struct cluster_config *config, struct watcher *w)
{
    struct error err;
    char who[24];
    (void)snprintf(who, sizeof who, "router-%ld", o->router);
    if (log_open(o->log, who, LOG_LEVEL_INFO, &w->log, &err) != ERR_OK) {
        (void)fprintf(stderr, "oneid-router: %s\n", err.msg);
        return 1;
    }
    pthread_t thread;
    enum error_code rc = router_open(config, (uint16_t)o->router, w->log, &w->router, &err);
    if (rc == ERR_OK && pthread_create(&thread, NULL, watch_signals, w) != 0)
        rc = error_set(&err, ERR_NOMEM, "starting a thread");
    if (rc != ERR_OK) {
        log_event(w->log, LOG_LEVEL_ERROR, "start_failed", "code=%s text=\"%s\"", error_name(rc),
                  err.msg);
        if (o->log)
            (void)fprintf(stderr, "oneid-router: %s\n", err.msg);
        router_close(w->router);
        log_close(w->log);
        return 1;
    }
    log_event(w->log, LOG_LEVEL_INFO, "serving", "pid=%ld", (long)getpid());
    router_run(w->router);
    (void)pthread_join(thread, NULL);
    router_close(w->router);
    log_event(w->log, LOG_LEVEL_INFO, "stopped", "pid=%ld", (long)getpid());
    log_close(w->log);
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
    struct watcher w = {0};
    (void)sigemptyset(&w.set);
    (void)sigaddset(&w.set, SIGTERM);
    (void)sigaddset(&w.set, SIGINT);
    (void)sigaddset(&w.set, SIGHUP);
    (void)pthread_sigmask(SIG_BLOCK, &w.set, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    struct error err;
    struct cluster_config *config = NULL;
    if (cluster_config_open(o.config, &config, &err) != ERR_OK) {
        (void)fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    if (clock_set_timezone(config->timezone) != 0) {
        (void)fprintf(stderr, "oneid-router: the system has no time zone %s\n", config->timezone);
        cluster_config_close(config);
        return 1;
    }
    int rc = run(&o, config, &w);
    cluster_config_close(config);
    return rc;
}
