"""An `on_open` that waits for something: what it sends precedes the queue until it is done."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator
from typing import Any

import longwire
import pytest
from conftest import Run, Server
from longwire import Attempt, Changes, Connection, Reconnect, State

QUICK = Reconnect(min_delay=0.01, max_delay=0.02)
NEVER = Reconnect(min_delay=1000, max_delay=1000)


async def lost(server: Server, path: str, on_open: Any, **options: Any) -> Connection:
    """A connection that is down; the next one is made to `path`."""
    down = asyncio.Event()

    def choose(attempt: Attempt) -> Changes | None:
        return Changes(url=server.url(path)) if attempt.reconnects else None

    async def from_the_second(ws: Connection) -> None:
        if ws.reconnects:
            await on_open(ws)

    ws = await longwire.connect(
        server.url("/drop"),
        reconnect=NEVER,
        before_connect=choose,
        on_open=from_the_second,
        on_down=lambda _: down.set(),
        **options,
    )
    await down.wait()
    return ws


def test_a_server_that_records_order_finds_it_kept(run: Run[None], server: Server) -> None:
    """Behind the login and the subscriptions comes what was queued, then what is sent later."""

    async def main() -> None:
        answers: list[str] = []

        async def fragments() -> AsyncIterator[str]:
            yield "3"
            await asyncio.sleep(0)
            yield ""

        async def on_open(ws: Connection) -> None:
            await ws.send("0")
            answers.append(str(await ws.recv()))
            ws.send_nowait("1")
            answers.append(str(await ws.recv()))
            await asyncio.create_task(send_from_another_task(ws))
            answers.append(str(await ws.recv()))
            await ws.send(fragments())
            answers.append(str(await ws.recv()))
            # Inherited or not, the context of others does not count.
            contextvars.Context().run(ws.send_nowait, "6")
            await asyncio.to_thread(ws.send_nowait, "4")
            answers.append(str(await ws.recv()))

        async def send_from_another_task(ws: Connection) -> None:
            await ws.send("2")

        ws = await lost(server, "/order", on_open)
        await ws.send("5")
        ws.reconnect()
        while len(answers) < 5:
            await asyncio.sleep(0)
        await ws.send("7")
        assert answers == ["0", "1", "2", "3", "4"]
        assert [await ws.recv() for _ in range(3)] == ["5", "6", "7"]
        await ws.close()

    run(main())


def test_connect_returns_when_on_open_is_done(run: Run[None], server: Server) -> None:
    async def main() -> None:
        answers: list[str | bytes] = []

        async def log_in(ws: Connection) -> None:
            await ws.send("login")
            answers.append(await ws.recv())

        async with longwire.connect(server.url("/echo"), on_open=log_in) as ws:
            assert answers == ["login"]
            await ws.send("hello")
            assert await ws.recv() == "hello"

    run(main())


def test_an_exception_fails_the_first_connect(run: Run[None], server: Server) -> None:
    async def main() -> None:
        async def fail(ws: Connection) -> None:
            await asyncio.sleep(0)
            raise KeyError("broken")

        with pytest.raises(KeyError, match="broken"):
            await longwire.connect(server.url("/echo"), on_open=fail)

    run(main())


def test_an_exception_later_is_told_and_the_queue_follows(server: Server) -> None:
    async def main() -> None:
        complaints: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.put_nowait(context))

        async def fail(_: Connection) -> None:
            await asyncio.sleep(0)
            raise KeyError("broken")

        ws = await lost(server, "/echo", fail)
        await ws.send("queued")
        ws.reconnect()
        assert await ws.recv() == "queued"
        context = await complaints.get()
        assert isinstance(context["exception"], KeyError)
        assert "on_open" in context["message"]
        await ws.close()
        assert complaints.empty()

    asyncio.run(asyncio.wait_for(main(), 30))


def test_a_loss_ends_it_and_the_next_connection_begins_anew(run: Run[None], server: Server) -> None:
    async def main() -> None:
        begun: asyncio.Queue[Connection] = asyncio.Queue()
        cancelled: list[int] = []

        async def on_open(ws: Connection) -> None:
            number = ws.reconnects
            begun.put_nowait(ws)
            if number < 2:
                try:
                    await asyncio.Event().wait()
                finally:
                    cancelled.append(number)
            await ws.send("ready")

        async def connect() -> Connection:
            return await longwire.connect(server.url("/echo"), reconnect=QUICK, on_open=on_open)

        connecting = asyncio.create_task(connect())
        for _ in range(2):
            (await begun.get()).reconnect()
        held = await begun.get()
        assert await connecting is held
        assert cancelled == [0, 1]
        assert await held.recv() == "ready"
        await held.close()

    run(main())


def test_the_end_comes_before_it_is_done(run: Run[None], server: Server) -> None:
    async def main() -> None:
        async def wait(_: Connection) -> None:
            await asyncio.Event().wait()

        with pytest.raises(longwire.ConnectionClosedError, match="4000"):
            await longwire.connect(server.url("/close", code=4000), reconnect=False, on_open=wait)

    run(main())


def test_it_may_close_its_connection(run: Run[None], server: Server) -> None:
    async def main() -> None:
        done = asyncio.Event()

        async def close(ws: Connection) -> None:
            await ws.close(4001, "no")
            await asyncio.sleep(0)
            done.set()

        ws = await longwire.connect(server.url("/echo"), on_open=close)
        await done.wait()
        assert (ws.state, ws.close_code) == (State.CLOSED, 4001)
        await ws.close()

    run(main())


def test_a_full_queue_is_not_in_its_way(run: Run[None], server: Server) -> None:
    async def main() -> None:
        async def on_open(ws: Connection) -> None:
            await ws.send(b"x" * 500)
            assert await ws.recv() == "1 500"

        ws = await lost(server, "/count", on_open, send_buffer=1000)
        await ws.send(b"x" * 900)
        late = asyncio.create_task(send(ws, b"x" * 500))
        await asyncio.sleep(0)
        ws.reconnect()
        await late
        assert await ws.recv() == "2 1400"
        assert await ws.recv() == "3 1900"
        await ws.close()

    async def send(ws: Connection, message: bytes) -> None:
        await ws.send(message)

    run(main())


def test_it_overtakes_sends_that_wait_for_room(run: Run[None], server: Server) -> None:
    async def main() -> None:
        async def on_open(ws: Connection) -> None:
            await ws.send("0")
            assert await ws.recv() == "0"

        ws = await lost(server, "/order", on_open, send_buffer=64)
        await ws.send("1".zfill(40))
        late = asyncio.ensure_future(ws.send("2".zfill(40)))
        await asyncio.sleep(0)
        assert not late.done()
        ws.reconnect()
        await late
        assert [await ws.recv() for _ in range(2)] == ["1".zfill(40), "2".zfill(40)]
        await ws.close()

    run(main())


def test_two_connections_do_not_take_each_other_for_theirs(run: Run[None], server: Server) -> None:
    """The context of one connection's on_open reaches the other, which it does not concern."""

    async def main() -> None:
        release = asyncio.Event()

        async def hold(ws: Connection) -> None:
            await release.wait()
            await ws.send("0")

        other = await lost(server, "/order", hold)
        await other.send("1")

        async def on_open(ws: Connection) -> None:
            other.send_nowait("2")
            await ws.send("mine")
            release.set()

        other.reconnect()
        async with longwire.connect(server.url("/echo"), on_open=on_open) as ws:
            assert await ws.recv() == "mine"
        assert [await other.recv() for _ in range(3)] == ["0", "1", "2"]
        await other.close()

    run(main())
