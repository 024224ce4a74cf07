"""Real processes of a cluster on free ports in a folder of their own.

Waits for conditions, never for time. A process that ends with another status than it was told to, or
that a sanitizer complains about, fails the test that stops the cluster.
"""
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
import unittest

BIN = os.environ["ONEID_BIN"]
WAIT_S = 180
# ONEID_TEST_SECURITY=keys: all tests with encryption.
SECURE = os.environ.get("ONEID_TEST_SECURITY") == "keys"

IDENTITIES = """identities:
  - {name: member, limit: 1}
  - {name: customer, limit: 1}
  - {name: phone, limit: 3, normalize: phone}
  - {name: unionid, limit: 5}
  - {name: openid, limit: 20}
  - {name: tmall, limit: 5}
  - {name: douyin, limit: 5}
  - {name: order, limit: 1000}
  - {name: device, limit: 10, bridges: false}
"""

SCHEMA = IDENTITIES + """traits:
  - {name: city, type: enum, merge: latest}
  - {name: country, type: enum, merge: latest}
  - {name: birth, type: date, merge: source_priority, sources: [crm, tmall]}
  - {name: points, type: counter}
  - {name: growth, type: counter}
  - {name: qty, type: counter}
tags: {max_per_profile: 200}
events:
  order: {fields: {amount: number, category: enum}, metrics: [count, sum(amount)], keep_days: 400}
  purchase: {fields: {amount: number}, metrics: [count, sum(amount)], keep_days: 3660}
levels: {by: growth, steps: {silver: 1000, gold: 5000, black: 20000}}
"""


def free_ports(n):
    socks = [socket.socket() for _ in range(n)]
    for s in socks:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in socks]
    for s in socks:
        s.close()
    return ports


def patient(text):
    """A thread sanitizer makes processes so slow that leaders seem to be gone: ONEID_ELECTION_MS is waited for instead."""
    ms = os.environ.get("ONEID_ELECTION_MS")
    if not ms:
        return text
    if "election_ms: " in text:
        return re.sub(r"election_ms: \d+", f"election_ms: {ms}", text)
    return text.replace("limits: {", f"limits: {{election_ms: {ms}, ", 1) if "limits: {" in text else text + f"\nlimits: {{election_ms: {ms}}}\n"


