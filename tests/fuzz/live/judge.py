"""What a run of the fuzzer has to show. Looks at its figures only, so that it can be tested."""

# Memory of a process at the end against the middle of the run, when all its buffers have been in use:
# the load goes on and adds profiles all the while, hence something for growth.
RSS_FACTOR, RSS_MORE_KB = 1.15, 20 << 10
FDS_MORE = 24
FORGED_TERM = 1000000000  # as live/forge.h
RARE = ("oversized", "once", "forged", "impostor")  # not by all peers, or not in each short run


def memory(key, middle_kb, end_kb):
    bound = middle_kb * RSS_FACTOR + RSS_MORE_KB
    return [] if end_kb <= bound else [f"{key}: memory grew from {middle_kb} KB in the middle to {end_kb} KB"]


def process(key, p):
    found = memory(key, p["rss_middle_kb"], p["rss_end_kb"])
    if p["fds_end"] > p["fds_start"] + FDS_MORE:
        found.append(f"{key}: {p['fds_start']} descriptors before, {p['fds_end']} after")
    if p["term"] >= FORGED_TERM:
        found.append(f"{key}: a forged message of Raft was believed")
    if p["health"] != 200:
        found.append(f"{key}: /healthz says {p['health']}")
    for counter in ("bad_handshake", "unknown_key", "denied", "refused"):
        if p[counter] == 0:
            found.append(f"{key}: nothing was counted as {counter}")
    return found


def peer(name, h):
    found = [f"{name}: {h[what]} answers were {what}" for what in ("unreadable", "granted") if h[what]]
    if (h["answers"] == 0) != (name == "unlisted"):
        found.append(f"{name}: {h['answers']} answers")
    if name != "unlisted" and h["denied"] == 0:
        found.append(f"{name}: nothing was denied")
    unsaid = [how for how, n in h["sent"].items() if n == 0 and how not in RARE]
    if name.startswith("node") and h["sent"]["forged"] == 0:
        unsaid.append("forged")
    return found + [f"{name}: nothing was sent {how}" for how in unsaid]


def once(sent, acked, counted):
    """Events that were sent again and again: each acknowledged one is in, none twice."""
    found = [f"once: person {i} has {c} points, {a} acknowledged, {s} sent"
             for i, (s, a, c) in enumerate(zip(sent, acked, counted)) if not a <= c <= s]
    return found if sum(acked) else found + ["once: nothing was acknowledged"]


def ledger(end):
    found = [f"ledger: {what} {end[what]}" for what in ("lost", "double", "unread", "stale") if end[what]]
    return found if end["acked"] else found + ["ledger: nothing was acknowledged"]


def judge(r):
    """Complaints about the result of a run; none: it is well."""
    found = [f"{key} ended by itself" for key in r["died"]]
    if r["unwell"]:
        found.append(f"oneidctl check: {r['unwell']}")
    found += ledger(r["ledger"])
    found += once(r["once"]["sent"], r["once"]["acked"], r["once"]["counted"])
    for key, p in r["processes"].items():
        found += process(key, p)
    for name, h in r["peers"].items():
        found += peer(name, h)
    if r["intruders"]:
        found.append(f"{r['intruders']} profiles were written by a key that may only read")
    found += [f"leaked: {where}" for where in r["leaks"]]
    found += [f"on the way: nothing was harmed by {harm}" for harm, n in r["harmed"].items() if n == 0]
    return found
