"""Watched segments over real processes: what a consumer is told adds up to the list, whatever dies."""
import itertools
import json
import os
import random
import signal
import subprocess
import unittest

from harness import BIN, Cluster, ClusterTest, SCHEMA


NUMBERS = itertools.count()


def event(**kw):
    """With a message_id that no other event of this run has."""
    return {"message_id": f"w{next(NUMBERS)}", **kw}


def tagged(person, tag, on=True):
    return event(ids={"phone": f"138{person:08d}"}, tags={"add" if on else "remove": [tag]})


class Consumer:
    """What a consumer has been told, with repeated positions taken out. Fails where a member enters twice
    or leaves without having entered."""

    def __init__(self):
        self.members = set()
        self.positions = set()
        self.repeated = 0
        self.events = 0

    def take(self, line):
        e = json.loads(line)
        if "token" in e:
            return
        position = (e["shard"], e["log_index"], e["one_id"])
        if position in self.positions:
            self.repeated += 1
            return
        self.positions.add(position)
        self.events += 1
        enters = e["event"] == "enter"
        if (e["one_id"] in self.members) == enters:
            raise AssertionError(f"{e} after it was told the same")
        (self.members.add if enters else self.members.remove)(e["one_id"])

    def forget(self):
        self.__init__()


def watch_once(cluster, consumer, name, token_file, *args):
    out = cluster.ctl("watch", name, "--once", "--json", "--token-file", token_file, *args)
    for line in out.stdout.splitlines():
        consumer.take(line)
    return out


def listed(cluster, expr):
    return set(cluster.json("list", expr, "--limit", "100000")["members"])


