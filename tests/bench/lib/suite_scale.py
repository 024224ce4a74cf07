"""Clusters full of members: import, segment questions, growth with members and shards, memory, restart, and
counts while ingest runs.

Every pass starts one cluster, imports members (lib/members.py) and takes all the figures that are wanted of
that size and layout, so that nothing is loaded twice.
"""
import os
import signal
import subprocess
import time
from dataclasses import dataclass, replace

from . import machine
from .members import Members
from .oneid import Layout, checked_load
from .questions import BY_NAME, QUESTIONS, SAVED, Facts, six_terms, times
from .rows import Sample
from .truth import Mismatch, day_of

MILLION = 1000000
IMPORT_TARGET_S, RESTART_TARGET_S, INDEX_TARGET_B, ROUTER_TARGET_B = 30, 3, 45, 64
DISK_A_MEMBER, MEMORY_A_MEMBER = 4000, 1200  # bytes: well above what was measured, for the look before 10 M members
COPIES_A_FILE = 10  # of events to import: a million members
TARGET_MEMBERS = 10 * MILLION  # the size that the targets of the questions are for


@dataclass(frozen=True)
class Pass:
    copies: int
    layout: Layout
    figures: frozenset


def passes(size, wanted, usual):
    """The clusters to load for the wanted suites, small ones first; `usual` is the layout where nothing else is asked for."""
    plan = {}

    def need(figure, copies, layout):
        if figure in wanted:
            plan.setdefault((copies, layout.nodes, layout.shards), set()).add(figure)

    for copies in size.growth:
        need("growth", copies, usual)
    for shards in (1, 2, 4, 8):
        need("growth", size.growth_shards, Layout(1, shards))
    for copies in size.copies:
        need("segments", copies, usual)
    for figure in ("import", "memory", "mixed"):
        need(figure, size.copies[0], usual)
    need("restart", size.copies[0], Layout(1, 1))
    return [Pass(c, Layout(n, s), frozenset(figures)) for (c, n, s), figures in sorted(plan.items())]


def amount(members):
    if members >= MILLION:
        return f"{members / MILLION:.1f} M members".replace(".0 M", " M")
    return f"{members / 1000:.0f} k members"


class Loaded:
    """A cluster with members, and what importing them took."""

    def __init__(self, ctx, plan):
        self.ctx, self.plan = ctx, plan
        self.members = Members(ctx.base.truth, plan.copies, ctx.today)
        self.system = ctx.oneid(plan.layout)
        self.label = f"{amount(self.members.total)} ({plan.layout})"
        self.seconds, self.all_s, self.others, self.router_bytes = 0.0, 0.0, [], 0

    def lacks(self):
        """What the machine has too little of; None."""
        n = self.members.total
        for what, want, have in (("disk", n * DISK_A_MEMBER, machine.free_disk(self.ctx.folder)),
                                 ("memory", n * MEMORY_A_MEMBER, machine.free_memory())):
            if want > have:
                return f"{amount(n)} need about {want >> 30} GiB of {what}, {have >> 30} GiB are free"
        return None

    def fill(self):
        self.system.start()
        before = machine.status_bytes(self.system.router_pid(), "RssAnon")
        for first in range(0, self.plan.copies, COPIES_A_FILE):
            self._import(range(first, min(first + COPIES_A_FILE, self.plan.copies)))
        self.router_bytes = machine.status_bytes(self.system.router_pid(), "RssAnon") - before
        self.ctx.say(f"{self.label}: {self.members.events:,} events in {self.seconds:.0f} s")

    def _import(self, copies):
        path = self.ctx.scratch("members.jsonl")
        with open(path, "w", encoding="ascii", buffering=1 << 20) as out:
            for i in copies:
                out.writelines(self.members.copy(i))
        result = self.system.ingest(path)
        if result.applied != result.lines:
            raise Mismatch(f"{self.label}: {result.applied} of {result.lines} events counted")
        os.remove(path)
        self.seconds += result.seconds
        self.all_s += result.run.all_s
        self.others.append(result.others)

    def check(self):
        stats = self.system.stats()
        found, expected = (stats["profiles"], stats["identities"]), (self.members.total, self.members.identities)
        if found != expected:
            raise Mismatch(f"{self.label}: {found} profiles and identities instead of {expected}")


# --- figures ---


def report_import(ctx, loaded):
    m = loaded.members
    ids = m.identities / m.total
    target = IMPORT_TARGET_S * m.total / MILLION
    ctx.rows.add(f"import of {loaded.label}, {ids:.1f} identities each, with {m.events - m.total:,} further orders", "s",
                 Sample([loaded.seconds], loaded.others), at_most=round(target, 1))


def answers_of(ctx, questions, copies, today):
    facts = Facts(ctx.base.truth, today)
    return {q.name: times(q.answer(facts), copies) for q in questions}


def today_now():
    return day_of(int(time.time() * 1000))


def check_answers(system, found, expected):
    for name, answer in found.items():
        if answer.value != expected[name]:
            raise Mismatch(f"{system}, {BY_NAME[name].title()}: {short(answer.value)} instead of {short(expected[name])}")


