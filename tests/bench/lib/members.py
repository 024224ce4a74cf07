"""Members for the segment questions: the profiles of a truth, `copies` times, as events.

The first event of a member brings its identities (2.2 on average), traits, tags, points and first order;
each further order is an event of its own. Every copy goes through the profiles in another order, and each
answer is exactly `copies` times that of the truth.
"""
import math

from .truth import NONE
from .workload import DAY_MS, GENDERS, ZONE_MS

IDS_BY_DIGIT = [1, 1, 1, 2, 2, 2, 3, 3, 3, 4]  # by the last digit of the profile's number
NOON_MS = 12 * 3600000


def multipliers(n, copies):
    """Numbers prime to n: profile p stands at place p * m mod n of its copy."""
    found, m = [], 1
    while len(found) < copies:
        if math.gcd(m, n) == 1:
            found.append(m)
        m = m * 3 + 7919
    return [m % n for m in found]


def identities(member, digit):
    made = ['"phone":"1%010d"' % (3000000000 + member), '"openid":"oM%024x"' % member, '"tmall":"tm%011d"' % member,
            '"douyin":"dy%020x"' % member]
    return ",".join(made[:IDS_BY_DIGIT[digit]])


def time_of(day):
    return day * DAY_MS - ZONE_MS + NOON_MS


def order_text(cents):
    return ',"event":{"name":"order","amount":%d.%02d}' % (cents // 100, cents % 100)


class Members:
    def __init__(self, truth, copies, today):
        self.n, self.copies = truth.profiles, copies
        self.first_day = time_of(today - 100)  # of who never ordered
        self.heads, self.orders = self._heads(truth), [[] for _ in range(self.n)]
        for p, day, cents in zip(truth.order_profile.tolist(), truth.order_day.tolist(), truth.order_cents.tolist()):
            self.orders[p].append((time_of(day), order_text(cents)))

    @property
    def total(self):
        return self.n * self.copies

    @property
    def events(self):
        return self.copies * sum(max(1, len(o)) for o in self.orders)

    @property
    def identities(self):
        return self.copies * sum(IDS_BY_DIGIT[p % 10] for p in range(self.n))

    @staticmethod
    def _heads(truth):
        """For each profile, what its first event says of traits, tags and points."""
        heads = []
        columns = zip(truth.points.tolist(), truth.city.tolist(), truth.gender.tolist(), truth.birth_year.tolist(), truth.tags_of())
        for points, city, gender, year, tags in columns:
            traits = []
            if city != NONE:
                traits.append('"city":"city%03d"' % city)
            if gender != NONE:
                traits.append('"gender":"%s"' % GENDERS[gender])
            if year != NONE:
                traits.append('"birth_year":%d' % year)
            heads.append(',"traits":{%s},"tags":[%s],"add":{"points":%d}' % (
                ",".join(traits), ",".join('"t%d"' % t for t in tags), points))
        return heads

    def _first(self, member, p):
        ts, order = self.orders[p][0] if self.orders[p] else (self.first_day, "")
        return '{"message_id":"m%d","ts":%d,"source":"crm","ids":{%s}%s%s}\n' % (
            member, ts, identities(member, p % 10), self.heads[p], order)

    def _rest(self, member, p):
        for k, (ts, order) in enumerate(self.orders[p][1:]):
            yield '{"message_id":"m%d-%d","ts":%d,"source":"pos","ids":{"phone":"1%010d"}%s}\n' % (
                member, k, ts, 3000000000 + member, order)

    def copy(self, i):
        """The lines of one copy: first every member, then the further orders."""
        m = multipliers(self.n, self.copies)[i]
        places = [p * m % self.n for p in range(self.n)]
        for p in places:
            yield self._first(i * self.n + p, p)
        for p in places:
            yield from self._rest(i * self.n + p, p)
