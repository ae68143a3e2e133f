"""What both faces know about their connection."""

from __future__ import annotations

import enum
import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeAlias, TypeVar

from .exceptions import (
    Close,
    ConcurrencyError,
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    ConnectionLost,
    ForkedError,
    InvalidArgument,
    LongwireError,
    decode_headers,
)
from .hooks import Failures
from .options import LEVELS, Down, logger
from .stats import Stats

#: Codes of a proper end (RFC 6455 section 7.4.1).
_OK_CODES = frozenset({1000, 1001, 1005})

_U16 = (1 << 16) - 1

#: Code, reason, whether it was clean, and the cause.
Closed: TypeAlias = tuple[int, str, bool, LongwireError | None]

_E = TypeVar("_E", LongwireError, LongwireError | None)


class State(enum.IntEnum):
    """Where a connection is in its life.

    A persistent connection goes back and forth between ``OPEN`` and ``DOWN``.
    """

    CONNECTING = 0
    OPEN = 1
    DOWN = 2
    CLOSING = 3
    CLOSED = 4


class Record:
    """The facts that events leave behind, and the exceptions made from them."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.pid = os.getpid()
        self.on_open = options.get("on_open")
        self.on_down = options.get("on_down")
        self.before_connect: Any = options.get("before_connect")
        self.should_reconnect: Any = options.get("should_reconnect")
        self.logger = logger(options)
        self.failures = Failures()
        self.subprotocol: str | None = None
        self.response_headers: list[tuple[str, str]] = []
        self.reconnects = 0
        self.opened = False
        self.first_failure: LongwireError | None = None
        self.close_requested: Close | None = None
        self.closed: Closed | None = None
        self.unsent = (0, 0)
        self.unsent_messages: list[str | bytes] | None = None

    def open(
        self, reconnects: int, subprotocol: str | None, headers: list[tuple[str, bytes]]
    ) -> None:
        self.opened = True
        self.reconnects = reconnects
        self.subprotocol = subprotocol
        self.response_headers = decode_headers(headers)

    def close(self, closed: Closed, unsent: tuple[int, int], *, settled: bool) -> None:
        self.closed = closed
        self.unsent = unsent
        self.explained(closed[3])
        asked_for = self.opened and self.close_requested is not None
        if not settled and not asked_for and self.first_failure is None:
            self.first_failure = closed[3] or self.closed_exception()

    def explained(self, error: _E) -> _E:
        """Return ``error``, with its cause if that is an exception of a hook."""
        if error is not None:
            self.failures.explain(error)
        return error

    @property
    def settled(self) -> bool:
        """Whether the first attempt has an outcome."""
        return self.opened or self.first_failure is not None

    def close_code(self) -> int | None:
        return None if self.closed is None else self.closed[0]

    def close_reason(self) -> str | None:
        return None if self.closed is None else self.closed[1]

    def closed_exception(self) -> ConnectionClosed:
        """Say how it ended, or that it is about to."""
        sent = self.close_requested
        if self.closed is None:
            cls = ConnectionClosedError if sent is None else ConnectionClosedOK
            return cls(None, sent)
        code, reason, clean, error = self.closed
        rcvd = None if code == 1006 else Close(code, reason)
        rcvd_then_sent = None
        if rcvd is not None and clean:
            rcvd_then_sent = sent is None
            sent = sent or rcvd
        elif rcvd is not None and sent is not None:
            rcvd_then_sent = False
        regular = error is None and (code in _OK_CODES or (rcvd is None and sent is not None))
        cls = ConnectionClosedOK if regular else ConnectionClosedError
        exception = cls(rcvd, sent, rcvd_then_sent)
        exception.__cause__ = error
        return exception

    def cut_exception(self, cause: LongwireError | None) -> LongwireError:
        """Say that a connection ended in the middle of a message."""
        lost = ConnectionLost("the connection was lost in the middle of a message")
        if self.closed is None:
            lost.__cause__ = cause
            return lost
        closed = self.closed_exception()
        lost.__cause__ = closed.__cause__
        # However properly it was closed, the message has no end.
        exception = ConnectionClosedError(closed.rcvd, closed.sent, closed.rcvd_then_sent)
        exception.__cause__ = lost
        return exception

    def down_exception(self, down: Down) -> ConnectionClosedError:
        """For what waited for an answer over a connection that was lost."""
        rcvd = None if down.code is None else Close(down.code, "")
        exception = ConnectionClosedError(rcvd, None)
        exception.__cause__ = down.error
        return exception


class Facts(ABC):
    """The properties that both kinds of connection have, beside their native half."""

    _record: Record

    @abstractmethod
    def _state(self) -> int: ...

    @abstractmethod
    def _round_trip(self) -> float | None: ...

    @abstractmethod
    def _release(self) -> None: ...

    @abstractmethod
    def _reconnect(self) -> None: ...

    @abstractmethod
    def _network_changed(self) -> None: ...

    @abstractmethod
    def _stats(self) -> dict[str, Any]: ...

    @abstractmethod
    def _take_unsent(self) -> list[str | bytes]: ...

    def reconnect(self) -> None:
        """Connect anew: now instead of later, or in place of the connection that is open.

        One that is open is given up with code 1001; what is queued goes to its
        successor. An attempt that is under way goes on; if it fails, the next one
        follows at once.

        Raises:
            UnsupportedOperation: with ``reconnect=False``.

        """
        self._reconnect()

    def network_changed(self) -> None:
        """Say that another network may be in use.

        The next attempt is made now, with the back-off begun anew. A connection that
        is open is asked for a sign of life, and lost without one within 5 s.
        """
        self._network_changed()

    @property
    def state(self) -> State:
        """Where the connection is in its life."""
        return State(self._state())

    @property
    def latency(self) -> float:
        """The latest round trip of a ping in seconds; 0 before the first."""
        return self._round_trip() or 0.0

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that the server chose."""
        return self._record.subprotocol

    @property
    def response_headers(self) -> list[tuple[str, str]]:
        """The headers of the server's answer to the handshake, names in lower case."""
        return self._record.response_headers

    @property
    def reconnects(self) -> int:
        """How many connections were open before this one."""
        return self._record.reconnects

    @property
    def close_code(self) -> int | None:
        """The code of the peer's close frame; 1005 if it had none, 1006 without one.

        ``None`` while the connection is not closed.
        """
        return self._record.close_code()

    @property
    def close_reason(self) -> str | None:
        """The reason of the peer's close frame; ``None`` while not closed."""
        return self._record.close_reason()

    @property
    def stats(self) -> Stats:
        """The connection at this moment, in numbers."""
        if self._record.pid != os.getpid():
            raise ForkedError("the connection was made by the parent of this process")
        facts = self._stats()
        facts["state"] = State(facts["state"])
        facts["last_error"] = self._record.explained(facts["last_error"])
        if (since := facts["connected_since"]) is not None:
            facts["connected_since"] = datetime.fromtimestamp(since, UTC)
        return Stats(**facts)

    @property
    def unsent(self) -> list[str | bytes]:
        """The messages that never left, in order, once the connection is closed."""
        record = self._record
        if record.closed is None:
            return []
        if record.unsent_messages is None:
            record.unsent_messages = self._take_unsent()
        return list(record.unsent_messages)

    @property
    def unsent_messages(self) -> int:
        """How many messages never left; 0 while not closed."""
        return self._record.unsent[0]

    @property
    def unsent_bytes(self) -> int:
        """How many bytes these are; 0 while not closed."""
        return self._record.unsent[1]

    def _on_log(self, level: int, when: float, text: str) -> None:
        logger = self._record.logger
        number = LEVELS[level - 1]
        if logger.isEnabledFor(number):
            record = logger.makeRecord(logger.name, number, "longwire", 0, text, (), None)
            # When it happened, not when it was fetched.
            record.relativeCreated += (when - record.created) * 1000
            record.created = when
            record.msecs = float(int(when % 1 * 1000))
            logger.handle(record)

    def __del__(self) -> None:
        record = getattr(self, "_record", None)
        if record is None or record.closed is not None or record.pid != os.getpid():
            return
        if record.opened and record.close_requested is None:
            warnings.warn(
                f"unclosed connection {self!r}", ResourceWarning, stacklevel=2, source=self
            )
        self._let_go()

    def _let_go(self) -> None:
        """End it at once, from any thread."""
        self._release()

    def _closed_exception(self) -> ConnectionClosed:
        return self._record.closed_exception()

    def _cut_exception(self, cause: LongwireError | None) -> LongwireError:
        return self._record.cut_exception(cause)


