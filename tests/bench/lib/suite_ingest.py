"""Ingest with merges, and profiles by identity: oneid beside its peers on the same events.

A round is one ingest of every system, one after the other, each into a server that was started afresh.
What the servers hold after the last round is compared with the truth, profile by profile, and is what the
look-ups read.
"""
from . import machine
from .oneid import Oneid
from .rows import Sample, per_round, ratio
from .truth import Mismatch, compare_profiles

RATIOS = {"PostgreSQL": 5, "Redis": 3, "Tarantool": 2}  # what oneid's ingest is held to, times the peer's
GET_RATIO = {"Redis": 2}
MEMORY_TARGET, CPU_TARGET = 100000, 20


def kind(system):
    return system.name.split()[0]


class Contender:
    """A system in one variant, and its rounds."""

    def __init__(self, system, variant):
        self.system, self.variant, self.rounds = system, variant, []
        self.memory = self.disk = 0
        self.label = f"{system.name}, {variant.label}"

    def ingest(self, ctx):
        data = ctx.events
        self.system.start(self.variant)
        ctx.quiet()
        result = self.system.ingest(data.events)
        expected = (data.truth.lines, data.truth.messages)
        if (result.lines, result.applied) != expected:
            raise Mismatch(f"{self.label}: took {result.lines} lines, {result.applied} counted, instead of {expected[0]} and {expected[1]}")
        self.rounds.append(result)
        ctx.say(f"{self.label}: {result.per_second:,.0f} events/s, {result.server_us:.1f} µs of servers' CPU an event")

    def check(self, ctx):
        self.memory, self.disk = machine.memory_of(self.system.pids()), self.system.data_bytes()
        dump = ctx.scratch("dump.txt")
        self.system.dump(dump)
        compare_profiles(ctx.events.folder, dump, self.label)
        ctx.say(f"{self.label}: all {ctx.events.truth.profiles:,} profiles are right")

    def sample(self, figure):
        return per_round(figure, self.rounds)


def variants_of(ctx, system):
    return [v for v in system.variants if ctx.size.full or not v.full_only]


class Stores:
    """oneid and the peers that can take events in, and at most one running server of each system."""

    def __init__(self, ctx):
        self.ctx, self.ours = ctx, Contender(ctx.oneid(), Oneid.variants[0])
        self.theirs = [Contender(p, v) for p in ctx.store_peers() for v in variants_of(ctx, p)]

    @property
    def all(self):
        return [self.ours, *self.theirs]

    def systems(self):
        return list({c.system.name: c.system for c in self.all}.values())

    def stop(self):
        for s in self.systems():
            s.stop()

    def measure(self):
        for number in range(self.ctx.size.rounds):
            for c in self.all:
                c.system.stop()
                c.ingest(self.ctx)
                if number == self.ctx.size.rounds - 1:
                    c.check(self.ctx)
                c.system.stop()

    def load(self):
        """Every system with the events in it, in its first variant."""
        for s in self.systems():
            s.stop()
            Contender(s, s.variants[0]).ingest(self.ctx)


def report_ingest(ctx, stores):
    ours, rows = stores.ours, ctx.rows
    for title, unit, figure in (("ingest of JSON lines", "events/s", lambda r: r.per_second),
                                ("ingest of JSON lines, CPU of the servers", "µs an event", lambda r: r.server_us),
                                ("ingest of JSON lines, CPU of servers and client", "µs an event", lambda r: r.all_us)):
        rows.add(f"{title}: {ours.label}", unit, ours.sample(figure), {c.label: c.sample(figure) for c in stores.theirs})
    for title, figure in (("memory after the ingest, without mapped files", lambda c: c.memory), ("disk after the ingest", lambda c: c.disk)):
        n = ctx.events.truth.profiles
        rows.add(f"{title}: {ours.label}", "B a profile", figure(ours) / n, {c.label: figure(c) / n for c in stores.theirs})
    for c in stores.theirs:
        target = RATIOS[kind(c.system)] if c.variant == c.system.variants[0] else None
        rows.add(f"ingest, oneid to {c.label}", "times", ratio(ours.sample(lambda r: r.per_second), c.sample(lambda r: r.per_second)),
                 at_least=target)


