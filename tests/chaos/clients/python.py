"""The Python package as clients of the chaos run.

python.py WS WSS CA_FILE FIRST COUNT PACE_MS

README.md says what they do and what they report.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from array import array
from collections import Counter
from collections.abc import Callable

import longwire

ALPHABET = "abcdefghijklmnopqrstuvwxyz" * 2400
SETTLE_LIMIT = 30.0
#: So much slower is the talk when it is to come to its end.
UNHURRIED = 10
#: So many complaints of a client are kept.
COMPLAINTS = 5
#: Connection, sent when it was lost (-1: it was not), first and last answer, first and last
#: number acknowledged.
ROW = 6


def filled(head: str, start: int, number: int) -> str:
    if number % 97 == 0:
        length = 20_000 + number * 7919 % 40_000
    elif number % 19 == 0:
        length = 1000 + number * 31 % 7000
    else:
        length = number * 13 % 100
    return head + ALPHABET[start % 26 : start % 26 + length]


class Talker:
    """One client: numbered messages up, numbered answers down."""

    def __init__(self, number: int, changed: Callable[[], None]) -> None:
        self.number = number
        self._changed = changed
        self._ws: longwire.Connection
        self._open = False
        self._rows = array("q")
        self._sent = 0
        # The last that was not refused.
        self._taken = 0
        self._heard = 0
        self._acked = 0
        self._answers = 0
        self._unsent: list[int] = []
        self._downs: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()
        self._closed = 0
        self._end: dict[str, object] = {}
        self._wrong: list[str] = []
        self._talking: asyncio.Task[None]
        self._hearing: asyncio.Task[None]
        # What has to be acknowledged until the client may fall silent.
        self._mark: int | None = None

    async def connect(self, url: str, ca_file: str) -> None:
        self._ws = await longwire.connect(
            url,
            tls=longwire.TLS(ca_file=ca_file),
            connect_timeout=2.0,
            heartbeat=longwire.Heartbeat(interval=1.0, timeout=1.0),
            reconnect=longwire.Reconnect(min_delay=0.05, max_delay=1.0, stable_after=0.5),
            send_buffer=32 << 10,
            on_open=self._opened,
            on_down=self._down,
        )
        self._hearing = asyncio.create_task(self._hear())

    def talk(self, delay: float, pace: float) -> None:
        self._talking = asyncio.create_task(self._talk(delay, pace))

    def settle(self) -> None:
        self._mark = self._sent

    @property
    def silent(self) -> bool:
        """Whether something said since ``settle`` was acknowledged."""
        return self._mark is not None and self._acked > self._mark

    @property
    def settled(self) -> bool:
        done = self._talking.done() and self._acked == self._taken
        return self.silent and done and self._open

    async def close(self) -> None:
        self._talking.cancel()
        await self._ws.close()
        await asyncio.gather(self._talking, return_exceptions=True)
        await self._hearing

    def report(self) -> dict[str, object]:
        rows = [self._rows[i : i + ROW].tolist() for i in range(0, len(self._rows), ROW)]
        return {
            "number": self.number,
            "sent": self._sent,
            "answers": self._answers,
            "unsent": self._unsent,
            "connections": rows,
            "downs": self._downs,
            "failures": self._failures,
            "closed": self._closed,
            **self._end,
            "wrong": self._wrong,
        }

    def _complain(self, what: str) -> None:
        if len(self._wrong) < COMPLAINTS:
            self._wrong.append(what)

    async def _talk(self, delay: float, pace: float) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + delay
        while not self.silent:
            await asyncio.sleep(due - loop.time())
            # After a wait for room there is nothing to be caught up with.
            due = max(due + pace * (1 if self._mark is None else UNHURRIED), loop.time())
            await self._say()

    async def _say(self) -> None:
        self._sent += 1
        number = self._sent
        text = filled(f"{number} ", number, number)
        message = text if number % 2 == 1 else text.encode()
        # Half of the clients wait for room, the other half is refused.
        if self.number % 2 == 0:
            await self._ws.send(message)
            self._taken = number
            return
        try:
            self._ws.send_nowait(message)
            self._taken = number
        except longwire.SendBufferFull:
            self._unsent.append(number)

    def _opened(self, ws: longwire.Connection) -> None:
        if self._open or self._closed:
            self._complain("open, but it was open or closed")
        self._open = True
        name = next(value for header, value in ws.response_headers if header == "x-connection")
        # Refused only if that connection is gone by now and the queue is full; else the server
        # will miss it.
        with contextlib.suppress(longwire.SendBufferFull):
            ws.send_nowait(f"hello {name} {self._heard}")
        self._rows.extend((int(name), -1, 0, 0, 0, 0))
        if ws.reconnects != len(self._rows) // ROW - 1:
            self._complain(f"{len(self._rows) // ROW} connections, {ws.reconnects} reconnects")

    def _down(self, down: longwire.Down) -> None:
        if self._closed:
            self._complain("down after the end")
        if self._open:
            self._open = False
            self._rows[-ROW + 1] = self._sent
            self._downs[down.error.symbol] += 1
        else:
            self._failures[down.error.symbol] += 1

    async def _hear(self) -> None:
        try:
            async for message in self._ws:
                self._take(message)
                self._changed()
        except longwire.ConnectionClosedError as error:
            self._complain(f"the end: {error!r}")
        self._closed += 1
        self._open = False
        self._end = {"code": self._ws.close_code}

    def _take(self, message: str | bytes) -> None:
        text = message if isinstance(message, str) else message.decode()
        connection, heard, acked = map(int, text.split(" ", 3)[:3])
        head = f"{connection} {heard} {acked} "
        if text != filled(head, heard, acked) or isinstance(message, str) != (acked % 2 == 1):
            self._complain(f"answer {heard} is not what was sent")
        # What waited to be fetched may be of a connection that was lost since.
        place = len(self._rows) - ROW
        while place >= 0 and self._rows[place] != connection:
            place -= ROW
        row = self._rows[place : place + ROW] if place >= 0 else array("q", [0] * ROW)
        follows = row[3] == 0 or heard == row[3] + 1
        if place < 0 or heard <= self._heard or acked <= self._acked or not follows:
            self._complain(f"{head}after {self._heard} and {self._acked}")
        if acked > self._sent:
            self._complain(f"{acked} is acknowledged and was never sent")
        self._answers += 1
        self._heard, self._acked = heard, acked
        if place >= 0:
            self._rows[place + 2 : place + ROW] = array(
                "q", [row[2] or heard, heard, row[4] or acked, acked]
            )


class Group:
    """All clients of this process, and what they are told from outside."""

    def __init__(self, first: int, count: int) -> None:
        self._changed = asyncio.Event()
        self._talkers = [Talker(first + i, self._changed.set) for i in range(count)]

    async def run(self, ws: str, wss: str, ca_file: str, pace: float) -> None:
        words = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(words), sys.stdin
        )
        # One after another, as a first attempt that fails is the end.
        for talker in self._talkers:
            await talker.connect(f"{ws if talker.number % 3 else wss}/{talker.number}", ca_file)
        say({"open": len(self._talkers)})
        while word := (await words.readline()).decode().strip():
            match word:
                case "talk":
                    for place, talker in enumerate(self._talkers):
                        talker.talk(pace * place / len(self._talkers), pace)
                    say({"talking": len(self._talkers)})
                case "settle":
                    say({"unsettled": await self._settle()})
                case "close":
                    await asyncio.gather(*(talker.close() for talker in self._talkers))
                    say({"clients": [talker.report() for talker in self._talkers]})
                    return

    async def _settle(self) -> list[int]:
        for talker in self._talkers:
            talker.settle()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_LIMIT):
                while not all(talker.settled for talker in self._talkers):
                    self._changed.clear()
                    await self._changed.wait()
        return [talker.number for talker in self._talkers if not talker.settled]


def say(line: object) -> None:
    print(json.dumps(line), flush=True)


def main() -> None:
    ws, wss, ca_file, first, count, pace_ms = sys.argv[1:]
    asyncio.run(Group(int(first), int(count)).run(ws, wss, ca_file, int(pace_ms) / 1000))


main()
