#include <load/options.h>

#include <ctype.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

const char load_usage[] =
    "usage: oneid-load COMMAND [options]\n"
    "\n"
    "  gen      write events as JSON lines, and the answers they must lead to\n"
    "  ingest   send the generated events to a cluster, straight from memory\n"
    "  get      ask for profiles by identities of the generated persons\n"
    "  count    ask for segment counts\n"
    "  check    compare a cluster's answers with the expected ones\n"
    "\n"
    "All:        -c FILE            the cluster file (./cluster.yml)\n"
    "            --router ENDPOINT  instead of the file's routers; may be repeated\n"
    "            --json             the result as JSON\n"
    "Population (gen, ingest, get):\n"
    "            --persons P (100000)  --events N (10/3 of P)  --seed S (1)\n"
    "            --shuffle SEED     another order of the same events\n"
    "            --today YYYY-MM-DD the day that windows end with (today in the cluster's zone)\n"
    "            --split X --never X --resent X --late X   shares, 0 to 1\n"
    "gen:        --out DIR  --parts K (1; 0: answers only)  --sample N (1000)\n"
    "ingest, get, count:\n"
    "            --in-flight N (256)  --duration S  --requests N  --warmup S  --deadline MS\n"
    "            --rate R           open loop: so many a second, measured from the intended start\n"
    "            --hist FILE        the whole histogram, in microseconds\n"
    "ingest:     --part I/K         only every K-th event, from the I-th\n"
    "count:      --expr TEXT        instead of the built-in ones; may be repeated\n"
    "check:      --expected FILE    expected.json of gen\n"
    "            --all              read every profile and compare the whole\n";

enum kind { KIND_TEXT, KIND_LIST, KIND_FLAG, KIND_U32, KIND_U64, KIND_REAL, KIND_PART };

struct row {
    const char *name;
    enum kind kind;
    size_t at;
    size_t count_at; /* KIND_LIST */
};

#define AT(field) offsetof(struct load_options, field)
static const struct row rows[] = {
    {"-c", KIND_TEXT, AT(config), 0},
    {"--router", KIND_LIST, AT(routers), AT(n_routers)},
    {"--json", KIND_FLAG, AT(json), 0},
    {"--persons", KIND_U64, AT(persons), 0},
    {"--events", KIND_U64, AT(events), 0},
    {"--seed", KIND_U64, AT(seed), 0},
    {"--shuffle", KIND_U64, AT(shuffle), 0},
    {"--today", KIND_TEXT, AT(today), 0},
    {"--split", KIND_REAL, AT(split), 0},
    {"--never", KIND_REAL, AT(never), 0},
    {"--resent", KIND_REAL, AT(resent), 0},
    {"--late", KIND_REAL, AT(late), 0},
    {"--out", KIND_TEXT, AT(out), 0},
    {"--sample", KIND_U64, AT(samples), 0},
    {"--parts", KIND_U32, AT(parts), 0},
    {"--expected", KIND_TEXT, AT(expected), 0},
    {"--all", KIND_FLAG, AT(all), 0},
    {"--in-flight", KIND_U32, AT(in_flight), 0},
    {"--duration", KIND_REAL, AT(duration_s), 0},
    {"--warmup", KIND_REAL, AT(warmup_s), 0},
    {"--rate", KIND_REAL, AT(rate), 0},
    {"--requests", KIND_U64, AT(requests), 0},
    {"--deadline", KIND_U32, AT(deadline_ms), 0},
    {"--hist", KIND_TEXT, AT(hist), 0},
    {"--part", KIND_PART, AT(part), 0},
    {"--expr", KIND_LIST, AT(exprs), AT(n_exprs)},
};

static bool parse_u64(const char *text, uint64_t max, uint64_t *out)
{
    char *end;
    if (!isdigit((unsigned char)*text))
        return false;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10);
    *out = v;
    return !errno && !*end && v <= max;
}

static bool parse_real(const char *text, double *out)
{
    char *end;
    if (!isdigit((unsigned char)*text) && *text != '.')
        return false;
    *out = strtod(text, &end);
    return !*end && *out < 1e12;
}

