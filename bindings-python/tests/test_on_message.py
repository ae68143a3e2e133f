"""Messages that go to a function instead of to ``recv``."""

from __future__ import annotations

import asyncio
import functools
import gc
import time
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

import longwire
import pytest
from conftest import Run, Server, until
from longwire import State, sync

Message = str | bytes


class Kept:
    """Keeps what comes."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def __call__(self, ws: longwire.Connection, message: Message) -> None:
        self.messages.append(message)


def complaints() -> list[dict[str, Any]]:
    """Have the loop put what it complains of into a list."""
    found: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: found.append(context))
    return found


def test_messages_come_in_order_as_str_and_bytes(run: Run[None], server: Server) -> None:
    async def main() -> None:
        kept, senders = Kept(), set()

        def on_message(ws: longwire.Connection, message: Message) -> None:
            senders.add(ws)
            kept(ws, message)

        sent: list[Message] = ["a", b"b", "ä" * 1000, b"", "", bytes(1 << 20), "c"]
        async with longwire.connect(server.url("/echo"), on_message=on_message) as ws:
            for message in sent:
                await ws.send(message)
            await until(lambda: len(kept.messages) == len(sent))
            assert kept.messages == sent
            assert senders == {ws}

    run(main())


def test_a_flood_comes_whole_and_before_the_end(run: Run[None], server: Server) -> None:
    """It begins before `connect` is done, and the end of the connection is behind it."""

    async def main() -> None:
        kept = Kept()
        url = server.url("/push", count=20_000, size=100)
        async with longwire.connect(url, on_message=kept) as ws:
            await ws.wait_closed()
        numbers = [int(str(message).split()[0]) for message in kept.messages]
        assert numbers == list(range(20_000))
        assert (ws.close_code, ws.state) == (1000, State.CLOSED)

    run(main())


def test_what_it_sends_goes_out_in_order(run: Run[None], server: Server) -> None:
    async def main() -> None:
        kept: list[int] = []

        def count(ws: longwire.Connection, message: Message) -> None:
            kept.append(int(message))
            if kept[-1] < 1000:
                ws.send_nowait(str(kept[-1] + 1))

        async with longwire.connect(server.url("/echo"), on_message=count) as ws:
            await ws.send("0")
            await until(lambda: len(kept) == 1001)
            assert kept == list(range(1001))

    run(main())


def test_the_loop_gets_its_turns_in_a_flood(run: Run[None], server: Server) -> None:
    async def main() -> None:
        kept, turns = Kept(), 0
        url = server.url("/push", count=20_000, size=100)
        async with longwire.connect(url, on_message=kept) as ws:
            while ws.state is not State.CLOSED:
                turns += 1
                await asyncio.sleep(0)
        assert len(kept.messages) == 20_000
        assert turns > 10

    run(main())


def test_an_exception_goes_to_the_loop_and_the_next_message_comes(
    run: Run[None], server: Server
) -> None:
    async def main() -> None:
        found, kept = complaints(), Kept()

        def picky(ws: longwire.Connection, message: Message) -> None:
            kept(ws, message)
            if message == "bad":
                raise ValueError("not this one")
            if message == "worse":
                raise asyncio.CancelledError

        async with longwire.connect(server.url("/echo"), on_message=picky) as ws:
            for message in ("bad", "worse", "good"):
                await ws.send(message)
            await until(lambda: len(kept.messages) == 3)
            assert ws.state is State.OPEN
        assert [context["message"] for context in found] == ["exception in on_message"] * 2
        bad, worse = (context["exception"] for context in found)
        assert str(bad) == "not this one"
        assert bad.__traceback__ is not None
        assert isinstance(worse, asyncio.CancelledError)

    run(main())


@pytest.mark.parametrize("ending", [KeyboardInterrupt, SystemExit])
def test_what_ends_a_program_ends_it(server: Server, ending: type[BaseException]) -> None:
    def on_message(ws: longwire.Connection, message: Message) -> None:
        raise ending

    async def main() -> None:
        async with longwire.connect(server.url("/echo"), on_message=on_message) as ws:
            await ws.send("x")
            await ws.wait_closed()

    with pytest.raises(ending):
        asyncio.run(main())


RECEIVE: dict[str, Callable[[longwire.Connection], Any]] = {
    "recv": lambda ws: ws.recv(),
    "iterating": anext,
    "recv_streaming": lambda ws: anext(ws.recv_streaming()),
}


@pytest.mark.parametrize("receive", RECEIVE.values(), ids=RECEIVE.keys())
def test_nothing_is_left_to_receive(
    run: Run[None], server: Server, receive: Callable[[longwire.Connection], Any]
) -> None:
    async def main() -> None:
        kept = Kept()
        async with longwire.connect(server.url("/echo"), on_message=kept) as ws:
            with pytest.raises(longwire.ConcurrencyError, match=r"on_message gets the messages"):
                await receive(ws)
            await ws.send("x")
            await until(lambda: kept.messages)
        with pytest.raises(longwire.ConcurrencyError, match=r"await wait_closed\(\)"):
            await receive(ws)

    run(main())


def test_nothing_comes_once_close_has_begun(run: Run[None], server: Server) -> None:
    async def main() -> None:
        kept = Kept()
        closing: list[Coroutine[Any, Any, None]] = []

        def close_at_ten(ws: longwire.Connection, message: Message) -> None:
            kept(ws, message)
            if len(kept.messages) == 10:
                # Has it begin on the spot, as an eager task would.
                closing.append(ws.close())
                closing[0].send(None)

        url = server.url("/push", count=20_000, size=100)
        async with longwire.connect(url, on_message=close_at_ten) as ws:
            await ws.wait_closed()
            closing[0].close()
        assert len(kept.messages) == 10
        assert ws.close_code == 1000

    run(main())


def test_it_goes_on_after_a_loss(run: Run[None], server: Server) -> None:
    async def main() -> None:
        told: list[object] = []
        async with longwire.connect(
            server.url("/echo"),
            on_message=lambda _, message: told.append(message),
            on_down=lambda _: told.append("down"),
            on_open=lambda ws: told.append("open"),
            reconnect=longwire.Reconnect(min_delay=0.001, max_delay=0.001),
        ) as ws:
            await ws.send("a")
            await until(lambda: told[-1] == "a")
            ws.reconnect()
            await until(lambda: told[-1] == "open")
            await ws.send("b")
            await until(lambda: told[-1] == "b")
        assert told == ["open", "a", "down", "open", "b"]

    run(main())


def test_a_program_that_takes_messages_so_is_not_stalled(run: Run[None], server: Server) -> None:
    async def main() -> None:
        kept = Kept()
        url = server.url("/pinger", interval_ms=1000, timeout_ms=60_000, messages=50, spread_ms=500)
        async with longwire.connect(
            url, on_message=kept, consumer_timeout=0.2, consumer_action="close"
        ) as ws:
            await until(lambda: len(kept.messages) == 50)
            assert ws.state is State.OPEN
            assert ws.stats.stalled is None

    run(main())


def test_a_function_that_blocks_keeps_no_ping_waiting(run: Run[None], server: Server) -> None:
    async def main() -> None:
        kept = Kept()

        def slow(ws: longwire.Connection, message: Message) -> None:
            if not kept.messages:
                time.sleep(3)
            kept(ws, message)

        url = server.url("/pinger", interval_ms=500, timeout_ms=1000, messages=100)
        async with longwire.connect(url, on_message=slow, reconnect=False) as ws:
            await until(lambda: len(kept.messages) == 100)
            await ws.send("done")
            await until(lambda: len(kept.messages) == 101)
            assert str(kept.messages[-1]).startswith("alive")
        assert kept.messages[:100] == [str(n) for n in range(100)]

    run(main())


def test_a_connection_is_collected_with_its_function(run: Run[None], server: Server) -> None:
    async def main() -> None:
        class Holder:
            ws: longwire.Connection

            def on_message(self, ws: longwire.Connection, message: Message) -> None:
                self.ws = ws

        holder = Holder()
        ws = holder.ws = await longwire.connect(server.url("/echo"), on_message=holder.on_message)
        gone = weakref.ref(ws)
        with pytest.warns(ResourceWarning, match="unclosed connection"):
            del ws, holder
            gc.collect()
        assert gone() is None

    run(main())


async def coroutine_function(ws: longwire.Connection, message: Message) -> None: ...


class Awaited:
    async def __call__(self, ws: longwire.Connection, message: Message) -> None: ...


REFUSED: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"on_message": coroutine_function}, TypeError, "must be a plain function, not a coroutine"),
    ({"on_message": Awaited()}, TypeError, "must be a plain function, not a coroutine"),
    (
        {"on_message": functools.partial(coroutine_function)},
        TypeError,
        "must be a plain function, not a coroutine",
    ),
    ({"on_message": "f"}, TypeError, "on_message must be a function, not 'f'"),
    ({"on_message": print, "streaming": True}, ValueError, "does not go with streaming=True"),
]


@pytest.mark.parametrize(("options", "exception", "says"), REFUSED)
def test_refused(
    run: Run[None],
    server: Server,
    options: dict[str, Any],
    exception: type[Exception],
    says: str,
) -> None:
    async def main() -> None:
        with pytest.raises(exception, match=says):
            await longwire.connect(server.url("/echo"), **options)

    run(main())


def test_blocking_connections_have_none(server: Server) -> None:
    options: dict[str, Any] = {"on_message": print}
    with pytest.raises(TypeError, match=r"'on_message': it is an option of longwire\.connect"):
        sync.connect(server.url("/echo"), **options)