class WatchTest(ClusterTest):
    options = {"nodes": 2, "shards": 4, "routers": 2}

    def setUp(self):
        super().setUp()
        self.token = os.path.join(self.cluster.folder, "token")
        self.told = Consumer()

    def once(self, name="vips", *args):
        return watch_once(self.cluster, self.told, name, self.token, *args)

    def check(self, name="vips"):
        self.once(name)
        self.assertEqual(self.told.members, listed(self.cluster, f"segment({name})"))

    def test_comes_and_goes_are_told_from_any_router_and_after_restarts(self):
        c = self.cluster
        c.ctl("segment", "define", "vips", "tag(vip) and not tag(blocked)")
        c.events([tagged(i, "vip") for i in range(100)])
        self.once("vips", "--from", "start")
        self.assertEqual(len(self.told.members), 100)
        c.events([tagged(i, "blocked") for i in range(0, 100, 2)] + [tagged(i, "vip") for i in range(100, 130)])
        self.check()
        self.assertEqual(len(self.told.members), 80)
        for key in ("node-1", "node-2"):
            c.terminate(key)
            c.start_node(int(key[-1]))
        c.wait_serving()
        c.events([tagged(i, "blocked", False) for i in range(0, 100, 2)])
        out = c.ctl("watch", "vips", "--once", "--json", "--token-file", self.token, router=2)
        for line in out.stdout.splitlines():
            self.told.take(line)
        self.check()
        self.assertEqual(len(self.told.members), 130)
        self.assertEqual(self.told.repeated, 0)

    def test_merges_and_new_definitions_are_told(self):
        c = self.cluster
        c.ctl("segment", "define", "base", "points >= 10")
        c.ctl("segment", "define", "vips", "segment(base) and tag(vip)")
        self.once("vips", "--from", "start")
        c.events([event(ids={"phone": f"139{i:08d}"}, add={"points": 6}) for i in range(50)] +
                 [event(ids={"openid": f"o{i}"}, add={"points": 6}, tags=["vip"]) for i in range(50)])
        self.check()
        self.assertEqual(self.told.members, set())
        c.events([event(ids={"phone": f"139{i:08d}", "openid": f"o{i}"}) for i in range(50)])
        self.check()
        self.assertEqual(len(self.told.members), 50)
        c.ctl("segment", "define", "base", "points >= 100")
        self.check()
        self.assertEqual(self.told.members, set())
        c.ctl("segment", "define", "base", "points >= 12")
        self.check()
        self.assertEqual(len(self.told.members), 50)

    def test_a_long_poll_brings_news_at_once_and_ctrl_c_ends_it(self):
        c = self.cluster
        c.ctl("segment", "define", "vips", "tag(vip)")
        p = subprocess.Popen([f"{BIN}/oneidctl", "watch", "vips", "-c", c.file, "--from", "start", "--json"],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(p.kill)
        self.assertIn("token", json.loads(p.stdout.readline()))  # it has begun
        c.events([tagged(1, "vip")])
        self.assertEqual(json.loads(p.stdout.readline())["event"], "enter")
        token = json.loads(p.stdout.readline())["token"]
        c.events([tagged(1, "vip", False)])
        self.assertEqual(json.loads(p.stdout.readline())["event"], "exit")
        p.send_signal(signal.SIGINT)
        out, err = p.communicate(timeout=60)
        self.assertEqual(p.returncode, 0, out + err)
        again = c.ctl("watch", "vips", "--once", "--from", token).stdout
        self.assertRegex(again, r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z  exit   [0-9a-f]{16}\n$")

    def test_mistakes_have_clear_errors(self):
        c = self.cluster
        c.ctl("segment", "define", "vips", "tag(vip)")
        c.ctl("segment", "define", "others", "tag(other)")
        self.once("vips", "--from", "start")
        with open(self.token, encoding="ascii") as f:
            token = f.read().strip()
        for name, words, text in (("nobody", [], "not found"), ("vips", ["--from", "xyz"], "token"),
                                  ("vips", ["--from", token[:-2]], "token"),
                                  ("others", ["--from", token], "another segment"),
                                  ("x" * 65, [], "64 bytes")):
            out = c.ctl("watch", name, "--once", *words, check=False)
            self.assertEqual(out.returncode, 1, out.stdout)
            self.assertIn(text, out.stderr)
        c.ctl("segment", "drop", "vips")
        out = c.ctl("watch", "vips", "--once", "--token-file", self.token, check=False)
        self.assertEqual(out.returncode, 1)
        self.assertIn("not found", out.stderr)

    def test_a_watch_that_ended_is_begun_again_from_the_start(self):
        c = self.cluster
        c.ctl("segment", "define", "vips", "tag(vip)")
        self.once("vips", "--from", "start")
        c.ctl("watch", "vips", "--stop")
        c.events([tagged(i, "vip") for i in range(20)])
        out = c.ctl("watch", "vips", "--once", "--token-file", self.token, check=False)
        self.assertEqual(out.returncode, 1)
        self.assertIn("not kept any more", out.stderr)
        self.told.forget()
        self.once("vips", "--from", "start")
        self.check()
        self.assertEqual(len(self.told.members), 20)


class BoundTest(unittest.TestCase):
    def test_a_consumer_that_was_away_too_long_is_told_so(self):
        c = Cluster(nodes=1, shards=2, limits="limits: {watch_events: 1000}\n").start()
        self.addCleanup(c.stop)
        token, told = os.path.join(c.folder, "token"), Consumer()
        c.ctl("segment", "define", "vips", "tag(vip)")
        watch_once(c, told, "vips", token, "--from", "start")
        for _ in range(2):
            c.events([tagged(i, "vip") for i in range(1500)])
            c.events([tagged(i, "vip", False) for i in range(1200)])
        out = c.ctl("watch", "vips", "--once", "--token-file", token, check=False)
        self.assertEqual(out.returncode, 1)
        self.assertIn("not kept any more", out.stderr)
        told.forget()
        watch_once(c, told, "vips", token, "--from", "start")
        self.assertEqual(told.members, listed(c, "segment(vips)"))
        self.assertEqual(len(told.members), 300)


class DayTest(unittest.TestCase):
    """Days pass without waiting for one: the cluster is started again in a time zone that is 26 hours ahead."""

    def set_zone(self, zone):
        with open(self.cluster.file, encoding="utf-8") as f:
            lines = [f"timezone: {zone}\n" if line.startswith("timezone:") else line for line in f]
        with open(self.cluster.file, "w", encoding="utf-8") as f:
            f.writelines(lines)

    def test_the_mere_passing_of_days_lets_members_leave_and_enter(self):
        c = self.cluster = Cluster(nodes=1, shards=2)
        self.set_zone("Etc/GMT+12")
        c.start()
        self.addCleanup(c.stop)
        tokens = {name: os.path.join(c.folder, name) for name in ("active", "asleep")}
        told = {name: Consumer() for name in tokens}
        c.ctl("segment", "define", "active", "count(order, 1d) >= 1")
        c.ctl("segment", "define", "asleep", "exists(points) and not count(order, 1d) >= 1")
        for name in tokens:
            watch_once(c, told[name], name, tokens[name], "--from", "start")
        order = {"name": "order", "amount": 5}
        c.events([event(ids={"phone": f"137{i:08d}"}, add={"points": 1}, event=order) for i in range(30)] +
                 [event(ids={"phone": f"136{i:08d}"}, add={"points": 1}) for i in range(10)])
        for name, n in (("active", 30), ("asleep", 10)):
            watch_once(c, told[name], name, tokens[name])
            self.assertEqual(len(told[name].members), n)
        for key in sorted(c.processes, reverse=True):
            c.terminate(key)
        self.set_zone("Etc/GMT-14")
        c.start()
        for name, n in (("active", 0), ("asleep", 40)):
            c.wait(lambda: watch_once(c, told[name], name, tokens[name]) and len(told[name].members) == n,
                   f"{n} members of {name}")
            self.assertEqual(told[name].members, listed(c, f"segment({name})"))


class CrashTest(unittest.TestCase):
    """kill -9 of nodes and routers in the middle of an import, with checkpoints all the time, and a consumer
    that is killed as well and goes on from its token."""

    def setUp(self):
        limits = "limits: {checkpoint_seconds: 1}\n"
        self.cluster = Cluster(nodes=2, shards=4, routers=2, schema=SCHEMA, limits=limits).start()
        self.addCleanup(self.cluster.stop)
        self.token = os.path.join(self.cluster.folder, "token")
        self.told = Consumer()
        self.rng = random.Random(int(os.environ.get("ONEID_WATCH_SEED", "1")))

    def changes(self, n):
        """Mostly changes of membership, of few persons; now and then two of them turn out to be one."""
        events = []
        for _ in range(n):
            person, other = self.rng.randrange(300), self.rng.randrange(300)
            e = tagged(person, "vip", self.rng.random() < 0.6)
            e["add"] = {"points": self.rng.randrange(-3, 5)}
            if self.rng.random() < 0.03:
                e["ids"]["openid"] = [f"o{other}"]
            events.append(e)
        path = os.path.join(self.cluster.folder, "changes.jsonl")
        with open(path, "w", encoding="utf-8") as f:
            f.writelines(json.dumps(e) + "\n" for e in events)
        return path

    def consume_some(self):
        """Follows for a few lines and is then killed: its token may be older than what it has told."""
        p = subprocess.Popen([f"{BIN}/oneidctl", "watch", "vips", "-c", self.cluster.file, "--json", "--token-file", self.token],
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        lines = self.rng.randrange(1, 400)
        for line in p.stdout:
            self.told.take(line)
            lines -= 1
            if lines == 0:
                p.kill()  # what it had printed is read all the same: its token may cover it
                break
        for line in p.stdout:
            if line.endswith("\n"):
                self.told.take(line)
        p.wait()
        p.stdout.close()

    def test_kills_lose_nothing(self):
        c = self.cluster
        c.ctl("segment", "define", "vips", "tag(vip) and points >= 2")
        watch_once(c, self.told, "vips", self.token, "--from", "start")
        path = self.changes(int(os.environ.get("ONEID_WATCH_EVENTS", "12000")))
        importer = c.importer(path)
        for _ in range(10):
            self.consume_some()
            victim = self.rng.choice(["node-1", "node-2", "router-1", "router-2"])
            c.kill(victim)
            kind, number = victim.split("-")
            (c.start_node if kind == "node" else c.start_router)(int(number))
            if importer.poll() is not None:
                break
        importer.communicate(timeout=600)
        if importer.returncode != 0:  # gave up at its deadline: the same file again, and nothing counts twice
            c.wait_serving()
            c.wait(lambda: c.ctl("import", path, check=False).returncode == 0, "the changes are in")
        c.wait(lambda: c.stats()["merging"] == 0, "no merge in flight")
        c.wait(lambda: not c.ctl("watch", "vips", "--once", "--token-file", self.token + ".x", check=False).returncode,
               "all shards answer")
        watch_once(c, self.told, "vips", self.token)
        self.assertEqual(self.told.members, listed(c, "segment(vips)"))
        self.assertGreater(self.told.events, 1000)
        for key in c.logs:
            self.assertNotIn("index_rebuild", c.log(key))


if __name__ == "__main__":
    unittest.main(verbosity=2)
