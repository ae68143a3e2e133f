"""What takes a minute: hosts that are blocked for so long, and a herd that comes back.

run.py [--seconds N] [--herd COUNT]

All parts run at the same time. See README.md for what they show.
"""

import argparse
import asyncio
import base64
import hashlib
import json
import os
import socket
import struct
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
SERVER = "target/release/longwire-test-server"
HERD = "build/endurance/herd"
BLOCKED: dict[str, list[str]] = {
    "Python": [sys.executable, str(HERE / "blocked.py")],
    "Node": ["node", str(HERE / "blocked.mjs")],
}

#: What the server sends a blocked program, and how it treats one that is silent.
MESSAGES = 600
PING_MS, PATIENCE_MS = 1000, 2000
#: Seconds for everything that does not depend on a wait of the clients.
SLACK = 30.0

#: Beside its bound a buffer costs what its messages cost in Python (1 MiB is decoded ahead),
#: and what the allocator keeps.
STOPPED_SLACK = 8 << 20

#: A connection that lived so many seconds is stable.
STABLE_AFTER = 5.0
#: A quarter of the range may hold so much of the herd: 250 of 1,000 with a deviation of 14,
#: so that more than five deviations off are a defect.
SHARE = (0.18, 0.32)
#: The same for arrivals, which may be a little late.
ARRIVALS = (0.12, 0.40)


class Failed(Exception):
    """Something was not as it has to be."""


def environment() -> dict[str, str]:
    """Return an environment in which a proxy of the developer's has no say."""
    return {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}


