"""PostgreSQL: normalised tables and a set-based ingest function (peers/postgresql)."""
import glob
import os
import pwd
import re
import shutil
import signal
import subprocess

from . import machine
from .members import multipliers
from .questions import CITIES_OF_EIGHT, CITIES_OF_FOUR
from .system import Load, Process, System, Variant, fill_in, parse_answers
from .truth import NONE

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../peers/postgresql")


def numbers(values):
    return ", ".join(map(str, values))


# {day30}: the day before the window of 30 days that ends today; {day90} likewise.
QUESTIONS = {
    "one_tag": "select count(*) from sp where tags @> '{{3}}'",
    "three_tags": "select count(*) from sp where tags @> '{{0,1,2}}'",
    "any_and_not": "select count(*) from sp where tags && '{{5,8,13}}' and not tags @> '{{1}}'",
    "tag_and_cities": f"select count(*) from sp where tags @> '{{{{2}}}}' and city in ({numbers(CITIES_OF_FOUR)})",
    "points_and_tag": "select count(*) from sp where points >= 200 and tags @> '{{4}}'",
    "orders_30_days": "select count(*) from (select pid from so where day > {day30} group by pid having count(*) >= 2) x",
    "spent_90_days": "select count(*) from sp where tags @> '{{6}}' and "
                     "(select sum(cents) from so where so.pid = sp.pid and day > {day90}) >= 100000",
    "ten_terms": "select count(*) from sp where tags && '{{0,7,9}}' and not tags @> '{{11}}' "
                 f"and city in ({numbers(CITIES_OF_EIGHT)}) and gender = 1 and birth_year between 1970 and 1999 and points >= 50 "
                 "and exists (select 1 from so where so.pid = sp.pid and day > {day30}) "
                 "and (select sum(cents) from so where so.pid = sp.pid and day > {day90}) >= 20000",
    "by_city": f"select case when city = {NONE} then 'none' else 'city' || lpad(city::text, 3, '0') end, count(*) "
               "from sp where tags && '{{1,4}}' and gender = 1 group by city",
}


def programs_folder():
    """Of the newest version that is installed; None."""
    found = glob.glob("/usr/lib/postgresql/*/bin/postgres")
    return os.path.dirname(max(found, key=lambda p: int(p.split("/")[4]))) if found else None


