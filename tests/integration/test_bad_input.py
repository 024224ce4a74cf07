"""Bad input: a clear error that says what and where, and nothing lost."""
import json
import os
import random
import shutil
import socket
import subprocess
import tempfile
import unittest

from harness import BIN, IDENTITIES, Cluster, ClusterTest, free_ports

GOOD = '{"message_id":"good-%d","ids":{"openid":"g%d"},"add":{"points":1}}'


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


class ImportTest(ClusterTest):
    options = {"nodes": 1, "shards": 2}

    def test_bad_lines_are_refused_with_line_and_reason_and_the_others_go_on(self):
        bad = [
            b'{"message_id":"x","ids":{"openid":"a"}',                          # broken JSON
            b'[1,2]',                                                           # not an object
            b'{"message_id":"x","ids":{"openid":true}}',                        # wrong type
            b'{"message_id":"x","ids":{"fax":"1"}}',                            # unknown namespace
            b'{"message_id":"x","ids":{"openid":"a"},"traits":{"nope":"1"}}',   # unknown trait
            b'{"message_id":"x","ids":{"openid":"a"},"colour":1}',              # unknown key
            b'{"message_id":"x","ids":{"openid":"a"},"message_id":"y"}',        # doubled key
            b'{"message_id":"x","ids":{"openid":"null"}}',                      # blocked, nothing left
            b'{"message_id":"x","ids":{}}',                                     # nobody
            b'{"ids":{"openid":"a"}}',                                          # no message_id
            b'{"message_id":"x","ids":{"openid":"\xff\xfe"}}',                  # not UTF-8
            b'{"message_id":"x","ids":{"openid":"a"},"traits":{"city":"' + b"z" * (1 << 20) + b'"}}',  # 1 MiB line
            b'{"message_id":"x","ids":{"openid":"a"},"ts":"yesterday"}',
            b'{"message_id":"x","ids":{"openid":"a"},"add":{"points":1.5}}',
            b'{"message_id":"x","ids":{"openid":"a"},"event":{"name":"fly"}}',
            b'{"message_id":"x","ids":{"openid":"a"},"event":{"name":"order","amount":"much"}}',
        ]
        path = os.path.join(self.cluster.folder, "in.jsonl")
        rejects = os.path.join(self.cluster.folder, "rejects.jsonl")
        with open(path, "wb") as f:
            for i, line in enumerate(bad):
                f.write((GOOD % (i, i)).encode() + b"\n" + line + b"\n")
            f.write((GOOD % (len(bad), len(bad))).encode())  # no newline at the end
        self.cluster.ctl("import", path, "--rejects", rejects)
        with open(rejects, encoding="utf-8") as f:
            rows = [json.loads(line) for line in f]
        self.assertEqual(sorted(r["line"] for r in rows), [2 * i + 2 for i in range(len(bad))])
        for r in rows:
            self.assertTrue(r["reason"], r["line"])
        self.assertEqual(os.stat(rejects).st_mode & 0o777, 0o600)
        self.assertEqual(self.cluster.stats()["events"], len(bad) + 1)
        self.assertEqual(self.cluster.count("points = 1"), len(bad) + 1)
        self.assertEqual(self.cluster.ctl("import", path, check=False).returncode, 1)  # nobody took the rejects

    def test_bad_expressions_name_the_column(self):
        for expr, says in [("tag(", "column 5"), ("points >= ", "column"), ("citi = \"x\"", "citi"), ("points = \"x\"", "column"),
                           ("", "column"), ("count(order, 9999d) > 1", "column"), ("(" * 5000, "column")]:
            out = self.cluster.ctl("count", expr, check=False)
            self.assertEqual(out.returncode, 1, expr[:20])
            self.assertIn(says, out.stderr, expr[:20])
        self.assertEqual(self.cluster.ctl("count", "tag(x) or " * 7000 + "true", check=False).returncode, 1)

    def test_monstrous_expressions_are_refused_with_a_column(self):
        numbers = "points in (" + ",".join(map(str, range(1000, 11000))) + ")"
        for expr, text in [(" " * 70000 + "true", "column 1: expected at most 65536 bytes"),
                           ("(" * 100000 + "true" + ")" * 20000, "column 1: expected at most 65536 bytes"),
                           ("(" * 30000 + "true" + ")" * 30000, "levels of nesting"), ("not " * 16000 + "true", "levels of nesting"),
                           (numbers, "at most 4096 terms"), ("true or " * 8000 + "true", "at most 4096 terms"),
                           ("segment(nobody)", "column 1: unknown saved segment"),
                           ("points = 上海", "column 10"), ("tag(a) and nothing", "column 12")]:
            for args in (["count", expr], ["list", expr], ["breakdown", expr, "--by", "city"], ["count", expr, "--explain"],
                         ["segment", "define", "x", expr], ["segment", "overlap", "true", expr], ["export", expr]):
                out = self.cluster.ctl(*args, check=False)
                self.assertEqual(out.returncode, 1, (args[0], expr[:30]))
                self.assertIn("column ", out.stderr, (args[0], expr[:30]))
                self.assertIn(text, out.stderr, (args[0], expr[:30]))
        self.assertEqual(self.cluster.json("segment", "list")["segments"], [])
        self.cluster.ctl("segment", "define", "big", " or ".join(["tag(a)"] * 4000))
        self.cluster.ctl("segment", "define", "big1", " or ".join(["segment(big)"] * 4))
        out = self.cluster.ctl("segment", "define", "big2", " or ".join(["segment(big1)"] * 4), check=False)
        self.assertIn("at most 50000 terms", out.stderr)
        self.assertEqual(self.cluster.count("segment(big1)"), 0)

    def test_wrong_usage_is_status_2(self):
        for args in (["nothing"], ["count"], ["get"], ["list", "true", "--limit", "x"], ["import"]):
            self.assertEqual(self.cluster.ctl(*args, check=False).returncode, 2, args)
        out = self.cluster.ctl("get", "openid:nobody", check=False)
        self.assertEqual(out.returncode, 1)

    def test_random_bytes_on_every_port_change_nothing(self):
        rng = random.Random(5)
        self.cluster.events([{"message_id": "before", "ids": {"openid": "a"}}])
        greeting = bytes.fromhex("ff00000000000000017f03004e554c4c" + "00" * 48)
        ready = b"\x04\x26\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER\x08Identity\x00\x00\x00\x00"
        for port in self.cluster.node_ports + self.cluster.router_ports:
            for round in range(60):
                with socket.create_connection(("127.0.0.1", port)) as s:
                    try:
                        if round % 2:  # a ZeroMQ peer that speaks, then garbage in frames
                            s.sendall(greeting + ready)
                        for _ in range(8):
                            body = rng.randbytes(rng.randrange(1, 250))
                            if round % 4 == 3:
                                body = b"1O\x01" + body  # nearly an envelope
                            s.sendall(bytes([0, len(body)]) + body if round % 2 else body)
                    except (BrokenPipeError, ConnectionResetError):
                        pass
        self.cluster.events([{"message_id": "after", "ids": {"openid": "a"}}])
        self.assertEqual(self.cluster.stats()["events"], 2)


