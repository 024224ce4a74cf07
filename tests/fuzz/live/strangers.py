"""Strangers without a key: what anybody who reaches a port can do to it."""
import random
import socket
import struct
import threading
import time

GREETING = b"\xff" + b"\0" * 7 + b"\x01" + b"\x7f"


def greeting(mechanism, minor=0, as_server=0):
    return GREETING + bytes([3, minor]) + mechanism.ljust(20, b"\0") + bytes([as_server]) + b"\0" * 31


def frame(flags, body, length=None):
    n = len(body) if length is None else length
    if flags & 2:
        return bytes([flags]) + struct.pack(">Q", n & (1 << 64) - 1) + body
    return bytes([flags, n & 255]) + body


def noise(rng, n):
    return rng.randbytes(n)


def connect_and_say(port, data):
    """What is answered until the other side ends the connection, or says nothing for a while."""
    heard = b""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
        try:
            s.sendall(data)
            s.settimeout(2)
            while piece := s.recv(1 << 16):
                heard += piece
        except OSError:
            pass
    return heard


# --- ports that speak ZMTP; each returns what is sent, piece by piece ---

def garbage(rng, _):
    yield noise(rng, rng.randrange(1, 5000))


def half_greeting(rng, _):
    whole = greeting(rng.choice([b"CURVE", b"NULL", b"PLAIN", noise(rng, 20)]), rng.randrange(3), rng.randrange(2))
    yield whole[:rng.randrange(len(whole) + 1)]


def old_versions(rng, _):
    yield rng.choice([b"\x01\x00", b"\xff" + b"\0" * 8 + b"\x7f" + bytes([rng.randrange(4), rng.randrange(12)]), b"\x05\x00hello"])
    yield noise(rng, rng.randrange(64))


def null_mechanism(rng, _):
    yield greeting(b"NULL")
    yield frame(4, b"\x05READY\x0bSocket-Type\0\0\0\x06DEALER\x08Identity\0\0\0\0")
    yield frame(0, b"O1\x01\x01" + noise(rng, 28))


def plain_mechanism(rng, _):
    yield greeting(b"PLAIN")
    yield frame(4, b"\x05HELLO\x05admin\x05admin")
    yield frame(4, b"\x08INITIATE")


def unknown_mechanism(rng, _):
    yield greeting(rng.choice([b"GSSAPI", b"CURVEZMQ", b"curve", noise(rng, 20)]))
    yield frame(4, noise(rng, rng.randrange(255)))


def curve_hello(rng):
    hello = b"\x05HELLO\x01\x00" + b"\0" * 72 + noise(rng, 32) + struct.pack(">Q", 1) + noise(rng, 80)
    assert len(hello) == 200
    return hello


def curve_handshake(rng, _):
    """As far as one gets without the server's public key, and on from there."""
    yield greeting(b"CURVE")
    hello = bytearray(curve_hello(rng))
    for _ in range(rng.randrange(4)):
        hello[rng.randrange(len(hello))] ^= 1 << rng.randrange(8)
    yield frame(4, bytes(hello[:rng.randrange(201)] if rng.random() < 0.3 else hello))
    yield frame(4, b"\x08INITIATE" + noise(rng, rng.choice([0, 10, 96, 248, 300])))
    yield frame(rng.choice([0, 1, 4]), b"\x07MESSAGE" + noise(rng, 60))


def wrong_lengths(rng, _):
    yield greeting(b"CURVE")
    yield frame(rng.choice([2, 6]), noise(rng, 50),
                rng.choice([0, 1, 1 << 20, (64 << 20) + 1, 1 << 31, 1 << 32, 1 << 63, (1 << 64) - 1]))
    yield noise(rng, 500)


def large_command(rng, _):
    """A command of a handshake that is as large as a message may be."""
    yield greeting(b"CURVE")
    yield frame(6, b"", 4 << 20)
    for _ in range(64):
        yield b"\0" * (64 << 10)


def many_commands(rng, _):
    yield greeting(b"CURVE")
    yield b"".join(frame(4, curve_hello(rng)) for _ in range(50))


def said_again(rng, recordings):
    """What a client said to the router, on a connection of its own: whole, cut, or in another order."""
    said = recordings()
    if not said:
        return
    data, way = rng.choice(said), rng.randrange(4)
    if way == 1:
        data = data[:rng.randrange(len(data))]
    elif way == 2:
        at = rng.randrange(len(data))
        data = data[:64] + data[at:] + data[64:at]
    elif way == 3:
        at = rng.randrange(len(data))
        data = data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1:]
    yield data


