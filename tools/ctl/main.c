/* oneidctl: asks and feeds a cluster from the command line. */
#include "commands.h"

#include <oneid/oneid.h>

#include <signal.h>
#include <stdio.h>

static const char PAGE_HELP[] = "  --limit N          at most so many (default: 100)\n"
                                "  --cursor C         go on where an earlier answer ended\n";

static const char CHECK_HELP[] =
    "  --quick            not the books: those are a look at every row, which takes a while where\n"
    "                     there are many: beside all other work, and last in line for it\n";
static const char EXPORT_HELP[] =
    "  --fields A,B,...   traits, level, tags, channels; one_id stands first in any case\n"
    "  --ids NS,NS,...    identities of these namespaces as well (slower: they are not indexed)\n"
    "  --format FORMAT    jsonl (default) or csv\n"
    "  --out FILE         instead of standard output; mode 0600, it holds personal data\n"
    "  --cursor C         go on where an interrupted export ended\n";

static const char SEGMENT_HELP[] =
    "  segment define NAME EXPR   saves the expression under the name, or replaces it\n"
    "  segment show NAME          its expression\n"
    "  segment list [--counts]    all of them, with their numbers of members\n"
    "  segment drop NAME          unless others use it\n"
    "  segment refresh            the numbers of members of all, in one pass\n"
    "  segment overlap A B ...    2 to 8 names or expressions: who is in which of them\n\n";

static const char NODE_HELP[] =
    "  node list                        the cluster's nodes, and what each holds\n"
    "  node add ID [ENDPOINT]           takes a new node in, and gives it its share of replicas\n"
    "  node drain ID                    moves everything off a node, which stays, empty\n"
    "  node remove ID                   moves everything off a node, and strikes it off\n"
    "  node replace OLD NEW [ENDPOINT]  NEW takes the place of OLD, which is struck off\n"
    "  node tasks                       what was asked for, and how far it is\n"
    "  node task ID                     one of them, with the shards that still move\n"
    "  node cancel ID                   takes a task back, as far as it is not done\n"
    "ENDPOINT is \"tcp://host:port\"; without it, the one that the cluster file has for the node.\n"
    "Each begins a task and does not wait for its end; asked for again, it is the same task.\n\n"
    "  --wait             until the task has ended, with its progress on standard error; the exit\n"
    "                     status says whether it did what was asked for\n";

static const char WATCH_HELP[] =
    "  --from WHERE       now (default): what comes; start: everybody in it, then what comes;\n"
    "                     or a token that an earlier watch gave\n"
    "  --token-file FILE  the token is written there after each batch that was printed; a watch\n"
    "                     without --from goes on from it\n"
    "  --once             ends when nothing more is there\n"
    "  --stop             the cluster watches the segment no more\n";

static const char KEYGEN_HELP[] =
    "  --all              what is missing for all nodes and routers of the cluster file, and\n"
    "                     admin.key for people; their lines go to its list of allowed keys\n"
    "  --name NAME        one key pair, NAME.key (mode 0600), and NAME.pub for those who need to\n"
    "                     know it; the line for the list of allowed keys is printed\n"
    "  --roles ROLE,...   of that line: reader, writer, admin, node (default: node for node-N and\n"
    "                     router-N, else reader)\n"
    "  --out FOLDER       where to (default: the keys' folder of the cluster file, else here)\n";

