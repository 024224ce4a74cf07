"""What all suites share: where programs and data are, how much is measured, and the rows."""
import os
import time
from dataclasses import dataclass

from . import machine
from .clickhouse import ClickHouse
from .dataset import Dataset
from .oneid import Oneid
from .postgresql import PostgreSQL
from .redis import Redis
from .rows import Rows
from .tarantool import Tarantool
from .truth import day_of

SEED = 42
BASE_PERSONS = 100000  # of the set whose profiles, some times over, are the members
LINES_A_PERSON = 10 / 3


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    persons: int       # of the set for ingest and get
    base_persons: int  # of the set that members are copies of
    copies: tuple      # of it, for the segment questions
    growth: tuple      # likewise, for growth with members
    growth_shards: int  # copies for growth with shards
    rounds: int
    get_seconds: int
    mixed_seconds: int
    repeats: int       # of a segment question
    quiet_seconds: int
    load_requests: int  # of an ingest by oneid-load
    full: bool         # every variant of the peers
    is_trial: bool = False


FULL = Size(persons=300000, base_persons=BASE_PERSONS, copies=(10, 100), growth=(1, 10, 100), growth_shards=10, rounds=3, get_seconds=4,
            mixed_seconds=10, repeats=9, quiet_seconds=30, load_requests=1000000, full=True)
QUICK = Size(persons=60000, base_persons=BASE_PERSONS, copies=(10,), growth=(1, 10), growth_shards=1, rounds=3, get_seconds=1,
             mixed_seconds=3, repeats=5, quiet_seconds=3, load_requests=200000, full=False)
# For the test of the benchmark itself: its figures mean nothing.
TINY = Size(persons=1000, base_persons=1000, copies=(12,), growth=(1, 12), growth_shards=1, rounds=1, get_seconds=1, mixed_seconds=1, repeats=2,
            quiet_seconds=0, load_requests=3000, full=True, is_trial=True)


class Context:
    def __init__(self, programs, folder, size, layout, today=None, use_peers=True):
        self.programs, self.folder, self.size, self.layout, self.use_peers = programs, folder, size, layout, use_peers
        self.today = today if today is not None else day_of(int(time.time() * 1000))
        self.rows = Rows(lambda text: print(text, flush=True))
        self.sets = {}
        os.makedirs(self.data_folder, exist_ok=True)

    @property
    def data_folder(self):
        return os.path.join(self.folder, "sets")

    def say(self, text):
        print(f"# {text}", flush=True)

    def scratch(self, name):
        return os.path.join(self.folder, name)

    def clean(self):
        """What a run leaves besides the sets is of use only when it failed."""
        for name in os.listdir(self.folder):
            path = self.scratch(name)
            if os.path.isfile(path) and name != "lock":
                os.remove(path)

    def quiet(self):
        if self.size.quiet_seconds:
            machine.wait_quiet(self.size.quiet_seconds)

    # --- data ---

    def dataset(self, persons):
        if persons not in self.sets:
            lines = int(persons * LINES_A_PERSON)
            self.say(f"events of {persons:,} persons, {lines:,} lines, and what they must lead to")
            self.sets[persons] = Dataset(self.data_folder, persons, lines, SEED, self.today)
        return self.sets[persons]

    @property
    def events(self):
        return self.dataset(self.size.persons)

    @property
    def base(self):
        return self.dataset(self.size.base_persons)

    # --- systems ---

    def oneid(self, layout=None):
        return Oneid(self.programs, self.scratch("oneid"), layout or self.layout)

    def peers(self, *kinds):
        """Those that can be measured; a row says of each other why not."""
        found = []
        for kind in kinds if self.use_peers else ():
            peer = kind(self.programs, self.scratch(kind.__name__.lower()))
            reason = peer.missing()
            if reason:
                self.rows.skip(peer.name, reason)
            else:
                found.append(peer)
        return found

    def store_peers(self):
        return self.peers(PostgreSQL, Redis, Tarantool)

    def segment_peers(self):
        return self.peers(PostgreSQL, ClickHouse, Redis)
