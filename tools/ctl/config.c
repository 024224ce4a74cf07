#include "commands.h"
#include "session.h"

#include <json/emit.h>

#include <stdio.h>

static void print_lines(const struct cluster_config *c)
{
    (void)printf("cluster %s\ndata %s\n", c->name, c->data);
    for (size_t i = 0; i < c->n_nodes; i++)
        (void)printf("node %u %s\n", c->nodes[i].id, c->nodes[i].listen);
    for (size_t i = 0; i < c->n_routers; i++)
        (void)printf("router %u %s\n", c->routers[i].id, c->routers[i].listen);
}

static void emit_process(struct emit *e, unsigned id, const char *listen)
{
    emit_object(e, NULL);
    emit_unsigned(e, "id", id);
    emit_string(e, "listen", listen);
    emit_end(e);
}

static void print_json(const struct cluster_config *c)
{
    struct emit e;
    emit_init(&e, stdout);
    emit_object(&e, NULL);
    emit_string(&e, "cluster", c->name);
    emit_string(&e, "data", c->data);
    emit_unsigned(&e, "shards", c->n_shards);
    emit_array(&e, "nodes");
    for (size_t i = 0; i < c->n_nodes; i++)
        emit_process(&e, c->nodes[i].id, c->nodes[i].listen);
    emit_end(&e);
    emit_array(&e, "routers");
    for (size_t i = 0; i < c->n_routers; i++)
        emit_process(&e, c->routers[i].id, c->routers[i].listen);
    emit_end(&e);
    emit_end(&e);
}

int run_config(const struct options *o)
{
    struct cluster_config *c = session_config(o);
    if (!c)
        return EXIT_PROBLEM;
    if (o->json)
        print_json(c);
    else
        print_lines(c);
    cluster_config_close(c);
    return EXIT_OK;
}