def ingest_from_memory(ctx):
    """oneid-load sends generated events without reading a file: the design's figure."""
    rounds = []
    for seed in range(1, ctx.size.rounds + 1):
        system = ctx.oneid()
        try:
            system.start()
            ctx.quiet()
            n = ctx.size.load_requests
            rounds.append(system.load("ingest", "--persons", n * 3 // 10, "--events", n, "--seed", seed, "--in-flight", 2048))
        finally:
            system.stop()
    others = [run.others for _, run in rounds]
    name = f"ingest from memory, synced log, 2048 in flight ({ctx.layout})"
    ctx.rows.add(name, "events/s", Sample([r["requests_per_s"] for r, _ in rounds], others), at_least=MEMORY_TARGET)
    ctx.rows.add(f"{name}, CPU of all processes", "µs an event", Sample([run.all_s * 1e6 / r["requests"] for r, run in rounds], others),
                 at_most=CPU_TARGET)
    ctx.rows.add(f"{name}, p99", "ms", Sample([r["latency_us"]["p99"] / 1e3 for r, _ in rounds], others))


def ingest(ctx):
    stores = Stores(ctx)
    try:
        stores.measure()
    finally:
        stores.stop()
    report_ingest(ctx, stores)
    ingest_from_memory(ctx)


# --- profiles by identity ---


def loads_of(ctx, system):
    return [load for load in system.loads if ctx.size.full or not load.full_only]


def measure_gets(ctx, systems):
    """{(system, load): [Gets]}; each round goes round all systems for each number in flight."""
    plan = [(s, load) for s in systems for load in loads_of(ctx, s)]
    plan.sort(key=lambda p: p[1].in_flight)
    results = {p: [] for p in plan}
    for _ in range(ctx.size.rounds):
        for system, load in plan:
            results[system, load].append(system.get(ctx.events.ids, load, ctx.size.get_seconds))
    return results


def report_gets(ctx, results, ours, in_flight):
    """A row of each of oneid's loads with the peers' beside it."""
    for load in (p[1] for p in results if p[0] is ours and p[1].in_flight == in_flight):
        peers = {(s, l): r for (s, l), r in results.items() if s is not ours and l.in_flight == load.in_flight}
        for title, unit, figure, most in (("", "profiles/s", lambda g: g.per_second, None), (", p50", "ms", lambda g: g.p50_us / 1e3, None),
                                          (", p99", "ms", lambda g: g.p99_us / 1e3, 0.5 if in_flight == 1 else None),
                                          (", CPU of the servers", "µs a profile", lambda g: g.server_us, None)):
            ctx.rows.add(f"profile by identity, {load.label}{title}: {ours.name}", unit, per_round(figure, results[ours, load]),
                         {f"{s.name}, {l.label}": per_round(figure, r) for (s, l), r in peers.items()}, at_most=most)


def best(results, system):
    """The load with the best median rate among those with 64 or more in flight: (load, sample)."""
    rates = [(load, per_round(lambda g: g.per_second, r)) for (s, load), r in results.items() if s is system and load.in_flight >= 64]
    return max(rates, key=lambda r: r[1].median)


def report_best_gets(ctx, results, ours, peers):
    load, rate = best(results, ours)
    others = {p: best(results, p) for p in peers}
    ctx.rows.add(f"profile by identity, best of 64 or more in flight: {ours.name}, {load.label}", "profiles/s", rate,
                 {f"{p.name}, {l.label}": r for p, (l, r) in others.items()}, at_least=150000)
    for p, (l, r) in others.items():
        ctx.rows.add(f"profile by identity, oneid to {p.name}, {l.label}", "times", ratio(rate, r), at_least=GET_RATIO.get(kind(p)))


def gets(ctx):
    stores = Stores(ctx)
    try:
        stores.load()
        ours, systems = stores.ours.system, stores.systems()
        ours.settle()
        ctx.quiet()
        results = measure_gets(ctx, systems)
    finally:
        stores.stop()
    for n in (1, 64, 256, 1024):
        report_gets(ctx, results, ours, n)
    report_best_gets(ctx, results, ours, systems[1:])