ZMTP = [garbage, half_greeting, old_versions, null_mechanism, plain_mechanism, unknown_mechanism, curve_handshake, wrong_lengths,
        large_command, many_commands, said_again]


# --- ports that speak HTTP ---

def get(path, more=b""):
    return b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n" + more + b"\r\n"


def http_garbage(rng, _):
    yield noise(rng, rng.randrange(1, 5000))


def http_lawful(rng, _):
    yield get(rng.choice([b"/metrics", b"/healthz", b"/", b"/../../etc/passwd", b"/%00", b"/metrics?x=" + b"a" * 5000]))


def http_large_headers(rng, _):
    yield get(b"/metrics", b"".join(b"X-%d: %s\r\n" % (i, b"y" * rng.randrange(2000)) for i in range(100)))


def http_endless_header(rng, _):
    yield b"GET /" + b"a" * rng.choice([100, 20000, 200000])
    yield b"b" * 100000


def http_pipeline(rng, _):
    yield get(b"/healthz") * 100


def http_methods(rng, _):
    yield rng.choice([b"POST", b"PUT", b"DELETE", b"TRACE", b"CONNECT", b"\0\0\0", b"G" * 3000]) + b" /metrics HTTP/1.1\r\nHost: x\r\n"
    yield rng.choice([b"Content-Length: -1\r\n\r\n", b"Content-Length: 99999999999999999999\r\n\r\n", b"Content-Length: 100000\r\n\r\n",
                      b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"])
    yield noise(rng, 2000)


def http_versions(rng, _):
    yield rng.choice([b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET /metrics\r\n\r\n", b"GET /metrics HTTP/9.9\r\n\r\n", b"\r\n" * 1000,
                      b"GET /metrics HTTP/1.1\n\n", greeting(b"CURVE")])


def http_slow(rng, _):
    for c in get(b"/metrics")[:rng.randrange(30)]:
        yield bytes([c])
        time.sleep(0.05)


HTTP = [http_garbage, http_lawful, http_large_headers, http_endless_header, http_pipeline, http_methods, http_versions, http_slow]


class Strangers:
    """Threads that do this to all ports until they are stopped."""

    def __init__(self, zmtp_ports, http_ports, seed, recordings, crowd):
        self.seed, self.recordings, self.crowd = seed, recordings, crowd
        self.stopping = False
        self.lock = threading.Lock()
        self.counts = {}
        jobs = [(self._attack, zmtp_ports, ZMTP)] * 3 + [(self._attack, http_ports, HTTP)] * 2 + [(self._crowd, zmtp_ports + http_ports, None)]
        self.threads = [threading.Thread(target=job, args=(random.Random(f"{seed}-{i}"), ports, list_), daemon=True)
                        for i, (job, ports, list_) in enumerate(jobs)]
        for t in self.threads:
            t.start()

    def close(self):
        self.stopping = True
        for t in self.threads:
            t.join()

    def _count(self, what, n=1):
        with self.lock:
            self.counts[what] = self.counts.get(what, 0) + n

    def _attack(self, rng, ports, attacks):
        while not self.stopping:
            attack = rng.choice(attacks)
            try:
                with socket.create_connection(("127.0.0.1", rng.choice(ports)), timeout=2) as s:
                    for piece in attack(rng, self.recordings):
                        s.sendall(piece)
                    if rng.random() < 0.7:
                        s.settimeout(rng.uniform(0.01, 0.3))
                        s.recv(1 << 16)
            except OSError:
                pass  # being thrown out is what is expected
            self._count(attack.__name__)
            time.sleep(rng.uniform(0, 0.03))

    def _crowd(self, rng, ports, _):
        """Many connections at a time, that say little, or slowly, or nothing."""
        held = []
        while not self.stopping:
            port, n = rng.choice(ports), rng.choice([10, self.crowd // 4, self.crowd])
            for _ in range(n):
                try:
                    held.append(socket.create_connection(("127.0.0.1", port), timeout=0.2))
                except OSError:
                    break
            self._count("crowd", n)
            what = greeting(b"CURVE")
            for i in range(rng.randrange(30)):
                if self.stopping:
                    break
                for s in held[:200]:
                    try:
                        s.send(what[i:i + 1])
                    except OSError:
                        pass
                time.sleep(0.1)
            for s in held:
                s.close()
            held = []