class PostgreSQL(System):
    variants = [Variant("batches of 3000, fsync", {"batch": 3000}),
                Variant("batches of 3000, fsync, live segment indexes", {"batch": 3000, "live_indexes": True}, full_only=True)]
    loads = [Load("1 in flight", 1, (1, 1)), Load("64 connections", 64, (64, 1), full_only=True),
             Load("4 connections, 16 in flight each", 64, (4, 16))]

    def __init__(self, programs, folder):
        super().__init__(programs, folder)
        self.bin, self.process, self.port, self.variant = programs_folder(), None, 0, None
        self.client = f"{programs}/bench_postgresql"
        self.name = f"PostgreSQL {self._version()}" if self.bin else "PostgreSQL"

    def _version(self):
        out = subprocess.run([f"{self.bin}/postgres", "--version"], capture_output=True, text=True, check=True).stdout
        return re.search(r"[\d.]+", out)[0]

    def missing(self):
        if not self.bin:
            return "PostgreSQL is not installed"
        if not os.path.exists(self.client):
            return "bench_postgresql is not built (libpq-dev)"
        return None

    # --- the server ---

    def _as_owner(self):
        """How the server's user runs a program: PostgreSQL refuses root."""
        return ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []

    def _own(self, folder):
        if os.geteuid() == 0:
            owner = pwd.getpwnam("postgres")
            os.chown(folder, owner.pw_uid, owner.pw_gid)

    def _init(self):
        self.fresh_folder()
        self._own(self.folder)
        subprocess.run([*self._as_owner(), f"{self.bin}/initdb", "-D", f"{self.folder}/db", "-A", "trust", "-U", "postgres", "-E", "UTF8",
                        "--locale=C"], check=True, capture_output=True, cwd="/")
        quarter = min(machine.total_memory() // 4, 6 << 30) >> 20
        settings = f"{self.folder}/settings.conf"
        fill_in(f"{HERE}/postgresql.conf.in", settings, PORT=self.port, SHARED_MB=quarter, CACHE_MB=quarter * 5 // 2,
                MAINTENANCE_MB=quarter // 6)
        with open(settings, encoding="utf-8") as f, open(f"{self.folder}/db/postgresql.conf", "a", encoding="utf-8") as out:
            out.write(f.read())

    def start(self, variant):
        self.variant, self.port = variant, machine.free_ports(1)[0]
        self._init()
        self.process = Process([*self._as_owner(), f"{self.bin}/postgres", "-D", f"{self.folder}/db"], f"{self.folder}.log", cwd="/")
        self.process.wait_until(self._is_ready, "PostgreSQL answers")
        self._script("schema.sql")
        if variant.options.get("live_indexes"):
            self._script("live_indexes.sql")
        self._sql("checkpoint")

    def _is_ready(self):
        return subprocess.run([f"{self.bin}/pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)], check=False).returncode == 0

    def _postmaster(self):
        with open(f"{self.folder}/db/postmaster.pid", encoding="ascii") as f:
            return int(f.readline())

    def pids(self):
        return [self._postmaster()]

    def stop(self):
        if self.process:
            if self.process.popen.poll() is None:
                os.kill(self._postmaster(), signal.SIGINT)
                self.process.popen.wait(timeout=60)
            self.process = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def _connection(self):
        return f"host=127.0.0.1 port={self.port} user=postgres dbname=postgres"

    def _psql(self, *args, out=subprocess.PIPE, **options):
        done = subprocess.run(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", self._connection(), *args], stdout=out,
                              stderr=subprocess.PIPE, check=False, **options)
        if done.returncode != 0:
            raise RuntimeError(f"psql: {done.stderr.decode(errors='replace')[-1500:]}")

    def _sql(self, text):
        self._psql("-c", text)

    def _script(self, name, **values):
        self._psql("-f", f"{HERE}/{name}", *[x for k, v in values.items() for x in ("-v", f"{k}={v}")])

    # --- work ---

    def ingest(self, path):
        return self._run_ingest([self.client, "ingest", self._connection(), path, str(self.variant.options["batch"]), "1"])

    def dump(self, path):
        self._sql("vacuum analyze")
        with open(path, "wb") as out:
            self._psql("-f", f"{HERE}/dump.sql", out=out)

    def _get_command(self, ids, load, seconds):
        return [self.client, "get", self._connection(), ids, *map(str, load.arguments), str(seconds)]

    def load_segments(self, truth, copies):
        self._script("base.sql")
        profiles = zip(truth.points.tolist(), truth.city.tolist(), truth.gender.tolist(), truth.birth_year.tolist(), truth.tags_of())
        self._copy("base_profiles", (f"{p}\t{points}\t{city}\t{gender}\t{year}\t{{{','.join(map(str, tags))}}}\n"
                                     for p, (points, city, gender, year, tags) in enumerate(profiles)))
        orders = zip(truth.order_profile.tolist(), truth.order_day.tolist(), truth.order_cents.tolist())
        self._copy("base_orders", (f"{p}\t{day}\t{cents}\n" for p, day, cents in orders))
        self._script("segments.sql", n=truth.profiles, multipliers="{" + numbers(multipliers(truth.profiles, copies)) + "}")

    def _copy(self, table, rows):
        self._psql("-c", f"copy {table} from stdin", input="".join(rows).encode())

    def ask(self, names, today, repeats):
        asked = [f"{n}\t{QUESTIONS[n].format(day30=today - 30, day90=today - 90)}\n" for n in names if n in QUESTIONS]
        return parse_answers(machine.run([self.client, "ask", self._connection(), str(repeats)], text="".join(asked)).text)
