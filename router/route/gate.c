/* What clients may ask for: roles, limits of their keys, and what is noted of it. */
#include "parts.h"

#include <proto/security.h>

#include <stdlib.h>
#include <string.h>

enum error_code gate_take(struct router *r, const struct envelope *e, struct error *err)
{
    struct sender who = server_sender(r->server);
    return security_take(r->net, &who, e->items, e->body.len, r->now, err);
}

void gate_return(struct router *r, const struct sender *who, uint32_t n)
{
    security_return(r->net, who, n);
}

bool gate_is_open(struct router *r, const struct sender *who)
{
    return security_allows(r->net, who, 0);
}

/* Of an export only the first page: it is one action. */
static bool is_audited(const struct request *q)
{
    return request_is_audited(q->type) && (q->type != REQUEST_EXPORT || q->cursor.len == 0);
}

/* What other requests carry as a name nobody has looked at: it may be any bytes, and megabytes. */
static bool names_segment(const struct request *q)
{
    return q->type == REQUEST_SEGMENT_DEFINE || q->type == REQUEST_SEGMENT_DROP ||
           q->type == REQUEST_UNWATCH;
}

/* A copy of the segment's name, perhaps empty, or what happens to which node; NULL: no memory. */
static char *subject_of(const struct request *q)
{
    char what[48];
    if (q->type == REQUEST_NODE_TASK) {
        errands_describe(q, what, sizeof what);
        return strdup(what);
    }
    size_t len = names_segment(q) ? q->name.len : 0;
    char *s = calloc(1, len + 1);
    if (s && len)
        memcpy(s, q->name.data, len);
    return s;
}

enum error_code gate_check(struct router *r, const struct sender *who, const struct request *q,
                           char **subject, struct error *err)
{
    unsigned role = request_role(q->type);
    char *s = is_audited(q) ? subject_of(q) : NULL;
    *subject = s;
    if ((who->roles & role) == role)
        return ERR_OK;
    security_note_denied(r->net, who, role);
    if (is_audited(q))
        audit_note(r, who, q->type, s ? s : "", ERR_DENIED);
    free(s);
    *subject = NULL;
    return error_set(err, ERR_DENIED, "%s needs a key with the role %s", request_name(q->type),
                     role_name(role));
}
