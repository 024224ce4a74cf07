#include <load/options.h>

#include <load/histogram.h>

#include <ctype.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

const char load_usage[] =
    "usage: oneid-load COMMAND [options]\n"
    "\n"
    "  gen      write events as JSON lines, and the answers they must lead to\n"
    "  run      put a mix of requests on a cluster and measure\n"
    "  ingest   run --mix ingest=1: send the generated events, straight from memory\n"
    "  get      run --mix get=1: ask for profiles by identities of the generated persons\n"
    "  count    run --mix count=1: ask for segment counts\n"
    "  report   show, add up and compare results of run --json FILE\n"
    "  check    compare a cluster's answers with the expected ones\n"
    "\n"
    "All but report:\n"
    "            -c FILE            the cluster file (./cluster.yml)\n"
    "            --router ENDPOINT  instead of the file's routers; may be repeated\n"
    "            --key FILE         our key ($ONEID_KEY, else admin.key of the keys' folder)\n"
    "Population (all but check and report):\n"
    "            --persons P (100000)  --events N (10/3 of P)  --seed S (1)\n"
    "            --shuffle SEED     another order of the same events\n"
    "            --today YYYY-MM-DD the day that windows end with (today in the cluster's zone)\n"
    "            --split X --never X --resent X --late X   shares, 0 to 1\n"
    "gen:        --out DIR  --parts K (1; 0: answers only)  --sample N (1000)  --json\n"
    "run, ingest, get, count: what\n"
    "            --mix KIND=WEIGHT,...   kinds: ingest, update, get, resolve, count\n"
    "            --skew uniform | zipf:THETA | hotspot:PERSONS/REQUESTS   who is asked for\n"
    "            --from N           ingest: the first N events are in the cluster already\n"
    "            --part I/K         ingest: only every K-th event, from the I-th\n"
    "            --expr TEXT        count: instead of the built-in ones; may be repeated\n"
    "  how much\n"
    "            --in-flight N (256)   closed loop: always so many requests are open\n"
    "            --rate R           open loop: so many a second, measured from the intended start\n"
    "            --duration S  --requests N  --warmup S  --deadline MS\n"
    "            --processes N (1)  load processes that share all of this among them\n"
    "  what comes out\n"
    "            --json [FILE]      the result as JSON; with FILE all of it, with series and "
    "histograms\n"
    "            --csv FILE         a row for each interval and kind  --interval MS (1000)\n"
    "            --html FILE        a page with charts\n"
    "            --hgrm FILE        percentiles as HdrHistogram writes them, in milliseconds\n"
    "            --hist FILE        the whole histogram, in microseconds  --digits 1..4 (2)\n"
    "report:     RESULT ...         files of --json FILE, before the options\n"
    "            --merge            add them up: load processes that ran at the same time\n"
    "            --json [FILE]  --csv FILE  --html FILE  --hgrm FILE  --hist FILE\n"
    "check:      --expected FILE    expected.json of gen\n"
    "            --all              read every profile and compare the whole\n"
    "            --json\n";

enum kind { KIND_TEXT, KIND_LIST, KIND_FLAG, KIND_U32, KIND_U64, KIND_REAL, KIND_PART, KIND_JSON };

struct row {
    const char *name;
    enum kind kind;
    size_t at;
    size_t count_at; /* KIND_LIST */
};

#define AT(field) offsetof(struct load_options, field)
static const struct row rows[] = {
    {"-c", KIND_TEXT, AT(config), 0},
    {"--key", KIND_TEXT, AT(key), 0},
    {"--router", KIND_LIST, AT(routers), AT(n_routers)},
    {"--json", KIND_JSON, AT(json_file), 0},
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
    {"--mix", KIND_TEXT, AT(mix_text), 0},
    {"--skew", KIND_TEXT, AT(skew_text), 0},
    {"--processes", KIND_U32, AT(processes), 0},
    {"--from", KIND_U64, AT(from), 0},
    {"--interval", KIND_U32, AT(interval_ms), 0},
    {"--digits", KIND_U32, AT(digits), 0},
    {"--csv", KIND_TEXT, AT(csv), 0},
    {"--html", KIND_TEXT, AT(html), 0},
    {"--hgrm", KIND_TEXT, AT(hgrm), 0},
    {"--merge", KIND_FLAG, AT(merge), 0},
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
    case KIND_JSON:
        break;
    }
    return false;
}

