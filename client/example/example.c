/* A first program with liboneid: two channels know a person by different keys, an order names both,
 * and from then on either key leads to the same profile.
 *
 *     example tcp://127.0.0.1:7001
 *     example --version
 */
#include <oneid/oneid.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static struct oneid_str str(const char *s)
{
    return (struct oneid_str){s, strlen(s)};
}

/* Takes the result: says what went wrong, if anything did. */
static bool report(const char *what, struct oneid_result *r)
{
    bool ok = r && r->code == ONEID_OK;
    if (ok)
        printf("%s: person %016" PRIx64 "%s\n", what, r->one_id,
               r->duplicate ? " (counted before)" : "");
    else
        fprintf(stderr, "%s: %s %s\n", what, oneid_code_text(r ? r->code : ONEID_ERR_NOMEM),
                r ? r->text : "");
    oneid_result_free(r);
    return ok;
}

static bool send_events(struct oneid_client *c)
{
    struct oneid_identity phone = {"phone", str("+86 138 0013 8000")};
    struct oneid_identity both[] = {{"phone", str("13800138000")}, {"openid", str("o-example")}};
    struct oneid_value points = {.name = "points", .type = ONEID_INTEGER, .integer = 120};
    struct oneid_value city = {.name = "city", .type = ONEID_TEXT, .text = str("上海")};
    struct oneid_value amount = {.name = "amount", .type = ONEID_REAL, .real = 99.5};
    /* The message_id makes an event count once: a program that is run again changes nothing. */
    struct oneid_event shop = {.message_id = str("example-1"),
                               .source = str("shop"),
                               .ids = &phone,
                               .n_ids = 1,
                               .traits = &city,
                               .n_traits = 1,
                               .adds = &points,
                               .n_adds = 1};
    struct oneid_event mini = {
        .message_id = str("example-2"), .source = str("wechat"), .ids = &both[1], .n_ids = 1};
    struct oneid_event order = {.message_id = str("example-3"),
                                .source = str("tmall"),
                                .ids = both,
                                .n_ids = 2,
                                .name = "order",
                                .fields = &amount,
                                .n_fields = 1};
    return report("shop", oneid_ingest(c, &shop)) && report("wechat", oneid_ingest(c, &mini)) &&
           report("order", oneid_ingest(c, &order));
}

static bool show_person(struct oneid_client *c)
{
    struct oneid_identity openid = {"openid", str("o-example")};
    struct oneid_result *r = oneid_profile_of_identity(c, &openid);
    for (size_t i = 0; r && r->profile && i < r->profile->n_ids; i++)
        printf("  known as %s\n", r->profile->ids[i].ns);
    return report("profile", r);
}

static bool count_members(struct oneid_client *c)
{
    struct oneid_result *r = oneid_count(c, "points >= 100 and channel(tmall)");
    if (r && r->code == ONEID_OK)
        printf("%" PRIu64 " of %" PRIu64 " members\n", r->count, r->population);
    bool ok = r && r->code == ONEID_OK;
    oneid_result_free(r);
    return ok;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: example tcp://host:port | --version\n");
        return 2;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("liboneid %s\n", oneid_version());
        return 0;
    }
    const char *routers[] = {argv[1]};
    struct oneid_options options = {.routers = routers, .n_routers = 1};
    struct oneid_client *c;
    char text[240];
    if (oneid_open(&options, &c, text, sizeof text) != ONEID_OK) {
        fprintf(stderr, "example: %s\n", text);
        return 1;
    }
    bool ok = send_events(c) && show_person(c) && count_members(c);
    oneid_close(c);
    return ok ? 0 : 1;
}
