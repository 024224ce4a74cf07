#include "config_sections.h"

#include <string.h>

struct config_names config_names_of(struct config_doc *d, enum name_kind kind, size_t cap)
{
    struct config_names s = {.kind = kind};
    s.names = config_doc_alloc(d, cap + 1, sizeof *s.names);
    s.ids = config_doc_alloc(d, cap + 1, sizeof *s.ids);
    s.cap = s.names && s.ids ? cap : 0;
    return s;
}

name_id config_names_add(struct config_names *s, struct config_node at, const char *name,
                         bool may_repeat)
{
    name_id id = name_id_of(s->kind, bytes_of_str(name));
    if (name[0] == '\0')
        return id;
    for (size_t i = 0; i < s->n; i++) {
        if (s->ids[i] != id)
            continue;
        if (strcmp(s->names[i], name) != 0)
            config_fail(at, "expected another name than '%s': its hash is that of '%s'", name,
                        s->names[i]);
        else if (!may_repeat)
            config_fail(at, "expected '%s' once, it is declared twice", name);
        return id;
    }
    if (s->n < s->cap) {
        s->names[s->n] = name;
        s->ids[s->n++] = id;
    }
    return id;
}
