"""Load for the benches over HTTP: keep-alive clients in one thread that prepares nothing on the way.

Every client is a socket that sends its next request as soon as the answer to the last one is whole.
One turn costs about 20 µs, so that the server, not this process, is what is measured.
"""

import math
import os
import select
import socket
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_TICK_S = os.sysconf("SC_CLK_TCK")
_TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class Slice:
    """What one slice of load gave: answers a second, server CPU each (µs), waits (ms)."""

    rate: float
    cpu_us: float
    median_ms: float
    p99_ms: float


def run_slice(
    port: int, pid: int, make_request: Callable[[], bytes], *, clients: int, seconds: float
) -> Slice:
    """Keep ``clients`` requests under way for ``seconds``; raise unless every answer is a 202."""
    waiting: dict[int, _Client] = {}
    poll = select.epoll()
    for _ in range(clients):
        client = _Client(port)
        waiting[client.socket.fileno()] = client
        poll.register(client.socket, select.EPOLLIN)
    cpu_s, start = read_cpu_s(pid), time.perf_counter()
    end = start + seconds
    waits: list[float] = []
    for client in waiting.values():
        client.send(make_request())
    while waiting:
        ready = poll.poll(_TIMEOUT_S)
        if not ready:
            raise RuntimeError("the server gives no answer")
        for number, _ in ready:
            client = waiting[number]
            if not client.receive():
                continue
            now = time.perf_counter()
            waits.append(now - client.sent_at)
            if now < end:
                client.send(make_request())
            else:
                poll.unregister(client.socket)
                waiting.pop(number).socket.close()
    taken_s = time.perf_counter() - start
    waits.sort()
    return Slice(
        rate=len(waits) / taken_s,
        cpu_us=(read_cpu_s(pid) - cpu_s) / len(waits) * 1e6,
        median_ms=statistics.median(waits) * 1e3,
        p99_ms=waits[math.ceil(len(waits) * 0.99) - 1] * 1e3,
    )


def make_head(path: str, length: int, **headers: str) -> bytes:
    """Return the head of a POST of ``length`` bytes of JSON."""
    lines = [f"POST {path} HTTP/1.1", "Host: bench", "Content-Type: application/json"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, f"Content-Length: {length}", "", ""]).encode()


def read_cpu_s(pid: int) -> float:
    """Return the CPU, user and system, that a process has spent."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK_S


class _Client:
    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sent_at = 0.0
        self._received = b""
        self._missing = 0

    def send(self, request: bytes) -> None:
        self.sent_at = time.perf_counter()
        self.socket.sendall(request)

    def receive(self) -> bool:
        """Read on; return whether the answer is whole."""
        data = self.socket.recv(262_144)
        if not data:
            raise RuntimeError("the server closed the connection")
        if self._missing:
            self._missing -= len(data)
            return self._missing == 0
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found:
            return False
        if not head.startswith(b"HTTP/1.1 202"):
            raise RuntimeError(self._received[:1000].decode(errors="replace"))
        at = head.lower().index(b"content-length:") + 15
        self._missing = int(head[at:].split(b"\r\n", 1)[0]) - len(body)
        self._received = b""
        return self._missing == 0
