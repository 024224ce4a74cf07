/* The sections of the cluster file, each read into its part of the config. Every function takes a
 * node that may be absent, leaves mistakes in the document (config_node.h), and fills the config
 * with usable values in any case. Strings and arrays live in the document's arena. */
#ifndef CLUSTER_CONFIG_SECTIONS_H
#define CLUSTER_CONFIG_SECTIONS_H

#include "config_node.h"

#include <cluster/config.h>

enum {
    CONFIG_NAMESPACES_MAX = 256,
    CONFIG_TRAITS_MAX = 1024,
    CONFIG_EVENTS_MAX = 256,
    CONFIG_LEVELS_MAX = 64,
    CONFIG_BLOCK_MAX = 256,
    CONFIG_SOURCES_MAX = 64,
};

void config_read_name(struct config_node n, struct cluster_config *c);
void config_read_data(struct config_node n, struct cluster_config *c);
void config_read_shards(struct config_node n, struct cluster_config *c);
void config_read_replicas(struct config_node n, struct cluster_config *c);
/* Before nodes and routers, wherever the section stands: it says which addresses they may have. */
void config_read_security(struct config_node n, struct cluster_config *c);
void config_read_nodes(struct config_node n, struct cluster_config *c);
void config_read_routers(struct config_node n, struct cluster_config *c);
void config_read_timezone(struct config_node n, struct cluster_config *c);
void config_read_limits(struct config_node n, struct cluster_config *c);
void config_read_identities(struct config_node n, struct cluster_config *c);
void config_read_traits(struct config_node n, struct cluster_config *c);
void config_read_tags(struct config_node n, struct cluster_config *c);
void config_read_events(struct config_node n, struct cluster_config *c);
/* After the traits, wherever the section stands in the file. */
void config_read_levels(struct config_node n, struct cluster_config *c);

/* The names of one kind that were declared so far; refuses what cannot be told apart by name_id. */
struct config_names {
    enum name_kind kind;
    size_t n, cap;
    const char **names;
    name_id *ids;
};

/* Room for `cap` names. */
struct config_names config_names_of(struct config_doc *d, enum name_kind kind, size_t cap);
/* Declares the name that was read at `at` and returns its id. A name that is there already is a
 * mistake unless it `may_repeat`. */
name_id config_names_add(struct config_names *s, struct config_node at, const char *name,
                         bool may_repeat);

#endif
