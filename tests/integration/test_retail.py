"""Online Retail end to end: exact numbers after each pass, again, after kill -9 of everything, and with
four importers at once through two routers."""
import random
import unittest

import retail
from harness import Cluster


def write(path, lines):
    with open(path, "w", encoding="utf-8") as f:
        f.writelines(line + "\n" for line in lines)
    return path


@unittest.skipUnless(retail.find(), "the Online Retail data is not here (set ONEID_RETAIL_CSV): skipped")
class RetailTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.orders, cls.links = retail.lines(retail.find())

    def setUp(self):
        self.cluster = Cluster(routers=2).start()
        self.addCleanup(self.cluster.stop)
        self.folder = self.cluster.folder

    def total_quantity(self):
        """Sum of `qty` over all profiles, by counting: the breakdown gives members by value."""
        groups = self.cluster.json("breakdown", "true", "--by", "qty")["groups"]
        return sum(int(g["value"]) * g["count"] for g in groups if g["value"] is not None)

    def check_first(self):
        self.assertEqual(self.cluster.stats()["profiles"], 25900)
        self.assertEqual(self.cluster.count("true"), 25900)
        self.assertEqual(self.total_quantity(), 5176450)

    def check_second(self):
        stats = self.cluster.stats()
        self.assertEqual(stats["profiles"], 8082)
        self.assertEqual(stats["events"], len(self.orders) + len(self.links))
        self.assertEqual(stats["identities"], 25900 + 4372)
        self.assertEqual(stats["refused"], 0)
        self.assertEqual(self.total_quantity(), 5176450)
        self.assertEqual(self.cluster.count("qty >= 1000"), 1171)
        self.assertEqual(self.cluster.count("qty < 0"), 1558)
        self.assertEqual(self.cluster.count("has(customer)"), 4372)
        self.assertEqual(self.cluster.ctl("check", check=False).returncode, 0)

    def test_two_passes_then_the_same_again(self):
        orders = write(f"{self.folder}/orders.jsonl", self.orders)
        links = write(f"{self.folder}/links.jsonl", self.links)
        self.cluster.ctl("import", orders)
        self.check_first()
        self.cluster.ctl("import", links)
        self.check_second()
        self.cluster.ctl("import", orders)
        self.cluster.ctl("import", links)
        self.check_second()

    def test_kill_of_everything_in_the_middle(self):
        path = write(f"{self.folder}/all.jsonl", self.orders + self.links)
        importer = self.cluster.importer(path)
        self.cluster.wait(lambda: self.cluster.stats()["events"] > 250000, "the middle of the import")
        for key in list(self.cluster.processes):
            self.cluster.kill(key)
        importer.kill()
        importer.communicate()
        self.cluster.start()
        self.cluster.ctl("import", path)
        self.check_second()

    def test_four_importers_in_shuffled_order(self):
        lines = self.orders + self.links
        random.Random(1).shuffle(lines)
        paths = [write(f"{self.folder}/part-{i}.jsonl", lines[i::4]) for i in range(4)]
        self.cluster.finish([self.cluster.importer(p, router=1 + i % 2) for i, p in enumerate(paths)])
        self.check_second()


if __name__ == "__main__":
    unittest.main(verbosity=2)
