"""A server that sees and sends single frames, one script per connection."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, NamedTuple

from conftest import LIMIT

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


class Frame(NamedTuple):
    opcode: int
    payload: bytes
    fin: bool = True
    rsv1: bool = False


class Conversation:
    """A connection after its handshake."""

    def __init__(self, connection: socket.socket, extensions: str) -> None:
        connection.settimeout(LIMIT)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = connection
        self._reader = connection.makefile("rb")
        self.request = b""
        while not self.request.endswith(b"\r\n\r\n"):
            self.request += self._reader.readline()
        fields = dict(line.split(b": ", 1) for line in self.request.split(b"\r\n")[1:-2])
        names = {name.lower(): value for name, value in fields.items()}
        key = names[b"sec-websocket-key"] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key).digest()).decode()
        answer = [
            "HTTP/1.1 101 Switching Protocols",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Accept: {accept}",
        ]
        if extensions:
            answer.append(f"Sec-WebSocket-Extensions: {extensions}")
        connection.sendall("\r\n".join([*answer, "", ""]).encode())

    def receive(self) -> Frame:
        """Return the client's next frame, unmasked."""
        first, second = self._take(2)
        length = second & 0x7F
        if length > 125:
            length = int.from_bytes(self._take(2 if length == 126 else 8))
        mask = self._take(4)
        payload = self._take(length)
        pad = (mask * (length // 4 + 1))[:length]
        plain = (int.from_bytes(payload) ^ int.from_bytes(pad)).to_bytes(length)
        return Frame(first & 0x0F, plain, bool(first & 0x80), bool(first & 0x40))

    def frames(self, count: int) -> list[Frame]:
        return [self.receive() for _ in range(count)]

    def _take(self, count: int) -> bytes:
        data = self._reader.read(count)
        if len(data) < count:
            raise EOFError
        return data

    def send(self, opcode: int, payload: bytes = b"", *, fin: bool = True) -> None:
        self.socket.sendall(encode(opcode, payload, fin=fin))

    def close(self, code: int = 1000) -> None:
        """Close properly, and wait for the answer."""
        self.send(CLOSE, code.to_bytes(2))
        with contextlib.suppress(OSError, EOFError):
            while self.receive().opcode != CLOSE:
                pass


def encode(opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
    length = len(payload)
    if length < 126:
        size = bytes([length])
    elif length < 1 << 16:
        size = b"\x7e" + length.to_bytes(2)
    else:
        size = b"\x7f" + length.to_bytes(8)
    return bytes([opcode | 0x80 * fin]) + size + payload


Script = Callable[[Conversation], Any]


class Peer:
    def __init__(self, scripts: tuple[Script, ...], extensions: str) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._scripts = scripts
        self._extensions = extensions
        self.results: list[Future[Any]] = [Future() for _ in scripts]
        self.url = f"ws://127.0.0.1:{self._listener.getsockname()[1]}/"
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        for script, result in zip(self._scripts, self.results, strict=True):
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                try:
                    result.set_result(script(Conversation(connection, self._extensions)))
                except BaseException as failure:
                    result.set_exception(failure)

    @property
    def result(self) -> Any:
        """What the first script returned."""
        return self.results[0].result(LIMIT)

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@contextlib.contextmanager
def peer(*scripts: Script, extensions: str = "") -> Iterator[Peer]:
    """Serve as many connections as there are scripts, one after another."""
    server = Peer(scripts, extensions)
    try:
        yield server
    finally:
        server.stop()
