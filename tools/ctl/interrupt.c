#include "interrupt.h"

#include <signal.h>
#include <stddef.h>

static struct oneid_client *volatile watched;
static volatile sig_atomic_t was_interrupted;

/* A second signal ends the process as usual. */
static void on_signal(int sig)
{
    was_interrupted = 1;
    if (watched)
        oneid_interrupt(watched);
    (void)signal(sig, SIG_DFL);
}

void interrupt_watch(struct oneid_client *client)
{
    struct sigaction action = {.sa_handler = on_signal};
    watched = client;
    if (!client)
        return;
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
}

bool interrupted(void)
{
    return was_interrupted != 0;
}
