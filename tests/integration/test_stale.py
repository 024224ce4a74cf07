"""Reads that any replica may answer: they say how old they may be, and work where leaders do not."""
import json
import signal
import unittest

from harness import ClusterTest


class StaleTest(ClusterTest):
    options = {"replicas": 3, "shards": 3}

    def feed(self, first, n):
        self.cluster.events([{"message_id": f"m{i}", "ts": 1700000000000 + i, "source": "app", "ids": {"phone": f"1380000{i:04}"},
                              "tags": ["vip"], "add": {"points": 1}} for i in range(first, first + n)])

    def stale(self, *args):
        return json.loads(self.cluster.ctl(args[0], *args[1:], "--stale", "--json").stdout)

    def test_answers_are_right_and_say_their_age(self):
        self.feed(0, 60)
        self.cluster.wait(lambda: self.stale("count", "tag(vip)")["count"] == 60, "all replicas have it")
        ages = [self.stale("count", "tag(vip)")["age_ms"] for _ in range(9)]
        self.assertTrue(any(ages), ages)  # one of three is a leader: three shards never all hit it nine times
        out = [self.cluster.ctl("get", "phone:13800000007", "--stale", "--json") for _ in range(6)]
        self.assertEqual({json.loads(o.stdout)["counters"]["points"] for o in out}, {1})
        self.assertTrue(any("ms old" in o.stderr for o in out), [o.stderr for o in out])
        self.assertEqual(self.cluster.json("count", "tag(vip)"), {"count": 60, "in_flight_merges": 0, "partial": False, "population": 60})

    def test_a_cluster_without_majorities_still_tells_what_it_knew(self):
        self.feed(0, 30)
        self.cluster.wait(lambda: all(self.stale("count", "tag(vip)")["count"] == 30 for _ in range(6)), "all replicas have it")
        # The one that is left has led a shard, and has followed in others.
        self.cluster.wait(lambda: self.cluster.json("status", check=False)["shards"][2]["leader"] == 3, "node 3 leads shard 2")
        self.feed(0, 30)
        for i in (1, 2):
            self.cluster.processes[f"node-{i}"].send_signal(signal.SIGSTOP)
        try:
            def knows():
                out = self.cluster.ctl("count", "tag(vip)", "--stale", "--json", "--deadline", "8000", check=False)
                return out.returncode == 0 and json.loads(out.stdout)["count"] == 30 and json.loads(out.stdout)["age_ms"] > 0
            self.cluster.wait(knows, "an answer of the replica that is left")
            out = self.cluster.ctl("count", "tag(vip)", "--deadline", "1500", check=False)
            self.assertNotEqual(out.returncode, 0, out.stdout)
        finally:
            for i in (1, 2):
                self.cluster.processes[f"node-{i}"].send_signal(signal.SIGCONT)
        self.cluster.wait_serving()
        self.feed(30, 30)
        self.assertEqual(self.cluster.count("tag(vip)"), 60)


if __name__ == "__main__":
    unittest.main(verbosity=2)
