"""The rows of the result: collected, printed as a table, written as JSON.

A row is {name, unit, value, peers, target, held} with, where there were several rounds, min and max, and
the greatest share of the machine that other processes took meanwhile. A row that could not be measured
has `skipped` with the reason and no value.
"""
import json
import statistics


def rounded(x):
    """Three significant digits, and no fraction from 100 on."""
    if x is None or isinstance(x, int):
        return x
    if abs(x) >= 100:
        return round(x)
    return float(f"{x:.3g}")


class Sample:
    """A figure of several rounds."""

    def __init__(self, values, others=()):
        self.values, self.others = list(values), list(others)

    @property
    def median(self):
        return statistics.median(self.values)


def per_round(figure, runs):
    """A sample of figure(run), for runs that have `others`."""
    return Sample([figure(r) for r in runs], [r.others for r in runs])


def ratio(ours, theirs):
    """By pairs: round i of ours beside round i of theirs."""
    return Sample([a / b for a, b in zip(ours.values, theirs.values)], ours.others + theirs.others)


class Rows:
    def __init__(self, show=print):
        self.rows, self.show = [], show

    def add(self, name, unit, sample, peers=None, at_least=None, at_most=None):
        """`sample` may be a plain number. `peers`: {label: sample or number}."""
        if not isinstance(sample, Sample):
            sample = Sample([sample])
        value, target = sample.median, at_least if at_least is not None else at_most
        held = None if target is None else value >= target if at_least is not None else value <= target
        row = {"name": name, "unit": unit, "value": rounded(value),
               "peers": {label: rounded(p.median if isinstance(p, Sample) else p) for label, p in (peers or {}).items()},
               "target": target, "held": held}
        if len(sample.values) > 1:
            row.update(min=rounded(min(sample.values)), max=rounded(max(sample.values)), rounds=len(sample.values))
        if sample.others:
            row["others"] = round(max(sample.others), 3)
        self._put(row)

    def take(self, row):
        """A row of another program, already in this form."""
        self._put({"peers": {}, "target": None, "held": None, **row, "value": rounded(row["value"])})

    def skip(self, name, reason):
        self._put({"name": name, "unit": "", "value": None, "peers": {}, "target": None, "held": None, "skipped": reason})

    def _put(self, row):
        self.rows.append(row)
        self.show(line_of(row))

    def write_json(self, path):
        with open(path, "w", encoding="utf-8") as f:
            json.dump(self.rows, f, ensure_ascii=False, indent=1)
            f.write("\n")

    def missed(self):
        return [r for r in self.rows if r["held"] is False]


def number(x):
    return f"{x:,}" if x is not None else ""


def line_of(row):
    if "skipped" in row:
        return f"{row['name']}: skipped: {row['skipped']}"
    text = f"{row['name']}: {number(row['value'])} {row['unit']}"
    if row["target"] is not None:
        text += f"  (target {number(row['target'])}: {'held' if row['held'] else 'missed'})"
    return text


def table_of(rows):
    """Aligned text; under each row its peers."""
    width = max([len(r["name"]) for r in rows] + [2 + len(p) for r in rows for p in r["peers"]] + [20])
    lines = []
    for r in rows:
        if "skipped" in r:
            lines.append(f"{r['name']:<{width}}  skipped: {r['skipped']}")
            continue
        spread = f"  [{number(r['min'])} to {number(r['max'])}]" if "min" in r else ""
        target = "" if r["target"] is None else f"  target {number(r['target'])}: {'held' if r['held'] else 'MISSED'}"
        busy = f"  others {r['others']:.0%}" if r.get("others", 0) > 0.1 else ""
        lines.append(f"{r['name']:<{width}}  {number(r['value']):>12} {r['unit']}{target}{spread}{busy}")
        lines += [f"  {label:<{width - 2}}  {number(value):>12} {r['unit']}" for label, value in r["peers"].items()]
    return "\n".join(lines)