/* "2/4". */
static bool parse_part(const char *text, struct load_options *out)
{
    char first[16];
    uint64_t part, of;
    const char *slash = strchr(text, '/');
    if (!slash || (size_t)(slash - text) >= sizeof first)
        return false;
    memcpy(first, text, (size_t)(slash - text));
    first[slash - text] = 0;
    if (!parse_u64(first, 10000, &part) || !parse_u64(slash + 1, 10000, &of) || part < 1 ||
        part > of)
        return false;
    out->part = (uint32_t)part;
    out->of_parts = (uint32_t)of;
    return true;
}

static bool add_to_list(struct load_options *out, const struct row *row, const char *value)
{
    const char **list = (const char **)(void *)((char *)out + row->at);
    unsigned *n = (unsigned *)(void *)((char *)out + row->count_at);
    if (*n == LOAD_LIST_MAX)
        return false;
    list[(*n)++] = value;
    return true;
}

static bool set_value(struct load_options *out, const struct row *row, const char *value)
{
    void *field = (char *)out + row->at;
    uint64_t number;
    switch (row->kind) {
    case KIND_TEXT:
        memcpy(field, &value, sizeof value);
        return true;
    case KIND_LIST:
        return add_to_list(out, row, value);
    case KIND_U32:
        if (!parse_u64(value, UINT32_MAX, &number))
            return false;
        *(uint32_t *)field = (uint32_t)number;
        return true;
    case KIND_U64:
        return parse_u64(value, UINT64_MAX, (uint64_t *)field);
    case KIND_REAL:
        return parse_real(value, (double *)field);
    case KIND_PART:
        return parse_part(value, out);
    case KIND_FLAG:
        break;
    }
    return false;
}

static enum error_code parse_command(const char *text, struct load_options *out, struct error *err)
{
    static const char *const names[] = {"gen", "ingest", "get", "count", "check"};
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(text, names[i]) == 0) {
            out->command = (enum load_command)i;
            return ERR_OK;
        }
    }
    return error_set(err, ERR_USAGE, "unknown command '%s'", text);
}

static const struct row *row_of(const char *name)
{
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (strcmp(rows[i].name, name) == 0)
            return &rows[i];
    return NULL;
}

static enum error_code check(const struct load_options *o, struct error *err)
{
    if (o->command == LOAD_GEN && !o->out)
        return error_set(err, ERR_USAGE, "gen needs --out DIR");
    if (o->command == LOAD_CHECK && !o->expected)
        return error_set(err, ERR_USAGE, "check needs --expected FILE");
    if (o->parts > 1000)
        return error_set(err, ERR_USAGE, "--parts: expected at most 1000");
    if (o->split > 1 || o->never > 1 || o->late > 1 || o->resent > 0.5)
        return error_set(err, ERR_USAGE, "shares: expected at most 1, --resent at most 0.5");
    if (o->in_flight < 1 || o->in_flight > 1000000)
        return error_set(err, ERR_USAGE, "--in-flight: expected 1 to 1000000");
    bool endless = o->command == LOAD_GET || o->command == LOAD_COUNT;
    if (endless && o->duration_s <= 0 && !o->requests)
        return error_set(err, ERR_USAGE, "expected --duration or --requests");
    return ERR_OK;
}

enum error_code load_options_parse(int argc, char **argv, struct load_options *out,
                                   struct error *err)
{
    *out = (struct load_options){.config = "cluster.yml",
                                 .persons = 100000,
                                 .seed = 1,
                                 .split = -1,
                                 .never = -1,
                                 .resent = -1,
                                 .late = -1,
                                 .samples = 1000,
                                 .parts = 1,
                                 .in_flight = 256};
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return error_set(err, ERR_USAGE, "%s", "");
    enum error_code rc = parse_command(argv[1], out, err);
    if (rc)
        return rc;
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return error_set(err, ERR_USAGE, "%s", "");
        const struct row *row = row_of(argv[i]);
        if (!row)
            return error_set(err, ERR_USAGE, "unknown option '%s'", argv[i]);
        if (row->kind == KIND_FLAG) {
            *(bool *)((char *)out + row->at) = true;
            continue;
        }
        if (i + 1 == argc)
            return error_set(err, ERR_USAGE, "%s: expected a value", row->name);
        if (!set_value(out, row, argv[++i]))
            return error_set(err, ERR_USAGE, "%s: unexpected value '%s'", row->name, argv[i]);
    }
    if (!out->events)
        out->events = out->persons / 3 * 10 + out->persons % 3 * 10 / 3;
    return check(out, err);
}
