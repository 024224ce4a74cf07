"""The segment index alone, by its own program: index_bench prints and checks its figures."""
import json
import os

from . import machine


def index(ctx):
    program, out = f"{ctx.programs}/index_bench", ctx.scratch("index.json")
    if not os.path.exists(program):
        ctx.rows.skip("index", "index_bench is not built")
        return
    for members in (1000000, 10000000) if ctx.size.full else (1000000,):
        ctx.quiet()
        machine.run([program, str(members), "--json", out])
        with open(out, encoding="utf-8") as f:
            for row in json.load(f):
                ctx.rows.take({**row, "name": f"index, {row['name']}, {members // 1000000} M members"})
        os.remove(out)