class Cluster:
    def __init__(self, nodes=3, shards=6, routers=1, schema=SCHEMA, limits="", folder=None, name="test", replicas=1,
                 metrics=False, host_of=lambda key: "127.0.0.1", secure=SECURE):
        self.tmp = None if folder else tempfile.TemporaryDirectory(prefix="oneid-it-")
        self.folder = folder or self.tmp.name
        ports = free_ports(2 * (nodes + routers))
        self.node_ports, self.router_ports = ports[:nodes], ports[nodes:nodes + routers]
        keys = [f"node-{i + 1}" for i in range(nodes)] + [f"router-{i + 1}" for i in range(routers)]
        self.metrics_ports = dict(zip(keys, ports[nodes + routers:])) if metrics else {}
        self.file = os.path.join(self.folder, "cluster.yml")
        lines = [f"cluster: {name}", "data: ./data", f"shards: {shards}", f"replicas: {replicas}",
                 "security: {keys: ./keys}" if secure else "security: none", "nodes:"]
        node_ends = [f"tcp://{host_of(f'node-{i + 1}')}:{p}" for i, p in enumerate(self.node_ports)]
        self.router_ends = [f"tcp://{host_of(f'router-{i + 1}')}:{p}" for i, p in enumerate(self.router_ports)]
        lines += [self._member("node", i + 1, e) for i, e in enumerate(node_ends)]
        lines += ["routers:"]
        lines += [self._member("router", i + 1, e) for i, e in enumerate(self.router_ends)]
        lines += ["timezone: Asia/Shanghai", patient(f"{schema}\n{limits}")]
        with open(self.file, "w", encoding="utf-8") as f:
            f.write("\n".join(lines))
        self.processes = {}
        self.logs = {}
        if secure:
            self.ctl("keygen", "--all")

    def _member(self, kind, number, endpoint):
        metrics = self.metrics_ports.get(f"{kind}-{number}")
        return f'  - {{id: {number}, listen: "{endpoint}"{f", metrics: {metrics}" if metrics else ""}}}'

    # --- processes ---

    def command(self, key, args):
        """How the process `key`, or "client", is run; for tests that put them into places of their own."""
        return args

    def _start(self, key, args):
        log = os.path.join(self.folder, f"{key}.log")
        with open(log, "ab") as f:
            self.processes[key] = subprocess.Popen(self.command(key, args), stdout=f, stderr=f, stdin=subprocess.DEVNULL)
        self.logs[key] = log

    def start_node(self, i):
        self._start(f"node-{i}", [f"{BIN}/oneid-node", "-c", self.file, "-n", str(i)])

    def start_router(self, i):
        self._start(f"router-{i}", [f"{BIN}/oneid-router", "-c", self.file, "-r", str(i)])

    def start(self):
        for i in range(len(self.node_ports)):
            self.start_node(i + 1)
        for i in range(len(self.router_ports)):
            self.start_router(i + 1)
        self.wait_serving()
        return self

    def wait_serving(self):
        """All shards answer through each router."""
        for r in range(len(self.router_ports)):
            if f"router-{r + 1}" in self.processes:
                self.wait(lambda r=r: self._all_reachable(r), "all shards reachable")

    def _all_reachable(self, r):
        out = self.ctl("stats", "--json", "--deadline", "2000", router=r + 1, check=False)
        if out.returncode != 0:
            return False
        return all(s["reachable"] for s in json.loads(out.stdout)["shards"])

    def wait(self, condition, what):
        end = time.monotonic() + WAIT_S
        while not condition():
            if time.monotonic() > end:
                raise AssertionError(f"waited in vain: {what}\n{self.log_tails()}")
            for key, p in self.processes.items():
                if p.poll() is not None:
                    raise AssertionError(f"{key} ended with {p.returncode} while waiting: {what}\n{self.log_tails()}")
            time.sleep(0.02)

    def kill(self, key):
        """kill -9; the process is expected to be gone."""
        p = self.processes.pop(key)
        p.send_signal(signal.SIGKILL)
        p.wait()

    def terminate(self, key):
        p = self.processes.pop(key)
        p.send_signal(signal.SIGTERM)
        code = p.wait(timeout=WAIT_S)
        if code != 0:
            raise AssertionError(f"{key} ended with {code}\n{self.log_tails()}")

    def stop(self):
        try:
            for key in sorted(self.processes, reverse=True):  # routers first
                self.terminate(key)
            for key, path in self.logs.items():
                with open(path, encoding="utf-8", errors="replace") as f:
                    text = f.read()
                if re.search(r"ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error:", text):
                    raise AssertionError(f"{key}: a sanitizer complains\n{text[-6000:]}")
        finally:
            for p in self.processes.values():
                p.kill()
                p.wait()
            self.processes = {}
            if self.tmp:
                self.tmp.cleanup()

    def log(self, key):
        with open(self.logs[key], encoding="utf-8", errors="replace") as f:
            return f.read()

    def log_tails(self):
        return "\n".join(f"--- {k}\n{self.log(k)[-1500:]}" for k in self.logs)

    # --- questions ---

    def ctl(self, *args, router=None, data=None, check=True, timeout=WAIT_S * 4):
        cmd = [f"{BIN}/oneidctl", args[0], "-c", self.file]
        if router:
            cmd += ["--router", self.router_ends[router - 1]]
        cmd = self.command("client", cmd + list(args[1:]))
        out = subprocess.run(cmd, input=data, capture_output=True, text=True, timeout=timeout)
        if check and out.returncode != 0:
            raise AssertionError(f"{cmd} ended with {out.returncode}\n{out.stdout}\n{out.stderr}\n{self.log_tails()}")
        return out

    def json(self, *args, **kw):
        return json.loads(self.ctl(args[0], *args[1:], "--json", **kw).stdout)

    def events(self, events, **kw):
        """Imports dicts as JSON lines; the message_id is made up where there is none."""
        lines = []
        for i, e in enumerate(events):
            e = dict(e)
            e.setdefault("message_id", f"m{id(events)}-{i}")
            lines.append(json.dumps(e, ensure_ascii=False))
        return self.ctl("import", "-", data="\n".join(lines) + "\n", **kw)

    def count(self, expr):
        return self.json("count", expr)["count"]

    def stats(self):
        return self.json("stats")

    def importer(self, path, router=None):
        cmd = [f"{BIN}/oneidctl", "import", "-c", self.file, path]
        if router:
            cmd[2:2] = ["--router", self.router_ends[router - 1]]
        return subprocess.Popen(cmd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def finish(self, importers):
        for p in importers:
            out, err = p.communicate(timeout=WAIT_S * 5)
            if p.returncode != 0:
                raise AssertionError(f"an importer ended with {p.returncode}\n{out}\n{err}\n{self.log_tails()}")


class ClusterTest(unittest.TestCase):
    """A cluster for each test, stopped and looked over at its end."""

    options = {}

    def setUp(self):
        self.cluster = Cluster(**self.options).start()
        self.addCleanup(self.cluster.stop)
