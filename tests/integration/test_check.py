"""`oneidctl check` on large shards: it looks at every row, and the cluster does not notice. And on a damaged one."""
import json
import os
import subprocess
import unittest

from harness import BIN, Cluster

# So many that a look at all of them takes longer than an election time-out, also in a fast build: a shard's thread that
# does it itself is taken for dead.
PEOPLE = int(os.environ.get("ONEID_TEST_PEOPLE", "60000"))
MARK = "Marked-City-Of-One"


def people(path, first, n, points=1):
    with open(path, "w", encoding="utf-8") as f:
        for i in range(first, first + n):
            f.write(json.dumps({"message_id": f"m{i}-{points}", "source": "crm", "ids": {"member": f"u{i}", "phone": str(13000000000 + i)},
                                "traits": {"city": "Aix"}, "add": {"points": points}}) + "\n")
    return path


class CheckTest(unittest.TestCase):
    nodes, replicas = 3, 3

    def setUp(self):
        self.cluster = Cluster(nodes=self.nodes, shards=1, replicas=self.replicas, limits="limits: {election_ms: 1500}").start()
        self.addCleanup(self.cluster.stop)
        path = self.people(0, self.size())
        self.cluster.wait(lambda: self.cluster.ctl("import", path, check=False).returncode == 0, "all people are in")
        self.cluster.wait(lambda: self.shard()["leader"] == self.shard()["wanted"], "the shard is led as the map wants it")

    def size(self):
        return PEOPLE

    def people(self, first, n, points=1):
        return people(os.path.join(self.cluster.folder, f"{first}-{points}.jsonl"), first, n, points)

    def shard(self):
        out = self.cluster.ctl("status", "--json", check=False).stdout
        return json.loads(out)["shards"][0] if out else {"leader": None, "wanted": 0, "term": 0}

    def begin_check(self):
        return subprocess.Popen([f"{BIN}/oneidctl", "check", "-c", self.cluster.file, "--json"], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)

    def finish(self, check):
        out, err = check.communicate(timeout=700)
        self.assertTrue(out, err)
        return json.loads(out)

    def assert_balanced(self, found):
        self.assertEqual((found["findings"], found["partial"]), ([], False), found)

    def walks(self, what):
        return sum(self.cluster.log(f"node-{i + 1}").count(f" {what} ") for i in range(self.nodes))


class LargeTest(CheckTest):
    def test_nobody_is_disturbed(self):
        before = self.shard()
        load = self.cluster.importer(self.people(0, self.size() // 2, 2))
        checks = [self.begin_check() for _ in range(2)]
        asked = 0
        while any(c.poll() is None for c in checks):
            self.assertEqual(self.cluster.json("get", f"member:u{asked}", "--deadline", "60000")["traits"]["city"], "Aix")
            asked += 1
        found = [self.finish(c) for c in checks]
        self.cluster.finish([load])
        after = self.shard()
        for f in found:
            self.assert_balanced(f)
            self.assertEqual((f["ok"], f["cluster"]), (True, []), f)
        self.assertGreater(asked, 0)
        self.assertEqual((after["leader"], after["term"]), (before["leader"], before["term"]), self.cluster.log_tails())
        # All of it was looked at: a walk begins at a checkpoint that holds what was there when it was asked for.
        self.assertGreaterEqual(self.walks("check_begun"), 1)
        line = [t for t in self.cluster.log(f"node-{before['leader']}").splitlines() if " check_ended " in t][0]
        figures = dict(w.split("=", 1) for w in line.split() if "=" in w)
        self.assertEqual((figures["done"], figures["findings"]), ("1", "0"), line)
        self.assertGreaterEqual(int(figures["rows"]), 6 * self.size(), line)  # 2 fragments, 2 entries, a profile, its view

    def test_the_leader_is_killed_in_the_midst(self):
        leader = self.shard()["leader"]
        check = self.begin_check()
        self.cluster.wait(lambda: self.walks("check_begun") > 0, "the walk has begun")
        self.cluster.kill(f"node-{leader}")
        self.assert_balanced(self.finish(check))
        others = "".join(self.cluster.log(f"node-{i}") for i in (1, 2, 3) if i != leader)
        self.assertIn(" check_ended shard=0 done=1 ", others)

    def test_the_leader_stops_in_the_midst(self):
        leader = self.shard()["leader"]
        check = self.begin_check()
        self.cluster.wait(lambda: self.walks("check_begun") > 0, "the walk has begun")
        self.cluster.terminate(f"node-{leader}")
        self.assertIn(" check_ended shard=0 done=", self.cluster.log(f"node-{leader}"))
        self.assert_balanced(self.finish(check))

    def test_leadership_goes_elsewhere_in_the_midst(self):
        leader = self.shard()["leader"]
        other = next(i for i in (1, 2, 3) if i != leader)
        check = self.begin_check()
        self.cluster.wait(lambda: self.walks("check_begun") > 0, "the walk has begun")
        self.cluster.ctl("leader", "0", str(other))
        self.assert_balanced(self.finish(check))


class DamageTest(CheckTest):
    nodes, replicas = 1, 1

    def size(self):
        return 500

    def damage(self):
        path = os.path.join(self.cluster.folder, "data", "node-1", "shard-0", "data.mdb")
        with open(path, "r+b") as f:
            data = f.read()
            self.assertIn(MARK.encode(), data)
            f.seek(0)
            f.write(data.replace(MARK.encode(), MARK.lower().encode()))

    def test_a_damaged_row_is_named_and_the_node_goes_on(self):
        self.cluster.events([{"ids": {"member": "marked", "phone": "13999999999"}, "traits": {"city": MARK}, "source": "crm"}])
        one_id = self.cluster.json("get", "member:marked")["one_id"]
        self.assert_balanced(self.finish(self.begin_check()))
        self.cluster.terminate("node-1")
        self.damage()
        self.cluster.start_node(1)
        self.cluster.wait_serving()
        check = self.begin_check()
        found = self.finish(check)
        self.assertEqual(check.returncode, 1)
        self.assertFalse(found["partial"])
        self.assertIn(f"shard 0: profile {one_id}: the check sum of its view is wrong", found["findings"])
        self.assertIn("shard 0: the check sum of a row of kind F is wrong", found["findings"])
        self.assertNotIn(MARK.lower(), json.dumps(found))
        self.assertEqual(self.cluster.json("get", "member:u1")["traits"]["city"], "Aix")  # it still serves


if __name__ == "__main__":
    unittest.main(verbosity=2)
