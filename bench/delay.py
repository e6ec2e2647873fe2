"""A TCP proxy that delays every byte both ways, for a round trip of so many milliseconds.

Run: python -m bench.delay PORT TARGET_PORT ROUND_TRIP_MS
"""

import asyncio
import sys
from typing import cast

import uvloop


class End(asyncio.Protocol):
    """One side of a connection; what it hears the other side says later."""

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self._loop = asyncio.get_running_loop()
        self.other: End | None = None
        self.transport: asyncio.Transport
        self._early: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Have the other side say it when its time has come."""
        self._loop.call_later(self._delay_s, self._pass_on, data)

    def _pass_on(self, data: bytes) -> None:
        if self.other is None:
            self._early.append(data)
        elif not self.other.transport.is_closing():
            self.other.transport.write(data)

    def meet(self, other: "End") -> None:
        """Join two sides."""
        self.other = other
        for data in self._early:
            self._pass_on(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """End the other side too, behind what is still on its way."""
        if self.other is not None:
            self._loop.call_later(self._delay_s, self.other.transport.close)


async def serve(port: int, target_port: int, round_trip_ms: float) -> None:
    """Serve for ever."""
    loop = asyncio.get_running_loop()
    tasks: set[asyncio.Task[None]] = set()

    async def reach(near: End) -> None:
        _, far = await loop.create_connection(build, "127.0.0.1", target_port)
        near.meet(far)
        far.meet(near)

    def build() -> End:
        return End(round_trip_ms / 2000)

    def accept() -> End:
        near = build()
        task = loop.create_task(reach(near))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        return near

    server = await loop.create_server(accept, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
