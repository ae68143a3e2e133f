"""What a connection costs when one process holds 10,000 of them.

    run.py [--json FILE] [--sizes N,N] [--idle SECONDS] [--only NAME]

Each client is a program, called as ``PROGRAM URL COUNT``: it opens COUNT connections to
URL/hub, at most 256 handshakes at a time, prints ``{"connected": COUNT, "seconds": S}``,
then answers each line of its standard input with a line of JSON: ``memory`` with what is
resident (``rss``, ``pss``) in bytes, ``cpu`` with the seconds of CPU time that the process
used, ``broadcast`` with the ``seconds`` from the sending of 64 bytes by one connection
until all have them, and ``end``, after which it ends. ``BENCH_CA`` names the CA for wss.

Memory per connection is what n connections have more than one, divided by n - 1. CPU time
is that of one interval of the heartbeat (20 s, the same for every client that has one),
in which each idle connection pings once.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pathlib
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[2]
PYTHON = ".local/bench-venv/bin/python"
HEARTBEAT = 20.0
SIZES = (100, 1_000, 10_000)
#: Over TLS the handshakes take most of the time.
SECURE_SIZES = (1_000, 10_000)
#: What a process has open besides its connections.
OTHER_DESCRIPTORS = 100


@dataclass(frozen=True)
class Client:
    name: str
    command: tuple[str, ...]
    #: Open files per connection; a few are shared by many.
    descriptors: float
    heartbeat: bool = True
    #: The aim for the memory of a connection, in KiB, over ws and over wss.
    aims: tuple[float, float] | None = None


CLIENTS = (
    Client("longwire C", ("build/bench/scale/c",), 1, aims=(8, 40)),
    Client("tokio-tungstenite", ("target/release/scale",), 1, heartbeat=False),
    Client("longwire Python", (PYTHON, "bench/scale/longwire_asyncio.py"), 2.05, aims=(16, 40)),
    Client("websockets", (PYTHON, "bench/scale/peer_websockets.py"), 1),
    Client("longwire Node", ("node", "bench/scale/longwire_node.mjs"), 2.05, aims=(16, 40)),
    Client("ws", ("node", "bench/scale/peer_ws.mjs"), 1, heartbeat=False),
)


@dataclass(frozen=True)
class Row:
    client: str
    scheme: str
    count: int
    #: Bytes of resident memory per connection.
    memory: float
    #: The aim for it in bytes, for longwire.
    aim: float | None
    heartbeat: bool
    #: Microseconds of CPU time per connection and second, while idle.
    idle_cpu: float
    connect_seconds: float
    broadcast_seconds: float


@dataclass(frozen=True)
class Opponent:
    ws: str
    wss: str
    ca: str


@contextlib.contextmanager
def opponent() -> Iterator[Opponent]:
    with subprocess.Popen(
        ["build/bench/opponent"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    ) as server:
        assert server.stdin
        assert server.stdout
        yield Opponent(**json.loads(server.stdout.readline()))
        server.stdin.close()


class Crowd:
    """A running program with its connections."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.connect_seconds: float = self._answer()["seconds"]

    def ask(self, command: str) -> dict[str, Any]:
        assert self._process.stdin
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args!r} ended, with {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextlib.contextmanager
def crowd(client: Client, scheme: str, count: int) -> Iterator[Crowd]:
    # A server of its own for each: connections that linger in TIME_WAIT block no port then.
    with opponent() as server:
        url = server.wss if scheme == "wss" else server.ws
        with subprocess.Popen(
            [*client.command, url, str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=os.environ | {"BENCH_CA": server.ca},
        ) as process:
            running = Crowd(process)
            yield running
            running.ask("end")


def measure(client: Client, scheme: str, count: int, alone: float, idle: float) -> Row:
    with crowd(client, scheme, count) as running:
        # What the handshakes left is given back or not, but not in this moment.
        time.sleep(1)
        resident = running.ask("memory")["rss"]
        begun, before = time.monotonic(), running.ask("cpu")["cpu"]
        time.sleep(idle)
        used = running.ask("cpu")["cpu"] - before
        passed = time.monotonic() - begun
        broadcast = min(running.ask("broadcast")["seconds"] for _ in range(3))
        return Row(
            client=client.name,
            scheme=scheme,
            count=count,
            memory=(resident - alone) / (count - 1),
            aim=client.aims[scheme == "wss"] * 1024 if client.aims else None,
            heartbeat=client.heartbeat,
            idle_cpu=used / passed / count * 1e6,
            connect_seconds=running.connect_seconds,
            broadcast_seconds=broadcast,
        )


def alone(client: Client, scheme: str) -> float:
    with crowd(client, scheme, 1) as running:
        time.sleep(1)
        running.ask("broadcast")
        return float(running.ask("memory")["rss"])


def rows(clients: list[Client], sizes: list[int], idle: float) -> Iterator[Row]:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    for scheme in ("ws", "wss"):
        for client in clients:
            single = alone(client, scheme)
            for count in sizes:
                if scheme == "wss" and count not in SECURE_SIZES:
                    continue
                most = int((limit - OTHER_DESCRIPTORS) / client.descriptors)
                fitting = count if count <= most else most // 100 * 100
                if fitting < count:
                    print(
                        f"{client.name}: {fitting:,} connections instead of {count:,}: each has "
                        f"{client.descriptors} descriptors, and {limit:,} is the limit",
                        file=sys.stderr,
                    )
                row = measure(client, scheme, fitting, single, idle)
                print(line(cells(row)), file=sys.stderr, flush=True)
                yield row


HEAD = (
    "client",
    "over",
    "connections",
    "memory each",
    "aim",
    "idle CPU each",
    "connect all",
    "broadcast",
)

TEXT = """\
Memory is what is resident, per connection. CPU time is that of an idle connection with a ping
every 20 s, in microseconds per second. Clients driven by a host have two descriptors for each
connection, which is where the limit of open files ends them."""


def cells(row: Row) -> list[str]:
    idle = f"{row.idle_cpu:.2f} µs/s{'' if row.heartbeat else ' (no heartbeat)'}"
    return [
        f"**{row.client}**" if row.aim else row.client,
        row.scheme,
        f"{row.count:,}",
        f"{row.memory / 1024:.1f} KiB",
        "" if row.aim is None else f"{row.aim / 1024:.0f} KiB",
        idle,
        f"{row.connect_seconds:.2f} s",
        f"{row.broadcast_seconds * 1000:.1f} ms",
    ]


def line(values: Sequence[str]) -> str:
    return f"| {' | '.join(values)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write the table there")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="connections to open")
    parser.add_argument("--idle", type=float, default=HEARTBEAT, help="seconds of idling")
    parser.add_argument("--only", help="clients whose name contains this")
    options = parser.parse_args()

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    chosen = [client for client in CLIENTS if not options.only or options.only in client.name]
    sizes = [int(size) for size in options.sizes.split(",")]
    found = [cells(row) for row in rows(chosen, sizes, options.idle)]
    print(line(HEAD), line(["-"] * len(HEAD)), *map(line, found), sep="\n")
    if options.json:
        table = {"head": HEAD, "rows": found}
        report = {"title": "10,000 connections", "text": [TEXT + "\n"], "tables": [table]}
        options.json.write_text(json.dumps(report))


if __name__ == "__main__":
    main()
