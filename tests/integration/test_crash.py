"""kill -9 of nodes and routers under load: the books balance at the end."""
import json
import os
import random
import subprocess
import unittest

from harness import BIN, Cluster

PERSONS = int(os.environ.get("ONEID_CRASH_PERSONS", "1500"))
EVENTS = int(os.environ.get("ONEID_CRASH_EVENTS", "6000"))
SEED = int(os.environ.get("ONEID_CRASH_SEED", "1"))
RETAIL = os.path.join(os.path.dirname(__file__), "../../cluster.yml")


def schema_of_default_cluster():
    """The sections of the default cluster file behind `timezone:`: what the generator's events fit."""
    with open(RETAIL, encoding="utf-8") as f:
        text = f.read()
    return text[text.index("\nidentities:"):]


class CrashTest(unittest.TestCase):
    replicas = 1

    def setUp(self):
        self.cluster = Cluster(routers=2, replicas=self.replicas, schema=schema_of_default_cluster()).start()
        self.addCleanup(self.cluster.stop)

    def generate(self, parts):
        out = os.path.join(self.cluster.folder, "gen")
        subprocess.run([f"{BIN}/oneid-load", "gen", "--persons", str(PERSONS), "--events", str(EVENTS), "--seed", str(SEED),
                        "--out", out, "--parts", str(parts), "-c", self.cluster.file], check=True, capture_output=True)
        return [os.path.join(out, f"events-{i + 1}.jsonl") for i in range(parts)], os.path.join(out, "expected.json")

    def check(self, expected):
        out = subprocess.run([f"{BIN}/oneid-load", "check", "--expected", expected, "-c", self.cluster.file],
                             capture_output=True, text=True)
        self.assertEqual(out.returncode, 0, out.stdout + out.stderr)
        out = self.cluster.ctl("check", check=False)
        self.assertEqual(out.returncode, 0, out.stdout)

    def test_kills_under_load_lose_and_double_nothing(self):
        parts, expected = self.generate(3)
        rng = random.Random(SEED)
        importers = [self.cluster.importer(p) for p in parts]
        done = 0
        for _ in range(8):
            done += EVENTS // 12
            self.cluster.wait(lambda: any(p.poll() is not None for p in importers) or self.events_now() >= done,
                              f"{done} events")
            victim = rng.choice(["node-1", "node-2", "node-3", "router-1", "router-2"])
            self.cluster.kill(victim)
            kind, number = victim.split("-")
            (self.cluster.start_node if kind == "node" else self.cluster.start_router)(int(number))
        for p, path in zip(importers, parts):
            out, err = p.communicate(timeout=600)
            if p.returncode != 0:  # gave up at its deadline: the same file again, and nothing counts twice
                self.cluster.wait_serving()
                self.cluster.wait(lambda f=path: self.cluster.ctl("import", f, check=False).returncode == 0, f"{path} is in")
        # What a killed router left half merged is finished by the other's sweeps.
        self.cluster.wait(lambda: self.cluster.stats()["merging"] == 0, "no merge in flight")
        self.check(expected)

    def events_now(self):
        out = self.cluster.ctl("stats", "--json", "--deadline", "1000", check=False)
        return json.loads(out.stdout)["events"] if out.returncode == 0 and out.stdout else 0


class ReplicatedCrashTest(CrashTest):
    """The same with three replicas of each shard: leaders change meanwhile."""

    replicas = 3


if __name__ == "__main__":
    unittest.main(verbosity=2)
