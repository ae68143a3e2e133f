"""What is offered of permessage-deflate, and what is sent with it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import longwire
import pytest
from conftest import LIMIT, Server
from longwire import Deflate, sync

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@pytest.mark.parametrize(
    ("options", "offer"),
    [
        ({}, "permessage-deflate; client_no_context_takeover; client_max_window_bits"),
        ({"compression": None}, None),
        (
            {"compression": Deflate(client_no_context_takeover=False)},
            "permessage-deflate; client_max_window_bits",
        ),
        (
            {
                "compression": Deflate(
                    server_no_context_takeover=True,
                    server_max_window_bits=11,
                    client_max_window_bits=10,
                )
            },
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; "
            "server_max_window_bits=11; client_max_window_bits=10",
        ),
    ],
)
def test_the_offer(server: Server, options: dict[str, Any], offer: str | None) -> None:
    with sync.connect(server.url("/headers"), **options) as ws:
        headers = json.loads(ws.recv(timeout=LIMIT))
        assert headers.get("sec-websocket-extensions") == offer


def read(peer: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = peer.recv(count - len(data))
        assert part, "the client ended the connection"
        data += part
    return data


def compressed(listener: socket.socket, seen: list[bool]) -> None:
    """Agree to compression, and note of each message whether it was compressed."""
    peer, _ = listener.accept()
    with peer:
        request = b""
        while b"\r\n\r\n" not in request:
            request += peer.recv(4096)
        key = request.lower().partition(b"sec-websocket-key: ")[0]
        key = request[len(key) + 19 :].partition(b"\r\n")[0]
        accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
        peer.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        while True:
            first, second = read(peer, 2)
            length = second & 0x7F
            if length == 126:
                length = int.from_bytes(read(peer, 2))
            payload = read(peer, 4 + length)
            if first & 0x0F == 8:
                mask, code = payload[:4], payload[4:]
                code = bytes(a ^ b for a, b in zip(code, mask, strict=False))
                peer.sendall(bytes([0x88, len(code)]) + code)
                return
            seen.append(bool(first & 0x40))


@pytest.fixture
def peer() -> Iterator[tuple[str, list[bool]]]:
    seen: list[bool] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=compressed, args=(listener, seen))
        thread.start()
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}/", seen
        thread.join(LIMIT)
        assert not thread.is_alive()


LONG, SHORT = "x" * 2000, "x" * 100


def test_a_message_is_sent_as_it_is(peer: tuple[str, list[bool]]) -> None:
    url, seen = peer
    with sync.connect(url) as ws:
        ws.send(LONG)
        ws.send(LONG, compress=False)
        ws.send(SHORT)
        ws.send(LONG, compress=True)
    assert seen == [True, False, False, True]


def test_a_message_is_sent_as_it_is_by_asyncio(peer: tuple[str, list[bool]]) -> None:
    url, seen = peer

    async def main() -> None:
        deflate = Deflate(threshold=0)
        async with asyncio.timeout(LIMIT), longwire.connect(url, compression=deflate) as ws:
            await ws.send(LONG)
            await ws.send(LONG, compress=False)
            await ws.send(SHORT)
            ws.send_nowait(LONG, compress=False)
            ws.send_nowait(LONG)

    asyncio.run(main())
    assert seen == [True, False, True, False, True]