static const char *const command_names[] = {"gen",   "run",   "ingest", "get",
                                            "count", "check", "report"};

const char *load_command_name(enum load_command command)
{
    return command_names[command];
}

static enum error_code parse_command(const char *text, struct load_options *out, struct error *err)
{
    for (unsigned i = 0; i < sizeof command_names / sizeof command_names[0]; i++) {
        if (strcmp(text, command_names[i]) == 0) {
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

static bool is_run(const struct load_options *o)
{
    return o->command == LOAD_RUN || o->command == LOAD_INGEST || o->command == LOAD_GET ||
           o->command == LOAD_COUNT;
}

/* ingest, get and count are mixes of one. */
static enum error_code take_mix(struct load_options *o, struct error *err)
{
    if (o->command == LOAD_RUN && !o->mix_text)
        return error_set(err, ERR_USAGE, "run needs --mix, as in --mix ingest=70,get=25,count=5");
    if (o->command != LOAD_RUN && o->mix_text)
        return error_set(err, ERR_USAGE, "--mix goes with run alone");
    if (o->mix_text)
        return mix_parse(o->mix_text, &o->mix, err);
    o->mix_text = load_command_name(o->command);
    o->mix = mix_of_one(op_of_name(o->mix_text, strlen(o->mix_text)));
    return ERR_OK;
}

static enum error_code check_amounts(const struct load_options *o, struct error *err)
{
    if (o->in_flight < 1 || o->in_flight > 1000000)
        return error_set(err, ERR_USAGE, "--in-flight: expected 1 to 1000000");
    if (o->processes < 1 || o->processes > LOAD_LIST_MAX)
        return error_set(err, ERR_USAGE, "--processes: expected 1 to %d", LOAD_LIST_MAX);
    if (o->in_flight < o->processes || (o->requests && o->requests < o->processes))
        return error_set(
            err, ERR_USAGE,
            "--in-flight and --requests are shared out: expected at least one for each "
            "of %u processes",
            o->processes);
    if (!o->mix.weight[OP_INGEST] && o->duration_s <= 0 && !o->requests)
        return error_set(err, ERR_USAGE, "expected --duration or --requests");
    if (o->duration_s > 0 && o->warmup_s >= o->duration_s)
        return error_set(err, ERR_USAGE, "--warmup: expected less than --duration, which holds it");
    return ERR_OK;
}

static enum error_code check_run(struct load_options *o, struct error *err)
{
    enum error_code rc = take_mix(o, err);
    if (!rc)
        rc = skew_parse(o->skew_text, &o->skew, err);
    if (!rc)
        rc = check_amounts(o, err);
    if (rc)
        return rc;
    if (o->interval_ms < 10 || o->interval_ms > 3600000)
        return error_set(err, ERR_USAGE, "--interval: expected 10 to 3600000 ms");
    if (o->digits < 1 || o->digits > HISTOGRAM_DIGITS_MAX)
        return error_set(err, ERR_USAGE, "--digits: expected 1 to %d", HISTOGRAM_DIGITS_MAX);
    if (o->from && !o->mix.weight[OP_INGEST])
        return error_set(err, ERR_USAGE, "--from: expected ingest in the mix");
    return ERR_OK;
}

static enum error_code check_outputs(const struct load_options *o, struct error *err)
{
    bool files = o->json_file || o->csv || o->html || o->hgrm || o->hist;
    if (files && !is_run(o) && o->command != LOAD_REPORT)
        return error_set(err, ERR_USAGE, "%s writes no result to a file",
                         load_command_name(o->command));
    if (o->merge && o->command != LOAD_REPORT)
        return error_set(err, ERR_USAGE, "--merge goes with report alone");
    if (o->command != LOAD_REPORT)
        return ERR_OK;
    if (o->n_files == 0)
        return error_set(err, ERR_USAGE, "report needs results: files of run --json FILE");
    if (o->n_files > 1 && !o->merge && (o->json_file || o->json || o->csv || o->hgrm || o->hist))
        return error_set(
            err, ERR_USAGE,
            "several results are compared as text or --html; for one file of their sum "
            "say --merge");
    return ERR_OK;
}

static enum error_code check(struct load_options *o, struct error *err)
{
    if (o->command == LOAD_GEN && !o->out)
        return error_set(err, ERR_USAGE, "gen needs --out DIR");
    if (o->command == LOAD_CHECK && !o->expected)
        return error_set(err, ERR_USAGE, "check needs --expected FILE");
    if (o->parts > 1000)
        return error_set(err, ERR_USAGE, "--parts: expected at most 1000");
    if (o->split > 1 || o->never > 1 || o->late > 1 || o->resent > 0.5)
        return error_set(err, ERR_USAGE, "shares: expected at most 1, --resent at most 0.5");
    enum error_code rc = is_run(o) ? check_run(o, err) : ERR_OK;
    return rc ? rc : check_outputs(o, err);
}

/* One argument that is no option. */
static enum error_code take_file(struct load_options *out, const char *text, struct error *err)
{
    if (out->command != LOAD_REPORT || *text == '-')
        return error_set(err, ERR_USAGE, "unknown option '%s'", text);
    if (out->n_files == LOAD_LIST_MAX)
        return error_set(err, ERR_USAGE, "expected at most %d results", LOAD_LIST_MAX);
    out->files[out->n_files++] = text;
    return ERR_OK;
}

/* The option at argv[*i], and its value; *i goes to the last argument that belongs to it. */
static enum error_code take_option(struct load_options *out, int argc, char **argv, int *i,
                                   struct error *err)
{
    const struct row *row = row_of(argv[*i]);
    const char *value = *i + 1 < argc ? argv[*i + 1] : NULL;
    if (!row)
        return take_file(out, argv[*i], err);
    if (row->kind == KIND_FLAG) {
        *(bool *)((char *)out + row->at) = true;
        return ERR_OK;
    }
    if (row->kind == KIND_JSON && (!value || *value == '-')) {
        out->json = true;
        return ERR_OK;
    }
    if (!value)
        return error_set(err, ERR_USAGE, "%s: expected a value", row->name);
    ++*i;
    if (row->kind == KIND_JSON)
        out->json_file = value;
    else if (!set_value(out, row, value))
        return error_set(err, ERR_USAGE, "%s: unexpected value '%s'", row->name, value);
    return ERR_OK;
}

static const struct load_options defaults = {.config = "cluster.yml",
                                             .persons = 100000,
                                             .seed = 1,
                                             .split = -1,
                                             .never = -1,
                                             .resent = -1,
                                             .late = -1,
                                             .samples = 1000,
                                             .parts = 1,
                                             .processes = 1,
                                             .skew_text = "uniform",
                                             .interval_ms = 1000,
                                             .digits = 2,
                                             .in_flight = 256};

static bool asks_for_help(const char *text)
{
    return strcmp(text, "--help") == 0 || strcmp(text, "-h") == 0;
}

enum error_code load_options_parse(int argc, char **argv, struct load_options *out,
                                   struct error *err)
{
    *out = defaults;
    if (argc < 2 || asks_for_help(argv[1]))
        return error_set(err, ERR_USAGE, "%s", "");
    enum error_code rc = parse_command(argv[1], out, err);
    for (int i = 2; !rc && i < argc; i++) {
        if (asks_for_help(argv[i]))
            return error_set(err, ERR_USAGE, "%s", "");
        rc = take_option(out, argc, argv, &i, err);
    }
    if (rc)
        return rc;
    if (!out->events)
        out->events = out->persons / 3 * 10 + out->persons % 3 * 10 / 3;
    return check(out, err);
}
