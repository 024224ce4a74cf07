"""The generated set of 300,000 persons and 1,000,000 events: exactly the expected profiles, points and
segment answers, whatever the order and number of importers."""
import os
import subprocess
import unittest

from harness import BIN, Cluster
from test_crash import schema_of_default_cluster

PERSONS = int(os.environ.get("ONEID_GENERATED_PERSONS", "300000"))
EVENTS = int(os.environ.get("ONEID_GENERATED_EVENTS", "1000000"))


class GeneratedTest(unittest.TestCase):
    def run_set(self, parts, shuffle):
        cluster = Cluster(routers=2, schema=schema_of_default_cluster())
        self.addCleanup(cluster.stop)
        cluster.start()
        out = os.path.join(cluster.folder, "gen")
        cmd = [f"{BIN}/oneid-load", "gen", "--persons", str(PERSONS), "--events", str(EVENTS), "--seed", "42", "--out", out,
               "--parts", str(parts), "-c", cluster.file]
        subprocess.run(cmd + (["--shuffle", str(shuffle)] if shuffle else []), check=True, capture_output=True)
        names = [f"events-{i + 1}.jsonl" for i in range(parts)] if parts > 1 else ["events.jsonl"]
        cluster.finish([cluster.importer(os.path.join(out, n), router=1 + i % 2) for i, n in enumerate(names)])
        # An event is acknowledged when its merge is certain; tidying up after it may take a moment longer.
        cluster.wait(lambda: cluster.stats()["merging"] == 0, "no merge in flight")
        check = subprocess.run([f"{BIN}/oneid-load", "check", "--expected", f"{out}/expected.json", "-c", cluster.file],
                               capture_output=True, text=True)
        self.assertEqual(check.returncode, 0, check.stdout + check.stderr)

    def test_one_importer_in_the_generated_order(self):
        self.run_set(1, 0)

    def test_four_importers_in_another_order(self):
        self.run_set(4, 9)


if __name__ == "__main__":
    unittest.main(verbosity=2)
