"""A set of events with its truth, kept in a folder so that later runs on the same day find it."""
import os
import shutil

from . import truth, workload

VERSION = 1  # of what is in the folder


class Dataset:
    def __init__(self, folder, persons, lines, seed, today):
        self.folder = os.path.join(folder, f"v{VERSION}-{persons}-{lines}-{seed}-{today}")
        self.persons, self.lines = persons, lines
        self.events = os.path.join(self.folder, "events.jsonl")
        self.ids = os.path.join(self.folder, "ids.txt")
        if not os.path.exists(os.path.join(self.folder, "truth.npz")):
            os.makedirs(self.folder, exist_ok=True)
            workload.write(self.events, persons, lines, seed, today)
            truth.compute(self.events, self.folder)
        self.truth = truth.load(self.folder)


def forget_other_days(folder, today):
    """Sets end on a day, so those of other days are of no more use."""
    for name in os.listdir(folder):
        if name.startswith("v") and not name.endswith(f"-{today}"):
            shutil.rmtree(os.path.join(folder, name))
