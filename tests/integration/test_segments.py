"""Saved segments: kept in the cluster, the same through every router, whatever dies."""
import json
import subprocess
import unittest

from harness import BIN, ClusterTest


class SegmentsTest(ClusterTest):
    options = {"routers": 2}

    def segment(self, *args, router=None, check=True):
        return self.cluster.ctl("segment", *args, router=router, check=check)

    def names(self, router=None):
        return [s["name"] for s in self.cluster.json("segment", "list", router=router)["segments"]]

    def people(self, n=60):
        self.cluster.events([{"ids": {"openid": f"o{i}"}, "tags": [t for t, m in (("a", 2), ("b", 3), ("c", 5)) if i % m == 0],
                              "traits": {"city": ["上海", "杭州", "北京"][i % 3]}, "add": {"points": i}} for i in range(n)])

    def test_definitions_are_seen_through_every_router_at_once(self):
        self.people()
        for i in range(10):
            self.segment("define", "s", f"points >= {i}", router=1)
            self.assertEqual(self.cluster.json("count", "segment(s)", router=2)["count"], 60 - i)
            self.segment("define", "t", f"segment(s) and points < {i + 2}", router=2)
            self.assertEqual(self.cluster.json("count", "segment(t)", router=1)["count"], 2)
        self.assertEqual(self.names(router=1), ["s", "t"])
        self.assertEqual(self.segment("show", "t").stdout, "segment(s) and points < 11\n")

    def test_mistakes_are_refused_and_change_nothing(self):
        self.segment("define", "base", "tag(a)")
        self.segment("define", "top", "segment(base) or tag(b)")
        for args, text in [
            (("define", "x", "tag("), "column 5"), (("define", "x", "nothing = 1"), "column 1: unknown trait"),
            (("define", "x", "segment(no)"), "column 1: unknown saved segment"),
            (("define", "base", "segment(top)"), "circle"), (("define", "base", "segment(base)"), "itself"),
            (("define", "x" * 65, "true"), "64 bytes"), (("define", "", "true"), "missing name"),
            (("define", "x\ny", "true"), "control characters"),
            (("drop", "base"), "other segments use it: top"), (("drop", "no"), "no such saved segment"),
            (("show", "no"), "no such saved segment"),
        ]:
            out = self.segment(*args, check=False)
            self.assertEqual(out.returncode, 1, args)
            self.assertIn(text, out.stderr, args)
        self.assertEqual(self.names(), ["base", "top"])
        out = self.cluster.ctl("count", "tag(a) and segment(no)", check=False)
        self.assertIn("column 12: unknown saved segment", out.stderr)
        self.segment("drop", "top")
        self.segment("drop", "base")
        self.assertEqual(self.names(), [])

    def test_depth_is_bounded(self):
        self.segment("define", "s0", "tag(a)")
        for i in range(1, 16):
            self.segment("define", f"s{i}", f"segment(s{i - 1})")
        out = self.segment("define", "s16", "segment(s15)", check=False)
        self.assertIn("at most 16 segments within segments", out.stderr)
        self.segment("define", "other", "true")
        out = self.segment("define", "s0", "segment(other)", check=False)
        self.assertIn("at most 16 segments within segments", out.stderr)
        self.assertEqual(self.cluster.count("segment(s15)"), 0)

    def test_they_survive_restarts_and_kills(self):
        self.people()
        self.segment("define", "s", "tag(a) and points >= 30")
        self.segment("define", "高 价值", "segment(s) and city = 上海")
        want = self.cluster.json("segment", "list", "--counts")
        self.assertEqual([s["count"] for s in want["segments"]], [15, 5])
        for how in [self.cluster.terminate, self.cluster.kill]:
            for key in ["node-1", "node-2", "node-3", "router-1", "router-2"]:
                how(key)
            for i in (1, 2, 3):
                self.cluster.start_node(i)
            for i in (1, 2):
                self.cluster.start_router(i)
            self.cluster.wait_serving()
            for router in (1, 2):
                self.assertEqual(self.cluster.json("segment", "list", "--counts", router=router), want)
                self.assertEqual(self.cluster.json("count", 'segment("高 价值")', router=router)["count"], 5)

    def test_a_router_that_dies_while_it_defines_leaves_one_meaning(self):
        self.people()
        self.segment("define", "s", "points >= 0")
        for i in range(1, 8):
            ctl = subprocess.Popen([f"{BIN}/oneidctl", "segment", "define", "s", f"points >= {i}", "-c", self.cluster.file,
                                    "--router", f"tcp://127.0.0.1:{self.cluster.router_ports[0]}", "--deadline", "1000"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            if i % 2:  # at once, or when the change may be under way
                self.cluster.wait(lambda: ctl.poll() is not None or self.shown(2) != i - 1, "a change or its end")
            self.cluster.kill("router-1")
            ctl.communicate(timeout=60)
            seen = self.cluster.json("count", "segment(s)", router=2)["count"]
            self.assertIn(seen, (60 - i, 60 - i + 1))
            expr = self.cluster.ctl("segment", "show", "s", router=2).stdout.strip()
            now = self.cluster.json("count", "segment(s)", router=2)["count"]
            self.assertEqual(expr, f"points >= {60 - now}")
            self.cluster.start_router(1)
            self.cluster.wait_serving()
            self.segment("define", "s", f"points >= {i}", router=1)

    def shown(self, router):
        return int(self.cluster.ctl("segment", "show", "s", router=router).stdout.split()[-1])

    def test_a_shard_that_was_away_gets_the_definitions(self):
        self.people()
        self.segment("define", "s", "tag(a)")
        owner = {s["shard"]: s["node"] for s in self.cluster.stats()["shards"]}
        away = next(n for n in (1, 2, 3) if n != owner[0])
        self.cluster.kill(f"node-{away}")
        out = json.loads(self.segment("define", "s", "tag(b)", "--json").stdout)
        self.assertEqual({owner[s] for s in out["carrying"]}, {away})
        self.cluster.start_node(away)
        self.cluster.wait_serving()
        self.assertEqual(self.cluster.json("count", "segment(s)", router=2)["count"], self.cluster.count("tag(b)"))

    def test_sweeps_carry_what_nobody_asks_for(self):
        self.people()
        self.segment("define", "s", "tag(a)")
        owner = {s["shard"]: s["node"] for s in self.cluster.stats()["shards"]}
        away = next(n for n in (1, 2, 3) if n != owner[0])
        self.cluster.kill(f"node-{away}")
        version = json.loads(self.segment("define", "s", "tag(b)", "--json").stdout)["catalogue"]
        self.cluster.kill("router-1")
        self.cluster.kill("router-2")
        self.cluster.start_node(away)
        self.cluster.start_router(2)
        self.cluster.wait(lambda: self.versions() == {version}, "all shards have the definition")

    def versions(self):
        out = self.cluster.ctl("stats", "--json", "--deadline", "2000", router=2, check=False)
        return {s["catalogue"] for s in json.loads(out.stdout)["shards"]} if out.returncode == 0 else set()

    def test_refresh_and_overlap_equal_single_counts(self):
        self.people()
        exprs = {f"s{i}": f"points >= {i} and tag({'abc'[i % 3]})" for i in range(40)}
        for name, expr in exprs.items():
            self.segment("define", name, expr)
        fresh = self.cluster.json("segment", "refresh")["segments"]
        self.assertEqual(len(fresh), 40)
        for s in fresh:
            self.assertEqual(s["count"], sum(1 for i in range(60) if self.holds(exprs[s["name"]], i)), s)
        got = self.cluster.json("segment", "overlap", "tag(a)", "tag(b)", "s3")
        self.assertEqual(got["segments"], ["tag(a)", "tag(b)", "s3"])
        want = {}
        for i in range(60):
            key = tuple(e for e in got["segments"] if self.holds(exprs.get(e, e), i))
            want[key] = want.get(key, 0) + 1
        for r in got["regions"]:
            self.assertEqual(r["exactly"], want.get(tuple(r["in"]), 0), r)
            self.assertEqual(r["at_least"], sum(n for k, n in want.items() if set(r["in"]) <= set(k)), r)
        self.assertEqual(got["none"], want.get((), 0))

    @staticmethod
    def holds(expr, i):
        tags = {t for t, m in (("a", 2), ("b", 3), ("c", 5)) if i % m == 0}
        return all(i >= int(p.split()[-1]) if p.startswith("points") else p[4] in tags for p in expr.split(" and "))


if __name__ == "__main__":
    unittest.main(verbosity=2)
