"""The Python package as a client of the violations: a case a line, what happens on stdout.

README.md has the words.
"""

from __future__ import annotations

import asyncio
import sys
import zlib
from typing import Any

import longwire


def say(line: str) -> None:
    print(line, flush=True)


def hexadecimal(text: str) -> str:
    return text.encode().hex() or "-"


def told(error: BaseException | None) -> str:
    """Symbol, status and message."""
    if error is None:
        return "- 0 -"
    if not isinstance(error, longwire.LongwireError):
        raise TypeError("every error has a symbol") from error
    status = error.response.status_code if isinstance(error, longwire.InvalidStatus) else 0
    return f"{error.symbol} {status} {hexadecimal(str(error))}"


def read(line: str) -> dict[str, Any]:
    options: dict[str, Any] = {"reconnect": False}
    for word in line.split():
        name, value = word.split("=", 1)
        match name:
            case "connect_timeout" | "close_timeout":
                options[name] = int(value) / 1000
            case "max_message_size" | "max_fragments":
                options[name] = int(value)
            case "compression" if value == "0":
                options[name] = None
            case "server_max_window_bits":
                options["compression"] = longwire.Deflate(server_max_window_bits=int(value))
            case "server_no_context_takeover":
                fresh = value == "1"
                options["compression"] = longwire.Deflate(server_no_context_takeover=fresh)
            case "subprotocols":
                options[name] = value.split(",")
            case "reconnect":
                delay = int(value) / 1000
                options[name] = longwire.Reconnect(
                    min_delay=delay, max_delay=delay, restart_delay=(delay, delay)
                )
            case _:
                options[name] = value
    return options


async def play(url: str, on_open: str = "", **options: Any) -> None:
    def opened(ws: longwire.Connection) -> None:
        say(f"open {ws.subprotocol or '-'}")
        if on_open.startswith("send:"):
            ws.send_nowait(bytes(int(on_open[5:])))

    def down(down: longwire.Down) -> None:
        say(f"down {told(down.error)}")

    try:
        ws = await longwire.connect(url, on_open=opened, on_down=down, **options)
    except longwire.LongwireError as error:
        say(f"closed 1006 unclean - {told(error)}")
        return
    if on_open == "close":
        await ws.close()
    try:
        while True:
            message = await ws.recv()
            kind = "text" if isinstance(message, str) else "binary"
            data = message.encode() if isinstance(message, str) else message
            say(f"{kind} {len(data)} {zlib.adler32(data)}")
    except longwire.ConnectionClosed as closed:
        clean = "unclean" if closed.rcvd_then_sent is None else "clean"
        reason = hexadecimal(ws.close_reason or "")
        say(f"closed {ws.close_code} {clean} {reason} {told(closed.__cause__)}")


async def main() -> None:
    # One loop for all, and nobody else to wait for: reading may block.
    for line in sys.stdin:
        await play(**read(line))


asyncio.run(main())
