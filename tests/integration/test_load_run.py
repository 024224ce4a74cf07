"""oneid-load on a real cluster: a mix by two processes, its files, and what report makes of them."""
import csv
import html.parser
import json
import os
import shutil
import signal
import subprocess

from harness import BIN, WAIT_S, ClusterTest
from test_crash import schema_of_default_cluster

POPULATION = ["--persons", "3000", "--seed", "5"]


class Page(html.parser.HTMLParser):
    """The tags of a page, and what its script elements hold."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.data, self.scripts = [], [], [], "", []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]
        if tag != "meta":
            self.open.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open and self.open[-1][0] == tag, f"</{tag}> where {self.open} is open"
        self.open.pop()

    def handle_data(self, text):
        if self.open and self.open[-1][1].get("id") == "data":
            self.data += text
        elif self.open and self.open[-1][0] == "script":
            self.scripts.append(text)


class LoadRunTest(ClusterTest):
    options = {"schema": schema_of_default_cluster()}

    def path(self, name):
        return os.path.join(self.cluster.folder, name)

    def read(self, name):
        with open(self.path(name), encoding="utf-8") as f:
            return f.read()

    def load(self, *args, status=0):
        out = subprocess.run([f"{BIN}/oneid-load", *args], capture_output=True, text=True, timeout=WAIT_S)
        self.assertEqual(out.returncode, status, f"{args}\n{out.stdout}\n{out.stderr}\n{self.cluster.log_tails()}")
        return out

    def run_mix(self, *args, status=0):
        return self.load("run", "-c", self.cluster.file, *POPULATION, *args, status=status)

    def has_page(self):
        out = subprocess.run([f"{BIN}/oneid-load", "report", self.path("run.json"), "--html", self.path("probe.html")],
                             capture_output=True, text=True, timeout=WAIT_S)
        self.assertTrue(out.returncode == 0 or "npm" in out.stderr, out.stderr)
        return out.returncode == 0

    def test_mix_by_two_processes_loads_all_and_is_reported(self):
        self.run_mix("--mix", "ingest=70,get=25,count=5", "--processes", "2", "--interval", "100", "--json", self.path("run.json"),
                     "--csv", self.path("run.csv"), "--hgrm", self.path("run.hgrm"), "--hist", self.path("run.hist"))
        result = json.loads(self.read("run.json"))
        self.check_result(result)
        self.check_csv(result)
        self.check_percentiles(result)
        self.check_cluster()
        self.check_report(result)
        if self.has_page():
            self.check_page(result)

    def check_result(self, result):
        self.assertEqual((result["processes"], result["errors"], result["partial"], result["ended"]), (2, 0, 0, True))
        kinds = result["kinds"]
        self.assertEqual(sorted(kinds), ["count", "get", "ingest"])
        self.assertEqual(kinds["ingest"]["requests"], 10000)  # all events of the population
        self.assertEqual(result["requests"], sum(k["requests"] for k in kinds.values()))
        for name, share in (("get", 25 / 70), ("count", 5 / 70)):
            self.assertAlmostEqual(kinds[name]["requests"] / 10000, share, delta=0.05)
        in_series = sum(k["requests"] for p in result["series"] for k in p["kinds"].values())
        self.assertEqual(in_series, result["requests"])

    def check_csv(self, result):
        with open(self.path("run.csv"), encoding="utf-8", newline="") as f:
            rows = list(csv.DictReader(f))
        self.assertEqual(sum(int(r["requests"]) for r in rows if r["kind"] == "all"), result["requests"])
        self.assertEqual(sum(int(r["requests"]) for r in rows if r["kind"] == "get"), result["kinds"]["get"]["requests"])

    def check_percentiles(self, result):
        for name, n in [("run.hgrm", result["requests"])] + [(f"run.{k}.hgrm", v["requests"]) for k, v in result["kinds"].items()]:
            lines = [line.split() for line in self.read(name).splitlines() if line and not line.startswith("#")]
            self.assertEqual(lines[0], ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"])
            self.assertEqual((float(lines[-1][1]), int(lines[-1][2])), (1, n))
            values = [float(line[0]) for line in lines[1:]]
            self.assertEqual(values, sorted(values))
        counts = [int(line.split()[1]) for line in self.read("run.hist").splitlines()]
        self.assertEqual(sum(counts), result["requests"])

    def check_cluster(self):
        """What was put in is exactly what the generator says."""
        self.load("gen", "-c", self.cluster.file, *POPULATION, "--parts", "0", "--out", self.path("gen"))
        self.load("check", "-c", self.cluster.file, "--expected", self.path("gen/expected.json"), "--all")

    def check_report(self, result):
        again = self.load("report", self.path("run.json"), "--json", self.path("again.json"))
        self.assertIn("ingest=70,get=25,count=5", again.stdout)
        self.assertEqual(json.loads(self.read("again.json")), result)
        merged = json.loads(self.load("report", self.path("run.json"), self.path("again.json"), "--merge", "--json").stdout)
        self.assertEqual((merged["requests"], merged["processes"]), (2 * result["requests"], 4))
        both = self.load("report", self.path("run.json"), self.path("again.json")).stdout
        self.assertEqual(both.count(".json "), 2)

    def check_page(self, result):
        self.load("report", self.path("run.json"), self.path("again.json"), "--html", self.path("page.html"))
        page = Page(self.read("page.html"))
        self.assertEqual(page.open, [])
        self.assertFalse({"link", "img", "iframe"} & set(page.tags))
        self.assertFalse({"src", "href"} & set(page.attributes))
        self.check_scripts(page.scripts)
        data = json.loads(page.data)
        self.assertEqual([r["name"] for r in data], [self.path("run.json"), self.path("again.json")])
        self.assertEqual(data[0]["kinds"][-1]["requests"], result["requests"])

    def check_scripts(self, scripts):
        self.assertEqual(len(scripts), 2)  # the library and the page's own
        if not shutil.which("node"):
            return
        for text in scripts:
            with open(self.path("script.js"), "w", encoding="utf-8") as f:
                f.write(text)
            check = subprocess.run(["node", "--check", self.path("script.js")], capture_output=True, text=True, timeout=WAIT_S)
            self.assertEqual(check.returncode, 0, check.stderr)

    def test_load_phase_then_skewed_open_loop(self):
        self.load("ingest", "-c", self.cluster.file, *POPULATION)
        out = self.run_mix("--mix", "update=20,get=70,resolve=10", "--skew", "zipf:0.99", "--rate", "500", "--requests", "600", "--processes",
                           "3", "--json")
        result = json.loads(out.stdout)
        self.assertEqual((result["requests"], result["errors"], result["rate"], result["in_flight"]), (600, 0, 500, 256))
        self.assertEqual(sorted(result["kinds"]), ["get", "resolve", "update"])

    def test_interrupted_run_prints_what_there_is(self):
        p = subprocess.Popen([f"{BIN}/oneid-load", "run", "-c", self.cluster.file, "--mix", "count=1", "--duration", "600", "--processes", "2",
                              "--interval", "10", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(p.kill)
        before = self.cluster.stats()
        self.cluster.wait(lambda: self.children_serve(p.pid), "two load processes with connections")
        p.send_signal(signal.SIGTERM)
        out, err = p.communicate(timeout=WAIT_S)
        self.assertEqual((p.returncode, err), (0, ""), out)
        result = json.loads(out)
        self.assertTrue(result["interrupted"])
        self.assertEqual(result["processes"], 2)
        self.assertEqual(self.cluster.stats()["profiles"], before["profiles"])

    @staticmethod
    def children_serve(pid):
        """Both have used some CPU in the run: they took over the signals before that."""
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
            children = f.read().split()
        ticks = 0
        for child in children:
            with open(f"/proc/{child}/stat", encoding="ascii") as f:
                fields = f.read().rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12]) > 5
        return ticks == 2

    def test_nobody_there_is_an_error_of_each_request(self):
        out = self.load("run", "--mix", "get=1", "-c", self.cluster.file, "--router", "tcp://127.0.0.1:1", "--requests", "10", "--deadline",
                        "50", "--json", status=1)
        self.assertEqual(json.loads(out.stdout)["errors"], 10)

    def test_mistakes_are_named(self):
        for args, says in [(["run", "--mix", "fly=1", "--duration", "1"], "unknown kind 'fly'"),
                           (["run", "--mix", "get=1", "--duration", "1", "--csv", "/nowhere/x"], "/nowhere/x"),
                           (["report", self.cluster.file], "not JSON"), (["report", "/nowhere/y"], "/nowhere/y")]:
            out = self.load(*args, *([] if args[0] == "report" else ["-c", self.cluster.file]), status=2)
            self.assertIn(says, out.stderr)


if __name__ == "__main__":
    import unittest
    unittest.main(verbosity=2)
