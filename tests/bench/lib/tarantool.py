"""Tarantool: stored procedures on memtx spaces (peers/tarantool)."""
import os
import re
import shutil
import subprocess

from . import machine
from .system import Load, Process, System, Variant

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../peers/tarantool")
PER_CALL, WINDOW = 100, 4


class Tarantool(System):
    variants = [Variant("Lua, wal_mode write (no fsync)", {"wal": "write"}),
                Variant("Lua, wal_mode fsync", {"wal": "fsync"}, full_only=True)]
    loads = [Load("1 in flight", 1, (1,)), Load("64 in flight", 64, (64,))]

    def __init__(self, programs, folder):
        super().__init__(programs, folder)
        self.program, self.process, self.port = shutil.which("tarantool"), None, 0
        self.name = f"Tarantool {self._version()}" if self.program else "Tarantool"

    def _version(self):
        out = subprocess.run([self.program, "--version"], capture_output=True, text=True, check=True).stdout
        return re.search(r"[\d.]+", out)[0]

    def missing(self):
        return None if self.program else "Tarantool is not installed"

    def start(self, variant):
        self.port = machine.free_ports(1)[0]
        self.fresh_folder()
        self.process = Process([self.program, f"{HERE}/server.lua", str(self.port), variant.options["wal"]], f"{self.folder}.log",
                               cwd=self.folder)
        # It listens before the schema is there.
        self.process.wait_until(lambda: "schema is made" in self.process.log_tail(), "Tarantool has its schema")

    def pids(self):
        return [self.process.pid]

    def stop(self):
        if self.process:
            self.process.stop()
            self.process = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def _client(self, *args):
        return [self.program, f"{HERE}/client.lua", str(self.port), *map(str, args)]

    def ingest(self, path):
        return self._run_ingest(self._client("ingest", path, PER_CALL, WINDOW))

    def dump(self, path):
        machine.run(self._client("dump", path))

    def _get_command(self, ids, load, seconds):
        return self._client("get", ids, *load.arguments, seconds)
