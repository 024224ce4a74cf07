#include "session.h"

enum { QUERY_ARENA_MAX = 64 << 20 };

void session_close(struct session *s)
{
    run_close(&s->run);
    arena_close(&s->arena);
    gate_read_end(&s->ix->gate);
}

enum error_code session_enter(struct session *s, struct index *ix, const struct index_query *q,
                              struct error *err)
{
    *s = (struct session){.ix = ix};
    enum error_code code = gate_read(&ix->gate, q->deadline_mono_ms, q->cancelled);
    if (code != ERR_OK)
        return error_set(err, code, "while waiting for changes to go in");
    arena_init(&s->arena, QUERY_ARENA_MAX);
    return ERR_OK;
}

enum error_code session_open(struct session *s, struct index *ix, const struct index_query *q,
                             struct node **root, struct error *err)
{
    enum error_code code = session_enter(s, ix, q, err);
    if (code != ERR_OK)
        return code;
    code = program_compile(&ix->core, q, &s->arena, root, err);
    if (code == ERR_OK)
        code = run_init(&s->run, &ix->core, q, root, 1, err);
    if (code != ERR_OK)
        session_close(s);
    return code;
}
