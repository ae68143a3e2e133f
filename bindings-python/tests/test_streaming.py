"""Messages that are received piece by piece, as they come."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import longwire
import pytest
from conftest import LIMIT, Run, Server
from frames import BINARY, CLOSE, CONTINUATION, PING, TEXT, Conversation, encode, peer
from longwire import sync


async def pieces_of(ws: longwire.Connection, decode: bool | None = None) -> list[str | bytes]:
    return [piece async for piece in ws.recv_streaming(decode)]


def fragmented(client: Conversation, opcode: int, *payloads: bytes) -> None:
    """Send a message in fragments, waiting for an answer before the next one each time.

    So each comes by itself, unless the client does not wait for it.
    """
    for payload in payloads:
        client.send(opcode, payload, fin=False)
        client.send(PING)
        client.receive()
        opcode = CONTINUATION
    client.send(CONTINUATION)


def test_large_messages_come_in_pieces(run: Run[None], server: Server) -> None:
    url = server.url("/push", count=3, size=20_000_000, kind="binary")
    options: Any = {"streaming": True, "max_size": 1000}

    async def main() -> None:
        async with longwire.connect(url, **options) as ws:
            for number in range(3):
                pieces = await pieces_of(ws)
                assert len(pieces) > 10
                message = b"".join(piece for piece in pieces if isinstance(piece, bytes))
                assert len(message) == 20_000_000
                assert int(message.split()[0]) == number
            with pytest.raises(longwire.ConnectionClosedOK):
                await pieces_of(ws)

    run(main())
    with sync.connect(url, **options) as ws:
        for number in range(3):
            size, first = 0, b""
            for piece in ws.recv_streaming(decode=False):
                size, first = size + len(piece), first or piece
            assert (size, int(first.split()[0])) == (20_000_000, number)
        with pytest.raises(longwire.ConnectionClosedOK):
            list(ws.recv_streaming())


SNOW = "aé☃𝄞" * 3


def test_no_piece_ends_inside_a_character(run: Run[None]) -> None:
    bytewise = [bytes([byte]) for byte in SNOW.encode()]

    def script(client: Conversation) -> None:
        for opcode in (TEXT, BINARY, TEXT, BINARY, TEXT):
            fragmented(client, opcode, *bytewise)
        client.close()

    def check(received: list[list[Any]]) -> None:
        text, forced, encoded, binary, whole = received
        assert text == forced == list(SNOW)
        assert encoded == binary
        assert b"".join(encoded) == SNOW.encode()
        assert len(encoded) > len(SNOW)
        assert whole == [SNOW]

    async def main(url: str) -> None:
        async with longwire.connect(url, streaming=True) as ws:
            received = [await pieces_of(ws, decode) for decode in (None, True, False, None)]
            check([*received, [await ws.recv()]])

    with peer(script) as server:
        run(main(server.url))
    with peer(script) as server, sync.connect(server.url, streaming=True) as ws:
        received = [list(ws.recv_streaming(decode)) for decode in (None, True, False, None)]
        check([*received, [ws.recv(timeout=LIMIT)]])


def test_bytes_that_are_no_text_can_be_had_as_bytes(run: Run[None]) -> None:
    def script(client: Conversation) -> None:
        fragmented(client, BINARY, b"good\xc3", b"\xffbad")
        client.send(TEXT, b"next")
        client.close()

    async def main(url: str) -> None:
        async with longwire.connect(url, streaming=True) as ws:
            pieces: list[str] = []
            with pytest.raises(UnicodeDecodeError):
                async for piece in ws.recv_streaming(decode=True):
                    pieces.append(piece)
            assert pieces == ["good"]
            assert await pieces_of(ws, decode=False) == [b"\xc3\xffbad"]
            assert await ws.recv() == "next"

    with peer(script) as server:
        run(main(server.url))


@pytest.mark.parametrize("streaming", [False, True])
def test_a_message_that_comes_whole_is_one_piece(
    run: Run[None], server: Server, streaming: bool
) -> None:
    messages: list[str | bytes] = ["", "héllo", b"", b"abc"]

    async def main() -> None:
        async with longwire.connect(server.url("/echo"), streaming=streaming) as ws:
            for message in messages:
                await ws.send(message)
                assert await pieces_of(ws) == [message]
            await ws.send("héllo")
            assert await pieces_of(ws, decode=False) == ["héllo".encode()]

    run(main())
    with sync.connect(server.url("/echo"), streaming=streaming) as ws:
        for message in messages:
            ws.send(message)
            assert list(ws.recv_streaming()) == [message]


def test_an_empty_message_in_fragments_is_one_piece(run: Run[None]) -> None:
    def script(client: Conversation) -> None:
        client.send(TEXT, fin=False)
        client.send(CONTINUATION)
        client.close()

    async def main(url: str) -> None:
        async with longwire.connect(url, streaming=True) as ws:
            assert await pieces_of(ws) == [""]

    with peer(script) as server:
        run(main(server.url))


def test_whole_messages_are_put_together(run: Run[None], server: Server) -> None:
    # Larger than what is kept for a reader who does not come.
    url = server.url("/push", count=3, size=5_000_000)

    async def main() -> None:
        async with longwire.connect(url, streaming=True, receive_buffer=1 << 16) as ws:
            sizes = [len(message) async for message in ws]
            assert sizes == [5_000_000] * 3

    run(main())
    with sync.connect(url, streaming=True, receive_buffer=1 << 16) as ws:
        assert [len(message) for message in ws] == [5_000_000] * 3


def test_a_message_too_large_to_be_put_together_is_still_there(run: Run[None]) -> None:
    halves = (b"x" * 800, b"y" * 800)

    def script(client: Conversation) -> None:
        fragmented(client, TEXT, *halves)
        client.send(TEXT, b"next")
        client.close()

    async def main(url: str) -> None:
        async with longwire.connect(url, streaming=True, max_size=1000) as ws:
            for _ in range(2):
                with pytest.raises(longwire.PayloadTooBig, match="at most 1000 bytes"):
                    await ws.recv()
            text = "".join([str(piece) for piece in await pieces_of(ws)])
            assert text == "x" * 800 + "y" * 800
            assert await ws.recv() == "next"

    with peer(script) as server:
        run(main(server.url))
    with peer(script) as server, sync.connect(server.url, streaming=True, max_size=1000) as ws:
        with pytest.raises(longwire.PayloadTooBig):
            ws.recv(timeout=LIMIT)
        assert len("".join(ws.recv_streaming(decode=True))) == 1600
        assert ws.recv(timeout=LIMIT) == "next"


def test_a_recv_cancelled_in_the_middle_loses_nothing(run: Run[None]) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        begun, go_on = asyncio.Event(), asyncio.Event()

        def script(client: Conversation) -> None:
            client.receive()
            for _ in range(2):
                client.send(TEXT, b"begin", fin=False)
                client.send(PING)
                client.receive()
                loop.call_soon_threadsafe(begun.set)
                asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(LIMIT)
                go_on.clear()
                client.send(CONTINUATION, b"ning")
            client.close()

        with peer(script) as server:
            async with longwire.connect(server.url, streaming=True) as ws:
                receiving = asyncio.create_task(ws.recv())
                await ws.send("go")
                await begun.wait()
                begun.clear()
                receiving.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await receiving
                go_on.set()
                assert await ws.recv() == "beginning"

                assert await anext(ws.recv_streaming()) == "begin"
                await begun.wait()
                with pytest.raises(longwire.ConcurrencyError, match="in the middle of a message"):
                    await ws.recv()
                rest = asyncio.create_task(pieces_of(ws))
                await asyncio.sleep(0)
                with pytest.raises(longwire.ConcurrencyError, match="already running recv"):
                    await pieces_of(ws)
                rest.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await rest
                go_on.set()
                assert await pieces_of(ws) == ["ning"]

    run(main())


def test_two_readers_of_a_message_do_not_read_the_next_one(run: Run[None]) -> None:
    def script(client: Conversation) -> None:
        for _ in range(2):
            fragmented(client, TEXT, b"a", b"b")
        client.close()

    async def main(url: str) -> None:
        async with longwire.connect(url, streaming=True) as ws:
            first = ws.recv_streaming()
            assert await anext(first) == "a"
            assert "".join([str(piece) for piece in await pieces_of(ws)]) == "b"
            with pytest.raises(longwire.ConcurrencyError, match="by another"):
                await anext(first)
            assert await ws.recv() == "ab"

    with peer(script) as server:
        run(main(server.url))


def test_a_timeout_in_the_middle_loses_nothing() -> None:
    def script(client: Conversation) -> None:
        client.send(TEXT, b"begin", fin=False)
        client.receive()
        client.send(CONTINUATION, b"ning")
        client.close()

    with peer(script) as server, sync.connect(server.url, streaming=True) as ws:
        with pytest.raises(longwire.Timeout):
            ws.recv(timeout=0.05)
        ws.send("go on")
        assert ws.recv(timeout=LIMIT) == "beginning"


def cut_off(client: Conversation) -> None:
    client.send(TEXT, b"begin", fin=False)


def closed_in_between(client: Conversation) -> None:
    client.send(TEXT, b"begin", fin=False)
    client.close(1000)


async def by_pieces(ws: longwire.Connection) -> None:
    received: list[str] = []
    try:
        async for piece in ws.recv_streaming(decode=True):
            received.append(piece)
    finally:
        assert received == ["begin"]


async def by_recv(ws: longwire.Connection) -> None:
    await ws.recv()


async def by_iterating(ws: longwire.Connection) -> None:
    async for _ in ws:
        pass


@pytest.mark.parametrize("read", [by_pieces, by_recv, by_iterating])
@pytest.mark.parametrize("end", [cut_off, closed_in_between])
def test_a_message_without_an_end_is_told(
    run: Run[None], read: Callable[[longwire.Connection], Any], end: Callable[..., None]
) -> None:
    async def main(url: str) -> None:
        async with longwire.connect(url, streaming=True, reconnect=False) as ws:
            with pytest.raises(longwire.ConnectionClosedError) as caught:
                await read(ws)
            assert "in the middle of a message" in str(caught.value.__cause__)
            closed = longwire.ConnectionClosed
            with pytest.raises(closed):
                await ws.recv()

    with peer(end) as server:
        run(main(server.url))
    with peer(end) as server, sync.connect(server.url, streaming=True, reconnect=False) as ws:
        with pytest.raises(longwire.ConnectionClosedError) as caught:
            list(ws.recv_streaming() if read is by_pieces else ws)
        assert "in the middle of a message" in str(caught.value.__cause__)


@pytest.mark.parametrize("read", [by_pieces, by_recv, by_iterating])
def test_a_message_cut_off_before_another_connection(
    run: Run[None], read: Callable[[longwire.Connection], Any]
) -> None:
    def greet(client: Conversation) -> None:
        client.send(TEXT, b"hello again")
        client.close()

    options: Any = {"streaming": True, "reconnect": longwire.Reconnect(min_delay=0.01)}

    async def main(url: str) -> None:
        async with longwire.connect(url, **options) as ws:
            with pytest.raises(
                longwire.ConnectionLost, match="in the middle of a message"
            ) as caught:
                await read(ws)
            assert isinstance(caught.value.__cause__, longwire.LongwireError)
            assert await ws.recv() == "hello again"

    with peer(cut_off, greet) as server:
        run(main(server.url))
    with peer(cut_off, greet) as server, sync.connect(server.url, **options) as ws:
        with pytest.raises(longwire.ConnectionLost):
            list(ws.recv_streaming() if read is by_pieces else ws)
        assert ws.recv(timeout=LIMIT) == "hello again"


def test_who_closes_in_the_middle_wants_no_rest(run: Run[None]) -> None:
    def script(client: Conversation) -> None:
        client.send(TEXT, b"begin", fin=False)
        while client.receive().opcode != CLOSE:
            pass
        client.send(CLOSE, b"\x03\xe8")

    async def main(url: str) -> None:
        async with longwire.connect(url, streaming=True) as ws:
            pieces = ws.recv_streaming()
            assert await anext(pieces) == "begin"
            await ws.close()
            with pytest.raises(longwire.ConnectionClosedOK):
                await anext(pieces)

    with peer(script) as server:
        run(main(server.url))


def test_reading_stops_while_nobody_takes_the_pieces(run: Run[None]) -> None:
    total = 64 << 20

    def script(client: Conversation) -> int:
        """Send until nobody has read for a while, tell how much that was, and send the rest."""
        message = memoryview(encode(BINARY, bytes(total)))
        sent = 0
        client.socket.settimeout(0.2)
        with contextlib.suppress(TimeoutError):
            while sent < total:
                sent += client.socket.send(message[sent:])
        client.socket.settimeout(LIMIT)
        stopped.set_result(sent)
        client.socket.sendall(message[sent:])
        client.close()
        return sent

    async def main(url: str) -> None:
        options: Any = {"streaming": True, "receive_buffer": 1 << 18, "max_size": 1000}
        async with longwire.connect(url, **options) as ws:
            stream = ws.recv_streaming(decode=False)
            size = len(await anext(stream))
            assert await asyncio.wrap_future(stopped) < total // 4
            async for piece in stream:
                size += len(piece)
            assert size == total

    stopped: Future[int] = Future()
    with peer(script) as server:
        run(main(server.url))
