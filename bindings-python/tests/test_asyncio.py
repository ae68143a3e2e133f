"""The asyncio face, method by method, under asyncio's loop and uvloop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import weakref
from contextvars import ContextVar
from typing import Any

import longwire
import pytest
from conftest import Run, Server
from longwire import State

SIZES = [0, 1, 125, 126, 127, 65535, 65536, 65537, 1 << 20, 5_000_000]


def test_messages_of_every_size_come_back(run: Run[None], server: Server) -> None:
    async def main() -> None:
        async with longwire.connect(server.url("/echo")) as ws:
            for size in SIZES:
                text = "aé" * (size // 3) + "a" * (size % 3)
                await ws.send(text)
                assert await ws.recv() == text
                binary = bytes(range(256)) * (size // 256) + bytes(size % 256)
                await ws.send(binary)
                assert await ws.recv() == binary

    run(main())


def test_kinds_of_messages(run: Run[None], server: Server) -> None:
    async def main() -> None:
        async with longwire.connect(server.url("/echo")) as ws:
            for like in (bytearray(b"abc"), memoryview(b"abc"), memoryview(b"a-b-c-")[::2]):
                await ws.send(like)
                assert await ws.recv() == bytes(like)
            await ws.send(b"abc", text=True)
            assert await ws.recv() == "abc"
            await ws.send("abc", text=False)
            assert await ws.recv() == b"abc"
            await ws.send("ä")
            assert await ws.recv(decode=False) == "ä".encode()
            await ws.send("ä".encode())
            assert await ws.recv(decode=True) == "ä"

    run(main())


def test_iteration_ends_with_a_proper_close(run: Run[None], server: Server) -> None:
    async def main() -> None:
        async with longwire.connect(server.url("/push", count=1000, size=100)) as ws:
            numbers = [int(str(message).split()[0]) async for message in ws]
        assert numbers == list(range(1000))
        assert (ws.close_code, ws.state) == (1000, State.CLOSED)

    run(main())


def test_iteration_raises_at_another_close(run: Run[None], server: Server) -> None:
    async def main() -> None:
        url = server.url("/close", code=4001, reason="enough")
        async with longwire.connect(url, reconnect=False) as ws:
            with pytest.raises(longwire.ConnectionClosedError) as caught:
                async for _ in ws:
                    pytest.fail("no message was sent")
        assert (caught.value.code, caught.value.reason) == (4001, "enough")
        assert caught.value.rcvd == longwire.Close(4001, "enough")
        assert (ws.close_code, ws.close_reason) == (4001, "enough")

    run(main())


@pytest.mark.parametrize(("code", "seen"), [(1000, 1000), (1001, 1001), (0, 1005)])
def test_proper_ends(run: Run[None], server: Server, code: int, seen: int) -> None:
    async def main() -> None:
        url = server.url("/close", code=code)
        async with longwire.connect(url, reconnect=False) as ws:
            with pytest.raises(longwire.ConnectionClosedOK) as caught:
                await ws.recv()
        assert caught.value.code == seen
        assert caught.value.rcvd_then_sent is True

    run(main())


def test_a_cancelled_recv_loses_nothing(run: Run[None], server: Server) -> None:
    """Cancels at every point between "just started" and "already has it"."""

    async def main() -> None:
        async with longwire.connect(server.url("/echo")) as ws:
            received: list[str] = []
            for number in range(300):
                await ws.send(str(number))
                receiving = asyncio.create_task(ws.recv())
                for _ in range(number % 12):
                    await asyncio.sleep(0)
                receiving.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    received.append(str(await receiving))
            while len(received) < 300:
                received.append(str(await ws.recv()))
            assert received == [str(number) for number in range(300)]

    run(main())


def test_a_recv_that_timed_out_loses_nothing(run: Run[None], server: Server) -> None:
    async def main() -> None:
        url = server.url("/pinger", interval_ms=1000, timeout_ms=5000, messages=40, spread_ms=400)
        async with longwire.connect(url) as ws:
            received: list[int] = []
            timeouts = 0
            while len(received) < 40:
                try:
                    received.append(int(await asyncio.wait_for(ws.recv(), 0.003)))
                except TimeoutError:
                    timeouts += 1
            assert received == list(range(40))
            assert timeouts

    run(main())


def test_a_cancelled_recv_makes_way_at_once(run: Run[None], server: Server) -> None:
    async def main() -> None:
        async with longwire.connect(server.url("/echo")) as ws:
            first = asyncio.create_task(ws.recv())
            await asyncio.sleep(0)
            first.cancel()
            second = ws.recv()
            await ws.send("for the second")
            assert await second == "for the second"
            with pytest.raises(asyncio.CancelledError):
                await first

    run(main())


def test_two_tasks_cannot_receive_at_once(run: Run[None], server: Server) -> None:
    async def main() -> None:
        async with longwire.connect(server.url("/echo")) as ws:
            first = asyncio.create_task(ws.recv())
            await asyncio.sleep(0)
            with pytest.raises(longwire.ConcurrencyError, match="another task"):
                await ws.recv()
            await ws.send("for the first")
            assert await first == "for the first"

    run(main())


def test_an_awaitable_serves_once(run: Run[None], server: Server) -> None:
    async def main() -> None:
        async with longwire.connect(server.url("/echo")) as ws:
            await ws.send("one")
            receiving = ws.recv()
            assert await receiving == "one"
            with pytest.raises(RuntimeError, match="twice"):
                await receiving

    run(main())


def test_context_variables_are_the_tasks_own(run: Run[None], server: Server) -> None:
    variable = ContextVar("variable", default="outside")

    async def main() -> None:
        async with longwire.connect(server.url("/echo")) as ws:

            async def receive() -> str:
                variable.set("inside")
                await ws.recv()
                return variable.get()

            receiving = asyncio.create_task(receive())
            await asyncio.sleep(0)
            await ws.send("wake up")
            assert await receiving == "inside"
            assert variable.get() == "outside"

    run(main())


def test_ping(run: Run[None], server: Server) -> None:
    async def main() -> None:
        async with longwire.connect(server.url("/echo")) as ws:
            assert ws.latency == 0
            pong = await ws.ping()
            assert 0 < await pong < 10
            assert ws.latency > 0
            pong = await ws.ping(b"mine")
            with pytest.raises(longwire.ConcurrencyError, match="same data"):
                await ws.ping("mine")
            await pong
            with pytest.raises(longwire.InvalidArgument, match="125"):
                await ws.ping(b"x" * 126)
            with pytest.raises(TypeError):
                await ws.ping(1)  # type: ignore[arg-type]
        with pytest.raises(longwire.ConnectionClosedOK):
            await ws.ping()

    run(main())


def test_a_pong_that_never_comes_ends_with_the_connection(run: Run[None], server: Server) -> None:
    async def main() -> None:
        options: Any = {"reconnect": False, "close_timeout": 0.05}
        ws = await longwire.connect(server.url("/stall"), **options)
        pong = await ws.ping()
        await ws.close()
        with pytest.raises(longwire.ConnectionClosed):
            await pong

    run(main())


def test_close(run: Run[None], server: Server) -> None:
    async def main() -> None:
        ws = await longwire.connect(server.url("/echo"))
        assert (ws.close_code, ws.close_reason) == (None, None)
        receiving = asyncio.create_task(ws.recv())
        await asyncio.sleep(0)
        await ws.close(4321, "done")
        with pytest.raises(longwire.ConnectionClosed) as caught:
            await receiving
        assert caught.value.sent == longwire.Close(4321, "done")
        assert caught.value.rcvd_then_sent is False
        assert ws.close_code == 4321
        assert ws.state is State.CLOSED
        await ws.close()
        await ws.wait_closed()
        for _ in range(2):
            with pytest.raises(longwire.ConnectionClosed):
                await ws.recv()
            with pytest.raises(longwire.ConnectionClosed):
                await ws.send("too late")

    run(main())


@pytest.mark.parametrize(("code", "reason"), [(1005, ""), (999, ""), (5000, ""), (1000, "x" * 124)])
def test_a_close_that_cannot_be_sent(
    run: Run[None], server: Server, code: int, reason: str
) -> None:
    async def main() -> None:
        async with longwire.connect(server.url("/echo")) as ws:
            with pytest.raises(longwire.InvalidArgument):
                await ws.close(code, reason)
            await ws.send("still open")
            assert await ws.recv() == "still open"

    run(main())


def test_what_came_before_the_close_can_be_received_after_it(
    run: Run[None], server: Server
) -> None:
    async def main() -> None:
        ws = await longwire.connect(server.url("/echo"))
        for number in range(10):
            await ws.send(str(number))
        assert await ws.recv() == "0"
        # The pong comes after all of them.
        await (await ws.ping())
        await ws.close()
        assert [message async for message in ws] == [str(number) for number in range(1, 10)]

    run(main())


def test_close_does_not_wait_for_a_flood_to_be_read(run: Run[None], server: Server) -> None:
    async def main() -> None:
        url = server.url("/push", count=100_000, size=10_000)
        ws = await longwire.connect(url, receive_buffer=4096, close_timeout=30)
        await ws.recv()
        async with asyncio.timeout(25):
            await ws.close()

    run(main())


def test_wait_closed_can_be_cancelled(run: Run[None], server: Server) -> None:
    async def main() -> None:
        async with longwire.connect(server.url("/echo")) as ws:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(ws.wait_closed(), 0.01)
            await ws.send("still open")
            assert await ws.recv() == "still open"

    run(main())


def test_an_exception_in_the_block_closes_with_1011(run: Run[None], server: Server) -> None:
    async def main() -> None:
        with pytest.raises(KeyError):
            async with longwire.connect(server.url("/echo")) as ws:
                raise KeyError
        with pytest.raises(longwire.ConnectionClosed) as caught:
            await ws.recv()
        assert caught.value.sent is not None
        assert caught.value.sent.code == 1011

    run(main())


def test_what_the_handshake_carries(run: Run[None], server: Server) -> None:
    async def main() -> None:
        async with longwire.connect(
            server.url("/headers"),
            additional_headers=[("X-One", "1"), ("Authorization", "Bearer abc")],
            origin="https://example.org",
        ) as ws:
            headers = json.loads(await ws.recv())
            assert headers["x-one"] == "1"
            assert headers["authorization"] == "Bearer abc"
            assert headers["origin"] == "https://example.org"
            assert dict(ws.response_headers)["upgrade"] == "websocket"
            assert ws.subprotocol is None
        async with longwire.connect(
            server.url("/subprotocol", choose="two"), subprotocols=["one", "two"]
        ) as ws:
            assert ws.subprotocol == "two"

    run(main())


def test_a_slow_reader_gets_everything_in_order(run: Run[None], server: Server) -> None:
    async def main() -> None:
        url = server.url("/push", count=3000, size=1000)
        async with longwire.connect(url, receive_buffer=10_000) as ws:
            for number in range(3000):
                if number % 100 == 0:
                    await asyncio.sleep(0.001)
                assert str(await ws.recv()).startswith(f"{number} ")

    run(main())


def test_connect_can_be_cancelled(run: Run[None], server: Server) -> None:
    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(
                longwire.connect(server.url("/stall-handshake"))._connect(), 0.05
            )

    run(main())


def test_a_forgotten_connection_is_collected(run: Run[None], server: Server) -> None:
    async def main() -> None:
        ws = await longwire.connect(server.url("/echo"))
        gone = weakref.ref(ws)
        with pytest.warns(ResourceWarning, match="unclosed connection"):
            del ws
            gc.collect()
        assert gone() is None

    run(main())


def test_a_waiting_task_keeps_its_connection(run: Run[None], server: Server) -> None:
    async def main() -> None:
        url = server.url("/pinger", interval_ms=1000, timeout_ms=5000, messages=1, spread_ms=100)
        ws = await longwire.connect(url)
        receiving = asyncio.create_task(ws.recv())
        await asyncio.sleep(0)
        gone = weakref.ref(ws)
        del ws
        gc.collect()
        assert await receiving == "0"
        connection = gone()
        assert connection is not None
        await connection.close()

    run(main())
