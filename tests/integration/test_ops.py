"""What operators see of a replicated cluster: status, check, fix, leader."""
import json
import unittest

from harness import Cluster


class OpsTest(unittest.TestCase):
    def setUp(self):
        self.cluster = Cluster(nodes=3, shards=3, replicas=3, routers=2).start()
        self.addCleanup(self.cluster.stop)
        self.cluster.wait(lambda: self.is_led_as_wanted(), "each shard is led where the map wants it")
        self.cluster.wait(lambda: self.check()["ok"], "the cluster is as it should be")

    def status(self):
        return json.loads(self.cluster.ctl("status", "--json", "--deadline", "3000", check=False).stdout)

    def check(self):
        return json.loads(self.cluster.ctl("check", "--json", "--deadline", "3000", check=False).stdout)

    def found(self):
        return {(f["finding"], f.get("node"), f.get("shard")) for f in self.check()["cluster"]}

    def is_led_as_wanted(self):
        return all(s["leader"] is not None and s["leader"] == s["wanted"] for s in self.status()["shards"])

    def leader(self, shard):
        return self.status()["shards"][shard]["leader"]

    def test_status_shows_replicas_and_who_is_away(self):
        self.cluster.events([{"ids": {"openid": f"p{i}"}} for i in range(100)])
        status = self.status()
        self.assertTrue(status["ok"])
        self.assertEqual([n["up"] for n in status["nodes"]], [True] * 3)
        for shard in status["shards"]:
            self.assertEqual(sorted((r["node"], r["role"], r["up"]) for r in shard["replicas"]),
                             [(n, "voter", True) for n in (1, 2, 3)])
            self.assertGreater(shard["term"], 0)
        self.assertEqual(self.cluster.ctl("check").returncode, 0)
        quick = self.cluster.ctl("check", "--quick")
        self.assertEqual((quick.returncode, "books" in quick.stdout), (0, False))
        self.assertTrue(json.loads(self.cluster.ctl("check", "--quick", "--json").stdout)["ok"])
        self.cluster.kill("node-2")
        self.cluster.wait(lambda: ("node_away", 2, None) in self.found() and self.status()["ok"], "check names the node; the others serve")
        for other in ("node-1", "node-3"):
            self.cluster.wait(lambda other=other: "node_lost node=2" in self.cluster.log(other), f"{other} notices that a connection ended")
        out = self.cluster.ctl("check", "--deadline", "3000", check=False)
        self.assertEqual(out.returncode, 1)
        self.assertIn("node 2 does not answer", out.stdout)
        self.assertIn("mend: start it: oneid-node", out.stdout)
        status = self.status()
        self.assertEqual([n["up"] for n in status["nodes"]], [True, False, True])
        self.assertTrue(all(s["leader"] in (1, 3) for s in status["shards"]))
        self.assertIn("node 2 away", self.cluster.ctl("status").stdout)
        # Without a majority nothing is served, and that is said.
        self.cluster.kill("node-3")
        self.cluster.wait(lambda: ("no_leader", None, 0) in self.found(), "check names a shard without a leader")
        out = self.cluster.ctl("status", "--deadline", "1500", check=False)
        self.assertEqual(out.returncode, 1)
        fix = self.cluster.ctl("fix", "--deadline", "1500", check=False)  # it starts no processes
        self.assertEqual(fix.returncode, 1)
        self.assertIn("no_leader", fix.stdout)
        self.cluster.start_node(2)
        self.cluster.start_node(3)
        self.cluster.wait_serving()
        self.cluster.wait(lambda: self.check()["ok"], "all is well again")
        self.assertEqual(self.cluster.json("count", "true")["count"], 100)

    def test_leadership_can_be_handed_over(self):
        before = self.leader(1)
        other = before % 3 + 1
        self.assertEqual(self.cluster.ctl("leader", "1", "9", check=False).returncode, 1)
        self.assertEqual(self.cluster.ctl("leader", "7", "1", check=False).returncode, 1)
        self.assertEqual(self.cluster.ctl("leader", "1", "x", check=False).returncode, 2)
        self.cluster.ctl("leader", "1", str(other))
        self.cluster.wait(lambda: self.leader(1) == other, "the other one leads")
        self.cluster.events([{"ids": {"openid": "served"}}])
        self.cluster.wait(self.is_led_as_wanted, "it goes back to where the map wants it")
        self.assertEqual(self.cluster.ctl("fix").returncode, 0)

    def test_a_router_that_is_away_and_a_schema_that_differs(self):
        self.cluster.terminate("router-2")
        self.assertIn("router_away", {f["finding"] for f in self.check()["cluster"]})
        # Started with a schema that has grown; the others still have the old one.
        with open(self.cluster.file, encoding="utf-8") as f:
            text = f.read()
        with open(self.cluster.file, "w", encoding="utf-8") as f:
            f.write(text.replace("traits:\n", "traits:\n  - {name: nickname, type: string}\n"))
        self.cluster.start_router(2)
        self.cluster.wait(lambda: "router_away" not in {f["finding"] for f in self.check()["cluster"]}, "router 2 answers")
        differing = [f for f in self.check()["cluster"] if f["finding"] == "schema_differs"]
        self.assertEqual(sorted(f.get("node", 0) for f in differing), [0, 1, 2, 3])  # the nodes and router 1


if __name__ == "__main__":
    unittest.main(verbosity=2)
