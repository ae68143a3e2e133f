"""Sending from tasks and threads, in order, with and without room."""

from __future__ import annotations

import asyncio
from typing import Any

import longwire
import pytest
from conftest import Run, Server


def test_text_that_is_not_unicode_is_not_sent(run: Run[None], server: Server) -> None:
    async def main() -> None:
        async with longwire.connect(server.url("/echo")) as ws:
            with pytest.raises(UnicodeEncodeError):
                await ws.send("\ud800")
            with pytest.raises(longwire.InvalidUTF8):
                await ws.send(b"\xff", text=True)
            await ws.send("still there")
            assert await ws.recv() == "still there"

    run(main())


def test_sends_keep_their_order(run: Run[None], server: Server) -> None:
    async def main() -> None:
        async with longwire.connect(server.url("/order")) as ws:
            for number in range(5000):
                await ws.send(str(number))
            for number in range(5000):
                assert await ws.recv() == str(number)

    run(main())


def test_many_tasks_send_while_one_receives(run: Run[None], server: Server) -> None:
    async def main() -> None:
        async with longwire.connect(server.url("/echo")) as ws:

            async def talk(name: int) -> None:
                for number in range(100):
                    await ws.send(f"{name} {number}")
                    await asyncio.sleep(0)

            async with asyncio.TaskGroup() as group:
                for talker in range(20):
                    group.create_task(talk(talker))
                seen: dict[str, int] = {}
                for _ in range(2000):
                    name, number = str(await ws.recv()).split()
                    assert int(number) == seen.get(name, -1) + 1
                    seen[name] = int(number)

    run(main())


def test_sends_can_be_gathered(run: Run[None], server: Server) -> None:
    async def main() -> None:
        async with longwire.connect(server.url("/order")) as ws:
            await asyncio.gather(*(ws.send(str(number)) for number in range(100)))
            task = asyncio.create_task(ws.send("100"))
            await task
            assert [await ws.recv() for _ in range(101)] == [str(n) for n in range(101)]

    run(main())


def test_a_full_send_buffer_is_waited_for(run: Run[None], server: Server) -> None:
    async def main() -> None:
        async with longwire.connect(server.url("/order"), send_buffer=1 << 16) as ws:

            async def talk() -> None:
                for number in range(20_000):
                    await ws.send(str(number))

            async with asyncio.TaskGroup() as group:
                group.create_task(talk())
                for number in range(20_000):
                    assert await ws.recv() == str(number)

    run(main())


def test_waiting_sends_go_in_their_order_and_can_be_cancelled(
    run: Run[None], server: Server
) -> None:
    async def main() -> None:
        # Nobody reads what comes back, so the server stops reading as well.
        async with longwire.connect(server.url("/echo"), send_buffer=1 << 16) as ws:
            block = "x" * (1 << 20)
            sends = [asyncio.create_task(ws.send(f"{n} {block}")) for n in range(40)]
            await asyncio.sleep(0)
            cancelled = set(range(1, 40, 3))
            for number in cancelled:
                sends[number].cancel()
            outcomes = asyncio.gather(*sends, return_exceptions=True)
            sent = [number for number in range(40) if number not in cancelled]
            received = [int(str(await ws.recv()).split()[0])]
            while received[-1] != sent[-1]:
                received.append(int(str(await ws.recv()).split()[0]))
            gave_up = {
                number
                for number, outcome in enumerate(await outcomes)
                if isinstance(outcome, asyncio.CancelledError)
            }
            # What was cancelled was not sent, and what was not was. Nothing is
            # held up by sends that are over, even while somebody keeps them.
            ws.send_nowait("41")
            assert await ws.recv() == "41"
            assert received == [number for number in range(40) if number not in gave_up]
            assert gave_up <= cancelled
            assert len(gave_up) > len(cancelled) // 2

    run(main())


def test_a_send_that_would_have_to_wait_must_be_awaited(run: Run[None], server: Server) -> None:
    async def main() -> None:
        options: Any = {"send_buffer": 1024, "close_timeout": 0.05}
        ws = await longwire.connect(server.url("/stall"), **options)
        with pytest.warns(RuntimeWarning, match="never awaited"):
            with pytest.raises(longwire.SendBufferFull):
                while True:
                    ws.send_nowait("x" * 100_000)
            unawaited = ws.send("x" * 100_000)
            del unawaited

        await ws.close()

    run(main())


def test_another_thread_may_send(run: Run[None], server: Server) -> None:
    async def main() -> None:
        async with longwire.connect(server.url("/order")) as ws:

            def talk() -> None:
                for number in range(1000):
                    ws.send_nowait(str(number))

            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.to_thread(talk))
                assert [await ws.recv() for _ in range(1000)] == [str(n) for n in range(1000)]
        with pytest.raises(longwire.ConnectionClosedOK):
            ws.send_nowait("too late")

    run(main())


def test_waiting_sends_end_with_the_connection(run: Run[None], server: Server) -> None:
    async def main() -> None:
        options: Any = {"send_buffer": 1024, "close_timeout": 0.05, "reconnect": False}
        ws = await longwire.connect(server.url("/stall"), **options)

        async def flood() -> None:
            while True:
                await ws.send("x" * 100_000)

        flooding = asyncio.create_task(flood())
        while ws.buffered_amount < 1024:
            await asyncio.sleep(0)
        await ws.close()
        with pytest.raises(longwire.ConnectionClosed):
            await flooding

    run(main())
