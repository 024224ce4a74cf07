/* What clients ask of routers, and the answers, in plain structs. Pointers borrow, as in command.h.
 */
#ifndef PROTO_REQUEST_H
#define PROTO_REQUEST_H

#include <base/arena.h>
#include <base/clock.h>
#include <base/error.h>
#include <proto/command.h>

enum { REQUEST_LIMIT_MAX = COMMAND_LIMIT_MAX };

enum request_type {
    REQUEST_INGEST = 1,
    REQUEST_RESOLVE, /* identity → One-ID */
    REQUEST_PROFILE, /* by identity or One-ID */
    REQUEST_COUNT,
    REQUEST_LIST,
    REQUEST_BREAKDOWN,
    REQUEST_STATS,
    REQUEST_REFUSED,
    REQUEST_STATUS, /* what each node says of itself and its replicas (survey) */
    REQUEST_CHECK,
    REQUEST_SEGMENT_DEFINE,
    REQUEST_SEGMENT_DROP,
    REQUEST_SEGMENTS, /* the definitions: all, or the one of `name` */
    REQUEST_REFRESH,  /* counts of all saved segments */
    REQUEST_OVERLAP,
    REQUEST_EXPORT,
    REQUEST_WATCH, /* events of a watched segment */
    REQUEST_UNWATCH,
    REQUEST_LEAD,      /* the shard shall be led by this node */
    REQUEST_NODES,     /* the cluster map: nodes, their tasks, who holds what */
    REQUEST_NODE_TASK, /* a node comes, goes or is replaced, or that is taken back */
    REQUEST_TYPE_END
};

/* The role (trust.h) that may ask for it, and whether it is noted in the audit log. */
unsigned request_role(enum request_type type);
bool request_is_audited(enum request_type type);
/* "segment_define" and the like. */
const char *request_name(enum request_type type);

/* A name and value as the application writes them. */
struct named_identity {
    struct bytes ns, value;
};
enum value_type { VALUE_NULL, VALUE_INTEGER, VALUE_REAL, VALUE_TEXT, VALUE_LIST };
struct named_value {
    struct bytes name;
    enum value_type type;
    int64_t integer;
    double real;
    struct bytes text;
    struct bytes *list; /* VALUE_LIST: texts */
    size_t n_list;
};

struct event_message {
    struct bytes message_id;
    msec_t ts; /* 0: the router's clock at receipt */
    struct bytes source;
    struct named_identity *ids;
    size_t n_ids;
    struct named_value *traits; /* VALUE_NULL removes */
    size_t n_traits;
    struct bytes *tags_add, *tags_remove;
    size_t n_tags_add, n_tags_remove;
    struct named_value *adds; /* counters, VALUE_INTEGER */
    size_t n_adds;
    struct bytes event; /* empty: no behaviour */
    struct named_value *fields;
    size_t n_fields;
};

struct request {
    enum request_type type;
    uint32_t deadline_ms;              /* time left when it was sent; 0: the router's default */
    const struct event_message *event; /* INGEST */
    struct named_identity id;          /* RESOLVE, PROFILE */
    one_id profile;                    /* PROFILE by One-ID */
    struct bytes expr;
    struct bytes by;
    struct bytes cursor; /* LIST, REFUSED: as the last answer gave it; empty: from the start.
                            WATCH: likewise; empty or `now`: what comes from now on, `start`: who is
                            in it, then what comes */
    uint32_t limit;
    struct bytes name;   /* SEGMENT_DEFINE, SEGMENT_DROP, SEGMENTS, WATCH, UNWATCH */
    struct bytes *exprs; /* OVERLAP */
    size_t n_exprs;
    struct bytes by2;     /* BREAKDOWN: the second trait; empty: none */
    struct bytes *fields; /* EXPORT: names of traits, and level, tags, channels */
    size_t n_fields;
    bool explain;        /* COUNT */
    uint32_t wait_ms;    /* WATCH: how long to wait where there is nothing */
    uint32_t shard;      /* LEAD */
    uint32_t node;       /* LEAD */
    struct bytes change; /* NODE_TASK: a BEGIN or CANCEL of cluster/placement.h, encoded */
    /* RESOLVE, PROFILE and questions on segments: any replica may answer, as it is. NODES: the
     * router may, with the map that it has. */
    bool stale_ok;
    uint32_t asked_ms; /* CHECK: how long ago it was first asked for */
};

/* A profile as it is shown (the body of a GET reply's `content`, forwarded unopened). */
struct profile_identity {
    struct bytes ns, value;
};
struct profile_channel {
    struct bytes source;
    msec_t first, last;
};
struct profile_event {
    struct bytes name;
    int64_t count;
    msec_t last;
    struct named_value *sums; /* VALUE_REAL */
    size_t n_sums;
};
struct profile_view {
    one_id id;
    struct profile_identity *ids;
    size_t n_ids;
    struct named_value
        *traits; /* dates as VALUE_TEXT "YYYY-MM-DD", sets as VALUE_LIST, numbers VALUE_REAL */
    size_t n_traits;
    struct named_value *counters; /* VALUE_INTEGER */
    size_t n_counters;
    struct bytes *tags;
    size_t n_tags;
    struct profile_channel *channels;
    size_t n_channels;
    struct profile_event *events;
    size_t n_events;
    struct bytes level; /* empty: none */
};

