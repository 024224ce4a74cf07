/* Performs the effects of follow cores. */
#include "parts.h"

#include <base/hash.h>

static void perform(struct router *r, struct task *t)
{
    for (size_t i = 0; i < r->follow_effects.n; i++) {
        const struct follow_effect *e = &r->follow_effects.items[i];
        struct ref ref = {t->number, t->generation, e->call};
        switch (e->kind) {
        case FOLLOW_START:
            shards_send(r, e->shard, LANE_WRITE, e->command, ref);
            break;
        case FOLLOW_READ:
            shards_send(r, e->shard, LANE_WATCH, e->command, ref);
            break;
        case FOLLOW_ANSWER:
            tasks_end(r, t, e->answer);
            return;
        }
    }
    r->wake_ms[t->number] = follow_wake_ms(t->follow);
}

void follows_start(struct router *r, struct task *t, const struct request *q, msec_t deadline_ms)
{
    struct follow_begin begin = {.request = q,
                                 .cluster_id = r->map.cluster_id,
                                 .number = hash_u64(++r->seed) | 1,
                                 .n_shards = r->map.n_shards,
                                 .today = clock_day_of_ms(clock_wall_ms()),
                                 .deadline_ms = deadline_ms};
    r->follow_effects.n = 0;
    t->follow = follow_new(&begin, r->now, &r->follow_effects);
    if (!t->follow) {
        struct response resp = {.code = ERR_NOMEM, .text = bytes_of_str(error_text(ERR_NOMEM))};
        tasks_end(r, t, &resp);
        return;
    }
    perform(r, t);
}

void follows_reply(struct router *r, struct task *t, shard_id shard, uint32_t call,
                   const struct reply *reply)
{
    r->follow_effects.n = 0;
    follow_reply(t->follow, shard, call, reply, r->now, &r->follow_effects);
    perform(r, t);
}

void follows_tick(struct router *r, struct task *t)
{
    r->follow_effects.n = 0;
    follow_tick(t->follow, r->now, &r->follow_effects);
    perform(r, t);
}
