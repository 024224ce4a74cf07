"""Keys, roles, limits: who gets through, who does not, and what is left behind of it."""
import json
import os
import re
import stat
import subprocess
import time
import unittest

from harness import BIN, Cluster


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


class SecuredTest(unittest.TestCase):
    options = {"nodes": 2, "shards": 2}

    def setUp(self):
        self.cluster = Cluster(secure=True, **self.options).start()
        self.addCleanup(self.cluster.stop)
        self.keys = os.path.join(self.cluster.folder, "keys")
        self.allowed = os.path.join(self.keys, "allowed")

    # --- keys and the list ---

    def write_allowed(self, text):
        """As an editor should: in one go."""
        with open(self.allowed + ".new", "w", encoding="utf-8", opener=lambda p, f: os.open(p, f, 0o600)) as f:
            f.write(text)
        os.rename(self.allowed + ".new", self.allowed)

    def make_key(self, name, roles, out=None, limits=""):
        """A key pair; its line, which is not on the list yet."""
        args = ["keygen", "--name", name, "--roles", roles] + (["--out", out] if out else [])
        printed = self.cluster.ctl(*args).stdout
        line = printed.splitlines()[-1] + limits
        self.assertEqual(line.split()[1:3], [roles, name])
        return line + "\n"

    def reloads(self, key):
        return self.cluster.log(key).count("allowed_keys_read")

    def allow(self, text):
        """Changes the list, and waits until every process has read it."""
        before = {k: self.reloads(k) for k in self.cluster.processes}
        self.write_allowed(text)
        self.cluster.wait(lambda: all(self.reloads(k) > n for k, n in before.items()), "the list is read anew")

    def allow_more(self, *lines):
        self.allow(read(self.allowed) + "".join(lines))

    def as_key(self, name, *args, check=False, **kw):
        return self.cluster.ctl(args[0], "--key", f"{self.keys}/{name}.key", *args[1:], check=check, **kw)

    def refused(self, out, text):
        self.assertEqual(out.returncode, 1, out.stdout + out.stderr)
        self.assertIn(text, out.stderr)


