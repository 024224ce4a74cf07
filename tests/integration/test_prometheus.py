"""/metrics and /healthz of real processes, and the dashboard and alert rules that are made of them."""
import json
import os
import re
import unittest
import urllib.error
import urllib.request

from harness import Cluster

DOCS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs", "monitoring")
SAMPLE = re.compile(r'^([a-z_]+)(?:\{((?:[a-z_]+="[^"\\\n]*",?)*)\})? (-?[0-9.]+(?:e[+-]?[0-9]+)?)$')
NAME = re.compile(r"\boneid_[a-z_]+")
SECRET = "o-very-secret-value"


def scrape(text):
    """{name: {labels: value}}; every line must be of the format, every family whole and declared once."""
    families, samples, family = {}, {}, None
    for line in text.splitlines():
        if line.startswith("# HELP "):
            family = line.split()[2]
            assert family not in families, f"{family} is there twice"
            families[family] = None
        elif line.startswith("# TYPE "):
            assert line.split()[2] == family, line
            families[family] = line.split()[3]
        else:
            m = SAMPLE.match(line)
            assert m, f"not of the format: {line}"
            name, labels = m.group(1), m.group(2) or ""
            base = re.sub(r"_(bucket|sum|count)$", "", name) if families[family] == "histogram" else name
            assert base == family, f"{name} stands under {family}"
            assert labels not in samples.setdefault(name, {}), f"{line} is there twice"
            samples[name][labels] = float(m.group(3))
    for name, kind in families.items():
        assert (kind == "counter") == name.endswith("_total"), f"{name} is a {kind}"
    return families, samples


def names_in(text):
    return {re.sub(r"_(bucket|sum|count)$", "", n) if n.endswith(("_seconds_bucket", "_seconds_sum", "_seconds_count"))
            else n for n in NAME.findall(text)}


