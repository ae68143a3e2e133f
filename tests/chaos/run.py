"""Two hundred clients, a server, and what networks do between them.

run.py [--seconds N] [--seed N]

Starts a server behind a proxy that does harm, and clients in C, Python and Node that send
numbered messages through it. After so many seconds of faults it lets everything settle,
compares what the clients tell with what the server wrote down (verdict.py), and prints
what happened. Ends with 1 if anything was not as it should be.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from verdict import Entry, Report, Verdict, judge

ROOT = Path(__file__).resolve().parents[2]
CLIENTS = Path(__file__).resolve().parent / "clients"
SERVER = "target/release/longwire-chaos"
#: What the processes of each language are started with, and how many clients each has.
LANGUAGES: dict[str, tuple[Sequence[str], Sequence[int]]] = {
    "C": (["build/chaos/c"], [34, 34]),
    "Python": ([sys.executable, str(CLIENTS / "python.py")], [33, 33]),
    "Node": (["node", str(CLIENTS / "node.mjs")], [33, 33]),
}
#: Each client says so much.
PACE_MS = 50
#: How much more memory (MB) and how many more descriptors a process may have at the end.
RSS_GROWTH = {"C": 8.0, "Python": 12.0, "Node": 48.0}
DESCRIPTORS_GROWTH = 8
#: Seconds until everybody is there, has settled, and has closed.
LIMIT = 45.0
PROGRESS = 60.0
COMPLAINTS_SHOWN = 20


class Failed(Exception):
    """The run could not come to its end."""


@dataclass
class Footprint:
    """What a process takes."""

    rss: float
    descriptors: int

    @classmethod
    def of(cls, pid: int) -> Footprint:
        status = Path(f"/proc/{pid}/status").read_text()
        rss = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return cls(int(rss.split()[1]) / 1024, len(os.listdir(f"/proc/{pid}/fd")))


@dataclass
class Program:
    """A process that is told words and answers each with a line of JSON."""

    name: str
    process: asyncio.subprocess.Process
    language: str = ""
    reports: list[Report] = field(default_factory=list)
    before: Footprint = field(default_factory=lambda: Footprint(0, 0))
    after: Footprint = field(default_factory=lambda: Footprint(0, 0))

    @classmethod
    async def start(cls, name: str, command: Sequence[str], language: str = "") -> Program:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            # A report is one line.
            limit=1 << 30,
        )
        return cls(name, process, language)

    async def hear(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        try:
            line = await asyncio.wait_for(self.process.stdout.readline(), LIMIT)
        except TimeoutError:
            raise Failed(f"{self.name} said nothing for {LIMIT:.0f} s") from None
        if not line.endswith(b"\n"):
            raise Failed(f"{self.name} ended with {await self.process.wait()}")
        answer = json.loads(line)
        assert isinstance(answer, dict)
        return answer

    async def tell(self, word: str) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{word}\n".encode())
        return await self.hear()

    async def end(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()


@dataclass
class Run:
    """Everything that is known at the end."""

    seed: int
    seconds: float
    clients: list[Program] = field(default_factory=list)
    faults: dict[str, int] = field(default_factory=dict)
    latest: float = 0.0
    entries: dict[int, Entry] = field(default_factory=dict)
    verdicts: dict[int, Verdict] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)

    async def perform(self) -> None:
        programs: list[Program] = []
        try:
            with tempfile.TemporaryDirectory(prefix="longwire-chaos-") as directory:
                server = await Program.start("the server", [SERVER, str(self.seed)])
                programs.append(server)
                ready = await server.hear()
                ca_file = Path(directory) / "ca.pem"
                ca_file.write_text(ready["certificate"])
                number = 1
                for language, (command, counts) in LANGUAGES.items():
                    for place, count in enumerate(counts, 1):
                        where = [ready["ws"], ready["wss"], str(ca_file)]
                        numbers = [str(number), str(count), str(PACE_MS)]
                        client = await Program.start(
                            f"{language} {place}", [*command, *where, *numbers], language
                        )
                        programs.append(client)
                        self.clients.append(client)
                        number += count
                await asyncio.gather(*(client.hear() for client in self.clients))
                for client in self.clients:
                    client.before = Footprint.of(client.process.pid)
                await self.together("talk")
                await self.weather(server)
                await self.settle(server, number - 1)
                await self.conclude(server)
        finally:
            await asyncio.gather(*(program.end() for program in programs))

    async def together(self, word: str) -> list[dict[str, Any]]:
        return await asyncio.gather(*(client.tell(word) for client in self.clients))

    async def weather(self, server: Program) -> None:
        """Let there be faults for the time; fail if a process ends meanwhile."""
        await server.tell("start")
        until = time.monotonic() + self.seconds
        ends = [
            asyncio.create_task(one.process.wait(), name=one.name)
            for one in [server, *self.clients]
        ]
        try:
            while (left := until - time.monotonic()) > 0:
                ended, _ = await asyncio.wait(
                    ends, timeout=min(left, PROGRESS), return_when=asyncio.FIRST_COMPLETED
                )
                for task in ended:
                    raise Failed(f"{task.get_name()} ended with {task.result()}")
                if left > PROGRESS:
                    count = await server.tell("count")
                    say(
                        f"  {until - time.monotonic():5.0f} s to go: "
                        f"{count['faults']} faults, {count['arrived']} messages arrived"
                    )
        finally:
            for task in ends:
                task.cancel()
        await server.tell("stop")

    async def settle(self, server: Program, total: int) -> None:
        """Let everybody come back and get a last message through; then nothing may be left over."""
        for client, answer in zip(self.clients, await self.together("settle"), strict=True):
            if answer["unsettled"]:
                self.complaints.append(f"{client.name}: {answer['unsettled']} did not settle")
            client.after = Footprint.of(client.process.pid)
        live = (await server.tell("count"))["live"]
        if live != total:
            self.complaints.append(f"{total} clients have {live} sockets")

    async def conclude(self, server: Program) -> None:
        for client, answer in zip(self.clients, await self.together("close"), strict=True):
            client.reports = answer["clients"]
            if code := await asyncio.wait_for(client.process.wait(), LIMIT):
                self.complaints.append(f"{client.name} ended with {code}")
        report = await server.tell("report")
        self.faults = report["faults"]
        self.latest = report["latest"]
        self.complaints += report["wrong"]
        self.entries = {int(number): entry for number, entry in report["clients"].items()}

    def judge(self) -> None:
        reports = {one["number"]: one for client in self.clients for one in client.reports}
        for number in sorted(reports.keys() ^ self.entries.keys()):
            self.complaints.append(f"client {number} is known to one side only")
        for number in reports.keys() & self.entries.keys():
            self.verdicts[number] = judge(reports[number], self.entries[number])
        for client in self.clients:
            rss = client.after.rss - client.before.rss
            if rss > RSS_GROWTH[client.language]:
                self.complaints.append(f"{client.name} grew by {rss:.1f} MB")
            descriptors = client.after.descriptors - client.before.descriptors
            if descriptors > DESCRIPTORS_GROWTH:
                self.complaints.append(f"{client.name} has {descriptors} descriptors more")
        for fault, times in self.faults.items():
            if times == 0:
                self.complaints.append(f"nothing was {fault}: the run shows nothing about it")

    @property
    def failed(self) -> list[int]:
        return sorted(number for number, one in self.verdicts.items() if one.complaints)


def table(rows: Sequence[Sequence[object]]) -> Iterator[str]:
    """Lines with aligned columns, the first to the left."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    for row in cells:
        first, *others = (
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  " + "  ".join([first, *others])


def messages(run: Run) -> Iterator[Sequence[object]]:
    yield (
        "",
        *("clients", "reconnects", "sent", "delivered", "acknowledged"),
        *("refused", "lost", "twice", "out of order"),
    )
    for language in LANGUAGES:
        reports = [
            one for client in run.clients if client.language == language for one in client.reports
        ]
        entries = [run.entries[one["number"]] for one in reports]
        yield (
            language,
            len(reports),
            sum(len(one["connections"]) - 1 for one in reports),
            sum(one["sent"] for one in reports),
            sum(entry["arrived"] for entry in entries),
            sum(one["answers"] for one in reports),
            sum(len(one["unsent"]) for one in reports),
            sum(run.verdicts[one["number"]].lost.total() for one in reports),
            sum(entry["twice"] for entry in entries),
            sum(entry["disordered"] for entry in entries),
        )


def processes(run: Run) -> Iterator[Sequence[object]]:
    yield "", "RSS at the start", "at the end", "descriptors at the start", "at the end"
    for client in run.clients:
        yield (
            client.name,
            *(f"{one.rss:.1f} MB" for one in (client.before, client.after)),
            *(one.descriptors for one in (client.before, client.after)),
        )


def named_alike(errors: dict[str, int]) -> dict[str, int]:
    """Errors by the names that Python has for them."""
    return {name.removeprefix("LW_"): times for name, times in errors.items()}


def counted(counts: Counter[str]) -> str:
    return ", ".join(f"{what} {times}" for what, times in counts.most_common()) or "none"


def show(run: Run) -> None:
    reports = [one for client in run.clients for one in client.reports]
    lost: Counter[str] = Counter()
    downs: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    for verdict in run.verdicts.values():
        lost += verdict.lost
    for report in reports:
        downs.update(named_alike(report["downs"]))
        failures.update(named_alike(report["failures"]))
    say("")
    say(f"  faults           {counted(Counter(run.faults))}")
    say(f"  connections lost {counted(downs)}")
    say(f"  attempts failed  {counted(failures)}")
    say(f"  messages lost    {counted(lost)}")
    say(f"  the proxy was at most {run.latest:.2f} s late")
    say("")
    for line in [*table(list(messages(run))), "", *table(list(processes(run)))]:
        say(line)
    say("")
    complaints = [
        *run.complaints,
        *(
            f"client {number}: {what}"
            for number in run.failed
            for what in run.verdicts[number].complaints
        ),
    ]
    for what in complaints[:COMPLAINTS_SHOWN]:
        say(f"  {what}")
    if len(complaints) > COMPLAINTS_SHOWN:
        say(f"  and {len(complaints) - COMPLAINTS_SHOWN} more")


def say(text: str) -> None:
    print(text, flush=True)


async def interruptible(run: Run) -> None:
    """Take SIGTERM for the end of this run, like Ctrl-C, so that what was started is ended."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await run.perform()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60, help="how long there are faults")
    parser.add_argument("--seed", type=int, help="what chance begins with")
    arguments = parser.parse_args()
    seed = random.getrandbits(32) if arguments.seed is None else arguments.seed
    # The server has three sockets for each client.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    begun = time.monotonic()
    run = Run(seed, arguments.seconds)
    say(f"  seed {seed}, {arguments.seconds:.0f} s of faults")
    try:
        asyncio.run(interruptible(run))
    except Failed as failure:
        say(f"  {failure}")
        say(f"0 passed, 1 failed: seed {seed}")
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130
    run.judge()
    show(run)
    failed = len(run.failed) + len(run.complaints)
    passed = len(run.verdicts) - len(run.failed)
    seconds = time.monotonic() - begun
    say(f"{passed} passed, {failed} failed in {seconds:.0f} s (seed {seed})")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
