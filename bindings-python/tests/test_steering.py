"""`reconnect`, `network_changed`, the rule, what never left, and the numbers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime

import longwire
import pytest
from conftest import LIMIT, Run, Server, drive_until, server_binary, start, until
from longwire import Attempt, Changes, Reconnect, State, Stats, sync

QUICK = Reconnect(min_delay=0.01, max_delay=0.02)
NEVER = Reconnect(min_delay=1000, max_delay=1000)


def first(*urls: str) -> Callable[[Attempt], Changes | None]:
    """Visit these instead, one for each attempt after the first connection."""
    left = list(urls)

    def choose(attempt: Attempt) -> Changes | None:
        return Changes(url=left.pop(0)) if attempt.reconnects and left else None

    return choose


def test_reconnect_replaces_an_open_connection(run: Run[None], server: Server) -> None:
    async def main() -> None:
        opened: asyncio.Queue[int] = asyncio.Queue()
        downs: list[longwire.Down] = []
        async with longwire.connect(
            server.url("/echo"),
            reconnect=NEVER,
            on_open=lambda ws: opened.put_nowait(ws.reconnects),
            on_down=downs.append,
        ) as ws:
            for number in range(3):
                assert await opened.get() == number
                await ws.send(str(number))
                assert await ws.recv() == str(number)
                ws.reconnect()
        assert "as the user asked" in str(downs[0].error)
        assert downs[0].retry_in == 0

    run(main())


@pytest.mark.parametrize("method", ["reconnect", "network_changed"])
def test_the_wait_can_be_cut_short(run: Run[None], server: Server, method: str) -> None:
    async def main() -> None:
        down = asyncio.Event()
        async with longwire.connect(
            server.url("/drop"),
            reconnect=NEVER,
            before_connect=first(server.url("/echo")),
            on_down=lambda _: down.set(),
        ) as ws:
            await down.wait()
            await ws.send("waits")
            assert ws.state is State.DOWN
            getattr(ws, method)()
            assert await ws.recv() == "waits"

    run(main())


def test_an_open_connection_shows_that_it_survived_the_network(
    run: Run[None], server: Server
) -> None:
    async def main() -> None:
        async with longwire.connect(server.url("/echo"), heartbeat=None) as ws:
            ws.network_changed()
            await until(lambda: ws.stats.pongs_received)
            assert ws.reconnects == 0
        down = asyncio.Event()
        async with longwire.connect(
            server.url("/stall"),
            reconnect=QUICK,
            heartbeat=longwire.Heartbeat(interval=None, timeout=0.1),
            close_timeout=0.1,
            on_down=lambda _: down.set(),
        ) as ws:
            await until(lambda: (ws.stats.connected_for or 0) > 0.02)
            ws.network_changed()
            await down.wait()
            assert isinstance(ws.stats.last_error, longwire.HeartbeatTimeout)

    run(main())


def test_without_reconnect_there_is_none(run: Run[None], server: Server) -> None:
    async def main() -> None:
        async with longwire.connect(server.url("/echo"), reconnect=False) as ws:
            with pytest.raises(longwire.UnsupportedOperation, match="does not reconnect"):
                ws.reconnect()
            ws.network_changed()

    run(main())


def test_reconnect_from_another_thread(server: Server) -> None:
    with sync.connect(server.url("/echo"), reconnect=NEVER) as ws:
        asyncio.run(asyncio.to_thread(ws.reconnect))
        drive_until(ws, lambda: ws.reconnects == 1)
        ws.send("x")
        assert ws.recv(timeout=LIMIT) == "x"


def test_a_server_says_when_to_come_back(run: Run[None], server: Server) -> None:
    async def main() -> None:
        downs: list[longwire.Down] = []
        busy = server.url("/http", status=503, header="Retry-After: 1")
        async with longwire.connect(
            server.url("/echo"),
            reconnect=QUICK,
            before_connect=first(busy),
            on_down=downs.append,
        ) as ws:
            ws.reconnect()
            began = time.monotonic()
            await until(lambda: ws.reconnects)
            assert time.monotonic() - began >= 1
        assert 1 <= downs[1].retry_in < 1.1
        patient = Reconnect(min_delay=0.01, max_delay=0.02, max_retry_after=0.05)
        forever = server.url("/http", status=503, header="Retry-After: 1000000")
        async with longwire.connect(
            server.url("/echo"), reconnect=patient, before_connect=first(forever)
        ) as ws:
            ws.reconnect()
            await until(lambda: ws.reconnects)

    run(main())


def test_a_restarting_server_finds_its_clients_spread(run: Run[None], server: Server) -> None:
    async def main() -> None:
        for code in (1012, 1013):
            for reconnect, low, high in (
                (True, 5, 30),
                (Reconnect(max_delay=0.5, restart_delay=(100, 200)), 100, 200),
            ):
                down: asyncio.Queue[longwire.Down] = asyncio.Queue()
                async with longwire.connect(
                    server.url("/close", code=code), reconnect=reconnect, on_down=down.put_nowait
                ) as ws:
                    told = await down.get()
                    assert told.code == code
                    assert low <= told.retry_in <= high
                    waiting = ws.stats
                    assert waiting.state is State.DOWN
                    assert waiting.next_retry is not None
                    assert low - 5 < waiting.next_retry <= told.retry_in

    run(main())


@pytest.mark.parametrize(
    ("retry", "again"),
    [({}, False), ({403: True}, True), ({"LW_ESTATUS": True}, True), ({-12: True}, True)],
)
def test_a_refusal_can_be_tried_again_by_option(
    run: Run[None], server: Server, retry: dict[int | str, bool], again: bool
) -> None:
    async def main() -> None:
        async with longwire.connect(
            server.url("/echo"),
            reconnect=Reconnect(min_delay=0.01, max_delay=0.02, retry=retry),
            before_connect=first(server.url("/http", status=403)),
        ) as ws:
            ws.reconnect()
            if again:
                await until(lambda: ws.reconnects)
                await ws.send("back")
                assert await ws.recv() == "back"
            else:
                with pytest.raises(longwire.ConnectionClosedError) as caught:
                    await ws.recv()
                assert isinstance(caught.value.__cause__, longwire.InvalidStatus)

    run(main())


def test_what_would_be_tried_again_can_be_final(run: Run[None], server: Server) -> None:
    async def main() -> None:
        cases: list[tuple[str, int | str]] = [("/drop", "ELOST"), ("/close", 1001)]
        for path, cause in cases:
            url = server.url(path, code=cause)
            async with longwire.connect(url, reconnect=Reconnect(retry={cause: False})) as ws:
                await ws.wait_closed()

    run(main())


def test_the_time_for_coming_back_has_an_end(run: Run[None]) -> None:
    async def main() -> None:
        with start(server_binary(), "--stdin-guard") as server:
            ws = await longwire.connect(
                server.url("/echo"),
                reconnect=Reconnect(min_delay=0.01, max_delay=0.02, max_time=0.2),
            )
        began = time.monotonic()
        with pytest.raises(longwire.ConnectionClosedError) as caught:
            await ws.recv()
        assert 0.1 < time.monotonic() - began < LIMIT / 2
        assert isinstance(caught.value.__cause__, longwire.ConnectError)

    run(main())


def test_what_never_left_is_returned(run: Run[None], server: Server) -> None:
    async def main() -> None:
        down = asyncio.Event()
        ws = await longwire.connect(
            server.url("/drop"), reconnect=NEVER, on_down=lambda _: down.set()
        )
        await down.wait()
        messages: list[str | bytes] = ["ä", b"\xff\x00", "", "last"]
        for message in messages:
            await ws.send(message)
        assert (ws.unsent, ws.unsent_messages, ws.unsent_bytes) == ([], 0, 0)
        await ws.close()
        for _ in range(2):
            assert ws.unsent == messages
            assert ws.unsent_messages == 4
            assert ws.unsent_bytes == 8
        async with longwire.connect(server.url("/echo")) as ws:
            await ws.send("x")
        assert (ws.unsent, ws.unsent_messages) == ([], 0)

    run(main())


def test_what_never_left_a_blocking_connection(server: Server) -> None:
    with sync.connect(server.url("/drop"), reconnect=NEVER) as ws:
        drive_until(ws, lambda: ws.state is State.DOWN)
        ws.send("kept")
    assert (ws.unsent, ws.unsent_messages, ws.unsent_bytes) == (["kept"], 1, 4)


def test_what_waited_too_long_expires(run: Run[None], server: Server) -> None:
    async def main() -> None:
        down = asyncio.Event()
        async with longwire.connect(
            server.url("/drop"),
            reconnect=NEVER,
            offline_max_age=0.05,
            before_connect=first(server.url("/echo")),
            on_down=lambda _: down.set(),
        ) as ws:
            await down.wait()
            await ws.send("old")
            began = time.monotonic()
            await until(lambda: time.monotonic() - began > 0.1)
            ws.reconnect()
            await until(lambda: ws.reconnects)
            await ws.send("new")
            assert await ws.recv() == "new"
            assert ws.stats.expired == 1

    run(main())


def check_numbers(stats: Stats, began: float) -> None:
    assert (stats.state, stats.attempt, stats.connections) == (State.OPEN, 1, 1)
    assert (stats.messages_sent, stats.messages_received) == (2, 2)
    assert 1008 < stats.bytes_sent < 1100
    assert 1004 < stats.bytes_received < 1100
    assert (stats.pings_sent, stats.pongs_received) == (1, 1)
    assert stats.round_trip is not None
    assert stats.smoothed_round_trip == pytest.approx(stats.round_trip)
    assert stats.connected_for is not None
    assert 0 < stats.connected_for < time.time() - began
    assert stats.connected_since is not None
    assert began <= stats.connected_since.timestamp() <= time.time()
    assert stats.connected_since.tzinfo is UTC
    assert (stats.buffered_amount, stats.expired) == (0, 0)
    assert (stats.next_retry, stats.last_error, stats.stalled) == (None, None, None)
    assert (stats.deflated, stats.inflated) == ((0, 0), (0, 0))
    assert (stats.deflate_ratio, stats.inflate_ratio) == (None, None)


def test_the_numbers(run: Run[None], server: Server) -> None:
    async def main() -> None:
        began = time.time()
        async with longwire.connect(server.url("/echo")) as ws:
            await ws.send("x" * 1000)
            await ws.send(b"y")
            await (await ws.ping())
            stats = ws.stats
            assert stats.inbox == 1001
            check_numbers(stats, began)
            await ws.recv()
            await ws.recv()
            assert ws.stats.inbox == 0
        assert ws.stats.state is State.CLOSED
        assert ws.stats.connected_since is None

    run(main())


def test_the_numbers_of_a_blocking_connection(server: Server) -> None:
    began = time.time()
    with sync.connect(server.url("/echo")) as ws:
        ws.send("x" * 1000)
        ws.send(b"y")
        assert ws.ping().wait(LIMIT)
        assert ws.stats.inbox == 1001
        check_numbers(ws.stats, began)
    assert datetime.fromtimestamp(began, UTC) <= datetime.now(UTC)


def test_the_numbers_while_down(run: Run[None], server: Server) -> None:
    async def main() -> None:
        down = asyncio.Event()
        async with longwire.connect(
            server.url("/drop"),
            reconnect=Reconnect(min_delay=100, max_delay=200),
            on_down=lambda _: down.set(),
        ) as ws:
            await down.wait()
            stats = ws.stats
            assert (stats.state, stats.attempt, stats.connections) == (State.DOWN, 1, 1)
            assert stats.next_retry is not None
            assert 90 < stats.next_retry <= 200
            assert isinstance(stats.last_error, longwire.ConnectionLost)
            assert (stats.connected_for, stats.connected_since) == (None, None)

    run(main())