def short(answer):
    return f"{sum(answer.values())} in {len(answer)} groups" if isinstance(answer, dict) else answer


def asked_on_one_day(ask):
    """Windows end today: what was asked around midnight is asked again. (answers, the day)"""
    while True:
        today = today_now()
        answers = ask(today)
        if today_now() == today:
            return answers, today


def ask_ours(ctx, loaded):
    loaded.system.settle()
    ctx.quiet()
    answers, today = asked_on_one_day(lambda _: loaded.system.ask(QUESTIONS, ctx.size.repeats * 3))
    check_answers(loaded.system.name, answers, answers_of(ctx, QUESTIONS, loaded.plan.copies, today))
    return answers


def ask_peer(ctx, peer, copies):
    """Loads the peer with the same members, asks, checks; nothing of it stays."""
    names = list(BY_NAME)
    try:
        peer.start(peer.variants[0] if hasattr(peer, "variants") else None)
        peer.load_segments(ctx.base.truth, copies)
        ctx.quiet()
        answers, today = asked_on_one_day(lambda day: peer.ask(names, day, ctx.size.repeats))
    finally:
        peer.stop()
    check_answers(peer.name, answers, answers_of(ctx, QUESTIONS, copies, today))
    ctx.say(f"{peer.name}: {len(answers)} answers are right")
    return answers


def report_segments(ctx, loaded):
    ours = ask_ours(ctx, loaded)
    theirs = {p.name: ask_peer(ctx, p, loaded.plan.copies) for p in ctx.segment_peers()}
    is_target_size = loaded.members.total >= TARGET_MEMBERS
    for q in QUESTIONS:
        peers = {name: Sample(a[q.name].ms) for name, a in theirs.items() if q.name in a}
        ctx.rows.add(f"segment, {q.title()}, {loaded.label}", "ms", Sample(ours[q.name].ms), peers,
                     at_most=q.target_ms if is_target_size else None)
    report_saved(ctx, loaded)


MANY = 100


def report_many(ctx, loaded, facts, is_target_size):
    """A hundred saved segments in one pass."""
    many, s = [six_terms(i) for i in range(MANY)], loaded.system
    for q in many:
        s.define(q.name, q.expr)
    runs = [s.refresh() for _ in range(ctx.size.repeats)]
    for q in many:
        expected = times(q.answer(facts), loaded.plan.copies)
        if runs[-1][0][q.name] != expected:
            raise Mismatch(f"{s.name}, {q.expr}: {runs[-1][0][q.name]} instead of {expected}")
        s.drop(q.name)
    ctx.rows.add(f"{MANY} saved segments of six terms in one pass, each, {loaded.label}", "ms", Sample([took * 1e3 / MANY for _, took in runs]),
                 at_most=1.5 if is_target_size else None)


def report_saved(ctx, loaded):
    s, is_target_size = loaded.system, loaded.members.total >= TARGET_MEMBERS
    if not s.has_saved_segments():
        ctx.rows.skip(f"saved segments, {loaded.label}", "this oneidctl has none")
        return
    for name in SAVED:
        s.define(name, BY_NAME[name].expr)
    asked = [replace(BY_NAME[name], expr=f"segment({name})") for name in SAVED]
    answers, today = asked_on_one_day(lambda _: s.ask(asked, ctx.size.repeats * 3))
    check_answers(s.name, answers, answers_of(ctx, asked, loaded.plan.copies, today))
    for name, target in SAVED.items():
        ctx.rows.add(f"segment, {BY_NAME[name].title()}, saved, {loaded.label}", "ms", Sample(answers[name].ms),
                     at_most=target if is_target_size else None)
        s.drop(name)
    report_many(ctx, loaded, Facts(ctx.base.truth, today), is_target_size)


def index_bytes(stats):
    return sum(s["index_bytes"] for s in stats["shards"])


def report_memory(ctx, loaded):
    n, s = loaded.members.total, loaded.system
    s.settle()
    nodes = sum(machine.status_bytes(p, "RssAnon") for p in s.node_pids())
    ctx.rows.add(f"memory of the index, {loaded.label}", "B a member", index_bytes(s.stats()) / n, at_most=INDEX_TARGET_B)
    ctx.rows.add(f"memory of the nodes without mapped files, {loaded.label}", "B a member", nodes / n)
    ctx.rows.add(f"memory of the router, {loaded.label}", "B an identity", loaded.router_bytes / loaded.members.identities,
                 at_most=ROUTER_TARGET_B)
    ctx.rows.add(f"disk, {loaded.label}", "B a member", s.data_bytes() / n)


def restart_seconds(loaded, cleanly):
    loaded.system.stop_nodes(cleanly)
    return loaded.system.start_nodes()


def report_restart(ctx, loaded):
    loaded.system.settle()
    for how, cleanly in (("after a clean stop", True), ("after kill -9", False)):
        seconds = [restart_seconds(loaded, cleanly) for _ in range(ctx.size.rounds)]
        loaded.check()
        ctx.rows.add(f"restart to serving {how}, {loaded.label}", "s", Sample(seconds), at_most=RESTART_TARGET_S)


