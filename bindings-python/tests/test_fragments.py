"""Messages that are sent in fragments, and messages that are not compressed."""

from __future__ import annotations

import asyncio
import threading
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import longwire
import pytest
from conftest import LIMIT, Run, Server
from frames import BINARY, CLOSE, CONTINUATION, TEXT, Conversation, Frame, peer
from longwire import sync


def in_fragments(opcode: int, *payloads: bytes) -> list[Frame]:
    first, *others = payloads
    between = [Frame(CONTINUATION, other, fin=False) for other in others]
    return [Frame(opcode, first, fin=False), *between, Frame(CONTINUATION, b"")]


async def later(*items: Any) -> AsyncIterator[Any]:
    for item in items:
        await asyncio.sleep(0)
        yield item


MESSAGES: list[tuple[Callable[[], Any], dict[str, Any], list[Frame]]] = [
    (lambda: ["a", "", "ü"], {}, in_fragments(TEXT, b"a", b"", "ü".encode())),
    (lambda: (b"a", bytearray(b"b"), memoryview(b"c")), {}, in_fragments(BINARY, b"a", b"b", b"c")),
    (lambda: iter(["only"]), {}, in_fragments(TEXT, b"only")),
    (lambda: (str(n) for n in range(3)), {}, in_fragments(TEXT, b"0", b"1", b"2")),
    ({"key": 1}.keys, {}, in_fragments(TEXT, b"key")),
    (lambda: [b"\xc3", b"\xbc"], {"text": True}, in_fragments(TEXT, b"\xc3", b"\xbc")),
    (lambda: ["a", "b"], {"text": False}, in_fragments(BINARY, b"a", b"b")),
]


@pytest.mark.parametrize(("message", "options", "expected"), MESSAGES)
def test_iterables_are_sent_in_fragments(
    run: Run[None], message: Callable[[], Any], options: Any, expected: list[Frame]
) -> None:
    async def main(url: str) -> None:
        async with longwire.connect(url) as ws:
            await ws.send(message(), **options)
            await ws.send(later(*message()), **options)
            await ws.send("whole")

    with peer(lambda client: client.frames(2 * len(expected) + 1)) as server:
        run(main(server.url))
        assert server.result == [*expected, *expected, Frame(TEXT, b"whole")]
    with peer(lambda client: client.frames(len(expected) + 1)) as server:
        with sync.connect(server.url) as ws:
            ws.send(message(), **options)
            ws.send("whole")
        assert server.result == [*expected, Frame(TEXT, b"whole")]


def test_nothing_of_nothing_is_sent(run: Run[None]) -> None:
    async def main(url: str) -> None:
        async with longwire.connect(url) as ws:
            await ws.send([])
            await ws.send(later())
            await ws.send("whole")

    with peer(Conversation.receive) as server:
        run(main(server.url))
        assert server.result == Frame(TEXT, b"whole")
    with peer(Conversation.receive) as server:
        with sync.connect(server.url) as ws:
            ws.send([])
            ws.send("whole")
        assert server.result == Frame(TEXT, b"whole")


@pytest.mark.parametrize(
    ("message", "says"),
    [
        (1, "str or bytes-like, or an iterable of either, not int"),
        (None, "not NoneType"),
        ({"a": 1}, r"not dict: .*keys\(\)"),
        ([1], "a fragment must be str or bytes-like, not int"),
        ([["a"]], "not list"),
    ],
)
def test_what_cannot_be_sent_leaves_the_connection_as_it_was(
    run: Run[None], server: Server, message: Any, says: str
) -> None:
    async def main() -> None:
        async with longwire.connect(server.url("/echo")) as ws:
            with pytest.raises(TypeError, match=says):
                await ws.send(message)
            with pytest.raises(TypeError, match="str or bytes-like, not"):
                ws.send_nowait(message)
            await ws.send("still there")
            assert await ws.recv() == "still there"

    run(main())
    with sync.connect(server.url("/echo")) as ws:
        with pytest.raises(TypeError, match=says):
            ws.send(message)
        ws.send("still there")
        assert ws.recv(timeout=LIMIT) == "still there"


def until_close(client: Conversation) -> list[Frame]:
    frames = [client.receive()]
    while frames[-1].opcode != CLOSE:
        frames.append(client.receive())
    client.socket.sendall(b"\x88\x02" + frames[-1].payload[:2])
    return frames


def failing() -> Iterator[str]:
    yield "begun"
    raise LookupError("no more")


UNFINISHED: list[tuple[Any, type[Exception], str]] = [
    (lambda: ["begun", b"other"], TypeError, "expected str, as the first was, got bytes"),
    (lambda: ["begun", 1], TypeError, "not int"),
    (failing, LookupError, "no more"),
    (lambda: ["begun", "\ud800"], UnicodeEncodeError, "surrogates"),
]


