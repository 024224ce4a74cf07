"""A TCP proxy before a router that harms what passes: flips bits, repeats, drops and cuts off pieces.

It keeps what clients said, to be said again by strangers, and to be searched for plain text.
"""
import random
import select
import socket
import threading
import time

KEEP_BYTES, KEEP = 64 << 10, 8
HARMS = ("flip", "repeat", "drop", "cut")


class Middle:
    def __init__(self, port, seed, every_s):
        self.to, self.every_s = port, every_s
        self.rng = random.Random(seed)
        self.lock = threading.Lock()
        self.harmed = dict.fromkeys(HARMS, 0)
        self.connections = 0
        self.said = []  # of the last connections, what their clients said first
        self.secret, self.leaks = b"", 0
        self.stopping = False
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(64)
        self.listener.settimeout(0.2)
        self.port = self.listener.getsockname()[1]
        self.threads = [threading.Thread(target=self._accept, daemon=True)]
        self.threads[0].start()

    def look_for(self, secret):
        """Plain text that must not be seen on the way."""
        self.secret = secret

    def recordings(self):
        with self.lock:
            return [bytes(s) for s in self.said if len(s) > 300]

    def close(self):
        self.stopping = True
        for t in self.threads:
            t.join()
        self.listener.close()

    def _accept(self):
        while not self.stopping:
            try:
                client, _ = self.listener.accept()
            except (TimeoutError, socket.timeout):
                continue
            t = threading.Thread(target=self._serve, args=(client, self.rng.randrange(1 << 30)), daemon=True)
            self.threads.append(t)
            t.start()

    def _record(self):
        with self.lock:
            self.connections += 1
            self.said.append(bytearray())
            del self.said[:-KEEP]
            return self.said[-1]

    def _serve(self, client, seed):
        rng, said = random.Random(seed), self._record()
        try:
            server = socket.create_connection(("127.0.0.1", self.to), timeout=10)
        except OSError:
            client.close()
            return
        with client, server:
            self._pass_all(rng, said, client, server)

    def _pass_all(self, rng, said, client, server):
        harm_at = time.monotonic() + rng.uniform(0.05, 2 * self.every_s)
        tails = {client: b"", server: b""}
        while not self.stopping:
            for s in select.select([client, server], [], [], 0.1)[0]:
                try:
                    data = s.recv(1 << 16)
                except OSError:
                    return
                if not data:
                    return
                self._look(tails, s, data)
                if s is client and len(said) < KEEP_BYTES:
                    said.extend(data)
                harm = None
                if time.monotonic() > harm_at:
                    harm, harm_at = rng.choice(HARMS), harm_at + 2 * self.every_s
                if not self._pass(rng, data, server if s is client else client, harm):
                    return

    def _look(self, tails, s, data):
        seen = tails[s] + data
        if self.secret and self.secret in seen:
            self.leaks += 1
        tails[s] = seen[-max(1, len(self.secret) - 1):]

    def _pass(self, rng, data, to, harm):
        """False: the connection was cut."""
        if harm:
            with self.lock:
                self.harmed[harm] += 1
        if harm == "flip":
            at = rng.randrange(len(data))
            data = data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1:]
        elif harm == "repeat":
            data += data
        elif harm == "drop":
            data = b""
        elif harm == "cut":
            data = data[:rng.randrange(len(data))]
        try:
            to.settimeout(10)
            to.sendall(data)
        except OSError:
            return False
        return harm != "cut"