class MetricsTest(unittest.TestCase):
    def setUp(self):
        self.cluster = Cluster(nodes=3, shards=3, replicas=3, metrics=True).start()
        self.addCleanup(self.cluster.stop)

    def get(self, key, path):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.cluster.metrics_ports[key]}{path}", timeout=30) as r:
                return r.status, r.read().decode()
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode()
        except urllib.error.URLError:
            return 0, ""

    def figures(self, key):
        status, text = self.get(key, "/metrics")
        self.assertEqual(status, 200)
        self.assertNotIn(SECRET, text)
        return scrape(text)

    def health(self, key):
        return self.get(key, "/healthz")[0]

    def test_figures_are_those_of_what_was_done(self):
        events = [{"message_id": f"e{i}", "ids": {"openid": f"{SECRET}{i}"}} for i in range(200)]
        self.cluster.events(events)
        self.cluster.events(events[:50])
        self.assertEqual(self.cluster.count("true"), 200)
        self.cluster.ctl("count", "nonsense(", check=False)
        _, router = self.figures("router-1")
        requests = router["oneid_router_requests_total"]
        # A client that waits for long asks again, so that there may be more answers than events.
        self.assertGreaterEqual(requests['type="ingest",outcome="ok"'], 250)
        self.assertGreaterEqual(requests['type="count",outcome="ok"'], 1)
        self.assertGreaterEqual(requests['type="count",outcome="unknown_name"'], 1)
        for kind in ("ingest", "count"):
            answered = sum(v for k, v in requests.items() if k.startswith(f'type="{kind}",'))
            measured = router["oneid_router_request_seconds_count"][f'type="{kind}"']
            self.assertEqual(measured, answered)
        lookups = router["oneid_router_cache_lookups_total"]
        self.assertGreaterEqual(lookups['result="hit"'], 50)  # of those that were known
        self.assertGreaterEqual(lookups['result="miss"'], 200)
        self.assertEqual(router["oneid_router_is_serving"][""], 1)
        # Every replica comes to have the same state.
        def total(name):
            return [sum(self.figures(f"node-{n}")[1][name].values()) for n in (1, 2, 3)]
        self.cluster.wait(lambda: total("oneid_shard_events_total") == [200] * 3, "all replicas have counted 200 events")
        duplicates = self.cluster.stats()["duplicates"]
        self.assertGreaterEqual(duplicates, 50)
        self.cluster.wait(lambda: total("oneid_shard_duplicates_total") == [duplicates] * 3, "all have as many duplicates")
        self.assertEqual(sum(total("oneid_shard_is_leader")), 3)
        # Only its leader answers and measures a commit.
        for n in (1, 2, 3):
            families, node = self.figures(f"node-{n}")
            for labels, count in node["oneid_shard_commit_seconds_count"].items():
                buckets = [v for k, v in node["oneid_shard_commit_seconds_bucket"].items() if k.startswith(labels + ",")]
                self.assertEqual(buckets, sorted(buckets))
                self.assertEqual(buckets[-1], count)
            self.assertGreater(node["oneid_node_log_write_seconds_count"][""], 0)
            self.assertGreater(node["oneid_node_disk_bytes"][""], 0)
            for name in ("oneid_shard_term", "oneid_shard_applied_index"):
                self.assertEqual(set(node[name]), {f'shard="{s}"' for s in range(3)})
        self.assertGreater(sum(total("oneid_shard_commands_total")), 200)
        self.assertGreater(sum(total("oneid_node_query_seconds_count")), 2)

    def test_health_is_whether_it_serves(self):
        keys = ["node-1", "node-2", "node-3", "router-1"]
        self.cluster.wait(lambda: all(self.health(k) == 200 for k in keys), "all are well")
        self.assertEqual(self.get("node-1", "/other")[0], 404)
        self.cluster.kill("node-3")
        self.assertEqual(self.health("node-3"), 0)
        # Two of three go on; one alone has no leader, and says so.
        self.cluster.wait(lambda: self.health("node-1") == 200 and self.health("node-2") == 200, "two are well")
        self.cluster.kill("node-2")
        self.cluster.wait(lambda: self.health("node-1") == 503, "one alone does not serve")
        self.assertIn("has no leader", self.get("node-1", "/healthz")[1])
        self.cluster.start_node(2)
        self.cluster.wait(lambda: self.health("node-1") == 200, "two of three serve")
        # Whoever leads tells what the one that is away lacks.
        def lags():
            return [k for n in (1, 2) for k in self.figures(f"node-{n}")[1].get("oneid_shard_peer_lag_entries", {})]
        self.cluster.wait(lambda: any('peer="3"' in labels for labels in lags()), "leaders tell of node 3")
        self.cluster.start_node(3)
        self.cluster.wait_serving()

    def test_dashboard_and_alerts_ask_for_figures_that_exist(self):
        there = set()
        for key in ("node-1", "router-1"):
            there |= set(self.figures(key)[0])
        with open(os.path.join(DOCS, "grafana.json"), encoding="utf-8") as f:
            dashboard = json.load(f)
        exprs = [t["expr"] for p in dashboard["panels"] for t in p.get("targets", [])]
        self.assertGreater(len(exprs), 40)
        ids = [p["id"] for p in dashboard["panels"]]
        self.assertEqual(len(ids), len(set(ids)))
        with open(os.path.join(DOCS, "alerts.yml"), encoding="utf-8") as f:
            alerts = f.read()
        with open(os.path.join(DOCS, "..", "monitoring.md"), encoding="utf-8") as f:
            page = f.read()
        for text in exprs:
            self.assertTrue(names_in(text), text)
            self.assertEqual(text.count("("), text.count(")"), text)
        for where, text in (("grafana.json", "\n".join(exprs)), ("alerts.yml", alerts), ("monitoring.md", page)):
            self.assertEqual(names_in(text) - there, set(), where)
        # ... and the page tells of each of them.
        self.assertEqual(there - names_in(page), set())
        rules = re.findall(r"- alert: (\w+)", alerts)
        self.assertGreater(len(rules), 10)
        self.assertEqual(len(rules), alerts.count("expr: "))
        self.assertEqual(len(rules), alerts.count("summary: "))
        self.assertEqual(len(rules), len(set(rules)))


if __name__ == "__main__":
    unittest.main(verbosity=2)