@asynccontextmanager
async def program(command: Sequence[str]) -> AsyncIterator[Process]:
    """Run ``command``, and see to it that it ends with the block."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=PIPE, stdout=PIPE, cwd=ROOT, env=environment(), limit=1 << 20
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def line(process: Process, limit: float, what: str) -> str:
    """Return the next line of a program."""
    assert process.stdout is not None
    try:
        async with asyncio.timeout(limit):
            text = await process.stdout.readline()
    except TimeoutError:
        raise Failed(f"{what}: nothing for {limit:.0f} s") from None
    if not text:
        raise Failed(f"{what}: it ended")
    return text.decode().strip()


async def blocked(language: str, ws: str, seconds: float) -> str:
    """Block a program of ``language`` and see what is left of its connection."""
    url = (
        f"{ws}/pinger?interval_ms={PING_MS}&timeout_ms={PATIENCE_MS}"
        f"&messages={MESSAGES}&spread_ms={seconds * 1000:.0f}"
    )
    command = [*BLOCKED[language], url, str(seconds), str(MESSAGES)]
    async with program(command) as process:
        report = json.loads(await line(process, seconds + SLACK, f"blocked {language}"))
    word, pings, pongs = report["verdict"].split()
    # The latest ping may still be on its way.
    answered = int(pongs) >= seconds - 2 and int(pings) - int(pongs) <= 1
    if (word, report["in_order"], report["reconnects"]) != (
        "alive",
        MESSAGES,
        0,
    ) or not answered:
        raise Failed(
            f"blocked {language}: expected the first connection and all messages: {report}"
        )
    return (
        f"{language} blocked for {seconds:.0f} s: {MESSAGES} of {MESSAGES} messages in order, "
        f"{pongs} of {pings} pings answered, 0 reconnects"
    )


async def stopped(ws: str, seconds: float) -> str:
    """Have a reader stop under a flood, and a sender meet a peer that takes nothing."""
    flood = f"{ws}/push?count=100000000&size=1000"
    command = [sys.executable, str(HERE / "stopped.py"), flood, f"{ws}/stall", str(seconds)]
    async with program(command) as process:
        report = json.loads(await line(process, seconds + SLACK, "stopped"))
    told = []
    for who, what in [("reader", "reads nothing of a flood"), ("sender", "is read by nobody")]:
        grown, bound = report[who]["grown"], report[who]["bound"]
        if grown > bound + STOPPED_SLACK:
            raise Failed(f"who {what} grew by {grown} bytes, with a bound of {bound}: {report}")
        told.append(f"who {what} grew by {grown / 2**20:.1f} MiB (bound {bound / 2**20:.0f})")
    if not report["reader"]["in_order"]:
        raise Failed(f"stopped: messages out of order: {report}")
    return f"Python stopped for {seconds:.0f} s: {'; '.join(told)}"


class Pasture:
    """A server that does nothing but let a herd in and throw it out."""

    def __init__(self) -> None:
        self.here: set[asyncio.StreamWriter] = set()
        self.arrivals: list[float] = []

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        self.arrivals.append(time.monotonic())
        key = next(
            header.split(b":", 1)[1].strip()
            for header in request.split(b"\r\n")
            if header.lower().startswith(b"sec-websocket-key:")
        )
        guid = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key + guid, usedforsecurity=False).digest())
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        self.here.add(writer)
        # What a client says is a close frame, or a heartbeat that nobody here answers.
        while (said := await reader.read(4096)) and said[0] & 0x0F != 8:
            pass
        self.here.discard(writer)
        writer.close()

    def reset_all(self) -> None:
        for writer in list(self.here):
            linger = struct.pack("ii", 1, 0)
            raw = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
        self.here.clear()

    def restart_all(self) -> None:
        for writer in list(self.here):
            writer.write(b"\x88\x02" + struct.pack("!H", 1012))


def spread(values: Sequence[float], low: float, high: float) -> list[float]:
    """Return which share of ``values`` lies in each quarter of the range."""
    quarters = [0, 0, 0, 0]
    for value in values:
        quarters[min(3, max(0, int(4 * (value - low) / (high - low))))] += 1
    return [quarter / len(values) for quarter in quarters]


@dataclass(frozen=True)
class Loss:
    """A way to throw out a herd, and the waits that the law names for it."""

    what: str
    code: int
    low: int
    high: int
    #: Whether the range is wide enough for a busy machine to keep to it.
    by_the_clock: bool
    throw_out: Callable[[Pasture], None]


#: The ranges are those of docs/reconnecting.md, in milliseconds.
LOSSES = (
    Loss("reset at once", 0, 250, 500, False, Pasture.reset_all),
    Loss("closed at once with 1012", 1012, 5_000, 30_000, True, Pasture.restart_all),
)


async def stampede(herd: Process, pasture: Pasture, count: int, loss: Loss) -> str:
    """Throw all clients out at once, and see how they come back."""
    low, high = loss.low, loss.high
    pasture.arrivals.clear()
    begun = time.monotonic()
    loss.throw_out(pasture)
    waits: list[int] = []
    while (told := await line(herd, high / 1000 + SLACK, "herd")) != "open":
        word, code, wait = told.split(maxsplit=2)
        if word != "down" or int(code) != loss.code:
            raise Failed(f"{loss.what}: expected down {loss.code}, got {told}")
        waits.append(int(wait))
    arrivals = [1000 * (arrival - begun) for arrival in pasture.arrivals]
    if len(waits) != count or len(arrivals) != count:
        raise Failed(f"{loss.what}: {len(waits)} losses, {len(arrivals)} arrivals of {count}")
    if min(waits) < low or max(waits) > high:
        raise Failed(f"{loss.what}: waits of {min(waits)} to {max(waits)} ms")
    shares = spread(waits, low, high)
    checks = [("waits", shares, SHARE)]
    if loss.by_the_clock:
        checks.append(("arrivals", spread(arrivals, low, high), ARRIVALS))
    for name, seen, (least, most) in checks:
        if min(seen) < least or max(seen) > most:
            raise Failed(f"{loss.what}: {name} in the quarters of {low} to {high} ms: {seen}")
    quarters = " ".join(f"{100 * share:.0f}" for share in shares)
    return (
        f"{count} clients {loss.what}: waits of {min(waits)} to {max(waits)} ms, "
        f"{quarters} % in the quarters of {low} to {high}; "
        f"back after {min(arrivals):.0f} to {max(arrivals):.0f} ms"
    )


async def come_back(count: int) -> list[str]:
    """Lose a whole herd twice."""
    pasture = Pasture()
    server = await asyncio.start_server(pasture.accept, "127.0.0.1", 0, backlog=4096)
    host, port = server.sockets[0].getsockname()
    try:
        async with program([HERD, f"ws://{host}:{port}/", str(count)]) as herd:
            if (told := await line(herd, SLACK, "herd")) != "open":
                raise Failed(f"herd: expected open, got {told}")
            results = []
            for loss in LOSSES:
                # Only the loss of a stable connection begins the back-off anew.
                await asyncio.sleep(STABLE_AFTER)
                results.append(await stampede(herd, pasture, count, loss))
    finally:
        server.close()
    return results


@asynccontextmanager
async def test_server() -> AsyncIterator[str]:
    async with program([SERVER, "--stdin-guard"]) as process:
        yield json.loads(await line(process, SLACK, "the test server"))["ws"]


async def run(seconds: float, count: int) -> int:
    async with test_server() as ws:
        parts: list[Awaitable[str | list[str]]] = [blocked(name, ws, seconds) for name in BLOCKED]
        parts += [stopped(ws, seconds), come_back(count)]
        results = await asyncio.gather(*parts, return_exceptions=True)
    failed = 0
    for result in results:
        if isinstance(result, Failed):
            failed += 1
            print(f"FAILED {result}")
        elif isinstance(result, BaseException):
            raise result
        else:
            print("\n".join([result] if isinstance(result, str) else result))
    print(f"\n{len(results) - failed} passed, {failed} failed")
    return 1 if failed else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--herd", type=int, default=1000)
    options = parser.parse_args()
    return asyncio.run(run(options.seconds, options.herd))


if __name__ == "__main__":
    sys.exit(main())
