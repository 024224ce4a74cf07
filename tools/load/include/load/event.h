/* A generated event as the client library takes it. */
#ifndef LOAD_EVENT_H
#define LOAD_EVENT_H

#include <gen/gen.h>
#include <oneid/oneid.h>

enum { LOAD_TRAITS_MAX = 6 };

/* `event` borrows from the rest and from the generated event: neither may move while it is used. */
struct load_event {
    struct oneid_event event;
    struct oneid_identity ids[GEN_EVENT_IDS_MAX];
    struct oneid_value traits[LOAD_TRAITS_MAX], adds[2], fields[2];
    struct oneid_str interests[2], tags_add[2], tag_remove;
    char birth[16], name[GEN_NAME_TEXT_MAX];
};

void load_event_of(const struct gen_event *e, struct load_event *out);
/* A value of a NUL-terminated text. */
struct oneid_str load_str(const char *text);

#endif
