"""Overlaps, breakdowns, explained counts, lists and exports on real processes, beside a slow
evaluation in Python over the profiles themselves."""
import csv
import io
import json
import os
import random
import signal
import stat
import subprocess
import time
import unittest

from harness import BIN, ClusterTest

SEED = int(os.environ.get("ONEID_QUESTIONS_SEED", "1"))
CITIES = ["上海", "杭州", 'Aix, "en" Provence', "a;b\\c", None]
TAGS = ["vip", "new", "x y", "长"]
DAY_MS = 86400000


class QuestionsTest(ClusterTest):
    options = {"routers": 2}

    def setUp(self):
        super().setUp()
        rng = random.Random(SEED)
        now = int(time.time() * 1000)
        events = []
        for i in range(150):
            e = {"ids": {"openid": f"o{i}", "phone": f"1380000{i:04d}"}, "source": rng.choice(["shop", "tmall"]),
                 "tags": rng.sample(TAGS, rng.randrange(3)), "add": {"points": rng.randrange(100), "growth": rng.choice([0, 1500, 6000])}}
            city = rng.choice(CITIES)
            if city:
                e["traits"] = {"city": city, "birth": f"19{rng.randrange(50, 99)}-0{rng.randrange(1, 9)}-11"}
            if rng.random() < 0.5:
                e["event"] = {"name": "order", "amount": rng.randrange(200), "category": rng.choice(["a", "b"])}
                e["ts"] = now - rng.randrange(40) * DAY_MS
            events.append(e)
        for i in range(0, 120, 7):  # merges, also of persons on different shards
            events.append({"ids": {"openid": f"o{i}", "tmall": f"t{i}"}})
            events.append({"ids": {"openid": f"o{i + 1}", "tmall": f"t{i}"}, "add": {"points": 7}})
        self.cluster.events(events)
        self.members = self.cluster.json("list", "true", "--limit", "1000")["members"]
        self.people = {m: self.cluster.json("get", m) for m in self.members}

    # --- the slow evaluation ---

    TERMS = {
        "tag(vip)": lambda p: "vip" in p.get("tags", []),
        'tag("x y")': lambda p: "x y" in p.get("tags", []),
        "city = 上海": lambda p: p["traits"].get("city") == "上海",
        "exists(city)": lambda p: "city" in p["traits"],
        "points >= 50": lambda p: p["counters"].get("points", 0) >= 50,
        "channel(tmall)": lambda p: "tmall" in p["channels"],
        "has(tmall)": lambda p: "tmall" in p["identities"],
        "count(order) >= 1": lambda p: p["events"].get("order", {}).get("count", 0) >= 1,
        "level >= silver": lambda p: p.get("level") in ("silver", "gold", "black"),
        "birth < 1975-01-01": lambda p: p["traits"].get("birth", "9") < "1975-01-01",
    }

    def who(self, expr):
        return {m for m, p in self.people.items() if self.TERMS[expr](p)}

    # --- tests ---

    def test_overlap_equals_sets(self):
        rng = random.Random(SEED)
        for n in (2, 3, 5, 8):
            exprs = rng.sample(sorted(self.TERMS), n)
            sets = [self.who(e) for e in exprs]
            got = self.cluster.json("segment", "overlap", *exprs)
            self.assertEqual(len(got["regions"]), 2 ** n - 1)
            for r in got["regions"]:
                mask = [e in r["in"] for e in exprs]
                inside = set(self.people).intersection(*(s for s, b in zip(sets, mask) if b))
                exactly = inside.difference(*(s for s, b in zip(sets, mask) if not b))
                self.assertEqual((r["exactly"], r["at_least"]), (len(exactly), len(inside)), r)
            self.assertEqual(got["none"], len(set(self.people).difference(*sets)))
            self.assertEqual(got["population"], len(self.people))
        out = self.cluster.ctl("segment", "overlap", "tag(vip)", "points >= 50").stdout
        self.assertRegex(out, r"A B +\d+ +\d+")
        out = self.cluster.ctl("segment", "overlap", "tag(vip)", "nothing = 1", check=False)
        self.assertIn("segment 2: column 1: unknown trait", out.stderr)

    def test_breakdown_by_two_equals_a_table(self):
        got = self.cluster.json("breakdown", "points >= 20", "--by", "city,level")["groups"]
        want = {}
        for p in self.people.values():
            if p["counters"].get("points", 0) >= 20:
                key = (p["traits"].get("city"), p.get("level") or "none")
                want[key] = want.get(key, 0) + 1
        self.assertEqual({(g["value"], g["value2"] or "none"): g["count"] for g in got}, want)
        for by in ("city,nothing", "city,level,city", "city,", ","):
            self.assertNotEqual(self.cluster.ctl("breakdown", "true", "--by", by, check=False).returncode, 0, by)

    def test_explain_says_how(self):
        got = self.cluster.json("count", "tag(vip) and points >= 50 and count(order, 30d) >= 1", "--explain")
        self.assertEqual(got["count"], self.cluster.count("tag(vip) and points >= 50 and count(order, 30d) >= 1"))
        self.assertEqual(sum(s["count"] for s in got["shards"]), got["count"])
        self.assertEqual(len(got["shards"]), 6)
        self.assertTrue(all(got["router_ns"] >= s["ns"] for s in got["shards"]), got)
        for s in got["shards"]:
            self.assertEqual({t["term"] for t in s["terms"] if t["strategy"] == "set"}, {"tag(vip)"}, s)
            self.assertTrue(any(t["strategy"] in ("events added up", "rolling window") for t in s["terms"]), s)
        self.cluster.ctl("segment", "define", "s", "count(order, 30d) >= 1")
        got = self.cluster.json("count", "segment(s)", "--explain")
        self.assertTrue(all(t["strategy"] == "rolling window" for s in got["shards"] for t in s["terms"]), got)
        self.assertEqual(got["count"], self.cluster.count("count(order, 30d) >= 1"))
        self.assertIn("rolling window", self.cluster.ctl("count", "segment(s)", "--explain").stdout)

    def pages(self, expr, limit, between=lambda i: None):
        members, cursor, i = [], "", 0
        while True:
            args = ["list", expr, "--limit", str(limit)] + (["--cursor", cursor] if cursor else [])
            page = self.cluster.json(*args, router=i % 2 + 1)
            members += page["members"]
            cursor = page["cursor"]
            if not cursor:
                return members
            between(i)
            i += 1

    def test_list_goes_on_over_restarts_and_through_other_routers(self):
        def restart(i):
            if i % 3 == 1:
                node = i % 3 + 1
                self.cluster.kill(f"node-{node}")
                self.cluster.start_node(node)
                self.cluster.wait_serving()

        got = self.pages("points >= 50", 9, restart)
        self.assertEqual(len(got), len(set(got)))
        self.assertEqual(set(got), self.who("points >= 50"))

    def test_cursors_belong_to_their_question(self):
        self.cluster.ctl("segment", "define", "s", "points >= 50")
        page = self.cluster.json("list", "segment(s)", "--limit", "5")
        other = self.cluster.ctl("list", "tag(vip)", "--limit", "5", "--cursor", page["cursor"], check=False)
        self.assertIn("of another question", other.stderr)
        for bad in ("s1.2", "x", "1-0-0-0", page["cursor"][:-1], page["cursor"] + "0", "2" + page["cursor"][1:]):
            out = self.cluster.ctl("list", "segment(s)", "--cursor", bad, check=False)
            self.assertEqual(out.returncode, 1, bad)
            self.assertIn("cursor:", out.stderr, bad)
        self.cluster.ctl("segment", "define", "other", "true")
        self.cluster.ctl("list", "segment(s)", "--limit", "5", "--cursor", page["cursor"], router=2)
        self.cluster.ctl("segment", "define", "s", "points >= 51")
        out = self.cluster.ctl("list", "segment(s)", "--cursor", page["cursor"], check=False, router=2)
        self.assertIn("has changed since", out.stderr)

    FIELDS = ["city", "birth", "points", "level", "tags", "channels"]

    def row(self, m):
        p = self.people[m]
        return {"one_id": m, "city": p["traits"].get("city"), "birth": p["traits"].get("birth"),
                "points": p["counters"].get("points", 0), "level": p.get("level"), "tags": sorted(p.get("tags", [])),
                "channels": sorted(p["channels"]),
                "ids": {n: sorted(p["identities"].get(n, [])) for n in ("phone", "tmall")}}

    def test_export_equals_the_profiles(self):
        out = os.path.join(self.cluster.folder, "out.jsonl")
        self.cluster.ctl("export", "true", "--fields", ",".join(self.FIELDS), "--ids", "phone,tmall", "--out", out)
        self.assertEqual(stat.S_IMODE(os.stat(out).st_mode), 0o600)
        got = {}
        with open(out, encoding="utf-8") as f:
            for line in f:
                r = json.loads(line)
                r["tags"].sort()
                r["channels"].sort()
                r["ids"] = {n: sorted(v) for n, v in r["ids"].items()}
                self.assertNotIn(r["one_id"], got)
                r["points"] = r["points"] or 0
                got[r["one_id"]] = r
        self.assertEqual(got, {m: self.row(m) for m in self.people})

    def test_export_as_csv_reads_back(self):
        text = self.cluster.ctl("export", "points >= 50", "--fields", "one_id,city,tags,points", "--format", "csv").stdout
        raw = subprocess.run([f"{BIN}/oneidctl", "export", "points >= 50", "--fields", "city", "--format", "csv", "-c",
                              self.cluster.file], capture_output=True, check=True).stdout
        self.assertEqual(raw.count(b"\r\n"), len(self.who("points >= 50")) + 1)
        rows = list(csv.DictReader(io.StringIO(text)))
        self.assertEqual({r["one_id"] for r in rows}, self.who("points >= 50"))
        for r in rows:
            want = self.row(r["one_id"])
            self.assertEqual(r["city"], want["city"] or "")
            self.assertEqual(sorted(r["tags"].split(";")) if r["tags"] else [], want["tags"])
            self.assertEqual(int(r["points"]), want["points"])

    def test_export_refuses_what_is_not_there(self):
        for args, text in [(("nothing = 1",), "column 1"), (("true", "--fields", "nothing"), "field 1"),
                           (("true", "--fields", "a,,b"), "--fields"), (("true", "--format", "xml"), "--format"),
                           (("true", "--ids", "nothing"), "no namespace"), (("true", "--cursor", "zz"), "cursor:"),
                           (("true", "--out", "/nowhere/x"), "/nowhere/x")]:
            out = self.cluster.ctl("export", *args, check=False)
            self.assertNotEqual(out.returncode, 0, args)
            self.assertIn(text, out.stderr, args)

    @staticmethod
    def catches(pid, sig):
        with open(f"/proc/{pid}/status", encoding="ascii") as f:
            caught = next(line.split()[1] for line in f if line.startswith("SigCgt:"))
        return int(caught, 16) >> (sig - 1) & 1 == 1

    def test_a_question_can_be_cancelled(self):
        """Nodes are stopped, so that the question cannot be answered: Ctrl-C ends it at once."""
        for i in (1, 2, 3):
            self.cluster.processes[f"node-{i}"].send_signal(signal.SIGSTOP)
        try:
            p = subprocess.Popen([f"{BIN}/oneidctl", "count", "true", "-c", self.cluster.file, "--deadline", "600000"],
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            self.cluster.wait(lambda: self.catches(p.pid, signal.SIGINT), "it is at work")
            p.send_signal(signal.SIGINT)
            out, err = p.communicate(timeout=60)
        finally:
            for i in (1, 2, 3):
                self.cluster.processes[f"node-{i}"].send_signal(signal.SIGCONT)
        self.assertEqual((p.returncode, out), (1, ""), err)
        self.assertIn("cancelled", err)
        self.cluster.wait_serving()
        self.assertEqual(self.cluster.count("true"), len(self.people))


if __name__ == "__main__":
    unittest.main(verbosity=2)
