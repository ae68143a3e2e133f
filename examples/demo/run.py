"""One room, six clients, two URL schemes, and a server that dies in between.

Starts the test server, then every language's `room` client once over ws: and
once over wss:. When all of them have been heard in the room, it kills the
server, starts it again on the same ports, and watches the clients come back by
themselves. Prints what happened as a table, and ends with 1 if a client did not
do exactly what was expected of it.

`make demo` builds everything and runs this.
"""

import asyncio
import itertools
import json
import os
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import longwire

ROOT = Path(__file__).resolve().parents[2]
SERVER = "target/release/longwire-test-server"
CLIENTS: dict[str, Sequence[str]] = {
    "C": ["build/c/room"],
    "C++": ["build/cpp/room"],
    "Rust": ["target/release/room"],
    "Python asyncio": [sys.executable, "examples/python/room.py"],
    "Python blocking": [sys.executable, "examples/python/room_sync.py"],
    "Node": ["node", "examples/node/room.mjs"],
}
COUNT = 120
TALK_BEFORE_KILL = 1.0
PAUSE_BEFORE_RESTART = 0.3
LIMIT = 60.0
SERVER_LIMIT = 10.0


class DemoFailed(Exception):
    """Something other than a client went wrong."""


@dataclass
class Participant:
    """One client process, and what is wrong with it, if anything."""

    language: str
    scheme: str
    command: Sequence[str]
    report: dict[str, object] = field(default_factory=dict)
    complaint: str = ""

    @property
    def name(self) -> str:
        return f"{self.language} {self.scheme}".lower().replace(" ", "-")


def free_ports() -> Iterator[int]:
    """Free ports that the kernel does not hand out by itself.

    While the server is gone its ports must not be given to an outgoing
    connection, least of all to one of the clients dialling that very port.
    """
    first_ephemeral = 32768
    if (limits := Path("/proc/sys/net/ipv4/ip_local_port_range")).exists():
        first_ephemeral = int(limits.read_text().split()[0])
    start = max(1024, min(first_ephemeral - 1, 20000 + os.getpid() % 10000))
    for port in [*range(start, first_ephemeral), *range(1024, start)]:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        yield port


