"""A cluster, those who attack it, those who use it, and what is seen of it meanwhile."""
import json
import os
import re
import subprocess
import time
import urllib.error
import urllib.request

from harness import BIN, Cluster
from man_in_the_middle import Middle
from strangers import Strangers

NODES, SHARDS = 3, 6
PERSONS = 16  # as live/hostile.h
# trade, key file, is it on the list
PEERS = {"reader": ("reader", "hostile-reader"), "writer": ("writer", "hostile-writer"), "admin": ("admin", "hostile-admin"),
         "unlisted": ("reader", "hostile-unlisted"), "router": ("router", "router-1"), "node-2": ("node-2", "node-2"),
         "node-3": ("node-3", "node-3")}
IDENTITIES = re.compile(r"zqmut|zqonce|zqledger|\bp\d+-[0-3]\b")
SAMPLE = re.compile(r"^(\w+)(?:\{[^}]*\})? (\S+)$", re.M)
# So small that what a shard keeps of changes and of its log does not grow for minutes.
LIMITS = "limits: {checkpoint_seconds: 5, memtable_mb: 4, log_keep_mb: 1}"
SAMPLES_A_SECOND, STATE_EVERY = 1, 5


class LiveCluster(Cluster):
    def __init__(self, folder, files):
        self.files = files
        super().__init__(nodes=NODES, shards=SHARDS, routers=1, replicas=NODES, folder=folder, name="live", secure=True, metrics=True,
                         limits=LIMITS)
        self.keys = os.path.join(folder, "keys")
        for role in ("reader", "writer", "admin", "unlisted"):
            line = self.ctl("keygen", "--name", f"hostile-{role}", "--roles", "reader" if role == "unlisted" else role).stdout
            if role != "unlisted":
                with open(os.path.join(self.keys, "allowed"), "a", encoding="utf-8") as f:
                    f.write(line.splitlines()[-1] + "\n")

    def command(self, key, args):
        # What a sanitizer keeps of freed memory would look like growth.
        options = os.environ.get("ASAN_OPTIONS", "")
        if key != "client":
            args = ["env", f"ASAN_OPTIONS=quarantine_size_mb=4:thread_local_quarantine_size_kb=16:{options}"] + args
            args = (["prlimit", f"--nofile={self.files}"] if self.files else []) + args
        return args

    def public_key(self, name):
        with open(os.path.join(self.keys, "allowed"), encoding="utf-8") as f:
            return next(line.split()[0] for line in f if line.split()[2:3] == [name])

    def page(self, key, path):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_ports[key]}{path}", timeout=20) as r:
                return r.status, r.read().decode()
        except urllib.error.HTTPError as e:
            return e.code, ""
        except OSError:
            return 0, ""


def rss_kb(pid):
    """Without the pages of mapped files, which the system takes back when it wants to."""
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return int(re.search(r"RssAnon:\s+(\d+)", f.read()).group(1))


