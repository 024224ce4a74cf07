/* A cluster file in memory for tests of everything that needs a schema: the retail schema, with a
 * few declarations that only tests want (names that are keywords, metrics that are not kept). */
#ifndef TESTS_RETAIL_YAML_H
#define TESTS_RETAIL_YAML_H

static const char RETAIL_YAML[] =
    "cluster: retail-test\n"
    "data: ./data\n"
    "shards: 6\n"
    "replicas: 1\n"
    "security: none\n"
    "nodes:\n"
    "  - {id: 1, listen: \"tcp://127.0.0.1:7101\"}\n"
    "routers:\n"
    "  - {id: 1, listen: \"tcp://127.0.0.1:7001\"}\n"
    "timezone: Asia/Shanghai\n"
    "identities:\n"
    "  - {name: member, limit: 1}\n"
    "  - {name: phone, limit: 3, normalize: phone}\n"
    "  - {name: unionid, limit: 5}\n"
    "  - {name: openid, limit: 20}\n"
    "  - {name: tmall, limit: 5}\n"
    "  - {name: douyin, limit: 5}\n"
    "  - {name: order, limit: 1000}\n"
    "  - {name: device, limit: 10, bridges: false}\n"
    "traits:\n"
    "  - {name: city, type: enum}\n"
    "  - {name: nickname, type: string}\n"
    "  - {name: birth, type: date, merge: source_priority, sources: [crm, tmall]}\n"
    "  - {name: score, type: number}\n"
    "  - {name: points, type: counter}\n"
    "  - {name: growth, type: counter}\n"
    "  - {name: qty, type: counter}\n"
    "  - {name: interests, type: set}\n"
    "tags: {max_per_profile: 200}\n"
    "events:\n"
    "  order: {fields: {amount: number, freight: number, category: enum, where: enum},\n"
    "          metrics: [count, sum(amount)], keep_days: 400}\n"
    "  view: {fields: {category: enum}, metrics: [count], keep_days: 90}\n"
    "  refund: {fields: {amount: number}, metrics: [sum(amount)], keep_days: 30}\n"
    "levels: {by: growth, steps: {silver: 1000, gold: 5000, black: 20000}}\n";

#endif