def not_a_message(message: object) -> TypeError:
    """Say what can be sent."""
    name = type(message).__name__
    if isinstance(message, Mapping):
        return TypeError(
            f"message must be str or bytes-like, or an iterable of either, not {name}: "
            "to send its keys as fragments, pass its keys()"
        )
    return TypeError(f"message must be str or bytes-like, or an iterable of either, not {name}")


def check_close_code(code: int) -> None:
    """Refuse a number that has no place in a close frame; the core knows the others."""
    if not 0 <= code <= _U16:
        raise InvalidArgument(f"close: expected a code of 1000 to 4999, got {code}")


def ping_payload(
    data: str | bytes | bytearray | memoryview | None, pending: Mapping[bytes, object]
) -> bytes:
    """Return the payload of a ping; random and unique if there is no ``data``."""
    if data is None:
        payload = os.urandom(4)
        while payload in pending:
            payload = os.urandom(4)
        return payload
    if isinstance(data, str):
        payload = data.encode()
    elif isinstance(data, bytes | bytearray | memoryview):
        payload = bytes(data)
    else:
        raise TypeError(f"data must be str or bytes-like, not {type(data).__name__}")
    if payload in pending:
        raise ConcurrencyError("already waiting for a pong with the same data")
    return payload


def answered(pending: Mapping[bytes, object], payload: bytes) -> list[bytes]:
    """Return the pings that a pong answers: its own and all before it."""
    if payload not in pending:
        return []
    found = []
    for data in pending:
        found.append(data)
        if data == payload:
            break
    return found
