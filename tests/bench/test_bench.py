#!/usr/bin/python3
"""The benchmark itself: that its data is what it says, that it notices what is wrong, and that all of it runs.

ONEID_BIN names the folder of the programs. Ends with status 77 (skipped) without numpy. No figure is looked
at, only that there is one.
"""
import json
import os
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
try:
    import numpy as np
except ImportError:
    print("skipped: Debian's package python3-numpy is not installed")
    sys.exit(77)

from lib import dataset, members, questions, suite_rejoin, suite_scale, truth, workload  # noqa: E402
from lib.rows import Rows, Sample, ratio, table_of  # noqa: E402
from lib.system import Answer  # noqa: E402

TODAY = 20000
PERSONS, LINES = 300, 1000


def slow_profiles(lines):
    """The profiles by lists and loops: {frozenset of identities: [events]}."""
    groups, seen = [], set()
    for e in map(json.loads, lines):
        if e["message_id"] in seen:
            continue
        seen.add(e["message_id"])
        ids = {f"{ns}:{v}" for ns, v in e["ids"].items()}
        touched = [g for g in groups if g[0] & ids]
        groups = [g for g in groups if not g[0] & ids]
        groups.append((ids.union(*[g[0] for g in touched]), [e] + [x for g in touched for x in g[1]]))
    return groups


def slow_line(ids, events):
    def last(trait):
        having = [e for e in events if trait in e["traits"]]
        return str(max(having, key=lambda e: e["ts"])["traits"][trait]) if having else ""
    tags = sorted({int(t[1:]) for e in events for t in e["tags"]})
    orders = [e["event"]["amount"] for e in events if "event" in e]
    return "|".join([",".join(sorted(ids)), str(sum(e["add"]["points"] for e in events)), last("city"), last("gender"), last("birth_year"),
                     ",".join(map(str, tags)), str(len(orders)), str(sum(round(a * 100) for a in orders))])


class DataTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.tmp = tempfile.TemporaryDirectory(prefix="oneid-bench-")
        cls.data = dataset.Dataset(cls.tmp.name, PERSONS, LINES, 5, TODAY)
        with open(cls.data.events, encoding="ascii") as f:
            cls.lines = f.read().splitlines()

    @classmethod
    def tearDownClass(cls):
        cls.tmp.cleanup()

    def canonical(self):
        with open(os.path.join(self.data.folder, "canonical.txt"), encoding="ascii") as f:
            return f.read().splitlines()

    def test_the_same_seed_gives_the_same_lines(self):
        again = list(workload.lines(PERSONS, LINES, 5, TODAY))
        self.assertEqual([line + "\n" for line in self.lines], again)
        self.assertNotEqual(again, list(workload.lines(PERSONS, LINES, 6, TODAY)))

    def test_lines_are_as_many_as_asked_and_one_in_a_hundred_comes_again(self):
        ids = [json.loads(line)["message_id"] for line in self.lines]
        self.assertEqual(len(ids), LINES)
        self.assertEqual(len(set(ids)), LINES - LINES // 100)

    def test_times_differ_and_end_on_the_day(self):
        ts = {json.loads(line)["message_id"]: json.loads(line)["ts"] for line in self.lines}
        self.assertEqual(len(set(ts.values())), len(ts))
        self.assertEqual(truth.day_of(max(ts.values())), TODAY)

    def test_too_few_lines_for_the_persons_are_refused(self):
        with self.assertRaisesRegex(ValueError, "too few"):
            list(workload.lines(1000, 1000, 1, TODAY))

    def test_the_truth_equals_a_slow_evaluation(self):
        slow = sorted(slow_line(ids, events) for ids, events in slow_profiles(self.lines))
        self.assertEqual(self.canonical(), slow)
        self.assertGreater(len(slow), PERSONS - 1)

    def test_one_changed_profile_is_found(self):
        dump = os.path.join(self.tmp.name, "dump")
        truth.write_lines(dump, reversed(self.canonical()))
        truth.compare_profiles(self.data.folder, dump, "x")
        changed = self.canonical()
        changed[7] = changed[7] + "1"
        truth.write_lines(dump, changed)
        with self.assertRaisesRegex(truth.Mismatch, "1 missing, 1 that are not expected"):
            truth.compare_profiles(self.data.folder, dump, "x")

    def test_answers_equal_a_slow_evaluation(self):
        facts = questions.Facts(self.data.truth, TODAY)
        tags = [{int(t) for t in line.split("|")[5].split(",") if t} for line in self.canonical()]
        slow = sum(bool(t & {5, 8, 13}) and 1 not in t for t in tags)
        self.assertEqual(questions.BY_NAME["any_and_not"].answer(facts), slow)
        ordered = [[truth.day_of(e["ts"]) for e in events if "event" in e] for _, events in slow_profiles(self.lines)]
        slow = sum(sum(TODAY - 29 <= day <= TODAY for day in days) >= 2 for days in ordered)
        self.assertEqual(questions.BY_NAME["orders_30_days"].answer(facts), slow)
        self.assertGreater(slow, 0)

    def test_a_wrong_answer_is_found(self):
        expected = {"by_city": {"city001": 2, "none": 1}}
        suite_scale.check_answers("x", {"by_city": Answer({"none": 1, "city001": 2}, [])}, expected)
        with self.assertRaises(truth.Mismatch):
            suite_scale.check_answers("x", {"by_city": Answer({"city001": 2}, [])}, expected)

    def test_members_are_the_profiles_some_times_over(self):
        m = members.Members(self.data.truth, 3, TODAY)
        events = [json.loads(line) for i in range(3) for line in m.copy(i)]
        self.assertEqual(len(events), m.events)
        self.assertEqual(len({e["message_id"] for e in events}), m.events)
        self.assertEqual(len({e["ids"]["phone"] for e in events}), m.total)
        self.assertEqual(len({(ns, v) for e in events for ns, v in e["ids"].items()}), m.identities)
        self.assertEqual(sum(e["add"]["points"] for e in events if "add" in e), 3 * int(self.data.truth.points.sum()))
        self.assertEqual(sum("event" in e for e in events), 3 * len(self.data.truth.order_day))

    def test_multipliers_are_permutations(self):
        for n in (7, 10, 30218):
            for m in members.multipliers(n, 12):
                self.assertEqual(len(np.unique(np.arange(n) * m % n)), n)


class RowsTest(unittest.TestCase):
    def test_targets_are_held_or_missed(self):
        rows = Rows(lambda _: None)
        rows.add("rate", "1/s", Sample([1, 5, 3]), {"peer": Sample([1, 2, 9])}, at_least=3)
        rows.add("size", "B", 5, at_most=4)
        rows.skip("gone", "not installed")
        self.assertEqual([r["held"] for r in rows.rows], [True, False, None])
        self.assertEqual((rows.rows[0]["value"], rows.rows[0]["min"], rows.rows[0]["max"]), (3, 1, 5))
        self.assertEqual(rows.rows[0]["peers"], {"peer": 2})
        self.assertIn("skipped: not installed", table_of(rows.rows))

    def test_ratios_are_taken_by_pairs(self):
        self.assertEqual(ratio(Sample([10, 20, 90]), Sample([5, 5, 9])).values, [2, 4, 10])


class RejoinTest(unittest.TestCase):
    """When the node that lost its folder is back, by what `oneidctl status --json` says of it."""

    GOOD = {"node": suite_rejoin.NODE, "role": "voter", "up": True, "match": 9, "lag": 1, "applied": 9, "fetching": False}

    def votes(self, **other):
        good = [{"replicas": [self.GOOD]} for _ in range(suite_rejoin.LAYOUT.shards - 1)]
        replica = {k: v for k, v in {**self.GOOD, **other}.items() if v is not None}
        return suite_rejoin.votes_in_all({"shards": [*good, {"replicas": [replica]}]})

    def test_it_votes_when_all_replicas_have_caught_up(self):
        self.assertTrue(self.votes())

    def test_it_does_not_vote_yet(self):
        # the last: the process answers, and does not hold the shard yet
        for other in ({"role": "standby"}, {"node": 1}, {"up": False}, {"lag": 1000}, {"applied": 0}, {"fetching": True},
                      {"applied": None, "fetching": None}):
            with self.subTest(**other):
                self.assertFalse(self.votes(**other))


class RunTest(unittest.TestCase):
    """The whole of it on next to no data."""

    def run_bench(self, *args):
        with tempfile.TemporaryDirectory(prefix="oneid-bench-", dir="/var/tmp") as folder:
            if os.geteuid() == 0:
                os.chmod(folder, 0o755)  # PostgreSQL runs as another user
            out = os.path.join(folder, "rows.json")
            done = subprocess.run([f"{HERE}/run", "--tiny", "--bin", os.environ["ONEID_BIN"], "--folder", folder, "--json", out, *args],
                                  capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            with open(out, encoding="utf-8") as f:
                rows = json.load(f)
        for row in rows:
            self.assertTrue({"name", "unit", "value", "peers", "target", "held"} <= set(row), row)
            self.assertTrue("skipped" in row or row["value"] is not None, row)
        return [row["name"] for row in rows]

    def expect(self, names, *beginnings):
        for b in beginnings:
            self.assertTrue(any(n.startswith(b) for n in names), f"{b}: not among {names}")

    def test_every_suite_of_oneid_gives_rows(self):
        suites = ("ingest", "get", "segments", "memory", "restart", "mixed", "import", "rejoin", "index")
        names = self.run_bench("--no-peers", *[x for n in suites for x in ("--only", n)])
        self.expect(names, "ingest of JSON lines", "ingest from memory", "profile by identity, 1 in flight", "segment, ten terms",
                    "100 saved segments", "import of", "memory of the index", "disk", "restart to serving after kill -9",
                    "ingest beside 20 counts a second", "a node without its folder", "  ingest meanwhile", "index alone")

    def test_peers_that_are_installed_are_right(self):
        names = self.run_bench("--only", "ingest", "--only", "segments")
        self.expect(names, "ingest of JSON lines", "segment, by city")


if __name__ == "__main__":
    unittest.main(verbosity=2)
