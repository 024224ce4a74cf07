/* Which role may ask for what. */
#include <proto/request.h>
#include <proto/trust.h>

static const struct {
    const char *name;
    unsigned role;
    bool audited;
} REQUESTS[REQUEST_TYPE_END] = {
    [REQUEST_INGEST] = {"ingest", ROLE_WRITER, false},
    [REQUEST_RESOLVE] = {"resolve", ROLE_READER, false},
    [REQUEST_PROFILE] = {"profile", ROLE_READER, false},
    [REQUEST_COUNT] = {"count", ROLE_READER, false},
    [REQUEST_LIST] = {"list", ROLE_READER, false},
    [REQUEST_BREAKDOWN] = {"breakdown", ROLE_READER, false},
    [REQUEST_STATS] = {"stats", ROLE_READER, false},
    [REQUEST_REFUSED] = {"refused", ROLE_READER, false},
    [REQUEST_STATUS] = {"status", ROLE_READER, false},
    [REQUEST_CHECK] = {"check", ROLE_READER, false},
    [REQUEST_SEGMENT_DEFINE] = {"segment_define", ROLE_ADMIN, true},
    [REQUEST_SEGMENT_DROP] = {"segment_drop", ROLE_ADMIN, true},
    [REQUEST_SEGMENTS] = {"segments", ROLE_READER, false},
    [REQUEST_REFRESH] = {"refresh", ROLE_READER, false},
    [REQUEST_OVERLAP] = {"overlap", ROLE_READER, false},
    /* Everybody with everything that is known: one who may count need not be able to carry that
     * away in one go, and it shall be seen who did. */
    [REQUEST_EXPORT] = {"export", ROLE_ADMIN, true},
    [REQUEST_WATCH] = {"watch", ROLE_READER, false},
    [REQUEST_UNWATCH] = {"unwatch", ROLE_ADMIN, true}, /* it ends the watch of others, too */
    [REQUEST_LEAD] = {"lead", ROLE_ADMIN, true},
    [REQUEST_NODES] = {"nodes", ROLE_READER, false},
    [REQUEST_NODE_TASK] = {"node_task", ROLE_ADMIN, true},
};

static bool is_listed(enum request_type type)
{
    return (unsigned)type < REQUEST_TYPE_END && REQUESTS[type].name;
}

/* What is not listed is for the most powerful: forgetting a line must not open a door. */
unsigned request_role(enum request_type type)
{
    return is_listed(type) ? REQUESTS[type].role : ROLE_ADMIN;
}

bool request_is_audited(enum request_type type)
{
    return !is_listed(type) || REQUESTS[type].audited;
}

const char *request_name(enum request_type type)
{
    return is_listed(type) ? REQUESTS[type].name : "other";
}