@asynccontextmanager
async def server(
    port: int, tls_port: int, directory: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, dict[str, str]]]:
    """The server's process and its JSON line; the process is gone afterwards."""
    process = await asyncio.create_subprocess_exec(
        SERVER,
        *("--port", str(port), "--tls-port", str(tls_port), "--dir", directory, "--stdin-guard"),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), SERVER_LIMIT)
        if not line:
            raise DemoFailed(f"{SERVER} ended with {await process.wait()} instead of listening")
        yield process, json.loads(line)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def take_part(participant: Participant, url: str, ca_file: str) -> None:
    """Runs one client to its end and notes what it reported."""
    try:
        process = await asyncio.create_subprocess_exec(
            *participant.command,
            *(url, ca_file, participant.name, str(COUNT)),
            cwd=ROOT,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        participant.complaint = f"cannot be started: {error}"
        return
    try:
        out, err = await asyncio.wait_for(process.communicate(), LIMIT)
    except TimeoutError:
        participant.complaint = f"not done after {LIMIT:.0f} s"
        return
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if code := process.returncode:
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        last = err.decode(errors="replace").strip()
        participant.complaint = f"{how}\n{last}" if last else how
        return
    try:
        participant.report = json.loads(out)
    except ValueError:
        participant.complaint = f"expected one line of JSON, got {out[:200]!r}"
        return
    participant.complaint = check(participant.report)


def check(report: dict[str, object]) -> str:
    """What is wrong with a client's report; empty if nothing is."""
    match report:
        case {"sent": int(sent), "received": int(received), "reconnects": int(reconnects),
              "round_trip_us": int() | float()}:  # fmt: skip
            if sent < COUNT or received < COUNT:
                return f"expected {COUNT} messages each way, got {sent} and {received}"
            if reconnects != 1:
                return f"expected one reconnect, got {reconnects}"
            return ""
    return f"the report is incomplete: {report}"


async def hear(url: str, missing: set[str]) -> None:
    """Listens in the room until everybody in `missing` has spoken, and strikes them off."""
    async with longwire.connect(url) as room:
        async for message in room:
            missing.discard(str(message).rpartition(" ")[0])
            if not missing:
                return


async def everybody_heard(
    url: str, participants: Sequence[Participant], clients: Sequence[asyncio.Task[None]]
) -> None:
    """Returns when every participant has spoken in the room."""
    missing = {participant.name for participant in participants}
    hearing = asyncio.create_task(hear(url, missing))
    first, _ = await asyncio.wait(
        {hearing, *clients}, timeout=LIMIT, return_when=asyncio.FIRST_COMPLETED
    )
    if hearing in first:
        await hearing
        return
    hearing.cancel()
    await asyncio.gather(hearing, return_exceptions=True)
    silent = f"not heard by then: {', '.join(sorted(missing))}"
    for participant, client in zip(participants, clients, strict=True):
        if client.done():
            why = participant.complaint or "done before the server was killed"
            raise DemoFailed(f"{participant.name}: {why}; {silent}")
    raise DemoFailed(f"waited for {LIMIT:.0f} s; {silent}")


def say(text: str) -> None:
    print(text, flush=True)


async def perform(participants: Sequence[Participant]) -> None:
    """The whole play, from the first server's start to the last client's end."""
    port, tls_port = itertools.islice(free_ports(), 2)
    clients: list[asyncio.Task[None]] = []
    with tempfile.TemporaryDirectory(prefix="longwire-demo-") as directory:
        try:
            async with server(port, tls_port, directory) as (process, ready):
                say(f"  a server listens on {ready['ws']} and {ready['wss']}")
                for participant in participants:
                    url = ready[participant.scheme] + "/room"
                    clients.append(
                        asyncio.create_task(take_part(participant, url, ready["ca_file"]))
                    )
                await everybody_heard(ready["ws"] + "/room", participants, clients)
                say(f"  {len(participants)} clients talk in one room")
                await asyncio.sleep(TALK_BEFORE_KILL)
                process.kill()
                await process.wait()
                say("  the server has been killed")
                await asyncio.sleep(PAUSE_BEFORE_RESTART)
            async with server(port, tls_port, directory):
                say("  the server is back, and the clients have to find it by themselves")
                await asyncio.wait(clients)
        finally:
            for client in clients:
                client.cancel()
            await asyncio.gather(*clients, return_exceptions=True)


def table(participants: Sequence[Participant], colour: bool) -> Iterator[str]:
    """The lines of the closing table."""

    def paint(code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if colour else text

    header = ["language", "url", "sent", "received", "round trip", "reconnects", ""]
    rows = []
    for participant in participants:
        report = participant.report
        trip = report.get("round_trip_us")
        rows.append([
            participant.language,
            participant.scheme + "://",
            str(report.get("sent", "-")),
            str(report.get("received", "-")),
            f"{trip:.0f} µs" if isinstance(trip, int | float) else "-",
            str(report.get("reconnects", "-")),
            "failed" if participant.complaint else "ok",
        ])  # fmt: skip
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]

    def line(row: Sequence[str], edge: str = "│") -> str:
        cells = (
            cell.ljust(width) if column in (0, 1, 6) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        return f"  {edge} " + "   ".join(cells) + f" {edge}"

    rule = "─" * (sum(widths) + 3 * (len(widths) - 1) + 2)
    yield f"  ╭{rule}╮"
    yield paint("1", line(header))
    for position, (participant, row) in enumerate(zip(participants, rows, strict=True)):
        if position % 2 == 0:
            yield f"  ├{rule}┤"
        # Painted only now, or its escape sequences would count as width.
        verdict = paint("31" if participant.complaint else "32", row[6])
        before, _, after = line(row).rpartition(row[6])
        yield before + verdict + after
    yield f"  ╰{rule}╯"


def main() -> int:
    participants = [
        Participant(language, scheme, command)
        for language, command in CLIENTS.items()
        for scheme in ("ws", "wss")
    ]
    try:
        asyncio.run(perform(participants))
    except (DemoFailed, OSError, longwire.LongwireError) as failure:
        say(f"  demo: {failure or type(failure).__name__}")
        return 1
    except KeyboardInterrupt:
        return 130
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    say("")
    for line in table(participants, colour):
        say(line)
    failed = [participant for participant in participants if participant.complaint]
    if failed:
        say("")
        for participant in failed:
            say(f"  {participant.language} over {participant.scheme}: {participant.complaint}")
        return 1
    sent, received = (
        sum(int(str(participant.report[key])) for participant in participants)
        for key in ("sent", "received")
    )
    say(f"""
  {sent} messages said and {received} heard by {len(participants)} clients on one engine;
  the server was killed in mid-conversation, and every client came back by itself.""")
    return 0


if __name__ == "__main__":
    sys.exit(main())
