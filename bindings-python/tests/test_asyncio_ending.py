"""A task replies to the last messages before the connection ends behind them."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import longwire
import pytest
from conftest import Run
from longwire import ConnectionClosed

#: What the server says behind its messages, and the close code it has to hear.
LAST = {"close": (b"\x88\x02\x03\xe9", 1001), "violation": (b"\x83\x00", 1002)}
#: The runtime waits so long for a task, in seconds.
PATIENCE = 0.1

Frames = list[tuple[int, bytes]]


async def frames(reader: asyncio.StreamReader) -> Frames:
    """Read small frames of a client, to its close frame."""
    heard: Frames = []
    while not heard or heard[-1][0] != 8:
        first, length = await reader.readexactly(2)
        key = await reader.readexactly(4)
        masked = await reader.readexactly(length & 0x7F)
        payload = bytes(byte ^ key[at % 4] for at, byte in enumerate(masked))
        heard.append((first & 0x0F, payload))
    return heard


@asynccontextmanager
async def peer(last: bytes) -> AsyncIterator[tuple[str, asyncio.Future[Frames]]]:
    """A server that says "one", "two" and `last` in one segment, and what it heard."""
    all_heard: asyncio.Future[Frames] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        key = re.search(rb"(?i)sec-websocket-key: (\S+)", request)
        assert key
        digest = hashlib.sha1(key[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
        )
        await reader.readexactly(8)  # the client's "hi"
        writer.write(b"\x81\x03one\x81\x03two" + last)
        heard = await frames(reader)
        writer.close()
        all_heard.set_result(heard)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/", all_heard


@pytest.mark.parametrize("kind", LAST)
def test_what_a_task_takes_its_time_for_goes_out_first(run: Run[None], kind: str) -> None:
    last, code = LAST[kind]

    async def converse() -> tuple[Frames, float]:
        async with peer(last) as (url, heard), longwire.connect(url, reconnect=False) as ws:
            await ws.send("hi")
            begun = time.monotonic()
            with pytest.raises(ConnectionClosed):
                while True:
                    message = await ws.recv()
                    for _ in range(5):  # other tasks have their turns
                        await asyncio.sleep(0)
                    took = time.monotonic() - begun
                    await ws.send(str(message).upper())
            return await heard, took

    async def main() -> None:
        heard, took = await converse()
        while took >= PATIENCE:  # a busy machine
            heard, took = await converse()
        assert heard == [(1, b"ONE"), (1, b"TWO"), (8, heard[-1][1])]
        assert int.from_bytes(heard[-1][1][:2]) == code

    run(main())


@pytest.mark.parametrize("kind", LAST)
def test_a_task_that_asks_for_no_more_does_not_keep_the_end_away(run: Run[None], kind: str) -> None:
    last, code = LAST[kind]

    async def main() -> None:
        async with peer(last) as (url, heard), longwire.connect(url, reconnect=False) as ws:
            await ws.send("hi")
            assert await ws.recv() == "one"
            await ws.wait_closed()
            opcode, payload = (await heard)[-1]
            assert (opcode, int.from_bytes(payload[:2])) == (8, code)
            assert await ws.recv() == "two"
            with pytest.raises(ConnectionClosed):
                await ws.recv()

    run(main())


@pytest.mark.parametrize(("last", "code"), LAST.values(), ids=LAST.keys())
def test_a_function_replies_before_the_end(run: Run[None], last: bytes, code: int) -> None:
    async def main() -> None:
        def reply(ws: longwire.Connection, message: str | bytes) -> None:
            ws.send_nowait(f"re: {message!s}")

        async with (
            peer(last) as (url, all_heard),
            longwire.connect(url, on_message=reply, reconnect=False) as ws,
        ):
            await ws.send("hi")
            begun = time.monotonic()
            heard = await all_heard
            assert time.monotonic() - begun < PATIENCE
        assert [payload for _, payload in heard[:2]] == [b"re: one", b"re: two"]
        assert int.from_bytes(heard[2][1][:2]) == code

    run(main())
