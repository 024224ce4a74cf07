"""Replicas that lag behind their group's log, or have lost their folder, join under load.

At the end all three replicas of each shard have the same rows. ONEID_JOIN_EVENTS and _PERSONS make it
larger; the speed of joining is printed, not judged.
"""
import os
import random
import re
import shutil
import subprocess
import unittest

from harness import BIN, Cluster
from test_crash import schema_of_default_cluster

PERSONS = int(os.environ.get("ONEID_JOIN_PERSONS", "4000"))
EVENTS = int(os.environ.get("ONEID_JOIN_EVENTS", "48000"))
SEED = int(os.environ.get("ONEID_JOIN_SEED", "1"))
SHARDS = 3
NODES = 3
PARTS = 6


def small_logs(schema):
    """A few thousand events are more than the others keep."""
    for limit in ("checkpoint_seconds", "log_keep_mb", "memtable_mb"):
        schema, n = re.subn(rf"\b{limit}: \d+", f"{limit}: 1", schema)
        assert n == 1, limit
    return schema


class JoinTest(unittest.TestCase):
    def setUp(self):
        self.cluster = Cluster(nodes=NODES, shards=SHARDS, routers=1, replicas=3,
                               schema=small_logs(schema_of_default_cluster())).start()
        self.addCleanup(self.cluster.stop)
        self.generate()

    def generate(self):
        out = os.path.join(self.cluster.folder, "gen")
        subprocess.run([f"{BIN}/oneid-load", "gen", "--persons", str(PERSONS), "--events", str(EVENTS), "--seed", str(SEED),
                        "--out", out, "--parts", str(PARTS), "-c", self.cluster.file], check=True, capture_output=True)
        self.parts = [os.path.join(out, f"events-{i + 1}.jsonl") for i in range(PARTS)]
        self.expected = os.path.join(out, "expected.json")

    # --- steps ---

    def load(self, *parts):
        self.finish(parts, self.begin(*parts))

    def begin(self, *parts):
        return [self.cluster.importer(self.parts[p]) for p in parts]

    def finish(self, parts, importers):
        for part, importer in zip(parts, importers):
            importer.communicate(timeout=600)
            if importer.returncode != 0:  # some passed their deadline: the same file again, and nothing counts twice
                path = self.parts[part]
                self.cluster.wait(lambda f=path: self.cluster.ctl("import", f, check=False).returncode == 0, f"{path} is in")

    def since(self, node, mark):
        return self.cluster.log(f"node-{node}")[mark:]

    def shards_in_place(self, node, mark):
        return set(re.findall(r"state_in_place shard=(\d+)", self.since(node, mark)))

    def start_and_join(self, node, shards):
        """Starts the node and waits until that many of its shards have got another replica's state."""
        key = f"node-{node}"
        mark = len(self.cluster.log(key))
        self.cluster.start_node(node)
        self.cluster.wait(lambda: len(self.shards_in_place(node, mark)) >= shards, f"{shards} states in place at {key}")
        self.print_speed(node, mark)

    def follows_all(self, mark):
        """Node 3 has nothing to fetch: it knows all leaders and leads where it should."""
        log = self.since(3, mark)
        return "state_needed" not in log and bool(re.search(r"role shard=2 leader=1", log))

    def print_speed(self, node, mark):
        log = self.since(node, mark)
        for shard, size, ms, check in re.findall(r"state_fetched shard=(\d+) .*bytes=(\d+) ms=(\d+) check_ms=(\d+)", log):
            print(f"node {node} shard {shard}: {int(size) / 1e6:.1f} MB in {ms} ms, of which {check} ms to check it: "
                  f"{int(size) / 1e3 / max(1, int(ms)):.1f} MB/s")

    def wait_voter(self, node):
        """Some leader has made this node a voter of each shard."""
        def done():
            logs = "".join(self.cluster.log(f"node-{n + 1}") for n in range(NODES) if n + 1 != node)
            return len(set(re.findall(rf"member_change shard=(\d+) node={node} folder=\w+ role=1", logs))) == SHARDS
        self.cluster.wait(done, f"node {node} votes again")

    def check_books(self):
        self.cluster.wait(lambda: self.cluster.stats()["merging"] == 0, "no merge in flight")
        out = subprocess.run([f"{BIN}/oneid-load", "check", "--expected", self.expected, "-c", self.cluster.file],
                             capture_output=True, text=True)
        self.assertEqual(out.returncode, 0, out.stdout + out.stderr)

    def check_well(self):
        """All nodes are there and all replicas vote and follow, and nothing is wrong with any state."""
        self.cluster.wait(lambda: self.cluster.ctl("check", check=False).returncode == 0, "oneidctl check finds nothing")

    def check_digests(self):
        """All replicas have the same rows at last; stops the nodes, again and again, to look."""
        for _ in range(20):
            found = self.digests()
            if found[0] == found[1] == found[2]:
                return
            for i in range(NODES):
                self.cluster.start_node(i + 1)
            self.cluster.wait_serving()
        self.fail("the replicas stay different:\n" + "\n".join(found))

    def digests(self):
        for i in range(NODES, 0, -1):
            self.cluster.terminate(f"node-{i}")
        found = [subprocess.run([f"{BIN}/oneid-test-digest", self.cluster.file, str(i + 1)], check=True,
                                capture_output=True, text=True).stdout for i in range(NODES)]
        self.assertEqual(len(found[0].splitlines()), SHARDS)
        self.assertGreater(min(int(line.split()[1]) for line in found[0].splitlines()), PERSONS / SHARDS)
        return found

    # --- tests ---

    def test_node_that_was_away_joins_under_load(self):
        self.load(0)
        self.cluster.terminate("node-3")
        self.load(1, 2, 3)
        loading = self.begin(4, 5)
        self.start_and_join(3, SHARDS)
        self.finish((4, 5), loading)
        self.check_books()
        self.check_well()
        self.check_digests()

    def test_node_that_lost_its_folder_is_taken_in_again(self):
        self.load(0, 1, 2)
        self.cluster.kill("node-2")
        shutil.rmtree(os.path.join(self.cluster.folder, "data", "node-2"))
        loading = self.begin(3, 4)
        self.start_and_join(2, SHARDS)
        self.wait_voter(2)
        self.finish((3, 4), loading)
        self.cluster.terminate("node-1")  # from here on each majority needs the one that was lost
        self.cluster.wait_serving()
        self.load(5)
        self.check_books()
        self.cluster.start_node(1)
        self.cluster.wait_serving()
        self.check_books()
        self.check_well()
        self.check_digests()

    def test_node_killed_while_it_joins_joins_at_last(self):
        rng = random.Random(SEED)
        self.load(0)
        self.cluster.kill("node-3")
        self.load(1, 2, 3, 4)
        mark = len(self.cluster.log("node-3"))
        for _ in range(8):
            self.cluster.start_node(3)
            wanted = rng.choice(["state_needed", "state_coming", "state_fetched", "state_in_place"])
            # A shard whose state came in time has nothing more to say.
            self.cluster.wait(lambda m=len(self.cluster.log("node-3")), w=wanted:
                              w in self.since(3, m) or self.follows_all(m), wanted)
            self.cluster.kill("node-3")
        self.assertRegex(self.since(3, mark), "state_needed")
        self.cluster.start_node(3)
        self.load(5)
        self.check_books()
        self.check_well()
        self.check_digests()


if __name__ == "__main__":
    unittest.main(verbosity=2)