def open_files(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def median(values):
    return sorted(values)[len(values) // 2]


class Siege:
    def __init__(self, args, folder):
        self.args = args
        self.cluster = LiveCluster(folder, args.files)
        self.peers, self.rss, self.state, self.fds_start = {}, {}, {}, {}
        self.middle = self.before_node = self.strangers = self.ledger = None

    # --- the course of it ---

    def begin(self):
        c = self.cluster.start()
        self.cluster.wait(lambda: self._unwell() == "", "the cluster is well")
        self.pids = {k: p.pid for k, p in c.processes.items()}
        self.rss, self.state = {k: [] for k in self.pids}, {k: [] for k in self.pids}
        self.fds_start = {k: open_files(p) for k, p in self.pids.items()}
        self.middle = Middle(c.router_ports[0], self.args.seed, every_s=2)
        self.middle.look_for(f"zqledger{self.args.seed}".encode())
        self.before_node = Middle(c.node_ports[0], self.args.seed + 1, every_s=5)
        self.ledger = self._start_ledger()
        for i, (name, (trade, key)) in enumerate(PEERS.items()):
            self.peers[name] = self._start_peer(trade, key, self.args.seed + i)
        self.strangers = Strangers(c.node_ports + c.router_ports, list(c.metrics_ports.values()), self.args.seed,
                                   lambda: self.middle.recordings() + self.before_node.recordings(), self.args.crowd)

    def watch(self, seconds):
        end, looks = time.monotonic() + seconds, 0
        while time.monotonic() < end and not self._died():
            for key, pid in self.pids.items():
                self.rss[key].append(rss_kb(pid))
                if looks % STATE_EVERY == 0:
                    self.state[key].append(self._state_kb(key))
            looks += 1
            time.sleep(1 / SAMPLES_A_SECOND)

    def end(self):
        died = self._died()
        peers = {name: self._end_peer(p) for name, p in self.peers.items()}
        self.strangers.close()
        ledger = self._ask("lap")
        at_end = self._ask("end")
        self.ledger.wait()
        self.middle.close()
        self.before_node.close()
        for what in ("acked", "reads", "stale", "client_errors"):
            at_end[what] += ledger[what]
        at_end["codes"] = ledger["codes"] | at_end["codes"]
        unwell = self._wait_well()
        return {"died": died, "unwell": unwell, "ledger": at_end, "once": self._count_once(peers["writer"]),
                "intruders": 0 if died else self.cluster.count("tag(intruder)"),
                "processes": {key: self._look_at(key) for key in self.pids if key not in died},
                "peers": peers, "strangers": dict(sorted(self.strangers.counts.items())), "harmed": self.middle.harmed,
                "connections_in_the_middle": self.middle.connections, "leaks": self._leaks()}

    def close(self):
        for p in list(self.peers.values()) + ([self.ledger] if self.ledger else []) + list(self.cluster.processes.values()):
            if p.poll() is None:
                p.kill()
            p.wait()

    # --- who takes part ---

    def _start_peer(self, trade, key, seed):
        c = self.cluster
        ports = list(c.node_ports)
        if trade == "router":
            ports[0] = self.before_node.port
        targets = [f"node-{i + 1}=tcp://127.0.0.1:{p}={c.public_key(f'node-{i + 1}')}" for i, p in enumerate(ports)
                   if trade != f"node-{i + 1}"]
        router = f"router-1=tcp://127.0.0.1:{c.router_ports[0]}={c.public_key('router-1')}"
        # Clients speak most to routers, and nodes and routers to nodes.
        targets += [router] * (2 * len(targets) if trade in ("reader", "writer", "admin") else 1)
        return subprocess.Popen([f"{BIN}/oneid-fuzz-hostile", trade, f"{c.keys}/{key}.key", str(seed), str(self.args.rate), "all"] + targets,
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def _end_peer(self, p):
        out, _ = p.communicate()
        if p.returncode != 0:
            raise RuntimeError(f"a peer ended with {p.returncode}")
        return json.loads(out)

    def _start_ledger(self):
        c = self.cluster
        with open(os.path.join(c.folder, "ledger.log"), "wb") as errors:
            return subprocess.Popen([f"{BIN}/oneid-fault-ledger", str(self.args.load), "64", str(self.args.seed), f"zqledger{self.args.seed}",
                                     f"{c.keys}/admin.key", f"{c.keys}/allowed", f"tcp://127.0.0.1:{self.middle.port}"],
                                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True)

    def _ask(self, what):
        self.ledger.stdin.write(what + "\n")
        self.ledger.stdin.flush()
        line = self.ledger.stdout.readline()
        if not line:
            raise RuntimeError(f"the ledger ended with {self.ledger.wait()}")
        return json.loads(line)

    # --- what is seen ---

    def _died(self):
        return [k for k, p in self.cluster.processes.items() if p.poll() is not None]

    def _unwell(self):
        out = self.cluster.ctl("check", "--deadline", "5000", check=False)
        return "" if out.returncode == 0 else (out.stdout + out.stderr)[:2000]

    def _wait_well(self):
        """Once it is over the cluster has a while to be well again. What is not: an empty text."""
        end = time.monotonic() + 90
        text = self._unwell()
        while text and time.monotonic() < end and not self._died():
            time.sleep(1)
            text = self._unwell()
        return text

    def _count_once(self, writer):
        counted = []
        for i in range(PERSONS):
            out = self.cluster.ctl("get", f"openid:zqonce-{i}", "--json", check=False)
            counted.append(json.loads(out.stdout)["counters"]["points"] if out.returncode == 0 else 0)
        return {"sent": writer.pop("once_sent"), "acked": writer.pop("once_acked"), "counted": counted}

    def _figures(self, key):
        figures = {}
        for name, value in SAMPLE.findall(self.cluster.page(key, "/metrics")[1]):
            figures.setdefault(name, []).append(float(value))
        return figures

    def _state_kb(self, key):
        """What the process says that its data take in memory."""
        f = self._figures(key)
        return int(sum(f.get("oneid_shard_memtable_bytes", []) + f.get("oneid_shard_index_bytes", []))) >> 10

    def _look_at(self, key):
        health, figures = self.cluster.page(key, "/healthz")[0], self._figures(key)
        state = self.state[key]
        rss, n = self.rss[key], len(self.rss[key])
        kind = key.split("-")[0]
        of = lambda name: int(max(figures.get(name, [0])))
        return {"rss_middle_kb": median(rss[int(n * 0.45):int(n * 0.55) + 1]), "rss_end_kb": median(rss[int(n * 0.9):]),
                "rss_kb": rss[::max(1, n // 20)], "state_middle_kb": state[len(state) // 2], "state_end_kb": state[-1], "rss_most_kb": max(rss), "rss_after_kb": rss_kb(self.pids[key]), "fds_start": self.fds_start[key],
                "fds_end": open_files(self.pids[key]), "health": health, "term": of("oneid_shard_term"),
                "refused": of(f"oneid_{kind}_refused_messages_total"),
                **{c: of(f"oneid_security_{c}_total") for c in ("accepted", "bad_handshake", "unknown_key", "denied", "ended")}}

    def _leaks(self):
        c, found = self.cluster, []
        secrets = []
        for name in os.listdir(c.keys):
            if name.endswith(".key"):
                with open(os.path.join(c.keys, name), encoding="ascii") as f:
                    secrets += re.findall(r"^secret (\S+)$", f.read(), re.M)
        texts = {key: c.log(key) for key in c.logs}
        texts |= {f"metrics of {key}": c.page(key, "/metrics")[1] for key in c.metrics_ports}
        for name in os.listdir(os.path.join(c.folder, "data")):
            if name.endswith(".audit.jsonl"):
                with open(os.path.join(c.folder, "data", name), encoding="utf-8") as f:
                    lines = f.read().splitlines()
                found += [f"{name}: a line that is no JSON" for line in lines if not self._is_json(line)]
                # What an admin calls a segment may be anything, also what came of a message that was spoiled.
                texts[name] = "\n".join(re.sub(r'"segment":"(?:[^"\\]|\\.)*"', "", line) for line in lines)
        for where, text in texts.items():
            hit = IDENTITIES.search(text)
            if hit:
                found.append(f"an identity in {where}: {text[max(0, hit.start() - 200):hit.end() + 20]}")
            found += [f"a secret key in {where}" for s in secrets if s in text]
        return found + ["plain text on the way"] * min(1, self.middle.leaks)

    @staticmethod
    def _is_json(line):
        try:
            return isinstance(json.loads(line), dict)
        except ValueError:
            return False

    def summary(self, r):
        lines = [f"{'peer':10} {'sent':>8} {'kept back':>9} {'answers':>8} {'denied':>8} {'errors':>8}"]
        lines += [f"{n:10} {sum(h['sent'].values()):8} {h['kept_back']:9} {h['answers']:8} {h['denied']:8} {h['errors']:8}"
                  for n, h in r["peers"].items()]
        lines += [f"strangers: {sum(r['strangers'].values())}; harmed on the way: {r['harmed']}",
                  f"{'process':10} {'rss MB: middle':>14} {'end':>6} {'most':>6} {'after':>6} {'refused':>8} {'denied':>8} {'handshake':>9} {'unknown':>8}  data MB: middle, end"]
        lines += [f"{k:10} {p['rss_middle_kb'] / 1024:14.1f} {p['rss_end_kb'] / 1024:6.1f} {p['rss_most_kb'] / 1024:6.1f} {p['rss_after_kb'] / 1024:6.1f}"
                  f" {p['refused']:8} {p['denied']:8} {p['bad_handshake']:9} {p['unknown_key']:8}  {p['state_middle_kb'] / 1024:.1f} {p['state_end_kb'] / 1024:.1f}" for k, p in r["processes"].items()]
        lines += [f"ledger: {r['ledger']['acked']} acknowledged, {r['ledger']['lost']} lost, {r['ledger']['double']} double;"
                  f" once: {sum(r['once']['sent'])} sent, {sum(r['once']['acked'])} acknowledged, {sum(r['once']['counted'])} counted"]
        return "\n".join(lines + [f"FOUND {f}" for f in r["found"]])
