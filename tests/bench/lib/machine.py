"""What the machine says: CPU and memory of processes, and whether others are busy on it."""
import os
import shutil
import socket
import subprocess
import resource
import time
from dataclasses import dataclass

TICKS = os.sysconf("SC_CLK_TCK")
CORES = os.cpu_count()
QUIET_SHARE = 0.12  # of all cores, by other processes


def cpu_of_all():
    """Seconds that all processes of the machine have used."""
    with open("/proc/stat", encoding="ascii") as f:
        v = [int(x) for x in f.readline().split()[1:9]]
    return (sum(v) - v[3] - v[4]) / TICKS


def _stat(pid):
    """Parent, user and system ticks, the same of ended children."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return int(fields[1]), [int(x) for x in fields[11:15]]


def _family(pids):
    """(pid, whether it is one of these and not a child of one, its ticks) of each process and child."""
    roots = set(pids)
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            parent, ticks = _stat(name)
        except (OSError, IndexError):
            continue  # it ended meanwhile
        if int(name) in roots or parent in roots:
            yield int(name), int(name) in roots, ticks


def cpu_of(pids):
    """Seconds that these processes and their children have used, also those that ended."""
    return sum(sum(ticks if is_root else ticks[:2]) for _, is_root, ticks in _family(pids)) / TICKS


def memory_of(pids):
    """Bytes of these processes and their children that no file backs, shared ones counted once."""
    return sum(_unbacked_kib(pid) for pid, _, _ in _family(pids)) * 1024


def _unbacked_kib(pid):
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
            return sum(int(line.split()[1]) for line in f if line.startswith(("Pss_Anon:", "Pss_Shmem:")))
    except (FileNotFoundError, ProcessLookupError):
        return 0  # a child that ended meanwhile


def status_bytes(pid, key):
    """A size of /proc/PID/status, such as RssAnon."""
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as f:
        for line in f:
            if line.startswith(key + ":"):
                return int(line.split()[1]) * 1024
    return 0


def description():
    """One line: what figures of this machine are to be compared with."""
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as f:
        models = [line.split(":", 1)[1].strip() for line in f if line.startswith("model name")]
    model = models[0] if models else os.uname().machine
    return f"{CORES} cores ({model}), {total_memory() / (1 << 30):.0f} GiB, Linux {os.uname().release}"


def free_memory():
    with open("/proc/meminfo", encoding="ascii") as f:
        for line in f:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return 0


def total_memory():
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def free_disk(folder):
    return shutil.disk_usage(folder).free


def disk_bytes(folder):
    """What the files take, holes left out."""
    total = 0
    for base, _, names in os.walk(folder):
        total += sum(os.lstat(os.path.join(base, n)).st_blocks * 512 for n in names)
    return total


def is_in_memory(folder):
    """Whether the folder is on a file system without a disk, where syncing means nothing."""
    kind = subprocess.run(["stat", "-f", "-c", "%T", folder], capture_output=True, text=True, check=True).stdout.strip()
    return kind in ("tmpfs", "ramfs")


def free_ports(n):
    socks = [socket.socket() for _ in range(n)]
    for s in socks:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in socks]
    for s in socks:
        s.close()
    return ports


def is_listening(port):
    with socket.socket() as s:
        s.settimeout(1)
        return s.connect_ex(("127.0.0.1", port)) == 0


def wait_for(condition, what, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds} s in vain: {what}")
        time.sleep(0.05)


def wait_quiet(seconds):
    """Until the machine is nearly idle for a second, at most for so long."""
    end = time.monotonic() + seconds
    while True:
        before = cpu_of_all()
        time.sleep(1)
        if (cpu_of_all() - before) / CORES < QUIET_SHARE or time.monotonic() > end:
            return


@dataclass
class Run:
    """One run of a client: what it printed, and the CPU seconds of servers, client and everybody else."""

    text: str
    wall_s: float
    server_s: float
    client_s: float
    others: float  # share of all cores

    @property
    def all_s(self):
        return self.server_s + self.client_s


def _children_s():
    u = resource.getrusage(resource.RUSAGE_CHILDREN)
    return u.ru_utime + u.ru_stime


def run(command, pids=(), text=None, folder=None):
    """Runs a client to its end beside the servers `pids`. A failure raises with what it said."""
    everybody, servers, children, begin = cpu_of_all(), cpu_of(pids), _children_s(), time.monotonic()
    done = subprocess.run(command, input=text, capture_output=True, text=True, cwd=folder)
    wall, client = time.monotonic() - begin, _children_s() - children
    server = cpu_of(pids) - servers
    others = max(0.0, cpu_of_all() - everybody - server - client) / (wall * CORES)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {(done.stderr or done.stdout)[-2000:]}")
    return Run(done.stdout, wall, server, client, others)
