"""How fast a node that lost its folder gets its replicas back: with nothing else to do, and beside ingest at full speed."""
import json
import os
import re
import shutil
import subprocess
import time
from dataclasses import dataclass

from .oneid import Layout, checked_load
from .rows import Sample

LAYOUT = Layout(3, 2, 3, limits="limits: {log_keep_mb: 1}")  # so that what it lacks is not in the logs, however small the set
NODE = 3  # leads nothing
PATIENCE_S = 600
NEARLY_ALL = 64  # entries, each of what came together


@dataclass(frozen=True)
class Joined:
    seconds: float      # from the start of the process until it votes in all shards
    bytes: int          # of the states that it got
    copy_mb_s: float    # of one of these, while it came
    others: float = 0.0


def has_caught_up(replica):
    """A node that answers may not hold the shard yet: then nothing is said of what it applied."""
    return replica["up"] and not replica.get("fetching", True) and replica["applied"] > 0 and replica["lag"] <= NEARLY_ALL


def votes_in_all(status):
    mine = [r for s in status["shards"] for r in s["replicas"] if r["node"] == NODE and r["role"] == "voter"]
    return len(mine) == LAYOUT.shards and all(map(has_caught_up, mine))


class Lost:
    """The node, killed, its folder gone, and started again."""

    def __init__(self, cluster):
        self.cluster, self.key = cluster, f"node-{NODE}"
        cluster.kill(self.key)
        shutil.rmtree(os.path.join(cluster.folder, "data", self.key))
        self.marks = {key: len(cluster.log(key)) for key in cluster.logs}
        self.began = time.monotonic()
        cluster.start_node(NODE)

    def since(self, key):
        return self.cluster.log(key)[self.marks[key]:]

    def votes(self):
        """It is a voter of all shards, and with the others but for what is under way."""
        status = self.cluster.ctl("status", "--json", check=False)
        return status.returncode == 0 and votes_in_all(json.loads(status.stdout))

    def wait(self):
        while not self.votes():
            if time.monotonic() - self.began > PATIENCE_S:
                raise TimeoutError(f"node {NODE} does not vote again:\n{self.since(self.key)[-2000:]}")
            time.sleep(0.1)
        took = time.monotonic() - self.began
        fetched = re.findall(r"state_fetched shard=\d+ .*bytes=(\d+) ms=(\d+)", self.since(self.key))
        total = sum(int(size) for size, _ in fetched)
        speeds = [int(size) / 1e3 / max(1, int(ms)) for size, ms in fetched]
        return Joined(took, total, Sample(speeds).median if speeds else 0.0)


def population(n, seed):
    return ("--persons", n * 3 // 10, "--events", n, "--seed", seed)


def beside_ingest(system, n):
    """What joined while n events came in, and the ingest's own result."""
    command = system.load_command("ingest", *population(n, 3), "--in-flight", 2048)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as load:
        time.sleep(1)
        joined = Lost(system.cluster).wait()
        was_over = load.poll() is not None
        out, err = load.communicate()
    if load.returncode != 0:
        raise RuntimeError(f"oneid-load ended with {load.returncode}: {err[-2000:]}")
    return joined, checked_load(out), was_over


def show(ctx, joined, how):
    rows = ctx.rows
    if not joined.bytes:
        rows.skip(f"a node without its folder, {how}", "the logs still had everything, no state was sent")
        return
    rows.add(f"a node without its folder, {how}: states that it gets ({LAYOUT})", "MB", joined.bytes / 1e6)
    rows.add(f"  from its start until it votes in all shards ({how})", "s", joined.seconds)
    rows.add(f"  that is ({how})", "MB/s", joined.bytes / 1e6 / joined.seconds)
    rows.add(f"  one state on its way ({how})", "MB/s", joined.copy_mb_s)


def rejoin(ctx):
    system, n = ctx.oneid(LAYOUT), ctx.size.load_requests
    try:
        system.start()
        system.load("ingest", *population(n, 1), "--in-flight", 2048)
        system.settle()
        ctx.quiet()
        show(ctx, Lost(system.cluster).wait(), "nothing else to do")
        system.settle()
        alone, _ = system.load("ingest", *population(n, 2), "--in-flight", 2048)
        system.settle()
        joined, beside, was_over = beside_ingest(system, n)
        show(ctx, joined, "beside ingest at full speed")
        ctx.rows.add("  ingest meanwhile" + (", which ended first" if was_over else ""), "events/s", beside["requests_per_s"],
                     {"without": alone["requests_per_s"]})
    finally:
        system.stop()
