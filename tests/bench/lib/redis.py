"""Redis: functions in Lua, and bitmaps for segments (peers/redis)."""
import os
import re
import shutil
import socket
import subprocess

import numpy as np

from . import machine
from .members import multipliers
from .system import Load, Process, System, Variant, parse_answers
from .workload import CITIES, GENDERS, TAGS

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../peers/redis")
QUESTIONS = ["one_tag", "three_tags", "any_and_not", "tag_and_cities", "by_city"]  # what bitmaps can answer
PER_CALL = 20


class Connection:
    """The few commands that the benchmark itself sends, in Redis' protocol."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.file = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()

    def command(self, *parts):
        raw = [p if isinstance(p, bytes) else str(p).encode() for p in parts]
        self.socket.sendall(b"*%d\r\n" % len(raw) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in raw))
        head = self.file.readline()
        if head[:1] == b"-":
            raise RuntimeError(f"Redis: {head[1:].decode(errors='replace').strip()}")
        if head[:1] == b"$":
            return self.file.read(int(head[1:]) + 2)[:-2]
        return head[1:].strip()


class Redis(System):
    variants = [Variant("Lua, appendfsync everysec", {"fsync": "everysec", "window": 8}),
                Variant("Lua, appendfsync always", {"fsync": "always", "window": 16}, full_only=True),
                Variant("Lua, appendfsync everysec, live bitmaps", {"fsync": "everysec", "window": 8, "bitmaps": True}, full_only=True)]
    loads = [Load("GET + HGETALL, 1 in flight", 1, (1, 1, "commands")),
             Load("function, 1 in flight", 1, (1, 1, "function"), full_only=True),
             Load("GET + HGETALL, 64 connections", 64, (64, 1, "commands"), full_only=True),
             Load("GET + HGETALL, 64 pipelined", 64, (1, 64, "commands")),
             Load("GET + HGETALL, 256 pipelined", 256, (1, 256, "commands")),
             Load("GET + HGETALL, 1024 pipelined", 1024, (1, 1024, "commands")),
             Load("function, 64 pipelined", 64, (1, 64, "function"))]

    def __init__(self, programs, folder):
        super().__init__(programs, folder)
        self.server, self.process, self.port, self.variant = shutil.which("redis-server"), None, 0, None
        self.client = f"{programs}/bench_redis"
        self.name = f"Redis {self._version()}" if self.server else "Redis"

    def _version(self):
        out = subprocess.run([self.server, "--version"], capture_output=True, text=True, check=True).stdout
        return re.search(r"v=([\d.]+)", out)[1]

    def missing(self):
        if not self.server:
            return "Redis is not installed"
        if not os.path.exists(self.client):
            return "bench_redis is not built (libhiredis-dev)"
        return None

    def start(self, variant):
        self.variant, self.port = variant, machine.free_ports(1)[0]
        self.fresh_folder()
        settings = {"bind": "127.0.0.1", "port": self.port, "dir": self.folder, "appendonly": "yes",
                    "appendfsync": variant.options["fsync"], "save": "", "auto-aof-rewrite-percentage": 0, "io-threads": 1,
                    "hash-max-listpack-entries": 256, "daemonize": "no"}
        self.process = Process([self.server, *[x for k, v in settings.items() for x in (f"--{k}", str(v))]], f"{self.folder}.log")
        self.process.wait_until(lambda: machine.is_listening(self.port), "Redis answers")
        self._load_library("oneid.lua")

    def _load_library(self, name):
        with open(f"{HERE}/{name}", "rb") as f, Connection(self.port) as c:
            c.command("FUNCTION", "LOAD", "REPLACE", f.read())

    def pids(self):
        return [self.process.pid]

    def stop(self):
        if self.process:
            self.process.stop()
            self.process = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def ingest(self, path):
        return self._run_ingest([self.client, "ingest", str(self.port), path, str(PER_CALL), str(self.variant.options["window"]),
                                 "1" if self.variant.options.get("bitmaps") else "0"])

    def dump(self, path):
        with open(path, "wb") as out:
            subprocess.run([self.client, "dump", str(self.port)], stdout=out, check=True)

    def _get_command(self, ids, load, seconds):
        connections, depth, how = load.arguments
        return [self.client, "get", str(self.port), ids, str(connections), str(depth), str(seconds), how]

    # --- segments ---

    def load_segments(self, truth, copies):
        """A bitmap for each tag, city and gender; the append-only file is of no use to questions."""
        self._load_library("segments.lua")
        n, factors = truth.profiles, multipliers(truth.profiles, copies)
        with Connection(self.port) as c:
            c.command("CONFIG", "SET", "appendonly", "no")

            def put(key, profiles):
                bits = np.zeros(n * copies, np.uint8)
                for i, m in enumerate(factors):
                    bits[i * n + profiles * m % n] = 1
                c.command("SET", key, np.packbits(bits).tobytes())

            for t in range(TAGS):
                put(f"b:t:t{t}", truth.tag_profile[truth.tag == t])
            for city in range(CITIES):
                put(f"b:c:city{city:03}", np.flatnonzero(truth.city == city))
            for number, gender in enumerate(GENDERS):
                put(f"b:g:{gender}", np.flatnonzero(truth.gender == number))
            put("b:c:none", np.flatnonzero(truth.city < 0))

    def ask(self, names, today, repeats):
        asked = "".join(f"{n}\t{n}\n" for n in names if n in QUESTIONS)
        answers = parse_answers(machine.run([self.client, "ask", str(self.port), str(repeats)], text=asked).text)
        if "by_city" in answers:
            groups = answers["by_city"].value
            answers["by_city"].value = {"none" if g == str(CITIES) else f"city{int(g):03}": v for g, v in groups.items()}
        return answers