@pytest.mark.parametrize(("message", "exception", "says"), UNFINISHED)
def test_a_message_without_an_end_ends_the_connection(
    run: Run[None], message: Callable[[], Any], exception: type[Exception], says: str
) -> None:
    async def main(url: str) -> None:
        async with longwire.connect(url, reconnect=False) as ws:
            with pytest.raises(exception, match=says):
                await ws.send(message())
            with pytest.raises(longwire.ConnectionClosedError) as caught:
                await ws.recv()
            assert "given up" in str(caught.value.__cause__)

    with peer(until_close) as server:
        run(main(server.url))
        first, last = server.result
        assert first == Frame(TEXT, b"begun", fin=False)
        assert int.from_bytes(last.payload[:2]) == 1011
    with peer(until_close) as server:
        with sync.connect(server.url, reconnect=False) as ws:
            with pytest.raises(exception, match=says):
                ws.send(message())
            with pytest.raises(longwire.ConnectionClosedError):
                ws.recv(timeout=LIMIT)
        assert int.from_bytes(server.result[-1].payload[:2]) == 1011


def test_text_that_ends_inside_a_character_is_refused(run: Run[None]) -> None:
    async def main(url: str) -> None:
        async with longwire.connect(url, reconnect=False) as ws:
            with pytest.raises(longwire.InvalidUTF8, match="ends inside a character"):
                await ws.send([b"\xc3"], text=True)
            with pytest.raises(longwire.ConnectionClosedError):
                await ws.recv()

    with peer(until_close) as server:
        run(main(server.url))
        assert int.from_bytes(server.result[-1].payload[:2]) == 1011


def test_others_wait_behind_it_in_their_order(run: Run[None]) -> None:
    async def main(url: str) -> None:
        async with longwire.connect(url) as ws:
            begun, go_on = asyncio.Event(), asyncio.Event()

            async def slow() -> AsyncIterator[str]:
                yield "a"
                begun.set()
                await go_on.wait()
                yield "b"

            async with asyncio.TaskGroup() as group:
                first = group.create_task(ws.send(slow()))
                await begun.wait()
                # A whole message is taken, a second one in fragments has to wait, and what
                # comes behind that as well.
                await ws.send("whole")
                second = group.create_task(ws.send(["c", "d"]))
                given_up = group.create_task(ws.send(["never"]))
                await asyncio.sleep(0)
                third = group.create_task(ws.send("last"))
                await asyncio.sleep(0)
                assert not any(task.done() for task in (first, second, third))
                given_up.cancel()
                go_on.set()

    expected = [
        *in_fragments(TEXT, b"a", b"b"),
        Frame(TEXT, b"whole"),
        *in_fragments(TEXT, b"c", b"d"),
        Frame(TEXT, b"last"),
    ]
    with peer(lambda client: client.frames(len(expected))) as server:
        run(main(server.url))
        assert server.result == expected


def test_whoever_waits_behind_a_cancelled_one_goes_on(run: Run[None]) -> None:
    async def main(url: str) -> None:
        reconnect = longwire.Reconnect(min_delay=0.01)
        async with longwire.connect(url, reconnect=reconnect) as ws:
            begun = asyncio.Event()

            async def endless() -> AsyncIterator[bytes]:
                yield b"begun"
                begun.set()
                await asyncio.Event().wait()

            first = asyncio.create_task(ws.send(endless()))
            await begun.wait()
            await ws.send("whole")
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            # The next connection gets what had not begun.
            assert await ws.recv() == "hello again"
            await ws.send([b"c"])

    def greet(client: Conversation) -> list[Frame]:
        client.send(TEXT, b"hello again")
        return client.frames(3)

    with peer(until_close, greet) as server:
        run(main(server.url))
        assert [frame.opcode for frame in server.result] == [BINARY, CLOSE]
        expected = [Frame(TEXT, b"whole"), *in_fragments(BINARY, b"c")]
        assert server.results[1].result(LIMIT) == expected


def test_fragments_wait_for_room(run: Run[None], server: Server) -> None:
    size, count, limit = 40_000, 500, 1 << 16

    async def main() -> None:
        async with longwire.connect(server.url("/echo"), send_buffer=limit) as ws:
            most = 0

            def pieces() -> Iterator[bytes]:
                nonlocal most
                for number in range(count):
                    most = max(most, ws.buffered_amount)
                    yield bytes([number % 256]) * size

            async with asyncio.TaskGroup() as group:
                group.create_task(ws.send(pieces()))
                await asyncio.sleep(0)
                # More than fits waits behind it, and must not be in its way.
                for number in range(20):
                    group.create_task(ws.send(f"{number} " + "x" * 10_000))
                message = await ws.recv()
                assert len(message) == size * count
                assert message == b"".join(bytes([n % 256]) * size for n in range(count))
                for number in range(20):
                    assert str(await ws.recv()).startswith(f"{number} ")
            assert most <= 2 * limit + size

    run(main())
    with sync.connect(server.url("/echo"), send_buffer=limit) as ws:
        sender = threading.Thread(target=lambda: ws.send(bytes(size) for _ in range(count)))
        sender.start()
        assert ws.recv(timeout=LIMIT) == bytes(size * count)
        sender.join()


