"""Losses, and what becomes of sends meanwhile."""

from __future__ import annotations

import asyncio

import longwire
import pytest
from conftest import Run, Server, server_binary, start
from longwire import Reconnect, State


def test_losses_are_repaired(run: Run[None], server: Server) -> None:
    async def main() -> None:
        opens = 0
        downs: list[longwire.Down] = []

        def on_open(ws: longwire.Connection) -> None:
            nonlocal opens
            opens += 1
            ws.send_nowait(f"subscribe {opens}")

        async with longwire.connect(
            server.url("/drop", after=1),
            reconnect=Reconnect(min_delay=0.01, max_delay=0.02),
            on_open=on_open,
            on_down=downs.append,
        ) as ws:
            for number in range(1, 4):
                assert await ws.recv() == f"subscribe {number}"
            assert ws.reconnects == 2
        assert len(downs) >= 2
        assert isinstance(downs[0].error, longwire.ConnectionLost)
        assert downs[0].retry_in > 0

    run(main())


def test_what_is_sent_while_down_follows_what_on_open_sends(run: Run[None]) -> None:
    async def main() -> None:
        down, opened = asyncio.Event(), asyncio.Event()

        def on_open(ws: longwire.Connection) -> None:
            opened.set()
            ws.send_nowait("first")

        with start(server_binary(), "--stdin-guard") as old:
            port = old.port()
            ws = await longwire.connect(
                old.url("/echo"),
                reconnect=Reconnect(min_delay=0.01, max_delay=0.05),
                on_open=on_open,
                on_down=lambda _: down.set(),
            )
            assert await ws.recv() == "first"
        await down.wait()
        opened.clear()
        assert ws.state is not State.OPEN
        for number in range(3):
            await ws.send(str(number))
        with start(server_binary(), "--stdin-guard", "--port", str(port)):
            await opened.wait()
            assert [await ws.recv() for _ in range(4)] == ["first", "0", "1", "2"]
            await ws.close()

    run(main())


def test_sends_while_down_can_be_refused(run: Run[None], server: Server) -> None:
    async def main() -> None:
        down = asyncio.Event()
        async with longwire.connect(
            server.url("/drop"),
            reconnect=Reconnect(min_delay=30, max_delay=30),
            offline="refuse",
            on_down=lambda _: down.set(),
        ) as ws:
            await down.wait()
            assert ws.state is State.DOWN
            with pytest.raises(longwire.NotConnected):
                await ws.send("now")
            with pytest.raises(longwire.NotConnected):
                await ws.ping()

    run(main())


def test_without_reconnect_a_loss_is_the_end(run: Run[None], server: Server) -> None:
    async def main() -> None:
        async with longwire.connect(server.url("/drop"), reconnect=False) as ws:
            with pytest.raises(longwire.ConnectionClosedError) as caught:
                await ws.recv()
        assert caught.value.code == 1006
        assert caught.value.rcvd is None
        assert isinstance(caught.value.__cause__, longwire.ConnectionLost)

    run(main())


def test_an_exception_in_on_open_fails_the_first_connect(run: Run[None], server: Server) -> None:
    async def main() -> None:
        def on_open(_: longwire.Connection) -> None:
            raise KeyError("broken")

        with pytest.raises(KeyError, match="broken"):
            await longwire.connect(server.url("/echo"), on_open=on_open)

    run(main())
