"""oneid itself: a cluster of release processes on this machine, asked through client and router."""
import json
import os
import shutil
import sys
import time
from dataclasses import dataclass

from . import machine
from .system import Ingest, Load, System, Variant, parse_answers

HERE = os.path.dirname(os.path.abspath(__file__))
IN_FLIGHT = 4096  # of an import


@dataclass(frozen=True)
class Layout:
    nodes: int
    shards: int
    replicas: int = 1
    keys: bool = False  # CURVE on every link
    limits: str = ""    # that section of the cluster file

    def __str__(self):
        parts = [(self.nodes, "node"), (self.shards, "shard"), (1, "router")]
        text = ", ".join(f"{n} {word}{'s' if n != 1 else ''}" for n, word in parts)
        return text + (f", {self.replicas} replicas" if self.replicas > 1 else "") + (", encrypted" if self.keys else "")


def harness(programs):
    """The module that runs clusters for the integration tests; it looks for its programs when it is loaded."""
    os.environ["ONEID_BIN"] = programs
    folder = os.path.join(HERE, "../../integration")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    import harness as module  # pylint: disable=import-outside-toplevel
    return module


class Oneid(System):
    variants = [Variant("synced log")]
    loads = [Load("1 in flight", 1), Load("64 in flight", 64), Load("256 in flight", 256), Load("1024 in flight", 1024)]

    def __init__(self, programs, folder, layout):
        super().__init__(programs, folder)
        self.layout, self.cluster = layout, None
        self.name = f"oneid ({layout})"
        self.client = f"{programs}/bench_oneid"

    def missing(self):
        wanted = ["oneid-node", "oneid-router", "oneidctl", "oneid-load", "bench_oneid", "index_bench"]
        away = [w for w in wanted if not os.path.exists(f"{self.programs}/{w}")]
        return f"not built: {', '.join(away)}" if away else None

    # --- the cluster ---

    def start(self, variant=None):
        self.fresh_folder()
        with open(f"{HERE}/../schema.yml", encoding="utf-8") as f:
            schema = f.read()
        self.cluster = harness(self.programs).Cluster(nodes=self.layout.nodes, shards=self.layout.shards, schema=schema, limits=self.layout.limits,
                                                      folder=self.folder, name="bench", replicas=self.layout.replicas,
                                                      secure=self.layout.keys)
        try:
            self.cluster.start()
        except BaseException:
            self.kill()
            raise

    def stop(self):
        """Without waiting for a last checkpoint: the data goes anyway."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def kill(self):
        for key in list(self.cluster.processes if self.cluster else ()):
            self.cluster.kill(key)

    def _of_kind(self, kind):
        return [p.pid for key, p in self.cluster.processes.items() if key.startswith(kind)]

    def pids(self):
        return self._of_kind("")

    def node_pids(self):
        return self._of_kind("node")

    def router_pid(self):
        return self._of_kind("router")[0]

    @property
    def router(self):
        return f"tcp://127.0.0.1:{self.cluster.router_ports[0]}"

    def settle(self, seconds=120):
        """Until the checkpoints that an ingest set off have ended."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            before = machine.cpu_of(self.pids())
            time.sleep(2)
            if machine.cpu_of(self.pids()) - before < 0.1:
                return

    def stop_nodes(self, cleanly):
        for key in [k for k in self.cluster.processes if k.startswith("node")]:
            (self.cluster.terminate if cleanly else self.cluster.kill)(key)

    def start_nodes(self):
        """Seconds until every shard answers through the router."""
        begin = time.monotonic()
        for i in range(self.layout.nodes):
            self.cluster.start_node(i + 1)
        self.cluster.wait_serving()
        return time.monotonic() - begin

    # --- work ---

    def ingest(self, path):
        """What counted is taken from the cluster: an event that was sent again, as an answer was late, comes back as a duplicate."""
        before = self.stats()["events"]
        run = machine.run([f"{self.programs}/oneidctl", "import", path, "-c", self.cluster.file, "--in-flight", str(IN_FLIGHT), "--json"],
                          self.pids())
        r = json.loads(run.text)
        if r["rejected"] or r["refused_links"] or not r["complete"]:
            raise RuntimeError(f"an import was not taken whole: {run.text.strip()}")
        self.wait_merged()
        return Ingest(r["lines"], self.stats()["events"] - before, r["seconds"], run)

    def wait_merged(self):
        """The last steps of a merge follow the acknowledgement; until then statistics count some things twice."""
        self.cluster.wait(lambda: self.stats()["merging"] == 0, "merges end")

    def dump(self, path):
        with open(path, "w", encoding="utf-8") as f:
            f.write(machine.run([self.client, "dump", self.router]).text)

    def _get_command(self, ids, load, seconds):
        return [self.client, "get", self.router, ids, str(load.in_flight), str(seconds)]

    def ask(self, questions, repeats):
        lines = [f"breakdown\t{q.name}\t{q.by}\t{q.expr}\n" if q.by else f"count\t{q.name}\t{q.expr}\n" for q in questions]
        return parse_answers(machine.run([self.client, "ask", self.router, str(repeats)], text="".join(lines)).text)

    # --- saved segments ---

    def has_saved_segments(self):
        """Wrong usage is what a oneidctl says that has no such command."""
        return self.cluster.ctl("segment", "list", check=False).returncode != 2

    def define(self, name, expr):
        self.cluster.ctl("segment", "define", name, expr)

    def drop(self, name):
        self.cluster.ctl("segment", "drop", name)

    def refresh(self):
        """All saved segments in one pass: {name: count}, and the seconds that oneidctl took."""
        begin = time.perf_counter()
        answer = self.cluster.json("segment", "refresh")
        took = time.perf_counter() - begin
        return {s["name"]: s["count"] for s in answer["segments"]}, took

    def stats(self):
        return self.cluster.stats()

    def load_command(self, command, *args):
        return [f"{self.programs}/oneid-load", command, *map(str, args), "-c", self.cluster.file, "--json"]

    def load(self, command, *args):
        """A run of oneid-load: its JSON and the Run."""
        run = machine.run(self.load_command(command, *args), self.pids())
        return checked_load(run.text), run


def checked_load(text):
    result = json.loads(text)
    if result["errors"] or result["partial"]:
        raise RuntimeError(f"oneid-load {result['command']}: {result['errors']} errors {result['codes']}, {result['partial']} partial answers")
    return result