class SecurityTest(SecuredTest):
    # --- who gets through ---

    def test_strangers_are_refused_logged_and_told(self):
        self.cluster.events([{"ids": {"phone": "13800138000"}, "tags": ["vip"]}])
        self.make_key("mallory", "admin")
        out = self.as_key("mallory", "get", "phone:13800138000", "--deadline", "2000")
        self.refused(out, "does not allow this client's key")
        self.assertEqual(out.stdout, "")
        fingerprint = re.search(r"key_unknown fingerprint=([0-9a-f]{20}) ", self.cluster.log("router-1"))
        self.assertIsNotNone(fingerprint)
        # Plain text, and a missing key.
        plain = os.path.join(self.cluster.folder, "plain.yml")
        with open(plain, "w", encoding="utf-8") as f:
            f.write(read(self.cluster.file).replace("security: {keys: ./keys}", "security: none"))
        out = subprocess.run([f"{BIN}/oneidctl", "stats", "-c", plain, "--deadline", "1000"], capture_output=True, text=True)
        self.assertEqual((out.returncode, out.stdout), (1, ""))
        out = self.as_key("nobody", "stats")
        self.refused(out, "nobody.key: cannot be opened")
        # The wrong server: node 1 sits where router 1 is expected.
        out = self.cluster.ctl("stats", "--router", f"tcp://127.0.0.1:{self.cluster.node_ports[0]}", "--server-key",
                               f"{self.keys}/router-1.pub", "--key", f"{self.keys}/admin.key", "--deadline", "1500", check=False)
        self.refused(out, "is not the router that the key is known of")
        # Clients are no nodes, whatever their role.
        out = self.cluster.ctl("stats", "--router", f"tcp://127.0.0.1:{self.cluster.node_ports[0]}", "--server-key",
                               f"{self.keys}/node-1.pub", "--key", f"{self.keys}/admin.key", "--deadline", "1500", check=False)
        self.refused(out, "the key's role does not allow this")
        self.assertIn("role_denied", self.cluster.log("node-1"))
        # A router by its public key alone, without the cluster file.
        out = self.cluster.ctl("count", "tag(vip)", "--server-key", f"{self.keys}/router-1.pub", "--key",
                               f"{self.keys}/admin.key", router=1)
        self.assertIn("1", out.stdout)

    def test_each_role_may_what_it_may_and_admins_are_noted(self):
        self.allow_more(self.make_key("ann", "reader"), self.make_key("shop", "writer"), self.make_key("boss", "admin"))
        event = json.dumps({"message_id": "m", "ids": {"phone": "13800138000"}, "tags": ["vip"]}) + "\n"
        self.assertNotEqual(self.as_key("ann", "import", "-", data=event).returncode, 0)
        self.assertEqual(self.cluster.count("true"), 0)
        self.as_key("shop", "import", "-", data=event, check=True)
        for reader in ["ann", "shop", "boss"]:
            self.assertIn("vip", self.as_key(reader, "get", "phone:13800138000", check=True).stdout)
            self.as_key(reader, "count", "tag(vip)", check=True)
        for reader in ["ann", "shop"]:
            self.refused(self.as_key(reader, "segment", "define", "loyal", "tag(vip)"), "needs a key with the role admin")
            self.refused(self.as_key(reader, "export", "true"), "needs a key with the role admin")
        self.as_key("boss", "segment", "define", "loyal", "tag(vip)", check=True)
        self.as_key("boss", "export", "true", "--ids", "phone", check=True)
        self.as_key("boss", "segment", "drop", "loyal", check=True)
        self.refused(self.as_key("boss", "segment", "drop", "loyal"), "not found")
        path = os.path.join(self.cluster.folder, "data", "router-1.audit.jsonl")
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        noted = [json.loads(line) for line in read(path).splitlines()]
        self.assertEqual([(n["name"], n["action"], n.get("segment"), n["outcome"]) for n in noted],
                         [("ann", "segment_define", "loyal", "DENIED"), ("ann", "export", None, "DENIED"),
                          ("shop", "segment_define", "loyal", "DENIED"), ("shop", "export", None, "DENIED"),
                          ("boss", "segment_define", "loyal", "OK"), ("boss", "export", None, "OK"),
                          ("boss", "segment_drop", "loyal", "OK"), ("boss", "segment_drop", "loyal", "NOT_FOUND")])
        self.assertNotIn("13800138000", read(path) + self.cluster.log("router-1") + self.cluster.log("node-1"))
        self.assertTrue(all(re.fullmatch("[0-9a-f]{20}", n["fingerprint"]) for n in noted))

    def test_a_key_that_is_taken_away_gets_nothing_more_although_connected(self):
        self.allow_more(self.make_key("ann", "reader"))
        self.cluster.ctl("segment", "define", "vips", "tag(vip)")
        watch = subprocess.Popen([f"{BIN}/oneidctl", "watch", "vips", "-c", self.cluster.file, "--key", f"{self.keys}/ann.key", "--json",
                                  "--from", "start"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(watch.kill)
        self.cluster.events([{"ids": {"openid": "o1"}, "tags": ["vip"]}])
        while "one_id" not in watch.stdout.readline():
            self.assertIsNone(watch.poll())
        self.allow("".join(line + "\n" for line in read(self.allowed).splitlines() if not line.endswith(" ann")))
        self.cluster.events([{"message_id": "after", "ids": {"openid": "o2"}, "tags": ["vip"]}])
        out, err = watch.communicate(timeout=120)
        self.assertEqual(watch.returncode, 1)
        self.assertNotIn("one_id", out)
        self.assertIn("not allowed", err)

    def test_a_damaged_list_changes_nothing_and_is_named(self):
        good = read(self.allowed)
        self.write_allowed(good + "what is this\n")
        where = f"{self.allowed}:{len(good.splitlines()) + 1}:1: expected a public key"
        for key in ["node-1", "node-2", "router-1"]:
            self.cluster.wait(lambda key=key: where in self.cluster.log(key), f"{key} names the mistake")
        # A tool that reads the list says the same; what knows the router's key goes on.
        self.refused(self.cluster.ctl("stats", check=False), where)
        self.cluster.ctl("import", "-", "--server-key", f"{self.keys}/router-1.pub", "--key", f"{self.keys}/admin.key", router=1,
                         data='{"message_id":"m","ids":{"openid":"o1"}}\n')
        self.allow("# mended\n" + good)
        self.assertEqual(self.cluster.count("true"), 1)

    def test_a_router_that_is_not_trusted_gets_nothing_of_nodes(self):
        self.cluster.events([{"ids": {"openid": "o1"}}])
        good = read(self.allowed)
        self.allow("".join(line + "\n" for line in good.splitlines() if not line.endswith(" router-1")))
        self.cluster.wait(lambda: "key_revoked" in self.cluster.log("node-1"), "node 1 refuses router 1")
        self.allow(good)
        self.cluster.wait_serving()
        self.assertEqual(self.cluster.count("true"), 1)

    # --- limits ---

    def test_a_key_has_its_bounds(self):
        self.allow_more(self.make_key("slow", "writer", limits=" requests_per_second=100 in_flight=30"),
                        self.make_key("small", "writer", limits=" message_kb=1"))
        lines = "".join(json.dumps({"message_id": f"m{i}", "ids": {"openid": f"o{i}"}}) + "\n" for i in range(300))
        began = time.monotonic()
        self.as_key("slow", "import", "-", "--in-flight", "60", data=lines, check=True)
        self.assertGreater(time.monotonic() - began, 1.5)  # a limit, not a figure: 300 at 100 a second and a burst of 100
        self.assertIn("key_over_its_limit", self.cluster.log("router-1"))
        self.assertEqual(self.cluster.count("true"), 300)
        big = json.dumps({"message_id": "big", "ids": {"openid": "o1"}, "tags": ["t" * 50 + str(i) for i in range(40)]}) + "\n"
        out = self.as_key("small", "import", "-", data=big)
        self.assertNotEqual(out.returncode, 0)
        self.assertIn("a message of the key small has at most 1 KiB", out.stdout + out.stderr)

    # --- files ---

    def test_files_are_for_the_owner_alone(self):
        self.cluster.events([{"ids": {"openid": "o1"}, "tags": ["vip"]}])
        self.cluster.ctl("segment", "define", "vips", "tag(vip)")
        self.cluster.terminate("node-1")  # which writes what it has
        for top in ["data", "keys"]:
            for folder, _, files in os.walk(os.path.join(self.cluster.folder, top)):
                self.assertEqual(stat.S_IMODE(os.stat(folder).st_mode), 0o700, folder)
                for name in files:
                    path = os.path.join(folder, name)
                    self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600, path)

    def test_keygen_makes_what_is_missing_and_replaces_nothing(self):
        before = {name: read(os.path.join(self.keys, name)) for name in os.listdir(self.keys)}
        self.assertEqual(sorted(before), sorted(["allowed"] + [f"{n}.{end}" for n in ["node-1", "node-2", "router-1", "admin"]
                                                               for end in ["key", "pub"]]))
        self.assertEqual(self.cluster.ctl("keygen", "--all").stdout, "")
        self.assertEqual({name: read(os.path.join(self.keys, name)) for name in os.listdir(self.keys)}, before)
        out = self.cluster.ctl("keygen", "--name", "node-1", check=False)
        self.refused(out, "node-1.key: is there already, and is not replaced")
        # On another machine, which has its own keys and the list.
        os.rename(f"{self.keys}/node-2.key", f"{self.cluster.folder}/node-2.key")
        self.cluster.ctl("keygen", "--all")
        self.assertFalse(os.path.exists(f"{self.keys}/node-2.key"))
        os.chmod(f"{self.keys}/admin.key", 0o644)
        self.refused(self.cluster.ctl("stats", check=False), "others may read this secret key")


class RotationTest(SecuredTest):
    options = {"nodes": 2, "shards": 2, "routers": 2}

    def test_keys_of_servers_change_without_an_error(self):
        """Old and new on the list; the new file in its place; a restart; the old line goes."""
        lines = "".join(json.dumps({"message_id": f"m{i}", "ids": {"openid": f"o{i}"}}) + "\n" for i in range(5000))
        source = os.path.join(self.cluster.folder, "events.jsonl")
        with open(source, "w", encoding="utf-8") as f:
            f.write(lines)
        # That nothing fails is what counts here, not how long a busy machine takes for it.
        importer = subprocess.Popen([f"{BIN}/oneidctl", "import", "-c", self.cluster.file, "--deadline", "180000", "--in-flight", "64",
                                     source], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(importer.kill)
        new = os.path.join(self.cluster.folder, "new")
        old = read(self.allowed)
        names = ["node-1", "node-2", "router-1", "router-2"]
        self.allow(old + "".join(self.make_key(name, "node", out=new) for name in names))
        for name in names:
            os.rename(f"{new}/{name}.key", f"{self.keys}/{name}.key")
            self.cluster.terminate(name)
            getattr(self.cluster, f"start_{name[:-2]}")(int(name[-1]))
            self.cluster.wait(lambda name=name: self.cluster.log(name).count(" serving pid=") == 2, f"{name} serves again")
        self.cluster.wait_serving()
        self.cluster.finish([importer])
        gone = [line for line in old.splitlines() if line.split()[2] in names]
        self.allow("".join(line + "\n" for line in read(self.allowed).splitlines() if line not in gone))
        self.cluster.wait_serving()
        self.assertEqual(self.cluster.count("true"), 5000)
        self.assertNotIn("key_revoked", "".join(self.cluster.log(name) for name in names))


if __name__ == "__main__":
    unittest.main(verbosity=2)
