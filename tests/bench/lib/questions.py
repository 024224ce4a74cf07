"""The segment questions: in oneid's language, and their answers by plain column arithmetic.

How a peer is asked stands with the peer, under the question's name.
"""
from dataclasses import dataclass
from typing import Callable, Optional

import numpy as np

from .truth import NONE

FEMALE = 1
CITIES_OF_FOUR = range(5, 25)
CITIES_OF_EIGHT = range(0, 40, 2)


def cities(numbers):
    return "city in (%s)" % ", ".join(f"city{c:03}" for c in numbers)


class Facts:
    """A truth's columns, with what the questions need of them."""

    def __init__(self, truth, today):
        self.truth, self.today, self.n = truth, today, truth.profiles

    def tag(self, *tags):
        """Who has any of them."""
        has = np.zeros(self.n, bool)
        has[self.truth.tag_profile[np.isin(self.truth.tag, tags)]] = True
        return has

    def all_tags(self, *tags):
        return np.logical_and.reduce([self.tag(t) for t in tags])

    def _in_window(self, days):
        return (self.truth.order_day > self.today - days) & (self.truth.order_day <= self.today)

    def orders(self, days):
        return np.bincount(self.truth.order_profile[self._in_window(days)], minlength=self.n)

    def cents(self, days):
        w = self._in_window(days)
        return np.bincount(self.truth.order_profile[w], self.truth.order_cents[w], self.n)

    def city_in(self, numbers):
        return np.isin(self.truth.city, list(numbers))


def count(condition):
    return lambda f: int(condition(f).sum())


def by_city(condition):
    """{"city005": n, …, "none": n}, without the empty ones."""
    def answer(f):
        groups = np.bincount(f.truth.city[condition(f)] + 1, minlength=1).tolist()
        names = ["none"] + [f"city{c:03}" for c in range(len(groups) - 1)]
        return {name: n for name, n in zip(names, groups) if n}
    return answer


@dataclass(frozen=True)
class Question:
    name: str
    expr: str
    answer: Callable
    by: Optional[str] = None          # a breakdown by this trait
    target_ms: Optional[float] = None  # with 10 M members, at the client

    def title(self):
        return self.name.replace("_", " ")


def eight(f):
    t = f.truth
    return (f.tag(0, 7, 9) & ~f.tag(11) & f.city_in(CITIES_OF_EIGHT) & (t.gender == FEMALE) & (t.birth_year >= 1970)
            & (t.birth_year <= 1999) & (t.points >= 50) & (f.orders(30) >= 1) & (f.cents(90) >= 20000))


def ten_sets(f):
    t = f.truth
    return (f.all_tags(0, 1) & ~f.tag(8) & f.tag(2, 3) & (t.points >= 100) & (t.points < 400) & (t.birth_year >= 1960)
            & (t.gender != NONE) & (t.gender != 0) & (t.city != 7) & (t.city != NONE))


QUESTIONS = [
    Question("one_tag", "tag(t3)", count(lambda f: f.tag(3))),
    Question("three_tags", "tag(t0) and tag(t1) and tag(t2)", count(lambda f: f.all_tags(0, 1, 2)), target_ms=0.3),
    Question("any_and_not", "(tag(t5) or tag(t8) or tag(t13)) and not tag(t1)",
             count(lambda f: f.tag(5, 8, 13) & ~f.tag(1)), target_ms=0.4),
    Question("tag_and_cities", f"tag(t2) and {cities(CITIES_OF_FOUR)}",
             count(lambda f: f.tag(2) & f.city_in(CITIES_OF_FOUR)), target_ms=4),
    Question("points_and_tag", "points >= 200 and tag(t4)",
             count(lambda f: (f.truth.points >= 200) & f.tag(4)), target_ms=2.5),
    Question("orders_30_days", "count(order, 30d) >= 2", count(lambda f: f.orders(30) >= 2), target_ms=25),
    Question("spent_90_days", "sum(order.amount, 90d) >= 1000 and tag(t6)",
             count(lambda f: (f.cents(90) >= 100000) & f.tag(6)), target_ms=60),
    Question("ten_terms", f"(tag(t0) or tag(t7) or tag(t9)) and not tag(t11) and {cities(CITIES_OF_EIGHT)} and gender = F and "
             "birth_year between 1970 and 1999 and points >= 50 and count(order, 30d) >= 1 and sum(order.amount, 90d) >= 200",
             count(eight), target_ms=6),
    Question("by_city", "(tag(t1) or tag(t4)) and gender = F",
             by_city(lambda f: f.tag(1, 4) & (f.truth.gender == FEMALE)), by="city", target_ms=8),
    # Not asked of the peers: ten terms over sets and columns alone, as the index's own figures have them.
    Question("ten_terms_no_window", "tag(t0) and tag(t1) and not tag(t8) and (tag(t2) or tag(t3)) and points >= 100 and "
             "points < 400 and birth_year >= 1960 and gender != M and city != city007 and has(phone)",
             count(ten_sets), target_ms=6),
]
BY_NAME = {q.name: q for q in QUESTIONS}

# Asked once more as saved segments, whose windows are kept up to date as events come in: name and target.
SAVED = {"orders_30_days": 0.8, "spent_90_days": 3, "ten_terms": 5}


def six_terms(i):
    """One of many saved segments that are counted in one pass; each is another."""
    a, b, c, points, year = i % 10, 10 + i % 7, 20 + i % 13, 50 + i % 11 * 20, 1960 + i % 30
    return Question(
        f"six_{i:03}", f"tag(t{a}) and not tag(t{b}) and not tag(t{c}) and points >= {points} and gender = F and birth_year >= {year}",
        count(lambda f: f.tag(a) & ~f.tag(b) & ~f.tag(c) & (f.truth.points >= points) & (f.truth.gender == FEMALE)
              & (f.truth.birth_year >= year)))


def times(answer, copies):
    """The answer when every profile is there `copies` times."""
    if isinstance(answer, dict):
        return {group: n * copies for group, n in answer.items()}
    return answer * copies
