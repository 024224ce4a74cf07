#include <route/known.h>

static const struct cluster_node *find_in_file(const struct cluster_config *c, node_id id)
{
    for (size_t i = 0; i < c->n_nodes; i++) {
        if (c->nodes[i].id == id)
            return &c->nodes[i];
    }
    return NULL;
}

static void add(struct known_nodes *k, node_id id, const char *listen, bool is_in_map)
{
    if (k->n == CLUSTER_NODES_MAX)
        k->n_left_out++;
    else
        k->nodes[k->n++] = (struct known_node){id, listen, is_in_map};
}

void known_nodes_list(const struct cluster_config *c, const struct cluster_map *m,
                      struct known_nodes *out)
{
    out->n = out->n_left_out = 0;
    for (size_t i = 0; m && i < m->n_nodes; i++) {
        const struct cluster_node *named = find_in_file(c, m->nodes[i].id);
        add(out, m->nodes[i].id, named ? named->listen : m->nodes[i].listen, true);
    }
    for (size_t i = 0; i < c->n_nodes; i++) {
        if (!m || !cluster_map_node(m, c->nodes[i].id))
            add(out, c->nodes[i].id, c->nodes[i].listen, false);
    }
}

int known_holder(const struct map_shard *s, node_id node)
{
    for (int i = 0; i < s->n_holders; i++) {
        if (s->holders[i].node == node)
            return i;
    }
    return -1;
}

uint8_t known_first(const struct map_shard *s)
{
    for (uint8_t i = 0; i < s->n_holders; i++) {
        if (s->holders[i].settled)
            return i;
    }
    return 0;
}

bool known_may_say(const struct map_shard *s, size_t at)
{
    return at < s->n_replicas && s->holders[at].settled != 0;
}
