"""The events that oneid and its peers take in: JSON lines in the form of `oneidctl import`.

The same persons, lines, seed and day give the same lines on every machine.

- A person has one to five identities of seven namespaces (2.5 on average).
- 30 % of the persons start as two or three profiles; a later event names an identity of each and links
  them. 2 % of those are never linked.
- An event names 1 to 3 identities (50, 35, 15 %), sets up to three traits, adds up to two tags and some
  points; three in ten are orders.
- 1 % of the lines are sent again, up to 5000 lines later. 3 % are late, by up to ten days.
- Times spread over the 90 days that end with the given day. No two events have the same time, so "the
  latest" is never a matter of luck.
"""
import os
import uuid

import numpy as np

NAMESPACES = ["phone", "openid", "tmall", "douyin", "jd", "weibo", "card"]
SOURCES = ["crm", "wechat", "tmall", "douyin", "jd", "app", "pos"]
GENDERS = "MFU"
CITIES, TAGS, CATEGORIES = 300, 300, 50
DAY_MS = 86400000
ZONE_MS = 8 * 3600000  # Asia/Shanghai, the zone of the benchmark's cluster: no daylight saving
DAYS, LATE_DAYS = 90, 10
MASK64 = (1 << 64) - 1


def identity_value(namespace, person):
    """The value of a person's identity; other persons have others."""
    h = (person * 0x9E3779B97F4A7C15 + namespace * 0xD1B54A32D192ED03 + 0x1234567) & MASK64
    h ^= h >> 31
    h = (h * 0xBF58476D1CE4E5B9) & MASK64
    h ^= h >> 29
    return [lambda: "1%010d" % (3000000000 + person * 7 + h % 7),
            lambda: "oN%08x%016x" % (person, h),
            lambda: "tm%011d" % (person * 97 + h % 97),
            lambda: "dy%016x%04x" % (h, person & 0xffff),
            lambda: "jd_%010d" % (person * 13 + h % 13),
            lambda: "%016x%016x" % (h, (person * 0x9E3779B97F4A7C15) & MASK64),
            lambda: "62%014d" % (person * 1009 + h % 1009)][namespace]()


class Persons:
    """Who there is: identities, the profiles that they start as, the number of events."""

    def __init__(self, rng, persons, events):
        self.n_ids = rng.choice([1, 2, 3, 4, 5], persons, p=[.25, .30, .22, .13, .10])
        weight = np.array([4, 4, 3, 1.5, 1.5, 2, 1])
        self.namespaces = np.argsort(rng.random((persons, 7)) / weight, axis=1)[:, :5]
        split = (self.n_ids >= 2) & (rng.random(persons) < .30 / .75)
        three = (self.n_ids >= 3) & (rng.random(persons) < .3)
        self.parts = np.where(split, np.where(three, 3, 2), 1)
        self.n_events = self._events(rng, np.where(split, self.parts + 1, 1), events)
        link = self.parts + (rng.random(persons) * (self.n_events - self.parts)).astype(np.int64)
        never = split & (rng.random(persons) < .02)
        self.link_event = np.where(never, 1 << 40, np.where(split, link, 0))
        self.part_masks = self._part_masks(rng)

    @staticmethod
    def _events(rng, least, events):
        extra = events - int(least.sum())
        if extra < 0:
            raise ValueError(f"{events} events are too few for {len(least)} persons: at least {least.sum()}")
        weight = rng.lognormal(0, .7, len(least))
        return least + rng.multinomial(extra, weight / weight.sum())

    def _part_masks(self, rng):
        """For each person, the identities (as bits) of each of up to three parts; none is empty."""
        persons = len(self.n_ids)
        part = (rng.random((persons, 5)) * self.parts[:, None]).astype(np.int64)
        masks = np.zeros((persons, 3), np.int64)
        for i in range(3):
            part[:, i] = np.where(self.parts > i, i, part[:, i])
        for i in range(5):
            for q in range(3):
                masks[:, q] |= np.where((i < self.n_ids) & (part[:, i] == q), 1 << i, 0)
        return masks