struct named_refusal {
    struct bytes ns;
    enum refusal reason;
};
struct refused_line {
    uint64_t number;
    uint16_t shard;
    msec_t at;
    one_id profile;
    struct named_identity id, with;
    enum refusal reason;
    struct bytes message_id, source;
};
struct shard_status {
    uint16_t shard, node;
    bool reachable;
    struct shard_stats stats;
};
/* What a router heard of a node. */
struct node_answer {
    node_id node;
    bool answers;
    msec_t heard_ms;     /* the router's wall clock when it came; 0: nothing did */
    struct bytes status; /* packed; status_node_decode; empty: it says nothing of itself */
    struct bytes text;   /* why there is none */
};
struct segment_row {
    struct bytes name, expr;
    enum error_code code; /* not OK: it does not fit the cluster file any more */
};
struct explain_shard {
    shard_id shard;
    uint64_t nanos, count, in_flight;
    struct explain_row *rows;
    size_t n_rows;
};

/* One message of requests may be answered by several of responses, each with some of the items, as
 * they get ready. */
struct response {
    uint32_t item; /* position of the answered request in the client's message */
    enum error_code code;
    struct bytes text;             /* what and where, when code != OK */
    one_id profile;                /* INGEST, RESOLVE, PROFILE */
    bool duplicate;                /* INGEST: the message had been counted before */
    struct named_refusal *refused; /* INGEST: identities that were not linked, and why */
    size_t n_refused;
    struct bytes view; /* PROFILE: packed; profile_decode */
    uint64_t count, population, in_flight;
    bool partial; /* a shard did not answer: the numbers cover the others */
    struct count_row *groups;
    size_t n_groups;
    one_id *members;
    size_t n_members;
    struct bytes cursor; /* empty: the end */
    struct refused_line *lines;
    size_t n_lines;
    struct shard_status *shards;
    size_t n_shards;
    uint64_t map_epoch;
    struct bytes *findings; /* CHECK; `count` of `population` rows have been looked at */
    size_t n_findings;
    struct segment_row *segments; /* SEGMENTS */
    size_t n_segments;
    uint64_t catalogue; /* version of the saved segments; 0: not said */
    uint64_t *combos;   /* OVERLAP: as in a reply */
    size_t n_combos;
    struct bytes rows; /* EXPORT: proto/rows.h */
    uint32_t n_rows;
    struct bytes *fields; /* EXPORT: what each row has */
    size_t n_fields;
    struct bytes events; /* WATCH: proto/watch.h */
    uint32_t n_events;
    struct explain_shard *explain;
    size_t n_explain;
    uint64_t nanos;     /* COUNT with explain: from the first question to the last answer */
    uint32_t *carrying; /* SEGMENT_*: shards that do not have the change yet; CHECK: that still
                           look: it is to be asked for again */
    size_t n_carrying;
    struct node_answer *nodes; /* STATUS */
    size_t n_nodes;
    struct bytes router; /* STATUS: packed; status_router_decode */
    struct bytes map;    /* NODES, NODE_TASK: encoded; cluster_map_decode */
    uint32_t task;       /* NODE_TASK: its id */
    uint32_t age_ms;     /* stale_ok: how old the answer may be at most; 0: as of now */
};

const char *request_type_name(enum request_type t);
/* Does it know stale_ok? */
bool request_may_be_stale(enum request_type t);

/* Decoding looks at the form only, so that one faulty event does not take its whole batch along.
 * This looks at one request: required fields, sizes (EVENT_MAX_SIZE and those of cluster/schema.h),
 * UTF-8, types. What passes can be turned into commands that command_decode takes, once the
 * identities are normalised. Clients call it before they send, routers on each request they got.
 * The message has no value of the input in it. ERR_INVALID, ERR_TOO_LARGE, ERR_NO_IDENTITY. */
enum error_code request_check(const struct request *r, struct error *err);

void request_encode(const struct request *r, struct buf *out); /* appends one item to the body */
enum error_code request_decode(struct bytes body, uint32_t items, struct arena *arena,
                               struct request **out, size_t *n_out, struct error *err);
void response_encode(const struct response *r, struct buf *out);
enum error_code response_decode(struct bytes body, uint32_t items, struct arena *arena,
                                struct response **out, size_t *n_out, struct error *err);

void profile_encode(const struct profile_view *v, struct buf *out);
enum error_code profile_decode(struct bytes b, struct arena *arena, struct profile_view **out,
                               struct error *err);

#endif
