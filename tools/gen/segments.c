/* The segments that are checked, each with its meaning spelled out in C beside its text. */
#include <gen/model.h>

static bool has_tag(const struct gen_profile *p, unsigned tag)
{
    return p->tags >> tag & 1;
}
static bool has_source(const struct gen_profile *p, enum gen_source s)
{
    return p->sources >> s & 1;
}
static bool has_ns(const struct gen_profile *p, enum gen_ns ns)
{
    return p->namespaces >> ns & 1;
}

/* The predicate of the segment on the same line. Not every one needs `today`. */
#define SEGMENTS(X)                                                                                   \
    X(everybody, "true", true)                                                                        \
    X(vip, "tag(vip)", has_tag(p, GEN_TAG_VIP))                                                       \
    X(cart, "tag(cart) and not tag(trial)",                                                           \
      has_tag(p, GEN_TAG_CART) && !has_tag(p, GEN_TAG_TRIAL))                                         \
    X(three_tags, "tag(new) and tag(vip) and tag(\"618 大促\")",                                      \
      has_tag(p, GEN_TAG_NEW) && has_tag(p, GEN_TAG_VIP) && has_tag(p, GEN_TAG_SALE))                 \
    X(any_tag, "(tag(t20) or tag(t30) or tag(t60)) and not tag(vip)",                                 \
      (has_tag(p, 20) || has_tag(p, 30) || has_tag(p, 60)) && !has_tag(p, GEN_TAG_VIP))               \
    X(city, "city = 上海", p->city == GEN_CITY_SHANGHAI)                                              \
    X(cities, "tag(vip) and city in (\"上海\", \"杭州\") and points >= 100",                          \
      has_tag(p, GEN_TAG_VIP) && (p->city == GEN_CITY_SHANGHAI || p->city == GEN_CITY_HANGZHOU) &&    \
          p->points >= 100)                                                                           \
    X(other_city, "city != 北京", p->city != GEN_NONE && p->city != GEN_CITY_BEIJING)                 \
    X(not_city, "not city = 北京", p->city != GEN_CITY_BEIJING)                                       \
    X(no_city, "not exists(city)", p->city == GEN_NONE)                                               \
    X(rich, "points >= 500", p->points >= 500)                                                        \
    X(some_points, "points between 100 and 199", p->points >= 100 && p->points <= 199)                \
    X(few_points, "points < 50", p->points < 50)                                                      \
    X(buyers_30d, "count(order, 30d) >= 2", p->orders[GEN_30D] >= 2)                                  \
    X(buyers_7d, "count(order, 7d) >= 1", p->orders[GEN_7D] >= 1)                                     \
    X(never_bought, "count(order) = 0", p->orders[GEN_ALL_DAYS] == 0)                                 \
    X(spent_90d, "sum(order.amount, 90d) >= 1000", p->order_cents[GEN_90D] >= 100000)                 \
    X(spent, "sum(order.amount) between 100 and 500",                                                 \
      p->order_cents[GEN_ALL_DAYS] >= 10000 && p->order_cents[GEN_ALL_DAYS] <= 50000)                 \
    X(design, "count(order, 30d) >= 2 and sum(order.amount, 90d) >= 1000",                            \
      p->orders[GEN_30D] >= 2 && p->order_cents[GEN_90D] >= 100000)                                   \
    X(milk, "count(order where category = \"奶粉\", 60d) >= 1 and last(order) > 14d ago",             \
      p->milk_orders_60d >= 1 && p->last_order > today - 14)                                          \
    X(baby,                                                                                           \
      "count(order where category in (\"奶粉\", \"尿裤\"), 90d) >= 2 and not channel(douyin)",        \
      p->milk_or_nappy_orders_90d >= 2 && !has_source(p, GEN_DOUYIN_SHOP))                            \
    X(milk_money, "sum(order.amount where category = \"奶粉\", 90d) >= 300",                          \
      p->milk_cents_90d >= 30000)                                                                     \
    X(lapsed, "last(order) <= 60d ago", p->last_order != INT32_MIN && p->last_order <= today - 60)    \
    X(lookers, "count(view, 30d) >= 1 and count(order, 30d) = 0",                                     \
      p->views[GEN_30D] >= 1 && p->orders[GEN_30D] == 0)                                              \
    X(phone_only, "has(phone) and not has(openid)",                                                   \
      has_ns(p, GEN_PHONE) && !has_ns(p, GEN_OPENID))                                                 \
    X(channels, "channel(douyin) and channel(tmall)",                                                 \
      has_source(p, GEN_DOUYIN_SHOP) && has_source(p, GEN_TMALL_SHOP))                                \
    X(gold, "level = gold", p->growth >= 5000 && p->growth < 20000)                                   \
    X(level_member, "level >= silver and has(member)", p->growth >= 1000 && has_ns(p, GEN_MEMBER))    \
    X(born, "birth_year between 1980 and 1999 and gender = F",                                        \
      p->birth_year >= 1980 && p->birth_year <= 1999 && p->gender == GEN_FEMALE)                      \
    X(birth, "birth < 1985-01-01",                                                                    \
      p->birth != GEN_NONE && p->birth < clock_day_of_date(1985, 1, 1))                               \
    X(interests, "interests in (\"亲子\", \"阅读\") and exists(name)",                                \
      (p->interests & 3) != 0 && p->name != GEN_NONE)                                                 \
    X(ten,                                                                                            \
      "(tag(new) or tag(vip) or tag(t09)) and not tag(t11) and city in (上海, 杭州, 广州) and " \
      "points >= 50 and count(order, 30d) >= 1 and sum(order.amount, 90d) >= 200 and "                \
      "not channel(pos) and not level = black",                                                       \
      (has_tag(p, GEN_TAG_NEW) || has_tag(p, GEN_TAG_VIP) || has_tag(p, 9)) && !has_tag(p, 11) &&     \
          (p->city == GEN_CITY_SHANGHAI || p->city == GEN_CITY_HANGZHOU || p->city == 3) &&           \
          p->points >= 50 && p->orders[GEN_30D] >= 1 && p->order_cents[GEN_90D] >= 20000 &&           \
          !has_source(p, GEN_POS) && p->growth < 20000)

#define X(name, text, condition)                                                                   \
    static bool is_##name(const struct gen_profile *p, int32_t today)                              \
    {                                                                                              \
        (void)p;                                                                                   \
        (void)today;                                                                               \
        return (condition);                                                                        \
    }
SEGMENTS(X)
#undef X

const struct gen_segment gen_segments[] = {
#define X(name, text, condition) {text, is_##name},
    SEGMENTS(X)
#undef X
    /* Each device stays with one of its persons, who has no other. */
    {"has(device)", 0},
};
const unsigned gen_n_segments = sizeof gen_segments / sizeof gen_segments[0];
