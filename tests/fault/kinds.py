"""The kinds of faults. Each harms the cluster, waits, and heals it; `w` has cluster, wire, rng."""
import json
import signal
import time

from world import CLOCK_NODE, DISK_NODE, HOSTS, ROUTERS


def some_node(w):
    return f"node-{w.rng.choice(w.cluster.members)}"


def others(key):
    return [h for h in HOSTS if h != key]


def pause(w, least, most):
    time.sleep(w.rng.uniform(least, most))


def kill(w):
    """kill -9 of a node, which is started again after up to three seconds."""
    key = some_node(w)
    w.say(key)
    w.cluster.kill(key)
    pause(w, 0, 3)
    w.cluster.start_key(key)


def wipe(w):
    """A node loses its folder: it is killed, and starts with an empty one."""
    key = some_node(w)
    w.say(key)
    w.cluster.kill(key)
    w.cluster.wipe(key)
    w.cluster.start_key(key)


def stop(w):
    """A node stands still (SIGSTOP) and goes on."""
    key = some_node(w)
    w.say(key)
    w.cluster.processes[key].send_signal(signal.SIGSTOP)
    pause(w, 0.5, 6)
    w.cluster.processes[key].send_signal(signal.SIGCONT)


def rolling(w):
    """Every node is ended by SIGTERM and started again, one after the other."""
    for i in w.cluster.members:
        key = f"node-{i}"
        w.cluster.terminate(key)
        w.cluster.start_key(key)
        w.wait_healthy()


def replace(w):
    """The node that the cluster has not takes the place of one of its, which may be dead; and somebody is killed meanwhile."""
    c = w.cluster
    old, new = w.rng.choice(c.members), c.spare
    is_dead, disturbed = w.rng.random() < 0.3, w.rng.random() < 0.5
    w.say(f"{old}{' (dead)' if is_dead else ''} by {new}")
    c.name_nodes(c.members + [new])
    c.start_node(new)
    if is_dead:
        c.kill(f"node-{old}")
    task = json.loads(c.ctl("node", "replace", str(old), str(new), "--json").stdout)["task"]
    if disturbed:
        pause(w, 0, 1)
        key = f"node-{w.rng.choice([n for n in c.members + [new] if not (is_dead and n == old)])}"
        w.say(f"kill {key}")
        c.kill(key)
        pause(w, 0, 2)
        c.start_key(key)
    c.wait(lambda: json.loads(c.ctl("node", "task", str(task), "--json").stdout)["state"] == "done", f"task {task} is done")
    if not is_dead:
        c.terminate(f"node-{old}")
    c.wipe(f"node-{old}")
    c.members = sorted(set(c.members) - {old} | {new})
    c.spare = old
    c.name_nodes(c.members)


def router(w):
    """kill -9 of a router, which is started again."""
    key = f"router-{w.rng.randint(1, ROUTERS)}"
    w.say(key)
    w.cluster.kill(key)
    pause(w, 0, 3)
    w.cluster.start_key(key)


def cut(w):
    """A node is cut off from everybody, in both directions."""
    key = some_node(w)
    w.say(key)
    for o in others(key):
        w.wire.cut(key, o)
        w.wire.cut(o, key)
    pause(w, 1, 6)
    w.wire.heal()


def cut_peers(w):
    """A node is cut off from the other nodes; routers still reach it."""
    key = some_node(w)
    w.say(key)
    for o in others(key):
        if o.startswith("node-"):
            w.wire.cut(key, o)
            w.wire.cut(o, key)
    pause(w, 1, 6)
    w.wire.heal()


def one_way(w):
    """What a node sends is lost, or what is sent to it."""
    key, out = some_node(w), w.rng.random() < 0.5
    w.say(f"{key} {'out' if out else 'in'}")
    for o in others(key):
        w.wire.cut(*((key, o) if out else (o, key)))
    pause(w, 1, 6)
    w.wire.heal()


def slow(w):
    """Packets of a node take long, and some are lost."""
    key = some_node(w)
    delay, jitter, loss = w.rng.randint(1, 60), w.rng.randint(0, 40), w.rng.randint(0, 50)
    w.say(f"{key} {delay}+{jitter}ms {loss / 10}%")
    for o in others(key):
        w.wire.slow(key, o, delay, jitter, loss)
        w.wire.slow(o, key, delay, jitter, loss)
    pause(w, 3, 8)
    w.wire.heal()


def disk(w):
    """The disk of a node is full for a while."""
    w.say(f"node-{DISK_NODE}{'' if DISK_NODE in w.cluster.members else ' (not in the cluster)'}")
    w.cluster.fill_disk()
    pause(w, 2, 6)
    w.cluster.free_disk()


def clock(w):
    """The wall clock of a node jumps ahead or back, by up to an hour."""
    seconds = w.rng.choice([-1, 1]) * int(10 ** w.rng.uniform(0, 3.55))
    w.say(f"node-{CLOCK_NODE} {seconds:+d}s")
    w.cluster.set_clock(seconds)
    pause(w, 3, 6)
    w.cluster.set_clock(0)


NEED_WIRE = {"cut": cut, "cut_peers": cut_peers, "one_way": one_way, "slow": slow}
NEED_DISK = {"disk": disk}
NEED_CLOCK = {"clock": clock}
NEED_NOTHING = {"kill": kill, "wipe": wipe, "stop": stop, "rolling": rolling, "replace": replace, "router": router}
ALL = NEED_NOTHING | NEED_WIRE | NEED_DISK | NEED_CLOCK
