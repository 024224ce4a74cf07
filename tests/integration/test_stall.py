"""A node that stands still for a while: what came up meanwhile gets through afterwards."""
import json
import os
import signal
import subprocess
import unittest

from harness import BIN, IDENTITIES, Cluster

TRAITS = 30
# Together more than a message between router and node may have.
EVENTS = 3600


class StallTest(unittest.TestCase):
    def setUp(self):
        schema = IDENTITIES + "traits:\n" + "".join(f"  - {{name: s{i}, type: string}}\n" for i in range(TRAITS))
        self.cluster = Cluster(nodes=1, shards=1, schema=schema).start()
        self.addCleanup(self.cluster.stop)

    def router_kib(self):
        with open(f"/proc/{self.cluster.processes['router-1'].pid}/status", encoding="ascii") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))

    def test_many_large_events_outlast_a_node_that_stands_still(self):
        path = os.path.join(self.cluster.folder, "in.jsonl")
        with open(path, "w", encoding="utf-8") as f:
            for i in range(EVENTS):
                f.write(json.dumps({"message_id": f"m{i}", "ids": {"openid": f"p{i}"},
                                    "traits": {f"s{k}": "y" * 1000 for k in range(TRAITS)}}) + "\n")
        node = self.cluster.processes["node-1"]
        node.send_signal(signal.SIGSTOP)
        before = self.router_kib()
        importer = subprocess.Popen([f"{BIN}/oneidctl", "import", "-c", self.cluster.file, "--in-flight", str(EVENTS),
                                     "--deadline", "60000", path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        # Nothing is answered; the router has taken all of it once it holds as much.
        self.cluster.wait(lambda: self.router_kib() - before > EVENTS * TRAITS, "the router holds the events")
        try:
            importer.wait(timeout=4)  # several rounds of copies
        except subprocess.TimeoutExpired:
            pass
        self.assertIsNone(importer.returncode)
        node.send_signal(signal.SIGCONT)
        self.cluster.finish([importer])
        stats = self.cluster.stats()
        self.assertEqual((stats["events"], stats["profiles"]), (EVENTS, EVENTS))
        self.assertLess(stats["duplicates"], 3 * EVENTS)  # copies that the shard was busy with for nothing


if __name__ == "__main__":
    unittest.main(verbosity=2)
