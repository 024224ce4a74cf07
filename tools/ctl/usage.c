#include "options.h"

#include <stdio.h>

static const char COMMON[] = "  -c, --config FILE  the cluster file (default: cluster.yml)\n"
                             "  --json             answer in JSON\n"
                             "  -h, --help         this text; with a command, about that command\n";
static const char ASKING[] =
    "  --router ENDPOINT  ask this router, \"tcp://host:port\", instead of those of the file;\n"
    "                     may be given several times\n"
    "  --key FILE         our key (default: $ONEID_KEY, else admin.key of the keys' folder)\n"
    "  --server-key KEY   with --router: its public key, or its .pub file\n"
    "  --deadline MS      give up after so long (default: 10000)\n";

void usage_print(const struct command *commands)
{
    (void)printf("usage: oneidctl COMMAND [ARGUMENT] [OPTION ...]\n\n");
    for (const struct command *c = commands; c->name; c++) {
        int len = printf("  %s %s", c->name, c->args);
        (void)printf("%*s  %s\n", len < 22 ? 22 - len : 0, "", c->summary);
    }
    (void)printf("\n%s%s  --version\n\n"
                 "exit: 0 done, 1 problem, 2 wrong usage\n",
                 COMMON, ASKING);
}

void usage_print_command(const struct command *c)
{
    (void)printf("usage: oneidctl %s %s%s[OPTION ...]\n%s.\n\n", c->name, c->args,
                 c->args[0] ? " " : "", c->summary);
    if (c->help)
        (void)printf("%s", c->help);
    (void)printf("%s%s", COMMON, c->takes & TAKES_ROUTER ? ASKING : "");
}
