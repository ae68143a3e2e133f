"""The asyncio face: ``longwire.connect`` and the connection it makes.

The event loop itself reads the socket: it watches the connection's descriptor
(``loop.add_reader``), and what it calls then is native code that decodes and
wakes the waiting task on the spot. Dialling, TLS handshakes, heartbeats and
reconnecting happen on a thread of the native runtime, which also answers pings
when the loop is blocked; that thread never runs Python code.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import weakref
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Iterable,
    Mapping,
)
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
from ._longwire import AsyncConnection
from .exceptions import Close, ConnectionClosed, LongwireError
from .hooks import Attempt, Changes, Hooks, Outage, Question
from .options import CommonOptions, Down, canonical, config, hook_timeout, on_message

__all__ = ["Connection", "connect"]


class Options(CommonOptions, total=False):
    """The options of :func:`connect`."""

    on_open: Callable[[Connection], object] | None
    on_message: Callable[[Connection, str | bytes], object] | None
    before_connect: Callable[[Attempt], Changes | Awaitable[Changes | None] | None] | None
    should_reconnect: Callable[[Outage], bool | Awaitable[bool | None] | None] | None


_KNOWN = Options.__annotations__.keys() | CommonOptions.__annotations__.keys()


#: What comes after the last fragment of a message.
_END = object()

#: Marks what belongs to an ``on_open`` that is not over.
_opening: contextvars.ContextVar[object] = contextvars.ContextVar("longwire_opening")

#: Event loops hold tasks weakly.
_running: set[asyncio.Task[None]] = set()


async def _answer_late(
    connection: weakref.ref[Connection],
    limit: float | None,
    question: Question,
    answer: Awaitable[Any],
) -> None:
    """Take the answer of a hook, within the time it has.

    It keeps no connection alive: who lets go of one lets go of its hooks.
    """
    try:
        try:
            async with asyncio.timeout(limit) as late:
                result = await answer
        except BaseException as exception:
            if late.expired():
                return  # The core goes on by itself.
            if (asker := connection()) is None:
                raise
            asker._fail(question, exception)
        else:
            if not late.expired() and (asker := connection()) is not None:
                asker._answer(question, result)
    except Exception as exception:
        _report(question.name, exception)


def _report(name: str, exception: BaseException) -> None:
    context = {"message": f"exception in {name}", "exception": exception}
    asyncio.get_running_loop().call_exception_handler(context)


def _following(message: Iterable[Any] | AsyncIterable[Any]) -> Callable[[], Awaitable[Any]]:
    """Return what gives the next item each time, and at last ``_END``."""
    if isinstance(message, Iterable):
        items = iter(message)

        async def following() -> Any:
            return next(items, _END)

        return following
    later = aiter(message)
    return lambda: anext(later, _END)


class Connection(AsyncConnection, Facts, Hooks):
    """A WebSocket connection that an event loop drives.

    :func:`connect` makes it; all of its methods but ``send_nowait`` belong to
    the thread of that event loop. It is an asynchronous iterator over the messages, which ends
    when the connection is closed properly.

    A persistent connection (the default) that is lost is made anew. ``recv``
    goes on waiting meanwhile, and ``send`` queues.
    """

    _record: Record
    _loop: asyncio.AbstractEventLoop
    _settled: asyncio.Future[None]
    _gone: asyncio.Future[None]
    _pings: dict[bytes, asyncio.Future[float]]
    #: Hooks and the like that end with the connection.
    _tasks: set[asyncio.Task[None]]
    #: The one that goes on with ``on_open``.
    _opener: asyncio.Task[None] | None
    _hook_timeout: float | None

    @classmethod
    def _open(cls, url: str, options: dict[str, Any]) -> Connection:
        loop = asyncio.get_running_loop()
        self = cls(config(url, options), loop, on_message(options))
        self._record = Record(options)
        self._loop = loop
        self._settled = loop.create_future()
        self._gone = loop.create_future()
        self._pings = {}
        self._tasks = set()
        self._opener = None
        self._hook_timeout = hook_timeout(options)
        self._start()
        return self

    @overload
    def recv_streaming(self, decode: Literal[True]) -> AsyncIterator[str]: ...

    @overload
    def recv_streaming(self, decode: Literal[False]) -> AsyncIterator[bytes]: ...

    @overload
    def recv_streaming(self, decode: bool | None = None) -> AsyncIterator[str | bytes]: ...

    async def recv_streaming(self, decode: bool | None = None) -> AsyncIterator[str | bytes]:
        """Receive one message piece by piece, as it comes.

        ::

            async for piece in ws.recv_streaming():
                file.write(piece)

        The pieces are str for text and bytes for binary, unless ``decode`` says
        otherwise; none ends inside a character. Without ``streaming=True`` the
        message is one piece.

        Cancelling it, or leaving the loop, loses nothing: the next
        ``recv_streaming`` goes on with the same message. Until its end, ``recv``
        raises ConcurrencyError.

        Raises:
            ConnectionClosed: if the connection is closed.
            ConnectionLost: if the connection was lost in the middle of the
                message, and another one follows.
            ConcurrencyError: if another task is receiving.
            UnicodeDecodeError: if ``decode=True`` and the message is not UTF-8;
                ``decode=False`` then gives the bytes.

        """
        number, last = None, False
        while not last:
            number, piece, last = await self._recv_piece(decode, number)
            if piece is not None:
                yield piece

    async def ping(
        self, data: str | bytes | bytearray | memoryview | None = None
    ) -> Awaitable[float]:
        """Send a ping; await what this returns to wait for the pong.

        ::

            pong = await ws.ping()
            seconds = await pong

        Raises:
            ConnectionClosed: if the connection is closed.
            NotConnected: if the connection is down.
            ConcurrencyError: if a ping with the same data is still unanswered.

        """
        payload = ping_payload(data, self._pings)
        pong: asyncio.Future[float] = self._loop.create_future()
        self._pings[payload] = pong
        try:
            self._send_ping(payload)
        except BaseException:
            del self._pings[payload]
            raise
        return pong

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection for good, after all that was sent so far.

        Waits until it is closed, which takes ``close_timeout`` at most.
        Messages that came before can still be received; those that come later
        are discarded. Closing twice is fine.
        """
        if self._record.closed is None:
            if self._record.close_requested is None:
                check_close_code(code)
                self._send_close(code, reason)
                self._record.close_requested = Close(code, reason)
            # A hook that closes its connection is not cut off by that.
            self._tasks.discard(asyncio.current_task())
            await self.wait_closed()

    async def wait_closed(self) -> None:
        """Wait until the connection is closed for good."""
        await asyncio.shield(self._gone)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close(1000 if exc_type is None else 1011)

    def _send_iterable(
        self, message: Iterable[Any] | AsyncIterable[Any], text: bool | None, compress: bool
    ) -> Awaitable[None]:
        if not isinstance(message, Iterable | AsyncIterable) or isinstance(message, Mapping):
            raise not_a_message(message)
        return self._send_fragments(message, text, compress)

    async def _send_fragments(
        self, message: Iterable[Any] | AsyncIterable[Any], text: bool | None, compress: bool
    ) -> None:
        following = _following(message)
        fragment = await following()
        if fragment is _END:
            return
        fragments = await self._begin(fragment, text, compress)
        try:
            while fragment is not _END:
                await self._write(fragments, fragment)
                fragment = await following()
            await self._finish(fragments)
        finally:
            self._abandon(fragments)

    # What the native half tells, one call at a time, from the event loop.

    def _on_open(
        self,
        attempt: int,
        reconnects: int,
        subprotocol: str | None,
        headers: list[tuple[str, bytes]],
    ) -> None:
        self._record.open(reconnects, subprotocol, headers)
        try:
            opening = None if self._record.on_open is None else self._record.on_open(self)
        except Exception as exception:
            if self._settled.done():
                raise
            self._settled.set_exception(exception)
        else:
            if inspect.isawaitable(opening):
                self._go_on_opening(opening)
            else:
                self._settle()

    def _go_on_opening(self, opening: Awaitable[Any]) -> None:
        mark = object()
        hold = self._hold(lambda: _opening.get(None) is mark)
        self._opener = self._spawn(self._finish_opening(opening, mark, hold), opening)

    async def _finish_opening(
        self, opening: Awaitable[Any], mark: object, hold: int | None
    ) -> None:
        _opening.set(mark)
        failure: BaseException | None = None
        try:
            await opening
        except Exception as exception:
            failure = exception
        except asyncio.CancelledError as exception:
            failure = exception
            raise
        finally:
            if hold is not None:
                self._ready(hold)
            current = self._opener is asyncio.current_task()
            if current and failure is None:
                self._settle()
            elif current and not self._settled.done():
                if isinstance(failure, Exception):
                    self._settled.set_exception(failure)
                else:
                    self._settled.cancel()
            elif isinstance(failure, Exception):
                _report("on_open", failure)

    def _stop_opening(self) -> None:
        """The connection for which ``on_open`` is not over is lost."""
        opener, self._opener = self._opener, None
        if opener is not None and opener in self._tasks:
            opener.cancel()

    def _answer_later(self, question: Question, answer: Awaitable[Any]) -> None:
        late = _answer_late(weakref.ref(self), self._hook_timeout, question, answer)
        self._spawn(late, answer)

    def _spawn(
        self, work: Coroutine[Any, Any, None], awaited: Awaitable[Any]
    ) -> asyncio.Task[None]:
        task = self._loop.create_task(work)
        for tasks in (self._tasks, _running):
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        if inspect.iscoroutine(awaited):
            # One that was cancelled before it began would complain.
            task.add_done_callback(lambda _: awaited.close())
        return task

    def _let_go(self) -> None:
        self._release()
        if not self._loop.is_closed():
            for task in list(self._tasks):
                self._loop.call_soon_threadsafe(task.cancel)

    def _on_message_failed(self, exception: BaseException) -> None:
        _report("on_message", exception)

    def _on_down(
        self, error: LongwireError, code: int | None, attempt: int, retry_in: float
    ) -> None:
        down = Down(self._record.explained(error), code, attempt, retry_in)
        self._stop_opening()
        self._fail_pings(self._record.down_exception(down))
        if not self._record.opened:
            self._record.first_failure = self._record.first_failure or error
            self._settle()
        elif self._record.on_down is not None:
            self._record.on_down(down)

    def _on_pong(self, payload: bytes, round_trip: float | None) -> None:
        for data in answered(self._pings, payload):
            pong = self._pings.pop(data)
            if not pong.done():
                pong.set_result(round_trip or 0.0)

    def _on_closed(self, closed: Closed, unsent: tuple[int, int]) -> None:
        self._record.close(closed, unsent, settled=self._settled.done())
        self._stop_opening()
        for task in self._tasks:
            task.cancel()
        self._fail_pings(self._record.closed_exception())
        self._settle()
        if not self._gone.done():
            self._gone.set_result(None)

    def _settle(self) -> None:
        if not self._settled.done():
            self._settled.set_result(None)

    def _fail_pings(self, exception: ConnectionClosed) -> None:
        for pong in self._pings.values():
            if not pong.done():
                pong.set_exception(exception)
                # Nobody has to await a pong: no complaint if nobody did.
                pong.exception()
        self._pings.clear()


