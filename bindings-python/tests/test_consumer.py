"""A program that takes no messages is noticed, and one that does is left alone."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

import longwire
import pytest
from conftest import LIMIT, Run, Server, drive_until, until
from longwire import State, sync

#: Seconds; the core looks four times in that time.
LONG = 0.2
#: Longer than a busy machine keeps a program waiting.
VERY_LONG = 1.0


def options(action: str, limit: float = LONG) -> dict[str, Any]:
    return {"consumer_timeout": limit, "consumer_action": action, "reconnect": False}


def test_a_program_that_takes_nothing_is_reported(
    run: Run[None], server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        with caplog.at_level(logging.INFO, "longwire"):
            async with longwire.connect(
                server.url("/pinger", interval_ms=1000, timeout_ms=60_000, messages=2, spread_ms=1),
                **options("report"),
            ) as ws:
                await until(lambda: ws.stats.stalled)
                stalled = ws.stats.stalled
                assert stalled is not None
                assert LONG <= stalled < LIMIT
                assert ws.state is State.OPEN
                assert await ws.recv() == "0"
                await until(lambda: not ws.stats.stalled)
                assert await ws.recv() == "1"
        assert "the program took no message for 200ms" in caplog.text
        assert "the program takes messages again" in caplog.text

    run(main())


def test_a_program_that_takes_nothing_is_given_up(run: Run[None], server: Server) -> None:
    async def main() -> None:
        url = server.url("/pinger", interval_ms=1000, timeout_ms=60_000, messages=2, spread_ms=1)
        async with longwire.connect(url, **options("close")) as ws:
            await ws.wait_closed()
            # What was there is not lost.
            assert await ws.recv() == "0"
            with pytest.raises(longwire.ConnectionClosedError) as caught:
                while True:
                    await ws.recv()
            cause = caught.value.__cause__
            assert isinstance(cause, longwire.Timeout)
            assert "took no message" in str(cause)

    run(main())


def test_a_program_that_takes_its_time_is_left_alone(run: Run[None], server: Server) -> None:
    """One message each time, less than the limit apart, from a queue that is never empty."""

    async def main() -> None:
        url = server.url("/push", count=100_000, size=100, window=30)
        async with longwire.connect(url, **options("close", VERY_LONG)) as ws:
            begun = time.monotonic()
            for _ in range(7):
                await ws.recv()
                last = time.monotonic()
                await until(lambda last=last: time.monotonic() > last + VERY_LONG / 4)  # type: ignore[misc]
            assert time.monotonic() > begun + 1.5 * VERY_LONG
            assert ws.stats.stalled is None
            assert ws.state is State.OPEN

    run(main())


def test_nothing_to_take_is_nothing_to_complain_of(run: Run[None], server: Server) -> None:
    async def main() -> None:
        async with longwire.connect(server.url("/echo"), **options("close", VERY_LONG)) as ws:
            begun = time.monotonic()
            await until(lambda: time.monotonic() > begun + 1.5 * VERY_LONG)
            assert ws.state is State.OPEN
            await ws.send("x")
            assert await ws.recv() == "x"

    run(main())


def test_a_blocking_program_is_noticed_too(server: Server) -> None:
    url = server.url("/push", count=100_000, size=100, window=5)
    with sync.connect(url, **options("report")) as ws:
        ws.recv(timeout=LIMIT)
        end = time.monotonic() + LIMIT
        while not ws.stats.stalled:
            assert time.monotonic() < end
            threading.Event().wait(0.01)
        ws.recv(timeout=LIMIT)
        drive_until(ws, lambda: not ws.stats.stalled)
    ws = sync.connect(url, **options("close"))
    drive_until(ws, lambda: ws.state is State.CLOSED)
    with pytest.raises(longwire.ConnectionClosedError) as caught:
        list(ws)
    assert isinstance(caught.value.__cause__, longwire.Timeout)
