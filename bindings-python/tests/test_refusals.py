"""What must not be sent is refused, and the connection goes on, in both faces."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import longwire
import pytest
from conftest import LIMIT, Server
from longwire import sync

Refused = tuple[str, tuple[Any, ...], dict[str, Any], type[Exception], str]
MAX_SIZE = 1000

REFUSED: list[Refused] = [
    ("ping", (b"x" * 126,), {}, longwire.InvalidArgument, "at most 125 bytes, got 126"),
    ("ping", ("ü" * 63,), {}, longwire.InvalidArgument, "at most 125 bytes, got 126"),
    ("ping", ("\ud800",), {}, UnicodeEncodeError, "surrogates"),
    ("ping", (1,), {}, TypeError, "not int"),
    *(
        ("close", (code,), {}, longwire.InvalidArgument, f"got {code}")
        for code in (-1, 1, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65536, 1 << 70)
    ),
    ("close", (1000, "x" * 124), {}, longwire.InvalidArgument, "at most 123 bytes, got 124"),
    ("close", (1000, "ü" * 62), {}, longwire.InvalidArgument, "at most 123 bytes, got 124"),
    ("close", (1000, "\ud800"), {}, UnicodeEncodeError, "surrogates"),
    ("send", ("x" * (MAX_SIZE + 1),), {}, longwire.PayloadTooBig, "at most 1000 bytes, got 1001"),
    ("send", (b"x" * (MAX_SIZE + 1),), {}, longwire.PayloadTooBig, "at most 1000 bytes, got 1001"),
    ("send", ("ü" * MAX_SIZE,), {}, longwire.PayloadTooBig, "at most 1000 bytes, got 2000"),
    ("send", ("\ud800",), {}, UnicodeEncodeError, "surrogates"),
    ("send", (b"\xff",), {"text": True}, longwire.InvalidUTF8, "expected text in UTF-8"),
]


async def with_asyncio(url: str, method: str, args: Any, kwargs: Any, refused: Any) -> None:
    async with asyncio.timeout(LIMIT), longwire.connect(url, max_size=MAX_SIZE) as ws:
        with refused:
            await getattr(ws, method)(*args, **kwargs)
        await ws.send("x" * MAX_SIZE)
        assert await ws.recv() == "x" * MAX_SIZE
        assert await (await ws.ping(b"x" * 125)) > 0
        await ws.close(4999, "x" * 123)
        assert ws.close_code == 4999


def blocking(url: str, method: str, args: Any, kwargs: Any, refused: Any) -> None:
    with sync.connect(url, max_size=MAX_SIZE) as ws:
        with refused:
            getattr(ws, method)(*args, **kwargs)
        ws.send("x" * MAX_SIZE)
        assert ws.recv(timeout=LIMIT) == "x" * MAX_SIZE
        assert ws.ping(b"x" * 125).wait(LIMIT)
        ws.close(4999, "x" * 123)
        assert ws.close_code == 4999


@pytest.mark.parametrize("face", [lambda *args: asyncio.run(with_asyncio(*args)), blocking])
@pytest.mark.parametrize("refused", REFUSED)
def test_refused(server: Server, face: Callable[..., None], refused: Refused) -> None:
    method, args, kwargs, exception, says = refused
    face(server.url("/echo"), method, args, kwargs, pytest.raises(exception, match=says))
