"""What the suites ask of oneid and of each peer.

A system is started afresh in a folder of its own, takes in a file of events, is asked, and is stopped.
Its servers are children of this process (or of a child) and listen on loopback only.
"""
import json
import os
import shutil
import signal
import subprocess
from abc import ABC, abstractmethod
from dataclasses import dataclass, field

from . import machine


@dataclass(frozen=True)
class Variant:
    """A way of running a system that changes what an ingest costs or promises."""

    label: str  # behind the system's name in the rows
    options: dict = field(default_factory=dict)
    full_only: bool = False  # left out by --quick


@dataclass(frozen=True)
class Load:
    """So many requests in flight, in the system's own best way of having them."""

    label: str
    in_flight: int
    arguments: tuple = ()
    full_only: bool = False


@dataclass
class Ingest:
    """The result of an ingest."""

    lines: int
    applied: int
    seconds: float
    run: machine.Run

    @property
    def others(self):
        return self.run.others

    @property
    def per_second(self):
        return self.lines / self.seconds

    @property
    def server_us(self):
        return self.run.server_s * 1e6 / self.lines

    @property
    def all_us(self):
        return self.run.all_s * 1e6 / self.lines


@dataclass
class Gets:
    """The result of a run of profile look-ups."""

    per_second: float
    p50_us: float
    p99_us: float
    server_us: float
    others: float


@dataclass
class Answer:
    value: object
    ms: list


class System(ABC):
    name = ""
    variants: list = []
    loads: list = []

    def __init__(self, programs, folder):
        self.programs, self.folder = programs, folder

    @abstractmethod
    def missing(self):
        """Why it cannot be measured here; None when it can."""

    @abstractmethod
    def start(self, variant):
        """Afresh, without data."""

    @abstractmethod
    def stop(self):
        """Ends the servers and removes the data. May be called at any time."""

    @abstractmethod
    def pids(self):
        """The servers; children of theirs are counted with them."""

    @abstractmethod
    def ingest(self, path):
        """All lines of the file; Ingest."""

    @abstractmethod
    def dump(self, path):
        """Every profile as a canonical line to the file."""

    @abstractmethod
    def _get_command(self, ids, load, seconds):
        """The client's command line."""

    def get(self, ids, load, seconds):
        run = machine.run(self._get_command(ids, load, seconds), self.pids())
        result = json.loads(run.text)
        if result["missed"]:
            raise RuntimeError(f"{self.name}: {result['missed']} of {result['n']} identities were not found")
        # The client's own loading of the identities is in its CPU; the servers' share is what counts.
        return Gets(result["ops_s"], result["p50_us"], result["p99_us"], run.server_s * 1e6 / result["n"], run.others)

    def _run_ingest(self, command):
        run = machine.run(command, self.pids())
        result = json.loads(run.text)
        return Ingest(result["lines"], result["applied"], result["seconds"], run)

    def data_bytes(self):
        """On disk."""
        return machine.disk_bytes(self.folder)

    def fresh_folder(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder)


class Process:
    """A server as a child of ours."""

    def __init__(self, command, log, **options):
        with open(log, "wb") as out:
            self.popen = subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, **options)
        self.log = log

    @property
    def pid(self):
        return self.popen.pid

    def wait_until(self, condition, what):
        def ready():
            if self.popen.poll() is not None:
                raise RuntimeError(f"{what}: the server ended with {self.popen.returncode}: {self.log_tail()}")
            return condition()
        machine.wait_for(ready, what)

    def log_tail(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()[-1500:]

    def stop(self, sig=signal.SIGTERM):
        if self.popen.poll() is None:
            self.popen.send_signal(sig)
        try:
            self.popen.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()


def parse_answers(text):
    """{question: Answer} of a client's lines."""
    answers = {}
    for line in text.splitlines():
        a = json.loads(line)
        answers[a["name"]] = Answer(a["answer"], a["ms"])
    return answers


def fill_in(template, target, **values):
    """Writes the template to the target with each @KEY@ replaced."""
    with open(template, encoding="utf-8") as f:
        text = f.read()
    for key, value in values.items():
        text = text.replace(f"@{key}@", str(value))
    with open(target, "w", encoding="utf-8") as f:
        f.write(text)
