"""Lines of the log, in `logging`, on the thread of whoever drives."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterator

import longwire
import pytest
from conftest import LIMIT, Run, Server, drive_until, server_binary, start, until
from longwire import Attempt, Changes, Reconnect, sync


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def texts(self) -> list[str]:
        return [f"{record.levelname} {record.getMessage()}" for record in self.records]


@pytest.fixture
def lines() -> Iterator[Lines]:
    """What arrives at the logger of the package."""
    handler, logger = Lines(), logging.getLogger("longwire")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(before)


def check(texts: list[str], expected: list[str]) -> None:
    """Each of `expected` begins one of `texts`, in this order."""
    left = iter(texts)
    for beginning in expected:
        assert any(text.startswith(beginning) for text in left), (beginning, texts)


TRANSITIONS = [
    "DEBUG attempt 1: connecting to 127.0.0.1",
    "INFO open: attempt 1, reconnect 0",
    "WARNING down: the server ended the TCP connection",
    "DEBUG attempt 1: connecting to 127.0.0.1",
    "WARNING down: expected status 101, the server answered 503",
    "DEBUG attempt 2: connecting to 127.0.0.1",
    "INFO open: attempt 2, reconnect 1",
    "INFO closed with code 1000",
]


def choose(server: Server) -> tuple[str, dict[str, object]]:
    def hook(attempt: Attempt) -> Changes | None:
        if attempt.reconnects == 1 and attempt.number == 1:
            return Changes(url=server.url("/http", status=503))
        return Changes(url=server.url("/echo", secret="hidden")) if attempt.reconnects else None

    return server.url("/drop", secret="hidden"), {
        "before_connect": hook,
        "headers": {"Authorization": "hidden"},
        "reconnect": Reconnect(min_delay=0.01, max_delay=0.02),
    }


def test_every_transition_has_a_line(run: Run[None], server: Server, lines: Lines) -> None:
    async def main() -> None:
        url, options = choose(server)
        async with longwire.connect(url, **options) as ws:  # type: ignore[arg-type]
            await until(lambda: ws.reconnects)
            await ws.send("hidden")
            await ws.recv()

    began = time.time()
    run(main())
    check(lines.texts(), TRANSITIONS)
    assert not any("hidden" in text for text in lines.texts())
    times = [record.created for record in lines.records]
    assert times == sorted(times)
    assert began <= times[0] <= times[-1] <= time.time()
    record = lines.records[0]
    assert (record.name, record.threadName) == ("longwire", "MainThread")
    assert 0 <= record.msecs < 1000
    assert record.relativeCreated > 0


def test_every_transition_of_a_blocking_connection_has_a_line(server: Server, lines: Lines) -> None:
    url, options = choose(server)
    with sync.connect(url, **options) as ws:  # type: ignore[arg-type]
        drive_until(ws, lambda: ws.reconnects)
    check(lines.texts(), TRANSITIONS)
    assert {record.thread for record in lines.records} == {threading.get_ident()}


def test_a_line_precedes_the_event_it_explains(
    run: Run[None], server: Server, lines: Lines
) -> None:
    async def main() -> None:
        down: asyncio.Queue[list[str]] = asyncio.Queue()
        async with longwire.connect(
            server.url("/drop"), on_down=lambda _: down.put_nowait(lines.texts())
        ):
            assert "WARNING down" in (await down.get())[-1]

    run(main())


def test_a_logger_of_ones_own_and_its_level(run: Run[None], server: Server, lines: Lines) -> None:
    async def main() -> None:
        mine, own = logging.getLogger("mine"), Lines()
        mine.addHandler(own)
        for level, count in ((logging.DEBUG, 3), (logging.INFO, 2), (logging.WARNING, 0)):
            own.records.clear()
            mine.setLevel(level)
            async with longwire.connect(server.url("/echo"), logger=mine):
                pass
            assert len(own.records) == count, own.texts()
        assert not lines.records

    run(main())


def test_a_level_that_was_raised_is_obeyed(run: Run[None], server: Server) -> None:
    async def main() -> None:
        mine, own = logging.getLogger("mine"), Lines()
        mine.addHandler(own)
        mine.setLevel(logging.DEBUG)
        async with longwire.connect(server.url("/echo"), logger=mine):
            mine.setLevel(logging.ERROR)
            own.records.clear()
        assert not own.records

    run(main())


def test_lines_that_nobody_fetches_are_dropped_and_counted(lines: Lines) -> None:
    """The attempts of a connection whose thread does something else."""
    with start(server_binary(), "--stdin-guard") as server:
        ws = sync.connect(server.url("/echo"), reconnect=Reconnect(min_delay=0, max_delay=0))
    lines.records.clear()
    end = time.monotonic() + LIMIT
    while ws.stats.attempt < 300:
        assert time.monotonic() < end
        threading.Event().wait(0.001)
    drive_until(ws, lambda: lines.records)
    dropped, *others = lines.texts()
    assert dropped.startswith("WARNING ")
    assert dropped.endswith(" earlier lines were dropped, as nobody fetched them")
    assert int(dropped.split()[1]) > 200
    assert len(others) >= 256
    ws.close()
