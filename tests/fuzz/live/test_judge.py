"""What a run of the fuzzer shows is judged: each figure that is not as it should be is named, and nothing else."""
import json
import unittest

from judge import judge

PROCESS = {"rss_middle_kb": 50000, "rss_end_kb": 60000, "fds_start": 60, "fds_end": 62, "term": 9, "health": 200,
           "bad_handshake": 1, "unknown_key": 1, "denied": 1, "refused": 1}
PEER = {"unreadable": 0, "granted": 0, "answers": 5, "denied": 2, "sent": {"valid": 3, "flipped": 2, "forged": 1, "oversized": 0}}
WELL = {"died": [], "unwell": "", "intruders": 0, "leaks": [], "harmed": {"flip": 1},
        "ledger": {"lost": 0, "double": 0, "unread": 0, "stale": 0, "acked": 10},
        "once": {"sent": [3, 2], "acked": [2, 2], "counted": [3, 2]}, "processes": {"node-1": PROCESS},
        "peers": {"node-2": PEER, "unlisted": dict(PEER, answers=0, denied=0)}}
# Where in the result, what is put there, and a part of the complaint.
WRONG = [
    (("died",), ["node-1"], "node-1 ended"), (("unwell",), "shard 3: no leader", "no leader"), (("intruders",), 1, "only read"),
    (("leaks",), ["an identity in node-1.log"], "node-1.log"), (("harmed", "flip"), 0, "flip"), (("ledger", "lost"), 1, "lost"),
    (("ledger", "double"), 1, "double"), (("ledger", "unread"), 1, "unread"), (("ledger", "stale"), 1, "stale"),
    (("ledger", "acked"), 0, "nothing was acknowledged"), (("once", "counted"), [1, 2], "person 0"), (("once", "counted"), [3, 3], "person 1"),
    (("once", "acked"), [0, 0], "nothing was acknowledged"), (("processes", "node-1", "rss_end_kb"), 120000, "memory grew"),
    (("processes", "node-1", "fds_end"), 600, "descriptors"), (("processes", "node-1", "term"), 1000000001, "forged"),
    (("processes", "node-1", "health"), 503, "healthz"), (("processes", "node-1", "bad_handshake"), 0, "bad_handshake"),
    (("processes", "node-1", "unknown_key"), 0, "unknown_key"), (("processes", "node-1", "denied"), 0, "denied"),
    (("processes", "node-1", "refused"), 0, "refused"), (("peers", "node-2", "unreadable"), 1, "unreadable"),
    (("peers", "node-2", "granted"), 1, "granted"), (("peers", "node-2", "answers"), 0, "0 answers"),
    (("peers", "node-2", "denied"), 0, "nothing was denied"), (("peers", "node-2", "sent", "forged"), 0, "forged"),
    (("peers", "node-2", "sent", "flipped"), 0, "flipped"), (("peers", "unlisted", "answers"), 1, "1 answers"),
]


class JudgeTest(unittest.TestCase):
    def test_a_good_run_is_good(self):
        self.assertEqual(judge(WELL), [])

    def test_each_wrong_figure_is_named(self):
        for path, value, text in WRONG:
            result = json.loads(json.dumps(WELL))
            at = result
            for key in path[:-1]:
                at = at[key]
            at[path[-1]] = value
            found = judge(result)
            self.assertEqual(len(found), 1, f"{path}: {found}")
            self.assertIn(text, found[0])


if __name__ == "__main__":
    unittest.main(verbosity=2)
