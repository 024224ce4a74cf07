/* The segment language on any text: what it takes has a canonical text that it takes again and that
 * stays as it is; what it refuses has a column. */
#include <cluster/config.h>
#include <segment/catalogue.h>

#include <retail_yaml.h>

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(what)                                                                              \
    do {                                                                                           \
        if (!(what))                                                                               \
            abort();                                                                               \
    } while (0)

static const struct schema *retail_schema(void)
{
    static struct cluster_config *config;
    struct error err;
    if (!config)
        REQUIRE(!cluster_config_parse("retail.yml", bytes_of_str(RETAIL_YAML), &config, &err));
    return &config->schema;
}

static void check_tree(const struct expr *e, size_t depth)
{
    REQUIRE(depth <= 2 * SEGMENT_DEPTH_MAX + 2);
    REQUIRE(e->lo <= e->hi);
    REQUIRE(e->kind != EXPR_VALUES || e->n_values > 0);
    for (size_t i = 0; i < e->n_children; i++) {
        REQUIRE(e->children[i]->kind != e->kind);
        check_tree(e->children[i], depth + 1);
    }
}

static void check_canonical(const struct expr *e, const struct schema *schema, struct arena *arena)
{
    struct buf once = {0}, twice = {0};
    struct expr *again;
    struct error err;
    expr_format(e, &once);
    REQUIRE(!expr_parse(buf_bytes(&once), schema, arena, &again, &err));
    expr_format(again, &twice);
    REQUIRE(bytes_equal(buf_bytes(&once), buf_bytes(&twice)));
    buf_free(&once);
    buf_free(&twice);
}

/* Any bytes as a catalogue; and any text as a definition beside others. */
static void check_catalogue(struct bytes in, const struct schema *schema)
{
    struct catalogue *c = NULL, *again = NULL, *base = catalogue_new();
    struct buf once = {0}, twice = {0};
    struct error err;
    REQUIRE(base);
    if (catalogue_decode(in, schema, NULL, &c, &err) != ERR_OK)
        c = catalogue_keep(base);
    (void)catalogue_define(base, bytes_of_str("base"), bytes_of_str("tag(a)"), schema, &again,
                           &err);
    catalogue_drop(base);
    if (catalogue_define(again, bytes_of_str("x"), in, schema, &base, &err) == ERR_OK)
        catalogue_drop(base);
    catalogue_drop(again);
    catalogue_encode(c, &once);
    REQUIRE(!catalogue_decode(buf_bytes(&once), schema, c, &again, &err));
    catalogue_encode(again, &twice);
    REQUIRE(bytes_equal(buf_bytes(&once), buf_bytes(&twice)));
    catalogue_drop(again);
    catalogue_drop(c);
    buf_free(&once);
    buf_free(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct schema *schema = retail_schema();
    struct arena arena = {0};
    struct expr *e;
    struct error err = {0};
    if (expr_parse(bytes_of(data, size), schema, &arena, &e, &err) == ERR_OK) {
        check_tree(e, 1);
        check_canonical(e, schema, &arena);
    } else {
        unsigned column = 0;
        REQUIRE(sscanf(err.msg, "column %u: ", &column) == 1);
        REQUIRE(column >= 1 && column <= size + 1);
    }
    arena_close(&arena);
    check_catalogue(bytes_of(data, size), schema);
    return 0;
}
