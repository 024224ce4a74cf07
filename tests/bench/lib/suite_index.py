"""The segment index alone, by its own program: index_bench measures, and holds to its own targets."""
import json
import os

from . import machine

MILLION = 1000000


def members_of(size):
    if size.is_trial:
        return (20000,)
    return (MILLION, 10 * MILLION) if size.full else (MILLION,)


def index(ctx):
    out = ctx.scratch("index.json")
    for members in members_of(ctx.size):
        ctx.quiet()
        run = machine.run([f"{ctx.programs}/index_bench", "--members", str(members), "--json", out], folder=ctx.folder)
        with open(out, encoding="utf-8") as f:
            result = json.load(f)
        os.remove(out)
        for row in result["rows"]:
            name = row["name"].replace("_", " ")
            ctx.rows.take({**row, "name": f"index alone, {name}, {members:,} members, {result['kernels']}", "others": round(run.others, 3)})
