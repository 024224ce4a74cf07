"""What is harmed: a cluster of real processes, its network, and the program that keeps the books."""
import glob
import json
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../integration"))
from harness import BIN, Cluster  # noqa: E402

NODES, ROUTERS, SHARDS = 3, 2, 6
SPARE = NODES + 1  # a node that the cluster begins without
DISK_NODE, CLOCK_NODE = 3, 2  # the ones with a small disk, and with a clock that can be set
DISK_MB = 2048  # hundreds of rounds fill 512 with logs and states
HOSTS = [f"node-{i + 1}" for i in range(SPARE)] + [f"router-{i + 1}" for i in range(ROUTERS)] + ["client"]


class Wire:
    """The network of namespaces, see wire.c. A host is named as its process is."""

    def __init__(self, seed):
        self.ips = {h: f"10.77.0.{i + 1}" for i, h in enumerate(HOSTS)}
        self.process = subprocess.Popen([f"{BIN}/oneid-fault-wire", str(seed)] + list(self.ips.values()),
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.fds = {}
        for line in self.process.stdout:
            if line == "ready\n":
                return
            _, i, fd = line.split()
            self.fds[HOSTS[int(i)]] = fd
        raise RuntimeError("the network could not be made")

    def inside(self, host, args):
        return ["nsenter", f"--net=/proc/{self.process.pid}/fd/{self.fds[host]}", "--"] + args

    def _order(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if answer != "ok\n":
            raise RuntimeError(f"{line}: {answer}")

    def cut(self, a, b):
        """Nothing gets from a to b."""
        self._order(f"cut {HOSTS.index(a)} {HOSTS.index(b)}")

    def slow(self, a, b, delay_ms, jitter_ms, loss):
        """From a to b; `loss` of a thousand packets."""
        self._order(f"slow {HOSTS.index(a)} {HOSTS.index(b)} {delay_ms} {jitter_ms} {loss}")

    def heal(self):
        self._order("heal")

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def faketime_library():
    """Of Debian's package `libfaketime`; None: it is not installed."""
    return next(iter(glob.glob("/usr/lib/*/faketime/libfaketime.so.1")), None)


class FaultCluster(Cluster):
    def __init__(self, wire, folder, small_disk, clock_library):
        self.wire = wire
        super().__init__(nodes=SPARE, shards=SHARDS, routers=ROUTERS, replicas=NODES, folder=folder, name="fault", secure=True,
                         host_of=(lambda key: wire.ips[key]) if wire else lambda key: "127.0.0.1")
        self.members, self.spare = list(range(1, NODES + 1)), SPARE
        with open(self.file, encoding="utf-8") as f:
            self.lines = f.read().splitlines()
        self.name_nodes(self.members)
        self.clock_library = clock_library
        self.clock_file = os.path.join(folder, "clock")
        self.set_clock(0)
        if small_disk:
            os.makedirs(self.node_folder(DISK_NODE), mode=0o700)
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m,mode=0700", "tmpfs",
                            self.node_folder(DISK_NODE)], check=True)

    def is_of_other(self, line, nodes):
        """Is that the line of a node that is none of these?"""
        found = re.match(r"\s*- \{id: (\d+), listen: \"(\S+)\"", line)
        return found and found[2] in self.ends() and int(found[1]) not in nodes

    def ends(self):
        return [f"tcp://{self.wire.ips[f'node-{i + 1}'] if self.wire else '127.0.0.1'}:{p}" for i, p in enumerate(self.node_ports)]

    def name_nodes(self, nodes):
        """The cluster file names these, from now on."""
        with open(self.file + ".new", "w", encoding="utf-8") as f:
            f.write("\n".join(line for line in self.lines if not self.is_of_other(line, nodes)))
        os.replace(self.file + ".new", self.file)

    def start(self):
        for i in self.members:
            self.start_node(i)
        for i in range(ROUTERS):
            self.start_router(i + 1)
        self.wait_serving()
        return self

    def node_folder(self, i):
        return os.path.join(self.folder, "data", f"node-{i}")

    def command(self, key, args):
        if key == f"node-{CLOCK_NODE}" and self.clock_library:
            args = ["env", f"LD_PRELOAD={self.clock_library}", f"FAKETIME_TIMESTAMP_FILE={self.clock_file}",
                    "FAKETIME_CACHE_DURATION=1", "FAKETIME_DONT_FAKE_MONOTONIC=1"] + args
        return self.wire.inside(key, args) if self.wire else args

    def start_key(self, key):
        kind, number = key.split("-")
        (self.start_node if kind == "node" else self.start_router)(int(number))

    def set_clock(self, seconds):
        temporary = self.clock_file + ".new"
        with open(temporary, "w", encoding="ascii") as f:
            f.write(f"{seconds:+d}\n")
        os.replace(temporary, self.clock_file)

    def fill_disk(self):
        """Leaves nothing free on the small disk; the file that does it is removed by free_disk."""
        with open(os.path.join(self.node_folder(DISK_NODE), "filler"), "wb", buffering=0) as f:
            for size in (1 << 20, 4096):
                try:
                    while f.write(b"\0" * size) > 0:
                        pass
                except OSError:
                    pass

    def free_disk(self):
        os.remove(os.path.join(self.node_folder(DISK_NODE), "filler"))

    def wipe(self, key):
        folder = self.node_folder(int(key.split("-")[1]))
        for name in os.listdir(folder) if os.path.isdir(folder) else []:  # not the folder: it may be a file system of its own
            path = os.path.join(folder, name)
            (shutil.rmtree if os.path.isdir(path) else os.remove)(path)

    def dead(self):
        """Takes those that have ended by themselves off the list; their names."""
        ended = [k for k, p in self.processes.items() if p.poll() is not None]
        for k in ended:
            del self.processes[k]
        return ended

    def unmount(self):
        subprocess.run(["umount", "-l", self.node_folder(DISK_NODE)], check=False, capture_output=True)

    def remove(self):
        self.unmount()
        shutil.rmtree(self.folder, ignore_errors=True)


class Ledger:
    """See ledger.c."""

    def __init__(self, cluster, rate, in_flight, seed):
        args = [f"{BIN}/oneid-fault-ledger", str(rate), str(in_flight), str(seed), f"r{seed}",
                os.path.join(cluster.folder, "keys/admin.key"), os.path.join(cluster.folder, "keys/allowed")]
        args += cluster.router_ends
        self.errors = open(os.path.join(cluster.folder, "ledger.log"), "wb")
        self.process = subprocess.Popen(cluster.command("client", args), stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=self.errors, text=True)

    def ask(self, what):
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the ledger ended with {self.process.wait()}, see {self.errors.name}")
        return json.loads(line)

    def close(self):
        self.errors.close()
        if self.process.poll() is None and self.process.stdin.closed is False:
            self.process.stdin.close()
        return self.process.wait()
