"""Peers with keys of their own that speak for others, and bytes that are harmed or said again on the way."""
import json
import os
import re
import resource
import socket
import subprocess
import sys
import unittest
import urllib.request

from harness import BIN, Cluster

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../fuzz/live"))
from man_in_the_middle import Middle  # noqa: E402
from strangers import connect_and_say  # noqa: E402

FORGED_TERM = 1000000000  # as fuzz/live/forge.h


class AttackTest(unittest.TestCase):
    options = {"nodes": 2, "shards": 2}

    def setUp(self):
        self.cluster = Cluster(secure=True, metrics=True, **self.options).start()
        self.addCleanup(self.cluster.stop)
        self.keys = os.path.join(self.cluster.folder, "keys")

    def figure(self, key, name):
        """The sum, where there are several."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.cluster.metrics_ports[key]}/metrics", timeout=30) as r:
            return sum(float(v) for v in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", r.read().decode(), re.M))

    def middle(self, port, every_s):
        m = Middle(port, seed=1, every_s=every_s)
        self.addCleanup(m.close)
        return m

    def through(self, port, *args, **kw):
        """oneidctl by way of another port, as an admin."""
        return self.cluster.ctl(args[0], "--router", f"tcp://127.0.0.1:{port}", "--server-key", f"{self.keys}/router-1.pub",
                                "--key", f"{self.keys}/admin.key", *args[1:], **kw)


class WireTest(AttackTest):
    def test_what_is_harmed_on_the_way_is_noticed_and_counts_once(self):
        m = self.middle(self.cluster.router_ports[0], every_s=0.1)
        m.look_for(b"secret-of-o")
        n = 0
        while not all(m.harmed.values()):
            lines = "".join(json.dumps({"message_id": f"secret-of-o{n}-{i}", "ids": {"openid": "o1"}, "add": {"points": 1}}) + "\n"
                            for i in range(300))
            self.through(m.port, "import", "-", "--in-flight", "8", "--deadline", "120000", data=lines)
            n += 300
        self.assertEqual(self.cluster.json("get", "openid:o1")["counters"]["points"], n)
        self.assertGreater(m.connections, 1)
        self.assertGreater(self.figure("router-1", "oneid_security_ended_total"), 0)
        self.assertEqual(m.leaks, 0)

    def test_what_was_said_once_is_refused_when_it_is_said_again(self):
        m = self.middle(self.cluster.router_ports[0], every_s=1e9)
        self.through(m.port, "import", "-", data='{"message_id":"m","ids":{"openid":"o1"},"add":{"points":1}}\n')
        said = m.recordings()
        self.assertTrue(said)
        for key, port in [("router-1", self.cluster.router_ports[0]), ("node-1", self.cluster.node_ports[0])]:
            before = {c: self.figure(key, f"oneid_security_{c}_total") for c in ("accepted", "bad_handshake")}
            for _ in range(5):
                answer = connect_and_say(port, said[0])
                self.assertNotIn(b"READY", answer)
            self.cluster.wait(lambda key=key, n=before["bad_handshake"]: self.figure(key, "oneid_security_bad_handshake_total") >= n + 5,
                              f"{key} counts what it refused")
            self.assertEqual(self.figure(key, "oneid_security_accepted_total"), before["accepted"])
        self.assertEqual(self.cluster.json("get", "openid:o1")["counters"]["points"], 1)
        self.assertEqual(sum(s["events"] for s in self.cluster.stats()["shards"]), 1)


class FloodTest(unittest.TestCase):
    """Strangers hold more connections than a process may have descriptors unless it asks for more."""

    CONNECTIONS, SOFT = 1500, 1024

    def setUp(self):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        if hard != resource.RLIM_INFINITY and hard < 2 * self.CONNECTIONS:
            self.skipTest(f"a process may have {hard} descriptors here")
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = self.SOFT

        class FewDescriptors(Cluster):
            def command(self, key, args):
                return args if key == "client" else ["prlimit", f"--nofile={soft}:{hard}"] + args

        self.cluster = FewDescriptors(nodes=1, shards=2, secure=True, metrics=True).start()
        self.addCleanup(self.cluster.stop)

    def flood(self, port):
        held = []
        for _ in range(self.CONNECTIONS):
            held.append(socket.create_connection(("127.0.0.1", port), timeout=30))
            self.addCleanup(held[-1].close)

    def test_connections_of_strangers_leave_descriptors_for_files(self):
        self.flood(self.cluster.router_ports[0])
        self.flood(self.cluster.node_ports[0])
        self.cluster.ctl("segment", "define", "vips", "tag(vip)")
        for key in ("router-1", "node-1"):
            with urllib.request.urlopen(f"http://127.0.0.1:{self.cluster.metrics_ports[key]}/metrics", timeout=30) as r:
                self.assertEqual(r.status, 200)
        self.cluster.terminate("node-1")  # which writes what it has
        for key in ("router-1", "node-1"):
            self.assertNotRegex(self.cluster.log(key), "audit_not_written|index_not_saved|Too many open files")
        with open(os.path.join(self.cluster.folder, "data", "router-1.audit.jsonl"), encoding="utf-8") as f:
            self.assertIn('"segment":"vips","outcome":"OK"', f.read())


class PeerTest(AttackTest):
    options = {"nodes": 3, "shards": 3, "replicas": 3}

    def public_key(self, name):
        with open(os.path.join(self.keys, "allowed"), encoding="utf-8") as f:
            return next(line.split()[0] for line in f if line.split()[2:3] == [name])

    def hostile(self, trade, spoil, node):
        """Speaks to one node until it is ended; by the key of `trade`."""
        p = subprocess.Popen([f"{BIN}/oneid-fuzz-hostile", trade, f"{self.keys}/{'router-1' if trade == 'router' else trade}.key", "1",
                              "100", spoil, f"node-{node}=tcp://127.0.0.1:{self.cluster.node_ports[node - 1]}={self.public_key(f'node-{node}')}"],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addCleanup(p.kill)
        return p

    def end(self, p):
        out, _ = p.communicate(timeout=60)
        self.assertEqual(p.returncode, 0)
        return json.loads(out)

    def wait_denied(self, key, n):
        before = self.figure(key, "oneid_security_denied_total")
        self.cluster.wait(lambda: self.figure(key, "oneid_security_denied_total") >= before + n, f"{key} denies it")

    def test_neither_a_node_nor_a_router_speaks_for_another_ones_replicas(self):
        """Raft messages of a term far ahead, in the name of node 3: believed, one would end all leaders."""
        self.cluster.wait(lambda: self.cluster.ctl("check", check=False).returncode == 0, "it is well")
        for trade, name in (("node-2", "node-2"), ("router", "router-1")):
            p = self.hostile(trade, "forged", 1)
            self.wait_denied("node-1", 100)
            line = re.compile(rf"role_denied fingerprint=\w+ name={name} ")  # one for many, every few seconds
            self.cluster.wait(lambda found=line: found.search(self.cluster.log("node-1")), f"the log says that {name} is denied")
            done = self.end(p)
            self.assertGreater(done["sent"]["forged"], 0)
            self.assertEqual((done["unreadable"], done["granted"]), (0, 0))
        for i in range(3):
            self.assertLess(self.figure(f"node-{i + 1}", "oneid_shard_term"), FORGED_TERM)
        self.cluster.wait(lambda: self.cluster.ctl("check", check=False).returncode == 0, "it is well again")

    def test_a_node_does_not_say_which_folder_another_one_has(self):
        """Believed, the replicas of node 3 would be thrown out for ones that do not exist."""
        self.cluster.wait(lambda: self.cluster.ctl("check", check=False).returncode == 0, "it is well")
        before = self.figure("node-1", "oneid_security_denied_total")
        p = self.hostile("node-2", "impostor", 1)
        changed = lambda: any("member_change" in self.cluster.log(k) for k in self.cluster.processes)  # noqa: E731
        self.cluster.wait(lambda: changed() or self.figure("node-1", "oneid_security_denied_total") >= before + 100, "it is refused or believed")
        self.assertGreater(self.end(p)["sent"]["impostor"], 0)
        self.assertFalse(changed(), "believed")
        self.assertIn("role_denied", self.cluster.log("node-1"))
        self.cluster.wait(lambda: self.cluster.ctl("check", check=False).returncode == 0, "it is well again")


if __name__ == "__main__":
    unittest.main(verbosity=2)
