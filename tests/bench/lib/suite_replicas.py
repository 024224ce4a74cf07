"""What replicas cost, and what encryption does: the same load on one replica and on three, plain and with keys."""
from .oneid import Layout
from .rows import Sample

INGEST_TARGET = 30000  # three replicas, all on this machine
LAYOUTS = (Layout(3, 2), Layout(3, 2, 3), Layout(3, 2, 3, True))


class Round:
    """One cluster, started afresh: ingest at full speed, events one at a time, profiles."""

    def __init__(self, ctx, layout, seed):
        n = ctx.size.load_requests
        system = ctx.oneid(layout)
        population = ("--persons", n * 3 // 10, "--events", n, "--seed", seed)
        try:
            system.start()
            ctx.quiet()
            self.ingest, self.run = system.load("ingest", *population, "--in-flight", 2048)
            self.single, _ = system.load("run", "--mix", "update=1", *population, "--in-flight", 1, "--duration", ctx.size.get_seconds)
            self.gets, _ = system.load("get", *population, "--in-flight", 256, "--duration", ctx.size.get_seconds)
        finally:
            system.stop()


def replicas(ctx):
    for layout in LAYOUTS:
        n = ctx.size.rounds if ctx.size.full else 1  # --quick has ten minutes for all suites
        rounds = [Round(ctx, layout, seed) for seed in range(1, n + 1)]
        others = [r.run.others for r in rounds]
        is_target = layout == LAYOUTS[1]
        rows = ctx.rows
        rows.add(f"ingest from memory, synced logs, 2048 in flight ({layout})", "events/s",
                 Sample([r.ingest["requests_per_s"] for r in rounds], others), at_least=INGEST_TARGET if is_target else None)
        rows.add(f"  CPU of all processes ({layout})", "µs an event",
                 Sample([r.run.all_s * 1e6 / r.ingest["requests"] for r in rounds], others))
        for name, run in (("event, 1 in flight, durable", "single"), ("profile by identity, 256 in flight", "gets")):
            for p in ("p50", "p99"):
                rows.add(f"{name}, {p} ({layout})", "ms", Sample([getattr(r, run)["latency_us"][p] / 1e3 for r in rounds], others))
        rows.add(f"profile by identity, 256 in flight ({layout})", "profiles/s",
                 Sample([r.gets["requests_per_s"] for r in rounds], others))
