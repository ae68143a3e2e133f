"""A server that does what a script says, byte for byte, and notes what the client does.

A step a line; a line that begins with white space goes on with the one before:

    request          wait for the client's request
    accept           the same, and open the connection (`send accepted`)
    send BYTES       as they are; octets.py says how they are written
    slowly MS BYTES  one at a time, with a pause behind each
    forever BYTES    over and over, until the client closes or ends the connection
    await data       until the client sent something more, which is left unread
    await close      until the client's close frame
    await message    until the client's user has got the next message
    end              end our half of the TCP connection
    reset            break the TCP connection off
    silence          read what comes, and never end the connection

Behind the last step the server reads until the client's close frame or the end of its
bytes, and closes the TCP connection, as servers do. A client that ends the connection
earlier ends the script with it.
"""

from __future__ import annotations

import contextlib
import re
import select
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from octets import octets

_BLOCK = 1 << 18
#: More than any client may read of something that has no end.
_ENOUGH = 1 << 30
_KEY = re.compile(rb"\r\nsec-websocket-key: *([^\r]*)", re.IGNORECASE)
_OPCODES = {0: "continuation", 1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong"}
_VERBS = {"request", "accept", "send", "slowly", "forever", "await", "end", "reset", "silence"}


class Late(Exception):
    """The time of a case is over."""


class _Gone(Exception):
    """The client ended the connection, or broke it off."""


class Unplayable(Exception):
    """The client made it impossible to go on with the script."""


@dataclass
class Frame:
    """A frame of the client's."""

    kind: str
    payload: bytes

    def __str__(self) -> str:
        if self.kind == "close" and len(self.payload) >= 2:
            code = int.from_bytes(self.payload[:2], "big")
            return f"close {code} {self.payload[2:].decode(errors='replace')}".rstrip()
        return f"{self.kind} of {len(self.payload)} bytes"


def check(script: str) -> None:
    """Refuse a script that cannot be played."""
    for step in steps(script):
        verb, _, rest = step.partition(" ")
        if verb not in _VERBS:
            raise ValueError(f"no such step: {step!r}")
        if verb == "slowly":
            rest = rest.partition(" ")[2]
        if verb in ("send", "slowly", "forever"):
            octets(rest)


def steps(script: str) -> list[str]:
    """Return the steps of a script, each in one line."""
    return re.sub(r"\n[ \t]+", " ", script).strip().split("\n")


@dataclass
class Peer:
    """One connection of a client's, and how far it has come."""

    socket: socket.socket
    #: The `time.monotonic` by which the case has to be over.
    deadline: float
    #: Waits until the client's user has got a message.
    await_message: Callable[[], None]
    key: bytes = b""
    received: bytearray = field(default_factory=bytearray)
    #: Nothing can come any more.
    ended: bool = False
    #: How far `received` was looked at for a close frame, and whether one was there.
    _seen: int = 0
    _closed: bool = False

    def play(self, script: str) -> None:
        """Do what the script says, and end the connection."""
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self.socket:
            try:
                for step in steps(script):
                    self._step(*step.partition(" ")[::2])
                self._read(until_close=True)
            except _Gone:
                self._drain()
            except TimeoutError:
                raise Late from None

    def frames(self) -> list[Frame]:
        """Return what the client sent behind its request; complain about what it must not."""
        if not self.key:
            return []
        at = 0
        frames = []
        while at < len(self.received):
            frame, size = _frame(self.received, at)
            frames.append(frame)
            at += size
        return frames

    def _step(self, verb: str, rest: str) -> None:
        match verb:
            case "request":
                self._request()
            case "accept":
                self._request()
                self._send(octets("accepted", self.key))
            case "send":
                self._send(octets(rest, self.key))
            case "slowly":
                pause, _, expression = rest.partition(" ")
                for byte in octets(expression, self.key):
                    self._send(bytes([byte]))
                    self._pause(float(pause) / 1000)
            case "forever":
                self._forever(octets(rest, self.key))
            case "await" if rest == "close":
                self._read(until_close=True)
            case "await" if rest == "message":
                self.await_message()
            case "await":
                self._wait()
            case "end":
                self.socket.shutdown(socket.SHUT_WR)
            case "reset":
                linger = struct.pack("ii", 1, 0)
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self.ended = True
                raise _Gone
            case "silence":
                self._read(until_close=False)

    def _left(self) -> float:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise Late
        return left

    def _request(self) -> None:
        while (end := self.received.find(b"\r\n\r\n")) < 0:
            self._receive()
        key = _KEY.search(self.received, 0, end)
        if key is None:
            raise Unplayable(f"no Sec-WebSocket-Key in the request {bytes(self.received)!r}")
        self.key = key[1].strip()
        del self.received[: end + 4]

    def _send(self, data: bytes) -> None:
        self.socket.settimeout(self._left())
        try:
            self.socket.sendall(data)
        except ConnectionError:
            raise _Gone from None

    def _forever(self, data: bytes) -> None:
        block = data * (_BLOCK // len(data) + 1)
        for _ in range(_ENOUGH // len(block)):
            self._send(block)
            while select.select([self.socket], [], [], 0)[0]:
                self._receive()
                if self._has_closed():
                    return
        raise Unplayable(f"the client read {_ENOUGH >> 20} MiB and would not stop")

    def _pause(self, seconds: float) -> None:
        """Let time pass, unless the client ends the connection."""
        until = time.monotonic() + seconds
        while (left := min(until, self.deadline) - time.monotonic()) > 0:
            if select.select([self.socket], [], [], left)[0]:
                self._receive()

    def _wait(self) -> None:
        if not select.select([self.socket], [], [], self._left())[0]:
            raise Late

    def _receive(self) -> None:
        self.socket.settimeout(self._left())
        try:
            data = self.socket.recv(_BLOCK)
        except ConnectionError:
            data = b""
        if not data:
            self.ended = True
            raise _Gone
        self.received += data

    def _read(self, *, until_close: bool) -> None:
        while not (until_close and self._has_closed()):
            self._receive()

    def _has_closed(self) -> bool:
        """Whether the client's close frame is there. Looks at every frame once."""
        while self.key and not self._closed and (size := _size(self.received, self._seen)):
            self._closed = self.received[self._seen] & 0x0F == 8
            self._seen += size
        return self._closed

    def _drain(self) -> None:
        """Read what came before a connection broke."""
        with contextlib.suppress(_Gone):
            while not self.ended:
                self._receive()


def _size(data: bytearray, at: int) -> int:
    """Return how long the frame at a place is; 0 if it is not all there."""
    if len(data) < at + 2:
        return 0
    extra = {126: 2, 127: 8}.get(data[at + 1] & 0x7F, 0)
    if len(data) < at + 2 + extra:
        return 0
    length = int.from_bytes(data[at + 2 : at + 2 + extra], "big") if extra else data[at + 1] & 0x7F
    size = 2 + extra + (4 if data[at + 1] & 0x80 else 0) + length
    return size if at + size <= len(data) else 0


def _frame(data: bytearray, at: int) -> tuple[Frame, int]:
    """Return the frame at a place, with its size, if it is one that a client may send."""
    beginning = data[at : at + 14].hex(" ")
    size = _size(data, at)
    if not size:
        raise Unplayable(f"expected whole frames, got {len(data) - at} bytes: {beginning} ...")
    first, second = data[at], data[at + 1]
    kind = _OPCODES.get(first & 0x0F)
    if kind is None or first & 0xF0 != 0x80:
        raise Unplayable(f"expected a whole message or control frame, got {beginning}")
    if not second & 0x80:
        raise Unplayable(f"expected a masked frame, got {beginning}")
    extra = {126: 2, 127: 8}.get(second & 0x7F, 0)
    begin = at + 6 + extra
    length = at + size - begin
    if extra != (8 if length > 0xFFFF else 2 if length > 125 else 0):
        raise Unplayable(f"expected the shortest form of a length, got {beginning}")
    cover = bytes(data[begin - 4 : begin]) * (length // 4 + 1)
    number = int.from_bytes(data[begin : at + size], "big") ^ int.from_bytes(cover[:length], "big")
    return Frame(kind, number.to_bytes(length, "big")), size
