"""What a user does in the first hour: events in, one person out, segments, restarts."""
import json
import time
import unittest

from harness import ClusterTest


def now_ms():
    return int(time.time() * 1000)


class BasicTest(ClusterTest):
    options = {"routers": 2}

    def link_three(self):
        self.cluster.events([
            {"message_id": "a", "source": "shop", "ids": {"phone": "+86 138 0013 8000"}, "traits": {"city": "上海"},
             "add": {"points": 100}, "tags": ["vip"]},
            {"message_id": "b", "source": "wechat", "ids": {"openid": "o1"}, "add": {"points": 20},
             "event": {"name": "order", "amount": 99.5, "category": "奶粉"}},
        ])
        self.assertEqual(self.cluster.stats()["profiles"], 2)
        self.cluster.events([{"message_id": "c", "source": "tmall", "ids": {"phone": "13800138000", "openid": ["o1", "o2"]},
                              "add": {"points": 3}, "traits": {"birth": "1990-05-01"}}])

    def test_identities_of_one_person_become_one_profile(self):
        self.link_three()
        by_phone = self.cluster.json("get", "phone:13800138000")
        for key in ["openid:o1", "openid:o2", by_phone["one_id"]]:
            self.assertEqual(self.cluster.json("get", key, router=2), by_phone)
        self.assertEqual(by_phone["identities"], {"phone": ["13800138000"], "openid": ["o1", "o2"]})
        self.assertEqual(by_phone["counters"]["points"], 123)
        self.assertEqual(by_phone["traits"], {"city": "上海", "birth": "1990-05-01"})
        self.assertEqual(by_phone["tags"], ["vip"])
        self.assertEqual(sorted(by_phone["channels"]), ["shop", "tmall", "wechat"])
        self.assertEqual(by_phone["events"]["order"]["count"], 1)
        stats = self.cluster.stats()
        self.assertEqual((stats["profiles"], stats["identities"], stats["events"], stats["merges"], stats["refused"]),
                         (1, 3, 3, 1, 0))

    def test_segments_answer_on_live_data(self):
        self.link_three()
        for expr, n in [("true", 1), ("tag(vip) and points = 123", 1), ('city in ("上海","杭州") and not channel(douyin)', 1),
                        ("count(order, 30d) >= 1 and sum(order.amount, 90d) = 99.5", 1), ("count(order, 30d) >= 2", 0),
                        ('count(order where category = "奶粉", 60d) >= 1 and last(order) > 14d ago', 1),
                        ("has(phone) and has(openid) and not has(tmall)", 1), ("birth between 1990-01-01 and 1990-12-31", 1),
                        ("level = none", 1), ("points < 0", 0)]:
            self.assertEqual(self.cluster.count(expr), n, expr)
        self.assertEqual(self.cluster.json("list", "tag(vip)")["members"], [self.cluster.json("get", "openid:o2")["one_id"]])
        groups = self.cluster.json("breakdown", "true", "--by", "city")["groups"]
        self.assertEqual([(g["value"], g["count"]) for g in groups], [("上海", 1)])

    def test_the_same_message_counts_once(self):
        event = {"message_id": "once", "ids": {"openid": "x"}, "add": {"points": 5}}
        for router in [1, 2, 1]:
            self.cluster.events([event, event], router=router)
        self.assertEqual(self.cluster.json("get", "openid:x")["counters"]["points"], 5)
        self.assertEqual(self.cluster.stats()["events"], 1)

    def test_restarts_keep_everything(self):
        self.link_three()
        before = self.cluster.json("get", "openid:o2")
        expr = "tag(vip) and points = 123 and count(order, 30d) = 1"
        for how in [self.cluster.terminate, self.cluster.kill, self.cluster.terminate]:
            for i in (1, 2, 3):
                how(f"node-{i}")
            for i in (1, 2, 3):
                self.cluster.start_node(i)
            self.cluster.wait_serving()
            self.assertEqual(self.cluster.json("get", "openid:o2"), before)
            self.assertEqual(self.cluster.count(expr), 1)
            self.cluster.events([{"message_id": "c", "ids": {"phone": "13800138000", "openid": ["o1", "o2"]}, "add": {"points": 3}}])
            self.assertEqual(self.cluster.count("points = 123"), 1)
        self.assertEqual(self.cluster.ctl("check", check=False).returncode, 0)

    def test_limits_shared_keys_and_blocked_values_are_recorded(self):
        for event in (
            {"message_id": "1", "ids": {"member": "A", "openid": "oa"}},
            {"message_id": "2", "ids": {"member": "B", "openid": "ob"}},
            {"message_id": "3", "ids": {"openid": ["oa", "ob"]}},                    # two members: refused
            {"message_id": "4", "ids": {"openid": "oa", "device": "tablet"}},
            {"message_id": "5", "ids": {"openid": "ob", "device": "tablet"}},        # shared device: never a merge
            {"message_id": "6", "ids": {"openid": "oa", "phone": "00000000"}},       # blocked
        ):
            self.cluster.events([event])   # one by one: events of one import overtake each other
        stats = self.cluster.stats()
        self.assertEqual((stats["profiles"], stats["refused"], stats["events"]), (2, 3, 6))
        lines = self.cluster.json("refused")["refused"]
        self.assertEqual(sorted((r["message_id"], r["reason"]) for r in lines),
                         [("3", "limit"), ("5", "non_bridging"), ("6", "blocked")])
        self.assertNotEqual(self.cluster.json("get", "openid:oa")["one_id"], self.cluster.json("get", "openid:ob")["one_id"])
        self.assertEqual(self.cluster.json("get", "device:tablet")["one_id"], self.cluster.json("get", "openid:oa")["one_id"])

    def test_list_pages_give_each_member_once(self):
        self.cluster.events([{"ids": {"openid": f"p{i}"}, "tags": ["t"]} for i in range(500)])
        seen, cursor = [], ""
        while True:
            args = ["list", "tag(t)", "--limit", "37"] + (["--cursor", cursor] if cursor else [])
            page = self.cluster.json(*args)
            seen += page["members"]
            cursor = page["cursor"]
            if not cursor:
                break
        self.assertEqual(len(seen), 500)
        self.assertEqual(len(set(seen)), 500)

    def test_a_missing_router_is_an_error_within_the_deadline(self):
        self.cluster.terminate("router-1")
        self.cluster.terminate("router-2")
        for args in (["count", "true"], ["get", "openid:o1"], ["stats"], ["status"]):
            out = self.cluster.ctl(*args, "--deadline", "1500", check=False)
            self.assertEqual(out.returncode, 1, args)
            self.assertTrue(out.stderr.strip())
        # An importer that has a second router goes on with it.
        self.cluster.start_router(2)
        self.cluster.events([{"ids": {"openid": "late"}}])

    def test_a_node_that_is_away_makes_counts_partial(self):
        self.cluster.events([{"ids": {"openid": f"p{i}"}} for i in range(60)])
        self.cluster.kill("node-2")
        out = json.loads(self.cluster.ctl("count", "true", "--json", "--deadline", "1500", check=False).stdout)
        self.assertTrue(out["partial"])
        self.assertLess(out["count"], 60)
        self.cluster.start_node(2)
        self.cluster.wait_serving()
        self.assertEqual(self.cluster.json("count", "true")["count"], 60)


if __name__ == "__main__":
    unittest.main(verbosity=2)