static const struct command COMMANDS[] = {
    {"status", "", 0, TAKES_ROUTER, "Routers, nodes and shards: who answers", NULL, run_status},
    {"stats", "", 0, TAKES_ROUTER, "Counts of the cluster and of each shard", NULL, run_stats},
    {"import", "FILE", 1, TAKES_ROUTER | TAKES_REJECTS | TAKES_IN_FLIGHT,
     "Events from JSON lines; - is standard input",
     "  --rejects FILE     refused lines go there with line number and reason, and are no problem\n"
     "                     then (the file holds personal data: mode 0600)\n"
     "  --in-flight N      events without an answer at a time (default: 1024)\n",
     run_import},
    {"get", "KEY", 1, TAKES_ROUTER | TAKES_STALE, "A person's profile, by ns:value or by One-ID",
     NULL, run_get},
    {"count", "EXPR", 1, TAKES_ROUTER | TAKES_EXPLAIN | TAKES_STALE,
     "How many members satisfy a segment expression",
     "  --explain          how the answer came about: terms, strategies, times\n", run_count},
    {"list", "EXPR", 1, TAKES_ROUTER | TAKES_LIMIT | TAKES_CURSOR | TAKES_STALE,
     "Who satisfies it: One-IDs", PAGE_HELP, run_list},
    {"breakdown", "EXPR", 1, TAKES_ROUTER | TAKES_BY | TAKES_STALE,
     "How many for each value of a trait",
     "  --by TRAIT[,TRAIT] one or two traits of the cluster file, or level\n", run_breakdown},
    {"export", "EXPR", 1, TAKES_ROUTER | TAKES_CURSOR | TAKES_EXPORT | TAKES_OUT | TAKES_STALE,
     "Everybody who satisfies it, with chosen fields, as JSON lines or CSV", EXPORT_HELP,
     run_export},
    {"segment", "VERB", 1, TAKES_ROUTER | TAKES_MORE | TAKES_COUNTS,
     "Saved segments: define, show, list, drop, refresh, overlap", SEGMENT_HELP, run_segment},
    {"watch", "NAME", 1, TAKES_ROUTER | TAKES_WATCH,
     "Who comes into a saved segment and who leaves it, as it happens", WATCH_HELP, run_watch},
    {"refused", "", 0, TAKES_ROUTER | TAKES_LIMIT | TAKES_CURSOR,
     "Identities and tags that were not taken, and why", PAGE_HELP, run_refused},
    {"check", "", 0, TAKES_ROUTER | TAKES_QUICK,
     "Is the cluster as it should be, and do the books balance? Says what is not, and what mends "
     "it",
     CHECK_HELP, run_check},
    {"fix", "", 0, TAKES_ROUTER, "Does what mends the findings of check, as far as a command can",
     NULL, run_fix},
    {"leader", "SHARD NODE", 2, TAKES_ROUTER, "Hands the leadership of a shard to a node", NULL,
     run_leader},
    {"node", "VERB", 1, TAKES_ROUTER | TAKES_MORE | TAKES_WAIT,
     "Nodes: list, add, drain, remove, replace, tasks, task, cancel", NODE_HELP, run_node},
    {"keygen", "", 0, TAKES_KEYGEN | TAKES_OUT, "Makes keys: for people, applications, processes",
     KEYGEN_HELP, run_keygen},
    {"config", "", 0, 0, "Processes and data folder of the cluster file, for scripts", NULL,
     run_config},
    {NULL, NULL, 0, 0, NULL, NULL, NULL},
};

static int run(const struct options *o)
{
    if (o->version) {
        (void)printf("oneidctl %s\n", oneid_version());
        return EXIT_OK;
    }
    if (!o->help)
        return o->command->run(o);
    if (o->command)
        usage_print_command(o->command);
    else
        usage_print(COMMANDS);
    return EXIT_OK;
}

int main(int argc, char **argv)
{
    struct options o;
    struct error err;
    (void)signal(SIGPIPE, SIG_IGN);
    if (options_parse(argc, argv, COMMANDS, &o, &err) != ERR_OK) {
        (void)fprintf(stderr, "oneidctl: %s\nTry: oneidctl %s%s--help\n", err.msg,
                      o.command ? o.command->name : "", o.command ? " " : "");
        return EXIT_USAGE;
    }
    int rc = run(&o);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        (void)fprintf(stderr, "oneidctl: standard output cannot be written\n");
        return EXIT_PROBLEM;
    }
    return rc;
}