class connect:
    """Connect to a WebSocket server.

    ::

        async with longwire.connect("wss://feed.example/ticks") as ws:
            await ws.send("subscribe")
            async for message in ws:
                ...

    ``ws = await longwire.connect(url)`` works as well; then close it yourself.

    The connection is persistent: when it is lost, it is made anew
    (``reconnect=False`` for one that ends with its first loss). Only the very
    first attempt raises when it fails.

    ``on_open(ws)`` is called at each new connection: what it sends precedes
    everything that was queued while the connection was down. If it is a coroutine function,
    so does what it sends after it has waited for something, until it is done, and ``connect``
    returns after it; a loss cancels it. A plain function sends with ``ws.send_nowait``.
    ``on_down(down)``, a plain function, is called at each loss.

    ``on_message(ws, message)``, a plain function, is called for each message, in order, by the
    event loop's reader itself: the quickest way to a message, for programs that only react::

        def on_message(ws, message):
            book.apply(message)

        async with longwire.connect(url, on_message=on_message) as ws:
            await ws.wait_closed()

    It gets what comes before ``connect`` is done, too, and nothing once ``close`` has begun. What
    it raises goes to the loop's exception handler, and the next message still comes. It sends with
    ``ws.send_nowait``. ``recv`` and iterating raise ConcurrencyError then.

    ``before_connect(attempt)`` is called before each attempt and may return
    ``Changes(url, headers, subprotocols)`` for it. If it raises, the attempt fails;
    :class:`GiveUp` ends the connection. ``should_reconnect(outage)`` is called after each loss and
    failed attempt but those before the first connection; it returns whether another attempt
    follows, or ``None`` for what would happen without it. Both may be coroutine functions; they
    have ``hook_timeout`` seconds.

    Raises:
        InvalidURI: if the URL is not a ``ws:`` or ``wss:`` URL.
        InvalidHandshake: if the server does not speak WebSocket there.
        InvalidStatus: if it answered with another status than 101.
        OSError: if there is no connection (ConnectError, NameResolutionError,
            TLSError, CertificateError).
        TimeoutError: if it took longer than ``open_timeout`` or ``hook_timeout``.
        HookError: if ``before_connect`` failed; ``__cause__`` is its exception.

    """

    _url: str
    _options: dict[str, Any]
    _connection: Connection

    def __init__(self, url: str, **options: Unpack[Options]) -> None:
        self._url = url
        self._options = canonical(options, _KNOWN)

    async def _connect(self) -> Connection:
        connection = Connection._open(self._url, self._options)
        try:
            await connection._settled
            if connection._record.first_failure is not None:
                raise connection._record.first_failure
        except BaseException:
            connection._let_go()
            connection._record.close_requested = Close(1001, "")
            raise
        return connection

    def __await__(self) -> Generator[Any, None, Connection]:
        return self._connect().__await__()

    async def __aenter__(self) -> Connection:
        self._connection = await self
        return self._connection

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._connection.__aexit__(exc_type, exc, traceback)
