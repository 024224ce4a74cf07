"""What the profiles must be, computed from the lines alone and by other means than any system's.

Identities that stand in one event belong to one profile (union-find). A message_id counts once. Of a trait
the value of the latest event counts. Tags are joined, points added up, orders follow the profile.

The canonical line of a profile, which every system's content is written in to be compared:

    ns:value,ns:value,...|points|city|gender|birth_year|tag,tag,...|orders|cents

with identities and tags (their numbers) sorted, and nothing where there is no trait.
"""
import json
import os
import random
from dataclasses import dataclass

import numpy as np

from .workload import DAY_MS, GENDERS, ZONE_MS

NONE = -1  # of a trait
TAG_ROOM = 512  # more than there are tags


def day_of(ts):
    return (ts + ZONE_MS) // DAY_MS


class Union:
    """Identities, numbered as they come, and which of them are one."""

    def __init__(self):
        self.number, self.parent = {}, []

    def find(self, x):
        parent = self.parent
        while parent[x] != x:
            parent[x] = parent[parent[x]]
            x = parent[x]
        return x

    def place(self, key):
        x = self.number.get(key)
        if x is None:
            x = self.number[key] = len(self.parent)
            self.parent.append(x)
        return x

    def join(self, keys):
        """Returns the number of the first."""
        first = self.place(keys[0])
        for key in keys[1:]:
            a, b = self.find(first), self.find(self.place(key))
            if a != b:
                self.parent[max(a, b)] = min(a, b)
        return first


class Reader:
    """Everything that the events say, each fact with an identity of the event."""

    def __init__(self, path):
        self.union, self.lines, self.messages = Union(), 0, set()
        self.points, self.tags, self.orders = [], [], []
        self.traits = {"city": [], "gender": [], "birth_year": []}
        with open(path, encoding="ascii") as f:
            for line in f:
                self.lines += 1
                self._take(json.loads(line))

    def _take(self, e):
        if e["message_id"] in self.messages:
            return
        self.messages.add(e["message_id"])
        who = self.union.join([f"{ns}:{value}" for ns, value in e["ids"].items()])
        self.points.append((who, e["add"]["points"]))
        for name, value in e["traits"].items():
            number = int(value[4:]) if name == "city" else GENDERS.index(value) if name == "gender" else value
            self.traits[name].append((who, e["ts"], number))
        self.tags += [(who, int(tag[1:])) for tag in e["tags"]]
        order = e.get("event")
        if order:
            self.orders.append((who, day_of(e["ts"]), round(order["amount"] * 100)))


def latest(facts, profile_of, n):
    a = np.array(facts, np.int64).reshape(-1, 3)
    profile = profile_of[a[:, 0]]
    by_time = np.lexsort((a[:, 1], profile))
    value = np.full(n, NONE, np.int64)
    value[profile[by_time]] = a[by_time, 2]  # of equal profiles, the last assignment stays
    return value


@dataclass
class Truth:
    """The profiles as columns; a profile is a number from 0."""

    lines: int
    messages: int
    identities: int
    points: np.ndarray
    city: np.ndarray
    gender: np.ndarray
    birth_year: np.ndarray
    tag_profile: np.ndarray
    tag: np.ndarray
    order_profile: np.ndarray
    order_day: np.ndarray
    order_cents: np.ndarray

    @property
    def profiles(self):
        return len(self.points)

    def tags_of(self):
        """For each profile its tags, rising."""
        tags = [[] for _ in range(self.profiles)]
        for p, t in zip(self.tag_profile.tolist(), self.tag.tolist()):
            tags[p].append(t)
        return tags


def evaluate(reader):
    """The truth, and for each identity its profile."""
    roots = np.array([reader.union.find(i) for i in range(len(reader.union.parent))])
    distinct, profile_of = np.unique(roots, return_inverse=True)
    n = len(distinct)
    points, orders = np.array(reader.points), np.array(reader.orders, np.int64).reshape(-1, 3)
    tags = np.array(reader.tags, np.int64).reshape(-1, 2)
    pairs = np.unique(profile_of[tags[:, 0]] * TAG_ROOM + tags[:, 1])
    truth = Truth(
        lines=reader.lines, messages=len(reader.messages), identities=len(roots),
        points=np.bincount(profile_of[points[:, 0]], points[:, 1], n).astype(np.int64),
        tag_profile=pairs // TAG_ROOM, tag=pairs % TAG_ROOM,
        order_profile=profile_of[orders[:, 0]], order_day=orders[:, 1], order_cents=orders[:, 2],
        **{name: latest(facts, profile_of, n) for name, facts in reader.traits.items()})
    return truth, profile_of


def canonical_lines(truth, keys, profile_of):
    ids = [[] for _ in range(truth.profiles)]
    for key, p in zip(keys, profile_of.tolist()):
        ids[p].append(key)
    n, p = truth.profiles, truth.order_profile
    orders = np.bincount(p, minlength=n).tolist()
    cents = np.bincount(p, truth.order_cents, n).astype(np.int64).tolist()
    tags = truth.tags_of()
    for i in range(n):
        city, gender, year = int(truth.city[i]), int(truth.gender[i]), int(truth.birth_year[i])
        yield "|".join([",".join(sorted(ids[i])), str(truth.points[i]), "" if city == NONE else f"city{city:03}",
                        "" if gender == NONE else GENDERS[gender], "" if year == NONE else str(year),
                        ",".join(map(str, tags[i])), str(orders[i]), str(cents[i])])


def write_lines(path, lines):
    with open(path, "w", encoding="ascii") as f:
        f.writelines(line + "\n" for line in lines)


def compute(events, folder):
    """Writes truth.npz, canonical.txt (sorted) and ids.txt (every identity, shuffled) to the folder."""
    reader = Reader(events)
    truth, profile_of = evaluate(reader)
    keys = list(reader.union.number)
    write_lines(os.path.join(folder, "canonical.txt"), sorted(canonical_lines(truth, keys, profile_of)))
    random.Random(7).shuffle(keys)
    write_lines(os.path.join(folder, "ids.txt"), keys)
    np.savez(os.path.join(folder, "part.npz"), **vars(truth))
    os.replace(os.path.join(folder, "part.npz"), os.path.join(folder, "truth.npz"))  # last: then all is there


def load(folder):
    with np.load(os.path.join(folder, "truth.npz")) as f:
        return Truth(**{name: f[name] if f[name].ndim else int(f[name]) for name in f.files})


class Mismatch(Exception):
    """A system's content or answer is not what it must be."""


def compare_profiles(folder, dump, system):
    """Every profile in full. Raises Mismatch; names counts only, the lines are in the two files."""
    with open(os.path.join(folder, "canonical.txt"), encoding="ascii") as f:
        expected = f.read().splitlines()
    with open(dump, encoding="utf-8", errors="replace") as f:
        found = sorted(f.read().splitlines())
    if found != expected:
        missing, extra = len(set(expected) - set(found)), len(set(found) - set(expected))
        raise Mismatch(f"{system}: {len(found)} profiles instead of {len(expected)}, {missing} missing, {extra} that are not expected")
