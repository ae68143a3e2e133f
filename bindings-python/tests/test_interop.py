"""Both faces against servers nobody here wrote (tests/interop)."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import longwire
import pytest
from conftest import LIMIT, ROOT, Server, start
from longwire import TLS, sync

INTEROP = ROOT / "tests" / "interop"


pytestmark = pytest.mark.interop

Peer = Callable[[ExitStack, Server], tuple[str, TLS | None]]


def websockets(stack: ExitStack, _: Server) -> tuple[str, None]:
    server = stack.enter_context(start(sys.executable, INTEROP / "websockets_server.py"))
    return server.ready["ws"], None


def ws(stack: ExitStack, _: Server) -> tuple[str, None]:
    return stack.enter_context(start("node", INTEROP / "ws_server.mjs")).ready["ws"], None


def nginx(stack: ExitStack, server: Server) -> tuple[str, TLS]:
    upstream, _ = websockets(stack, server)
    directory = Path(server.ca_file).parent
    proxy = stack.enter_context(
        start(sys.executable, INTEROP / "nginx.py", "--upstream", upstream, "--dir", directory)
    )
    return proxy.ready["wss"], TLS(ca_file=proxy.ready["ca_file"])


#: Setting up names what it could not install; nginx need not be there.
PEERS: list[Peer] = [websockets, ws]
if shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin:/sbin"):
    PEERS.append(nginx)


@pytest.fixture(params=PEERS)
def peer(request: pytest.FixtureRequest, server: Server) -> Iterator[tuple[str, TLS | None]]:
    with ExitStack() as stack:
        yield request.param(stack, server)


MESSAGES: list[str | bytes] = ["", "héllo", "x" * 70_000, b"", bytes(range(256)) * 1000]
FRAGMENTS = ["héllo", "", "x" * 70_000]


def test_asyncio(peer: tuple[str, TLS | None]) -> None:
    url, tls = peer

    async def main() -> None:
        async with asyncio.timeout(LIMIT), longwire.connect(url, tls=tls) as ws:
            for message in MESSAGES:
                await ws.send(message)
                assert await ws.recv() == message
                await ws.send(message, compress=False)
                assert await ws.recv() == message
            await ws.send(FRAGMENTS)
            assert await ws.recv() == "".join(FRAGMENTS)
            await (await ws.ping())
        assert ws.close_code == 1000

    asyncio.run(main())


def test_blocking(peer: tuple[str, TLS | None]) -> None:
    url, tls = peer
    with sync.connect(url, tls=tls) as ws:
        for message in MESSAGES:
            ws.send(message)
            assert ws.recv(timeout=LIMIT) == message
            ws.send(message, compress=False)
            assert ws.recv(timeout=LIMIT) == message
        ws.send(FRAGMENTS)
        assert ws.recv(timeout=LIMIT) == "".join(FRAGMENTS)
        assert ws.ping().wait(LIMIT)
    assert ws.close_code == 1000


def test_streaming(peer: tuple[str, TLS | None]) -> None:
    url, tls = peer
    message = "".join(f"{number} ☃ " for number in range(300_000))

    async def main() -> None:
        async with asyncio.timeout(LIMIT), longwire.connect(url, tls=tls, streaming=True) as ws:
            for compress in (True, False):
                await ws.send(message, compress=compress)
                pieces = [piece async for piece in ws.recv_streaming(decode=True)]
                assert len(pieces) > 1
                assert "".join(pieces) == message
                await ws.send(message, compress=compress)
                assert await ws.recv() == message

    asyncio.run(main())
    with sync.connect(url, tls=tls, streaming=True) as ws:
        ws.send(message)
        assert "".join(ws.recv_streaming(decode=True)) == message
