#include <gather/survey.h>

#include <stdlib.h>

struct survey {
    struct arena arena;
    struct node_answer *nodes;
    bool *has_said;
    size_t n, n_said;
    msec_t until_ms;
};

struct survey *survey_new(const node_id *nodes, size_t n, msec_t now, msec_t deadline_ms)
{
    static const char SILENT[] = "no answer";
    struct survey *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->nodes = arena_zalloc(&s->arena, (n + 1) * sizeof *s->nodes);
    s->has_said = arena_zalloc(&s->arena, (n + 1) * sizeof *s->has_said);
    if (!s->nodes || !s->has_said) {
        survey_free(s);
        return NULL;
    }
    s->n = n;
    for (size_t i = 0; i < n; i++)
        s->nodes[i] = (struct node_answer){.node = nodes[i], .text = bytes_of_str(SILENT)};
    msec_t patience = now + SURVEY_PATIENCE_MS;
    s->until_ms = deadline_ms < patience ? deadline_ms : patience;
    return s;
}

void survey_free(struct survey *s)
{
    if (!s)
        return;
    arena_close(&s->arena);
    free(s);
}

static struct node_answer *first_word(struct survey *s, node_id node)
{
    size_t at = 0;
    while (at < s->n && s->nodes[at].node != node)
        at++;
    if (at == s->n || s->has_said[at])
        return NULL;
    s->has_said[at] = true;
    s->n_said++;
    return &s->nodes[at];
}

void survey_take(struct survey *s, node_id node, struct bytes status, msec_t wall_ms)
{
    struct node_answer *a = first_word(s, node);
    if (!a)
        return;
    a->status = arena_copy(&s->arena, status);
    a->heard_ms = wall_ms;
    a->answers = a->status.len > 0;
    a->text = a->answers ? bytes_of(NULL, 0) : bytes_of_str("an empty answer");
}

void survey_fail(struct survey *s, node_id node, struct bytes text, msec_t wall_ms)
{
    struct node_answer *a = first_word(s, node);
    if (!a)
        return;
    a->text = arena_copy(&s->arena, text);
    a->heard_ms = wall_ms;
}

bool survey_is_done(const struct survey *s, msec_t now)
{
    return s->n_said == s->n || now >= s->until_ms;
}

msec_t survey_wake_ms(const struct survey *s)
{
    return s->until_ms;
}

void survey_answer(const struct survey *s, struct response *out)
{
    out->nodes = s->nodes;
    out->n_nodes = s->n;
}