@pytest.mark.parametrize("reconnect", [False, True])
def test_a_connection_lost_on_the_way(run: Run[None], reconnect: bool) -> None:
    expected = longwire.ConnectionLost if reconnect else longwire.ConnectionClosedError

    async def main(url: str) -> None:
        async with longwire.connect(url, reconnect=reconnect) as ws:
            with pytest.raises(expected):
                await ws.send("x" * 1000 for _ in iter(int, 1))

    def drop(client: Conversation) -> None:
        client.frames(3)

    with peer(drop) as server:
        run(main(server.url))
    with (
        peer(drop) as server,
        sync.connect(server.url, reconnect=reconnect) as ws,
        pytest.raises(expected),
    ):
        ws.send("x" * 1000 for _ in iter(int, 1))


def test_not_without_a_connection(run: Run[None]) -> None:
    async def main(url: str) -> None:
        down = asyncio.Event()
        options: Any = {
            "on_down": lambda _: down.set(),
            "reconnect": longwire.Reconnect(min_delay=30),
        }
        async with longwire.connect(url, **options) as ws:
            await down.wait()
            with pytest.raises(longwire.NotConnected):
                await ws.send(["a"])

    with peer(lambda _: None) as server:
        run(main(server.url))


def test_threads_beside_a_message_in_fragments() -> None:
    """The blocking face does not wait for itself."""

    def script(client: Conversation) -> list[Frame]:
        return client.frames(5)

    with peer(script) as server, sync.connect(server.url, send_buffer=1000) as ws:

        def pieces() -> Iterator[str]:
            yield "a"
            other = threading.Thread(target=ws.send, args=("from another thread",))
            other.start()
            other.join(LIMIT)
            ws.send("from within")
            with pytest.raises(longwire.ConcurrencyError, match="in fragments"):
                ws.send(["b"])
            with pytest.raises(longwire.SendBufferFull):
                ws.send("x" * 2000)
            yield "b"

        ws.send(pieces())
        assert server.result == [
            *in_fragments(TEXT, b"a", b"b"),
            Frame(TEXT, b"from another thread"),
            Frame(TEXT, b"from within"),
        ]


DEFLATE = "permessage-deflate; client_no_context_takeover"


def inflate(payload: bytes) -> bytes:
    return zlib.decompressobj(-15).decompress(payload + b"\x00\x00\xff\xff")


def test_what_is_compressed_on_the_wire(run: Run[None]) -> None:
    text = "all the same " * 1000

    async def main(url: str) -> None:
        async with longwire.connect(url) as ws:
            extensions = [v for k, v in ws.response_headers if k == "sec-websocket-extensions"]
            assert extensions == [DEFLATE]
            await ws.send(text)
            await ws.send(text, compress=False)
            ws.send_nowait(text)
            ws.send_nowait(text, compress=False)
            await ws.send([text])
            await ws.send([text], compress=False)

    def blocking(url: str) -> None:
        with sync.connect(url) as ws:
            for message in (text, text, [text]):
                ws.send(message)
                ws.send(message, compress=False)

    for client in (lambda url: run(main(url)), blocking):
        with peer(lambda client: client.frames(8), extensions=DEFLATE) as server:
            client(server.url)
            frames = server.result
        assert [frame.rsv1 for frame in frames] == [
            True,
            False,
            True,
            False,
            True,
            False,
            False,
            False,
        ]
        for frame in frames[:4]:
            payload = inflate(frame.payload) if frame.rsv1 else frame.payload
            assert payload == text.encode()
            assert frame.rsv1 == (len(frame.payload) < 1000)
        first, last, plain, end = frames[4:]
        assert inflate(first.payload + last.payload) == text.encode()
        assert (plain.payload, end) == (text.encode(), Frame(CONTINUATION, b""))


def test_nothing_is_compressed_that_was_not_agreed_on(run: Run[None]) -> None:
    async def main(url: str) -> None:
        async with longwire.connect(url) as ws:
            await ws.send("x" * 10_000)

    with peer(Conversation.receive) as server:
        run(main(server.url))
        assert server.result == Frame(TEXT, b"x" * 10_000)
