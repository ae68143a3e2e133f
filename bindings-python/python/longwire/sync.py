"""The blocking face: the same connection for threads, without ``await``.

A thread that waits in ``recv`` (or in ``send``, for room) waits on the socket
itself, with the interpreter released; nothing reads ahead in the background.
So events (``on_open``, ``on_down``) are told to whoever waits next, in its
thread, and hooks (``before_connect``, ``should_reconnect``) run there: an attempt that
waits for its hook waits for the next ``recv``, ``close`` or ``send``. Pings are answered,
and the connection is kept, while nobody waits.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Literal, Self, Unpack, overload

from ._common import (
    Closed,
    Facts,
    Record,
    answered,
    check_close_code,
    not_a_message,
    ping_payload,
)
from ._longwire import SyncConnection
from .exceptions import Close, ConnectionClosed, LongwireError
from .hooks import Attempt, Changes, Hooks, Outage, Question
from .options import ELSEWHERE, CommonOptions, Down, canonical, config

__all__ = ["Connection", "Pong", "connect"]


class Options(CommonOptions, total=False):
    """The options of :func:`connect`."""

    on_open: Callable[[Connection], object] | None
    before_connect: Callable[[Attempt], Changes | None] | None
    should_reconnect: Callable[[Outage], bool | None] | None


_KNOWN = Options.__annotations__.keys() | CommonOptions.__annotations__.keys()

_ELSEWHERE = ELSEWHERE | {
    "on_message": "it is an option of longwire.connect; here messages come from recv",
}


def _not_plain(name: str, result: Awaitable[Any]) -> TypeError:
    if inspect.iscoroutine(result):
        result.close()
    return TypeError(f"{name} must be a plain function here, not one to be awaited")


class Pong:
    """The answer to a ping, once it is there."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._outcome: float | ConnectionClosed | None = None

    def is_set(self) -> bool:
        """Whether there is an answer, or the connection was lost before it."""
        return self._outcome is not None

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the answer; ``False`` when ``timeout`` seconds have passed.

        Raises:
            ConnectionClosed: if the connection was lost before the answer.

        """
        if not self._connection._wait(self.is_set, timeout):
            return False
        if isinstance(self._outcome, ConnectionClosed):
            raise self._outcome
        return True

    @property
    def latency(self) -> float | None:
        """The round trip in seconds; ``None`` before the answer."""
        return self._outcome if isinstance(self._outcome, float) else None


class Connection(SyncConnection, Facts, Hooks):
    """A WebSocket connection for threads.

    :func:`connect` makes it. Any thread may send, close and ping at any time;
    one at a time may receive. It is an iterator over the messages, which ends
    when the connection is closed properly.

    A persistent connection (the default) that is lost is made anew. ``recv``
    goes on waiting meanwhile, and ``send`` queues.
    """

    _record: Record
    _pings: dict[bytes, Pong]

    @classmethod
    def _open(cls, url: str, options: dict[str, Any]) -> Connection:
        self = cls(config(url, options))
        self._record = Record(options)
        self._pings = {}
        return self

    @overload
    def recv_streaming(self, decode: Literal[True]) -> Iterator[str]: ...

    @overload
    def recv_streaming(self, decode: Literal[False]) -> Iterator[bytes]: ...

    @overload
    def recv_streaming(self, decode: bool | None = None) -> Iterator[str | bytes]: ...

    def recv_streaming(self, decode: bool | None = None) -> Iterator[str | bytes]:
        """Receive one message piece by piece, as it comes.

        ::

            for piece in ws.recv_streaming():
                file.write(piece)

        All that is said of :meth:`longwire.Connection.recv_streaming` is true
        here as well.
        """
        number, last = None, False
        while not last:
            number, piece, last = self._recv_piece(decode, number)
            if piece is not None:
                yield piece

    def ping(self, data: str | bytes | bytearray | memoryview | None = None) -> Pong:
        """Send a ping; ``wait()`` on what this returns to wait for the pong.

        Raises:
            ConnectionClosed: if the connection is closed.
            NotConnected: if the connection is down.
            ConcurrencyError: if a ping with the same data is still unanswered.

        """
        payload = ping_payload(data, self._pings)
        pong = Pong(self)
        self._pings[payload] = pong
        try:
            self._send_ping(payload)
        except BaseException:
            del self._pings[payload]
            raise
        return pong

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection for good, after all that was sent so far.

        Waits until it is closed, which takes ``close_timeout`` at most.
        Messages that came before can still be received; those that come later
        are discarded. Closing twice is fine. An event handler or hook does not wait.
        """
        if self._record.closed is None:
            if self._record.close_requested is None:
                check_close_code(code)
                self._send_close(code, reason)
                self._record.close_requested = Close(code, reason)
            if not self._is_inside():
                self.wait_closed()

    def wait_closed(self, timeout: float | None = None) -> bool:
        """Wait until the connection is closed; ``False`` when the time passed."""
        return self._wait(self._is_closed, timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close(1000 if exc_type is None else 1011)

    def _send_iterable(self, message: Iterable[Any], text: bool | None, compress: bool) -> None:
        if not isinstance(message, Iterable) or isinstance(message, Mapping):
            raise not_a_message(message)
        items = iter(message)
        for first in items:
            fragments = self._begin(first, text, compress)
            try:
                self._write(fragments, first)
                for item in items:
                    self._write(fragments, item)
                self._finish(fragments)
            finally:
                self._abandon(fragments)

    # What the native half tells, one call at a time, in the thread that waits.

    def _on_open(
        self,
        attempt: int,
        reconnects: int,
        subprotocol: str | None,
        headers: list[tuple[str, bytes]],
    ) -> None:
        self._record.open(reconnects, subprotocol, headers)
        if self._record.on_open is not None:
            opening = self._record.on_open(self)
            if inspect.isawaitable(opening):
                raise _not_plain("on_open", opening)

    def _answer_later(self, question: Question, answer: Awaitable[Any]) -> None:
        self._fail(question, _not_plain(question.name, answer), final=True)

    def _on_down(
        self, error: LongwireError, code: int | None, attempt: int, retry_in: float
    ) -> None:
        down = Down(self._record.explained(error), code, attempt, retry_in)
        self._fail_pings(self._record.down_exception(down))
        if not self._record.opened:
            self._record.first_failure = self._record.first_failure or error
        elif self._record.on_down is not None:
            self._record.on_down(down)

    def _on_pong(self, payload: bytes, round_trip: float | None) -> None:
        for data in answered(self._pings, payload):
            self._pings.pop(data)._outcome = round_trip or 0.0

    def _on_closed(self, closed: Closed, unsent: tuple[int, int]) -> None:
        self._record.close(closed, unsent, settled=self._record.settled)
        self._fail_pings(self._record.closed_exception())

    def _fail_pings(self, exception: ConnectionClosed) -> None:
        for pong in self._pings.values():
            pong._outcome = exception
        self._pings.clear()

    def _is_closed(self) -> bool:
        return self._record.closed is not None

    def _is_settled(self) -> bool:
        return self._record.settled


def connect(url: str, **options: Unpack[Options]) -> Connection:
    """Connect to a WebSocket server.

    ::

        with longwire.sync.connect("wss://feed.example/ticks") as ws:
            ws.send("subscribe")
            for message in ws:
                ...

    The connection is persistent: when it is lost, it is made anew
    (``reconnect=False`` for one that ends with its first loss). Only the very
    first attempt raises when it fails, with the exceptions of
    :func:`longwire.connect`.

    ``on_open``, ``on_down``, ``before_connect`` and ``should_reconnect`` are those of
    :func:`longwire.connect` as plain functions. They run inside the calls that wait
    (``recv``, ``close``, a ``send`` that finds no room, …), in the thread of that call; an
    exception that is nobody's answer is raised there.
    """
    connection = Connection._open(url, canonical(options, _KNOWN, _ELSEWHERE))
    try:
        connection._wait(connection._is_settled)
        if connection._record.first_failure is not None:
            raise connection._record.first_failure
    except BaseException:
        connection._release()
        connection._record.close_requested = Close(1001, "")
        raise
    return connection
