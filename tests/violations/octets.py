"""The bytes that a case sends or expects, written so that one sees them.

    81 05 "Hello"                hexadecimal, and UTF-8 text with JSON's escapes
    (00 00)*1000000              again and again
    accepted[:40]                a part
    frame(8a, "Hello")           a frame of one first byte, with its length in the shortest form
    text("Hello")  binary(…)     the same with the first byte of a whole message
    close(1000, "bye")           a close frame; close() is one without a body
    deflated("Hello")            compressed as permessage-deflate wants it
    key                          what Sec-WebSocket-Accept has to be
    head                         a status line and headers that open a connection, ...
    accepted                     ... and with the empty line behind them
    deflating                    the same, with permessage-deflate agreed on

Terms that follow one another are joined.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from collections.abc import Callable

_TOKEN = re.compile(r'\s*(?:("(?:[^"\\]|\\.)*")|([A-Za-z0-9_]+)|([()*,\[\]:]))')
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2})+")
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#: What the key is derived from where no request has come: sizes are the same.
_NO_KEY = b"AAAAAAAAAAAAAAAAAAAAAA=="


class Malformed(ValueError):
    """An expression that is none."""


def frame(first: int, payload: bytes) -> bytes:
    """Return an unmasked frame with its length in the shortest form."""
    size = len(payload)
    if size < 126:
        return bytes([first, size]) + payload
    if size < 1 << 16:
        return bytes([first, 126]) + size.to_bytes(2, "big") + payload
    return bytes([first, 127]) + size.to_bytes(8, "big") + payload


def accept_of(key: bytes) -> bytes:
    """Return what the server answers to a Sec-WebSocket-Key (RFC 6455 section 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key + _GUID).digest())


def deflated(payload: bytes) -> bytes:
    """Return a message as permessage-deflate compresses it (RFC 7692 section 7.2.1)."""
    deflate = zlib.compressobj(wbits=-15)
    return (deflate.compress(payload) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4]


def octets(expression: str, key: bytes = _NO_KEY) -> bytes:
    """Return the bytes that an expression stands for, for the key of a request."""
    return _Parser(expression, key).all()


class _Parser:
    def __init__(self, expression: str, key: bytes) -> None:
        self._expression = expression
        self._key = key
        self._tokens: list[str] = []
        at = 0
        while expression[at:].strip():
            match = _TOKEN.match(expression, at)
            if match is None:
                raise Malformed(f"{expression!r}: cannot read {expression[at:].strip()[:20]!r}")
            self._tokens.append(match.group().strip())
            at = match.end()

    def all(self) -> bytes:
        value = self._joined()
        if self._tokens:
            raise self._unexpected("the end")
        return value

    def _joined(self) -> bytes:
        value = b""
        while self._tokens and self._tokens[0] not in "),]:":
            value += self._term()
        return value

    def _term(self) -> bytes:
        value = self._atom()
        while self._tokens and self._tokens[0] in "*[":
            if self._tokens.pop(0) == "*":
                value *= self._number()
            else:
                begin = 0 if self._tokens[:1] == [":"] else self._number()
                self._take(":")
                end = len(value) if self._tokens[:1] == ["]"] else self._number()
                self._take("]")
                value = value[begin:end]
        return value

    def _atom(self) -> bytes:
        token = self._take()
        if token == "(":
            value = self._joined()
            self._take(")")
            return value
        if token.startswith('"'):
            text: str = json.loads(token)
            return text.encode()
        if _HEX.fullmatch(token):
            return bytes.fromhex(token)
        if token in _CALLS and self._tokens[:1] == ["("]:
            self._take("(")
            value = _CALLS[token](self)
            self._take(")")
            return value
        head = (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept_of(self._key) + b"\r\n"
        )
        extended = head + b"Sec-WebSocket-Extensions: permessage-deflate\r\n"
        names = {
            "key": accept_of(self._key),
            "head": head,
            "accepted": head + b"\r\n",
            "deflating": extended + b"\r\n",
        }
        if token not in names:
            raise Malformed(f"{self._expression!r}: {token!r} is neither hexadecimal nor a name")
        return names[token]

    def frame(self) -> bytes:
        first = bytes.fromhex(self._take())
        self._take(",")
        return frame(first[0], self._joined())

    def close(self) -> bytes:
        if self._tokens[:1] == [")"]:
            return frame(0x88, b"")
        code = self._number().to_bytes(2, "big")
        reason = b""
        if self._tokens[:1] == [","]:
            self._take(",")
            reason = self._joined()
        return frame(0x88, code + reason)

    def text(self) -> bytes:
        return frame(0x81, self._joined())

    def binary(self) -> bytes:
        return frame(0x82, self._joined())

    def deflated(self) -> bytes:
        return deflated(self._joined())

    def _number(self) -> int:
        token = self._take()
        if not token.isdecimal():
            raise self._unexpected("a number", token)
        return int(token)

    def _take(self, expected: str = "") -> str:
        token = self._tokens.pop(0) if self._tokens else ""
        if not token or expected not in ("", token):
            raise self._unexpected(repr(expected) if expected else "more", token)
        return token

    def _unexpected(self, expected: str, came: str | None = None) -> Malformed:
        came = self._tokens[0] if came is None else came
        return Malformed(f"{self._expression!r}: expected {expected}, got {came or 'the end'!r}")


_CALLS: dict[str, Callable[[_Parser], bytes]] = {
    "frame": _Parser.frame,
    "text": _Parser.text,
    "binary": _Parser.binary,
    "close": _Parser.close,
    "deflated": _Parser.deflated,
}
