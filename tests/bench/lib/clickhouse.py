"""ClickHouse: the segment questions on columns (peers/clickhouse). It has no way to merge profiles as
events come in, so it takes no part in ingest, and reading single profiles is not what it is for."""
import http.client
import os
import re
import shutil
import subprocess
import time
import urllib.parse

from . import machine
from .members import multipliers
from .questions import CITIES_OF_EIGHT, CITIES_OF_FOUR
from .system import Answer, Process, fill_in
from .truth import NONE

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../peers/clickhouse")


def numbers(values):
    return ", ".join(map(str, values))


def any_of(*tags):
    return "(" + " or ".join(f"has(tags, {t})" for t in tags) + ")"


# The faster of the plain and the inverted table, where both can answer.
QUESTIONS = {
    "one_tag": "select count() from tp where tag = 3",
    "three_tags": "select count() from sp where has(tags, 0) and has(tags, 1) and has(tags, 2)",
    "any_and_not": f"select count() from sp where {any_of(5, 8, 13)} and not has(tags, 1)",
    "tag_and_cities": f"select count() from sp prewhere city in ({numbers(CITIES_OF_FOUR)}) where has(tags, 2)",
    "points_and_tag": "select count() from sp prewhere points >= 200 where has(tags, 4)",
    "orders_30_days": "select count() from (select pid from so where day > {day30} group by pid having count() >= 2)",
    "spent_90_days": "select count() from sp where has(tags, 6) and pid in "
                     "(select pid from so where day > {day90} group by pid having sum(cents) >= 100000)",
    "ten_terms": f"select count() from sp prewhere city in ({numbers(CITIES_OF_EIGHT)}) and gender = 1 and "
                 f"birth_year between 1970 and 1999 and points >= 50 where {any_of(0, 7, 9)} and not has(tags, 11) and pid in "
                 "(select pid from so where day > {day90} group by pid having sum(cents) >= 20000 and countIf(day > {day30}) >= 1)",
    "by_city": f"select city, count() from sp where gender = 1 and {any_of(1, 4)} group by city",
}


class ClickHouse:
    def __init__(self, programs, folder):
        self.folder, self.process, self.port = folder, None, 0
        self.program = shutil.which("clickhouse-server")
        self.name = f"ClickHouse {self._version()}" if self.program else "ClickHouse"

    @staticmethod
    def _version():
        out = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", "clickhouse-server"], capture_output=True, text=True, check=False)
        found = re.match(r"[\d.]+", out.stdout)
        return found[0] if found else ""

    def missing(self):
        return None if self.program else "ClickHouse is not installed"

    def start(self, _variant=None):
        shutil.rmtree(self.folder, ignore_errors=True)
        for name in ("db", "tmp", "files"):
            os.makedirs(f"{self.folder}/{name}")
        self.port, tcp_port = machine.free_ports(2)
        fill_in(f"{HERE}/config.xml.in", f"{self.folder}/config.xml", FOLDER=self.folder, HTTP_PORT=self.port, TCP_PORT=tcp_port)
        fill_in(f"{HERE}/users.xml.in", f"{self.folder}/users.xml", THREADS=machine.CORES)
        self.process = Process([self.program, f"--config-file={self.folder}/config.xml"], f"{self.folder}.log", cwd=self.folder)
        self.process.wait_until(lambda: machine.is_listening(self.port), "ClickHouse answers")

    def stop(self):
        if self.process:
            self.process.stop()
            self.process = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def _query(self, connection, sql, body=None):
        path = "/?query=" + urllib.parse.quote(sql) if body is not None else "/"
        connection.request("POST", path, body if body is not None else sql.encode())
        answer = connection.getresponse()
        text = answer.read().decode()
        if answer.status != 200:
            raise RuntimeError(f"ClickHouse: {text[:500]}")
        return [line.split("\t") for line in text.splitlines()]

    def _connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port)

    def load_segments(self, truth, copies):
        c, n = self._connect(), truth.profiles
        with open(f"{HERE}/segments.sql", encoding="utf-8") as f:
            statements = [s.strip() for s in re.sub(r"--.*", "", f.read()).split(";")]
        for statement in filter(None, statements):
            self._query(c, statement)
        profiles = zip(truth.points.tolist(), truth.city.tolist(), truth.gender.tolist(), truth.birth_year.tolist(), truth.tags_of())
        self._query(c, "insert into base_profiles format TabSeparated", "".join(
            f"{p}\t{points}\t{city}\t{gender}\t{year}\t[{','.join(map(str, tags))}]\n"
            for p, (points, city, gender, year, tags) in enumerate(profiles)).encode())
        orders = zip(truth.order_profile.tolist(), truth.order_day.tolist(), truth.order_cents.tolist())
        self._query(c, "insert into base_orders format TabSeparated",
                    "".join(f"{p}\t{day}\t{cents}\n" for p, day, cents in orders).encode())
        for i, m in enumerate(multipliers(n, copies)):
            place = f"toUInt32({i * n} + (toUInt64(pid) * {m}) % {n}) as place"
            self._query(c, f"insert into sp select {place}, points, city, gender, birth_year, tags from base_profiles")
            self._query(c, f"insert into so select {place}, day, cents from base_orders")
        self._query(c, "insert into tp select arrayJoin(tags) as tag, pid from sp")
        for table in ("sp", "so", "tp"):
            self._query(c, f"optimize table {table} final")

    def ask(self, names, today, repeats):
        c, answers = self._connect(), {}
        for name in (n for n in names if n in QUESTIONS):
            sql, ms = QUESTIONS[name].format(day30=today - 30, day90=today - 90), []
            for _ in range(repeats + 1):
                begin = time.perf_counter()
                rows = self._query(c, sql)
                ms.append((time.perf_counter() - begin) * 1e3)
            answers[name] = Answer(self._value(rows), ms[1:])
        return answers

    @staticmethod
    def _value(rows):
        if len(rows) == 1 and len(rows[0]) == 1:
            return int(rows[0][0])
        return {"none" if int(g) == NONE else f"city{int(g):03}": int(n) for g, n in rows}