def report_growth(ctx, loaded):
    """What a greater number of members or shards does to everything."""
    m, s = loaded.members, loaded.system
    ctx.rows.add(f"growth, import, {loaded.label}", "events/s", Sample([m.events / loaded.seconds], loaded.others))
    ctx.rows.add(f"growth, import, CPU of all processes, {loaded.label}", "µs an event", loaded.all_s * 1e6 / m.events)
    answers = ask_ours(ctx, loaded)
    for name in ("three_tags", "ten_terms", "by_city"):
        ctx.rows.add(f"growth, segment, {BY_NAME[name].title()}, {loaded.label}", "ms", Sample(answers[name].ms))
    ids = write_ids(ctx, loaded)
    load = next(x for x in s.loads if x.in_flight == 256)
    runs = [s.get(ids, load, ctx.size.get_seconds) for _ in range(ctx.size.rounds)]
    ctx.rows.add(f"growth, profile by identity, {load.label}, {loaded.label}", "profiles/s",
                 Sample([r.per_second for r in runs], [r.others for r in runs]))
    ctx.rows.add(f"growth, memory of the index, {loaded.label}", "B a member", index_bytes(s.stats()) / m.total)
    ctx.rows.add(f"growth, disk, {loaded.label}", "B a member", s.data_bytes() / m.total)


def write_ids(ctx, loaded):
    """Some members' phones, all over the set."""
    path, total = ctx.scratch("member-ids.txt"), loaded.members.total
    step = max(1, total // 200000) | 1
    with open(path, "w", encoding="ascii") as out:
        out.writelines("phone:1%010d\n" % (3000000000 + i * step * 7919 % total) for i in range(total // step))
    return path


# --- counts while ingest runs ---

WARMUP_S = 1


class Mixed:
    """Rounds of ingest alone and ingest beside counts of the ten terms, in turns."""

    def __init__(self, ctx, loaded):
        self.ctx, self.system, self.seed = ctx, loaded.system, 1000
        self.seconds = ctx.size.mixed_seconds + WARMUP_S

    def _ingest_command(self):
        """New persons for each run, more than it can take in."""
        self.seed += 1
        return self.system.load_command("ingest", "--persons", 3000000, "--events", 10000000, "--seed", self.seed, "--in-flight", 2048,
                                        "--duration", self.seconds, "--warmup", WARMUP_S)

    def _count_command(self, *how):
        return self.system.load_command("count", "--expr", BY_NAME["ten_terms"].expr, "--duration", self.seconds, "--warmup", WARMUP_S, *how)

    def alone(self):
        return checked_load(machine.run(self._ingest_command(), self.system.pids()).text)["requests_per_s"]

    def beside(self, *how):
        """Events a second and the counts' result."""
        ingest = subprocess.Popen(self._ingest_command(), stdout=subprocess.PIPE, text=True)
        try:
            counts = checked_load(machine.run(self._count_command(*how), self.system.pids()).text)
            out, _ = ingest.communicate(timeout=60)
        finally:
            if ingest.poll() is None:
                ingest.send_signal(signal.SIGKILL)
                ingest.wait()
        return checked_load(out)["requests_per_s"], counts


def report_mixed(ctx, loaded):
    mixed = Mixed(ctx, loaded)
    for title, how in (("20 counts a second", ("--rate", 20, "--in-flight", 16)), ("one count after the other", ("--in-flight", 1))):
        alone, with_counts, counts = [], [], []
        for _ in range(ctx.size.rounds):
            alone.append(mixed.alone())
            rate, result = mixed.beside(*how)
            with_counts.append(rate)
            counts.append(result)
        name = f"ingest beside {title}, {loaded.label}"
        ctx.rows.add(f"{name}: events", "events/s", Sample(with_counts), {"ingest alone": Sample(alone)})
        ctx.rows.add(f"{name}: loss of ingest", "%", Sample([100 * (1 - w / a) for a, w in zip(alone, with_counts)]))
        ctx.rows.add(f"{name}: counts", "counts/s", Sample([c["requests_per_s"] for c in counts]))
        for q in ("p50", "p99"):
            ctx.rows.add(f"{name}: ten terms, {q}", "ms", Sample([c["latency_us"][q] / 1e3 for c in counts]))


# In this order: a restart ends what is in memory only, mixed adds other members.
REPORTS = [("import", report_import), ("segments", report_segments), ("growth", report_growth), ("memory", report_memory),
           ("restart", report_restart), ("mixed", report_mixed)]
FIGURES = [name for name, _ in REPORTS]


def run_pass(ctx, plan):
    loaded = Loaded(ctx, plan)
    lacking = loaded.lacks()
    if lacking:
        for figure in sorted(plan.figures):
            ctx.rows.skip(f"{figure}, {loaded.label}", lacking)
        return
    try:
        loaded.fill()
        loaded.check()
        for figure, report in REPORTS:
            if figure in plan.figures:
                report(ctx, loaded)
    finally:
        loaded.system.stop()


def scale(ctx, wanted):
    for plan in passes(ctx.size, wanted, ctx.layout):
        run_pass(ctx, plan)
