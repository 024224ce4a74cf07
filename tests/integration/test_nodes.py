"""Nodes that are added, drained, removed and replaced while the cluster serves, and are killed meanwhile.

At the end each shard has the replicas that the map wants, all of them have the same rows, and every event
counted once.
"""
import json
import os
import random
import re
import subprocess
import unittest

from harness import BIN, Cluster, free_ports
from test_crash import schema_of_default_cluster
from test_join import small_logs

PERSONS, EVENTS, PARTS = 2000, 24000, 6
SEED = int(os.environ.get("ONEID_NODES_SEED", "1"))


class NodesTest(unittest.TestCase):
    shards = 4

    def open(self, nodes=3, replicas=3):
        self.cluster = Cluster(nodes=nodes, shards=self.shards, routers=2, replicas=replicas,
                               schema=small_logs(schema_of_default_cluster())).start()
        self.addCleanup(self.cluster.stop)
        self.ends = {}
        out = os.path.join(self.cluster.folder, "gen")
        subprocess.run([f"{BIN}/oneid-load", "gen", "--persons", str(PERSONS), "--events", str(EVENTS), "--seed", str(SEED),
                        "--out", out, "--parts", str(PARTS), "-c", self.cluster.file], check=True, capture_output=True)
        self.parts = [os.path.join(out, f"events-{i + 1}.jsonl") for i in range(PARTS)]
        self.expected = os.path.join(out, "expected.json")

    # --- steps ---

    def new_file(self, node):
        """A cluster file that names one more node; the others keep theirs, and learn of it from the map."""
        self.ends[node] = f"tcp://127.0.0.1:{free_ports(1)[0]}"
        path = os.path.join(self.cluster.folder, f"cluster-{node}.yml")
        with open(self.cluster.file, encoding="utf-8") as f:
            text = f.read()
        with open(path, "w", encoding="utf-8") as f:
            f.write(text.replace("nodes:\n", f'nodes:\n  - {{id: {node}, listen: "{self.ends[node]}"}}\n', 1))
        if os.path.isdir(os.path.join(self.cluster.folder, "keys")):
            subprocess.run([f"{BIN}/oneidctl", "keygen", "-c", path, "--all"], check=True, capture_output=True)
        return path

    def start_new(self, node):
        path = os.path.join(self.cluster.folder, f"cluster-{node}.yml")
        path = path if os.path.exists(path) else self.new_file(node)
        self.cluster._start(f"node-{node}", [f"{BIN}/oneid-node", "-c", path, "-n", str(node)])  # pylint: disable=protected-access

    def node(self, *args, check=True):
        return self.cluster.ctl("node", *args, check=check)

    def nodes(self):
        return json.loads(self.node("list", "--json").stdout)

    def task(self, number):
        return next(t for t in json.loads(self.node("tasks", "--json").stdout)["tasks"] if t["task"] == number)

    def begin(self, *args):
        """The id of the task."""
        return json.loads(self.node(*args, "--json").stdout)["task"]

    def ended(self, number, state="done"):
        self.cluster.wait(lambda: self.task(number)["state"] == state, f"task {number} is {state}")

    def load(self, *parts):
        self.finish(parts, self.loading(*parts))

    def loading(self, *parts):
        return [self.cluster.importer(self.parts[p], router=p % 2 + 1) for p in parts]

    def finish(self, parts, importers):
        for part, importer in zip(parts, importers):
            importer.communicate(timeout=600)
            if importer.returncode != 0:  # slow machine, some passed their deadline: the same file again, and nothing counts twice
                path = self.parts[part]
                self.cluster.wait(lambda f=path: self.cluster.ctl("import", f, check=False).returncode == 0, f"{path} is in")

    def check_books(self):
        self.cluster.wait(lambda: self.cluster.stats()["merging"] == 0, "no merge in flight")
        out = subprocess.run([f"{BIN}/oneid-load", "check", "--expected", self.expected, "-c", self.cluster.file],
                             capture_output=True, text=True)
        self.assertEqual(out.returncode, 0, out.stdout + out.stderr)

    def check_places(self, per_shard=3):
        """As many voters as wanted, nothing on its way, and nobody else has the shard's files."""
        status = json.loads(self.cluster.ctl("status", "--json").stdout)
        held = {}
        for s in status["shards"]:
            held[s["shard"]] = sorted(r["node"] for r in s["replicas"] if r["role"] == "voter")
            self.assertEqual(len(held[s["shard"]]), per_shard, status)
        nodes = {int(n) for n in re.findall(r"node-(\d+)\b", " ".join(os.listdir(os.path.join(self.cluster.folder, "data"))))}

        def files():
            found = {s: [] for s in held}
            for n in sorted(nodes):
                if f"node-{n}" not in self.cluster.processes:
                    continue
                for name in os.listdir(os.path.join(self.cluster.folder, "data", f"node-{n}")):
                    if name.startswith("shard-"):
                        found[int(name[6:])].append(n)
            return found
        self.cluster.wait(lambda: files() == held, "only those that hold a shard have files of it")
        return held

    def check_rows(self, held):
        """All replicas of a shard have the same rows at last; stops the nodes, again and again, to look."""
        running = sorted(int(key[5:]) for key in self.cluster.processes if key.startswith("node-"))
        for _ in range(20):
            for n in reversed(running):
                self.cluster.terminate(f"node-{n}")
            found = {}
            for n in running:
                out = subprocess.run([f"{BIN}/oneid-test-digest", self.cluster.file, str(n)], check=True, capture_output=True, text=True)
                for line in out.stdout.splitlines():
                    found.setdefault(int(line.split()[0]), []).append(line)
            if all(len(found[s]) == len(held[s]) and len(set(found[s])) == 1 for s in held):
                return
            for n in running:
                self.start_new(n) if n in self.ends else self.cluster.start_node(n)
            self.cluster.wait_serving()
        self.fail(f"the replicas stay different:\n{found}")

    def check_all(self, per_shard=3):
        self.check_books()
        held = self.check_places(per_shard)
        self.check_rows(held)
        return held

    # --- tests ---

    def test_a_node_comes_another_goes_and_comes_back(self):
        self.open()
        self.load(0)
        self.start_new(4)
        loading = self.loading(1, 2)
        self.node("add", "4", self.ends[4], "--wait")
        self.finish((1, 2), loading)
        held = self.check_places()
        self.assertEqual(sum(4 in nodes for nodes in held.values()), 3)  # of 12 replicas on 4 nodes
        loading = self.loading(3)
        task = self.begin("drain", "1")
        self.ended(task)
        self.finish((3,), loading)
        held = self.check_places()
        self.assertFalse(any(1 in nodes for nodes in held.values()))
        self.cluster.terminate("node-1")  # it holds nothing: nobody misses it
        self.load(4)
        self.cluster.start_node(1)
        loading = self.loading(5)
        self.node("add", "1", self.cluster_end(1), "--wait")  # the same folder, other replicas
        self.finish((5,), loading)
        self.assertEqual([n["state"] for n in self.nodes()["nodes"]], ["in"] * 4)
        for router in ("router-1", "router-2"):  # their files do not name node 4
            self.cluster.terminate(router)
        self.cluster.start_router(1)
        self.cluster.start_router(2)
        self.cluster.wait_serving()
        held = self.check_all()
        self.assertEqual(sum(1 in nodes for nodes in held.values()), 3)

    def cluster_end(self, node):
        with open(self.cluster.file, encoding="utf-8") as f:
            return re.search(rf'id: {node}, listen: "(\S+)"', f.read()).group(1)

    def test_a_dead_node_is_replaced(self):
        self.open()
        self.load(0, 1)
        self.cluster.kill("node-3")
        self.start_new(5)
        loading = self.loading(2, 3)
        self.node("replace", "3", "5", self.ends[5], "--wait")
        self.finish((2, 3), loading)
        held = self.check_places()
        self.assertEqual(held, {s: [1, 2, 5] for s in range(self.shards)})
        self.assertEqual([n["node"] for n in self.nodes()["nodes"]], [1, 2, 5])
        self.cluster.terminate("node-1")  # from here on each majority needs the new one
        self.cluster.wait_serving()
        self.load(4, 5)
        self.cluster.start_node(1)
        self.cluster.wait_serving()
        self.check_all()

    def test_a_live_node_is_not_removed_while_another_is_lost(self):
        self.open()
        self.load(0)
        self.cluster.kill("node-3")
        self.cluster.wait(lambda: not next(n for n in json.loads(self.cluster.ctl("status", "--json").stdout)["nodes"] if n["node"] == 3)["up"],
                          "the loss is seen")
        out = self.node("remove", "2", check=False)
        self.assertNotEqual(out.returncode, 0)
        self.assertIn("majority", out.stderr)
        self.assertEqual(len(self.nodes()["nodes"]), 3)
        self.node("remove", "3", "--wait")  # the lost one may go: two replicas are left
        self.load(1, 2)
        held = self.check_places(2)
        self.assertEqual(held, {s: [1, 2] for s in range(self.shards)})
        self.start_new(4)
        loading = self.loading(3, 4, 5)
        self.node("add", "4", self.ends[4], "--wait")  # and all are complete again
        self.finish((3, 4, 5), loading)
        self.check_all()

    def test_a_task_is_cancelled(self):
        self.open()
        self.load(0)
        self.new_file(4)
        with open(self.cluster.file, encoding="utf-8") as f:
            is_plain = "security: none" in f.read()
        if is_plain:  # plain text stays here
            out = self.node("add", "4", "tcp://10.1.2.3:7104", check=False)
            self.assertIn("security: none is for this machine only", out.stderr)
        task = self.begin("add", "4", self.ends[4])  # which nobody has started
        self.assertEqual(self.begin("add", "4", self.ends[4]), task)  # asked for again, it is the same
        self.assertEqual(self.task(task)["state"], "running")
        self.load(1)
        self.node("cancel", str(task))
        self.ended(task, "cancelled")
        self.node("remove", "4", "--wait")
        self.load(2, 3, 4, 5)
        self.assertEqual([n["node"] for n in self.nodes()["nodes"]], [1, 2, 3])
        self.assertEqual(self.check_all(), {s: [1, 2, 3] for s in range(self.shards)})

    def test_a_task_goes_on_whoever_is_killed(self):
        rng = random.Random(SEED)
        self.open(nodes=4)
        self.load(0)
        task = None
        for part, args in enumerate((("drain", "2"), ("add", "2", self.cluster_end(2)), ("drain", "4")), 1):
            loading = self.loading(part)
            task = self.begin(*args)
            for _ in range(3):
                victim = rng.choice((1, 2, 3, 4))
                mark = len(self.cluster.log(f"node-{victim}"))
                self.cluster.kill(f"node-{victim}")
                self.cluster.start_node(victim)
                self.cluster.wait(lambda v=victim, m=mark: "serving pid" in self.cluster.log(f"node-{v}")[m:], "it is back")
                rng.random()
            self.ended(task)
            self.finish((part,), loading)
        self.load(4, 5)
        held = self.check_all()
        self.assertFalse(any(4 in nodes for nodes in held.values()))

    def test_shards_without_replicas_move_too(self):
        self.open(nodes=1, replicas=1)
        self.load(0)
        self.start_new(2)
        loading = self.loading(1, 2)
        self.node("add", "2", self.ends[2], "--wait")
        self.finish((1, 2), loading)
        self.assertEqual(sorted(n for nodes in self.check_places(1).values() for n in nodes), [1, 1, 2, 2])
        loading = self.loading(3)
        self.node("remove", "1", "--wait")
        self.finish((3,), loading)
        self.cluster.terminate("node-1")
        self.load(4, 5)
        self.assertEqual(self.check_all(1), {s: [2] for s in range(self.shards)})


if __name__ == "__main__":
    unittest.main(verbosity=2)