def event_times(rng, n, today):
    """Rising by even steps to the end of `today`, with the late ones moved back; no two are the same."""
    first = (today - DAYS + 1) * DAY_MS - ZONE_MS
    step = DAYS * DAY_MS // n
    ts = first + np.arange(n) * step
    back = rng.integers(1, LATE_DAYS * DAY_MS // step, n) * step + rng.integers(1, step, n)
    ts = np.where(rng.random(n) < .03, ts - back, ts)
    while True:
        again = np.ones(n, bool)
        again[np.unique(ts, return_index=True)[1]] = False
        if not again.any():
            return ts
        ts[again] += 1


class Events:
    """What each event holds besides its identities, as JSON text."""

    def __init__(self, rng, n, today):
        city_weight, tag_weight = 1 / (np.arange(CITIES) + 8.0), 1 / (np.arange(TAGS) + 6.0)
        self.ts = event_times(rng, n, today).tolist()
        self.n_ids = rng.choice([1, 2, 3], n, p=[.5, .35, .15]).tolist()
        self.n_traits = rng.choice([0, 1, 2, 3], n, p=[.4, .3, .2, .1]).tolist()
        self.first_trait = rng.integers(0, 3, n).tolist()
        self.city = rng.choice(CITIES, n, p=city_weight / city_weight.sum()).tolist()
        self.gender = rng.choice(3, n, p=[.48, .47, .05]).tolist()
        self.birth_year = (1950 + rng.integers(0, 60, n)).tolist()
        self.n_tags = rng.choice([0, 1, 2], n, p=[.4, .35, .25]).tolist()
        self.tags = rng.choice(TAGS, (n, 2), p=tag_weight / tag_weight.sum()).tolist()
        self.points = rng.integers(1, 101, n).tolist()
        self.order = (rng.random(n) < .30).tolist()
        self.cents = np.maximum(100, rng.lognormal(5.0, 1.0, n) * 100).astype(np.int64).tolist()
        self.category = rng.integers(0, CATEGORIES, n).tolist()
        self.message = rng.integers(0, 1 << 63, (n, 2), dtype=np.int64).tolist()

    def _traits(self, i):
        made = [lambda: '"city":"city%03d"' % self.city[i], lambda: '"gender":"%s"' % GENDERS[self.gender[i]],
                lambda: '"birth_year":%d' % self.birth_year[i]]
        return ",".join(made[(self.first_trait[i] + q) % 3]() for q in range(self.n_traits[i]))

    def _tags(self, i):
        return ",".join('"t%d"' % t for t in dict.fromkeys(self.tags[i][:self.n_tags[i]]))

    def line(self, i, source, ids):
        high, low = self.message[i]
        order = ""
        if self.order[i]:
            order = ',"event":{"name":"order","amount":%d.%02d,"category":"c%d"}' % (
                self.cents[i] // 100, self.cents[i] % 100, self.category[i])
        return '{"message_id":"%s","ts":%d,"source":"%s","ids":{%s},"traits":{%s},"tags":[%s],"add":{"points":%d}%s}\n' % (
            uuid.UUID(int=high << 64 | low), self.ts[i], source, ids, self._traits(i), self._tags(i), self.points[i], order)


class Walk:
    """Which identities the next event of a person names."""

    def __init__(self, persons):
        self.n_ids, self.parts, self.link = persons.n_ids.tolist(), persons.parts.tolist(), persons.link_event.tolist()
        self.masks, self.namespaces = persons.part_masks.tolist(), persons.namespaces.tolist()
        self.done, self.seen = [0] * len(self.n_ids), [0] * len(self.n_ids)
        self.bits = [[i for i in range(5) if mask >> i & 1] for mask in range(32)]

    def _linking(self, p, draw):
        """One known identity of each part."""
        chosen = []
        for q in range(self.parts[p]):
            known = self.bits[self.masks[p][q] & self.seen[p]]
            chosen.append(known[(draw >> 5 * q) % len(known)])
        return chosen

    def _scope(self, p, at, draw):
        """The identities that may stand together: of one part before the link, of the person after it."""
        if self.parts[p] == 1 or at > self.link[p]:
            return (1 << self.n_ids[p]) - 1
        return self.masks[p][at if at < self.parts[p] else draw % self.parts[p]]

    def _ordinary(self, p, at, want, draws):
        scope = self._scope(p, at, draws[2])
        known = self.bits[scope & self.seen[p]] or self.bits[scope]
        base = known[draws[0] % len(known)]
        others = [i for i in self.bits[scope] if i != base]
        first = draws[1] % len(others) if others else 0
        return [base] + [others[(first + i) % len(others)] for i in range(min(want - 1, len(others)))]

    def step(self, p, want, draws):
        at = self.done[p]
        self.done[p] += 1
        linking = self.parts[p] > 1 and at == self.link[p]
        chosen = self._linking(p, draws[0]) if linking else self._ordinary(p, at, want, draws)
        for i in chosen:
            self.seen[p] |= 1 << i
        return [self.namespaces[p][i] for i in chosen]


def lines(persons, count, seed, today):
    """Yields `count` lines."""
    rng = np.random.default_rng(seed)
    again = count // 100
    n = count - again
    who = Persons(rng, persons, n)
    order = np.repeat(np.arange(persons), who.n_events)
    rng.shuffle(order)
    events, walk = Events(rng, n, today), Walk(who)
    draws = rng.integers(0, 1 << 30, (n, 3)).tolist()
    resend_at = Resends(rng, n, again)
    for i, p in enumerate(order.tolist()):
        named = walk.step(p, events.n_ids[i], draws[i])
        ids = ",".join('"%s":"%s"' % (NAMESPACES[ns], identity_value(ns, p)) for ns in named)
        line = events.line(i, SOURCES[named[0]], ids)
        yield line
        if i in resend_at.first:
            resend_at.keep(i, line)
        yield from resend_at.due(i)
    yield from resend_at.rest()


class Resends:
    """The lines that come once more, and after which other line."""

    def __init__(self, rng, n, again):
        self.first = dict(zip(rng.choice(n, again, replace=False).tolist(), rng.integers(1, 5000, again).tolist()))
        self.waiting = {}

    def keep(self, i, line):
        self.waiting.setdefault(i + self.first[i], []).append(line)

    def due(self, i):
        return self.waiting.pop(i, ())

    def rest(self):
        for i in sorted(self.waiting):
            yield from self.waiting[i]


def write(path, persons, count, seed, today):
    """The lines to a file that is there whole or not at all."""
    with open(path + ".part", "w", encoding="ascii", buffering=1 << 20) as out:
        out.writelines(lines(persons, count, seed, today))
    os.replace(path + ".part", path)