class StartTest(unittest.TestCase):
    def setUp(self):
        self.cluster = Cluster(nodes=1, shards=2)
        self.addCleanup(self.cluster.stop)

    def node(self, *extra, config=None):
        return subprocess.run([f"{BIN}/oneid-node", "-c", config or self.cluster.file, "-n", "1", *extra],
                              capture_output=True, text=True, timeout=120)

    def test_port_in_use(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", self.cluster.node_ports[0]))
            s.listen()
            out = self.node()
        self.assertEqual(out.returncode, 1)
        self.assertIn(str(self.cluster.node_ports[0]), out.stderr)
        with socket.socket() as s:
            s.bind(("127.0.0.1", self.cluster.router_ports[0]))
            s.listen()
            out = subprocess.run([f"{BIN}/oneid-router", "-c", self.cluster.file, "-r", "1"], capture_output=True,
                                 text=True, timeout=120)
        self.assertEqual(out.returncode, 1)
        self.assertIn(str(self.cluster.router_ports[0]), out.stderr)

    def test_second_process_on_one_folder(self):
        self.cluster.start()
        text = read(self.cluster.file)
        port = free_ports(1)[0]
        other = os.path.join(self.cluster.folder, "other.yml")
        with open(other, "w", encoding="utf-8") as f:
            f.write(text.replace(str(self.cluster.node_ports[0]), str(port)))
        out = self.node(config=other)
        self.assertEqual(out.returncode, 1)
        self.assertIn("another oneid-node", out.stderr)

    def test_folder_of_another_cluster_and_other_shards(self):
        self.cluster.start()
        self.cluster.terminate("router-1")
        self.cluster.terminate("node-1")
        text = read(self.cluster.file)
        for change, says in [(("cluster: test", "cluster: other"), "another cluster"), (("shards: 2", "shards: 3"), "shards")]:
            with open(self.cluster.file, "w", encoding="utf-8") as f:
                f.write(text.replace(*change))
            out = self.node()
            self.assertEqual(out.returncode, 1)
            self.assertIn(says, out.stderr)
        with open(self.cluster.file, "w", encoding="utf-8") as f:
            f.write(text)
        self.cluster.start()

    def with_node_2(self, port):
        good = read(self.cluster.file)
        return good.replace("routers:", f'  - {{id: 2, listen: "tcp://127.0.0.1:{port}"}}\nrouters:', 1)

    def test_a_node_added_to_the_file_alone_holds_nothing(self):
        self.cluster.start()
        self.cluster.events([{"ids": {"openid": f"p{i}"}} for i in range(100)])
        self.cluster.terminate("router-1")
        self.cluster.node_ports = self.cluster.node_ports + free_ports(1)
        text = self.with_node_2(self.cluster.node_ports[1])
        with open(self.cluster.file, "w", encoding="utf-8") as f:
            f.write(text)
        self.cluster.start_node(2)
        self.cluster.wait(lambda: "formed as=joiner" in self.cluster.log("node-2"), "node 2 sees that there is a cluster")
        self.cluster.start_router(1)
        self.cluster.wait_serving()
        self.assertEqual(self.cluster.count("true"), 100)
        self.cluster.terminate("node-1")  # with the new file, too
        self.cluster.start_node(1)
        self.cluster.wait_serving()
        self.assertEqual(self.cluster.count("true"), 100)
        self.assertFalse([n for n in os.listdir(os.path.join(self.cluster.folder, "data", "node-2")) if n.startswith("shard")])

    def test_nodes_with_other_files_do_not_found_a_cluster(self):
        """They would deal the shards in two ways, and lead some twice."""
        self.cluster.node_ports = self.cluster.node_ports + free_ports(1)
        text = self.with_node_2(self.cluster.node_ports[1])
        lines = text.splitlines()
        at = next(i for i, line in enumerate(lines) if "{id: 1, listen" in line)
        turned = lines[:at] + [lines[at + 1], lines[at]] + lines[at + 2:]
        good, self.cluster.file = self.cluster.file, os.path.join(self.cluster.folder, "turned.yml")
        with open(good, "w", encoding="utf-8") as f:
            f.write(text)
        with open(self.cluster.file, "w", encoding="utf-8") as f:
            f.write("\n".join(turned))
        self.cluster.start_node(2)
        self.cluster.file = good
        self.cluster.start_node(1)
        for key in ("node-1", "node-2"):
            self.cluster.wait(lambda k=key: "cluster_file_differs" in self.cluster.log(k), f"{key} says so")
        self.assertNotIn("formed", self.cluster.log("node-1"))
        self.cluster.terminate("node-2")
        self.cluster.start_node(2)
        self.cluster.start_router(1)
        self.cluster.wait_serving()

    def test_cluster_file_with_a_mistake_in_each_section(self):
        good = read(self.cluster.file)
        for old, new in [("cluster: test", "cluster: Te st"), ("shards: 2", "shards: many"), ("replicas: 1", "replicas: 3"),
                         ("{id: 1, listen: \"tcp", "{id: 1, lisen: \"tcp"), ("timezone: Asia/Shanghai", "timezone: Mars/Base"),
                         ("limit: 1000", "limit: -1"), ("type: date", "type: dat"), ("max_per_profile: 200", "max_per_profile: no"),
                         ("metrics: [count, sum(amount)]", "metrics: [count, sum(amout)]"), ("by: growth", "by: nothing"),
                         ("routers:", "router:")]:
            self.assertIn(old, good)
            with open(self.cluster.file, "w", encoding="utf-8") as f:
                f.write(good.replace(old, new, 1))
            for out in (self.node(), self.cluster.ctl("count", "true", check=False)):
                self.assertEqual(out.returncode, 1, new)
                self.assertRegex(out.stderr, r"cluster\.yml:\d+:\d+: ", new)
        with open(self.cluster.file, "w", encoding="utf-8") as f:
            f.write(good)

    def test_a_damaged_state_file_is_refused_or_stops_the_node(self):
        self.cluster.start()
        self.cluster.events([{"ids": {"openid": f"p{i}"}, "traits": {"city": "x" * 50}} for i in range(2000)])
        self.cluster.terminate("router-1")
        self.cluster.terminate("node-1")
        path = os.path.join(self.cluster.folder, "data/node-1/shard-0/data.mdb")
        whole = os.path.getsize(path)
        keep = path + ".keep"
        shutil.copy(path, keep)
        with open(path, "r+b") as f:
            f.truncate(whole // 2)
        out = self.node()
        self.assertEqual(out.returncode, 1)
        self.assertIn("data.mdb", out.stderr)
        shutil.copy(keep, path)
        self.cluster.start()
        self.assertEqual(self.cluster.count("true"), 2000)


@unittest.skipUnless(os.geteuid() == 0, "needs root to mount a small file system: skipped")
class DiskFullTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="oneid-full-")
        self.addCleanup(shutil.rmtree, self.folder, True)
        try:
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "none", self.folder], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            self.skipTest("no file system can be mounted here: skipped")
        self.addCleanup(subprocess.run, ["umount", "-l", self.folder])
        self.cluster = Cluster(nodes=1, shards=2, folder=self.folder, limits="limits: {memtable_mb: 1}\n", schema=IDENTITIES +
                               "traits:\n  - {name: points, type: counter}\n  - {name: city, type: string}\n")
        self.addCleanup(self.cluster.stop)

    def test_full_disk_refuses_writes_and_goes_on_when_there_is_room(self):
        self.cluster.start()
        self.cluster.events([{"message_id": "first", "ids": {"openid": "a"}, "add": {"points": 1}}])
        ballast = os.path.join(self.folder, "ballast")
        with open(ballast, "wb") as f:
            try:
                while True:
                    f.write(b"x" * 65536)
                    f.flush()
            except OSError:
                pass
        big = [{"message_id": f"big-{i}", "ids": {"openid": f"b{i}"}, "traits": {"city": "y" * 1000}} for i in range(2000)]
        out = self.cluster.events(big, check=False)
        self.assertIn("disk_full", self.cluster.log("node-1"))
        self.assertEqual(out.returncode, 1)
        self.assertEqual(self.cluster.json("get", "openid:a")["counters"]["points"], 1)  # reads go on
        os.unlink(ballast)
        self.cluster.events(big[:1000])
        self.assertEqual(self.cluster.json("get", "openid:a")["counters"]["points"], 1)

    def test_a_node_told_to_end_while_only_its_state_is_full_ends_in_order(self):
        state = os.path.join(self.folder, "data/node-1/shard-0")
        os.makedirs(state, mode=0o700)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", state], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", state])
        subprocess.run(["mount", "-o", "remount,size=200m", self.folder], check=True)
        self.cluster.start()
        path = os.path.join(self.folder, "in.jsonl")
        with open(path, "w", encoding="utf-8") as f:
            for i in range(20000):
                f.write(json.dumps({"message_id": f"m{i}", "ids": {"openid": f"p{i}"}, "traits": {"city": "y" * 1000}}) + "\n")
        importer = self.cluster.importer(path)
        self.cluster.wait(lambda: "what=checkpoint" in self.cluster.log("node-1"), "a checkpoint that does not fit")
        self.cluster.terminate("node-1")  # with status 0, and what was acknowledged is in the log
        subprocess.run(["mount", "-o", "remount,size=200m", state], check=True)
        self.cluster.start_node(1)
        self.cluster.finish([importer])
        self.assertEqual(self.cluster.count("true"), 20000)
        self.assertEqual(self.cluster.ctl("check").returncode, 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
