"""The exceptions of longwire.

::

    LongwireError
    ├── ConnectionClosed
    │   ├── ConnectionClosedOK
    │   └── ConnectionClosedError (also ConnectionError)
    ├── InvalidArgument (also ValueError)
    ├── InvalidURI (also ValueError)
    ├── SendBufferFull
    ├── NotConnected (also ConnectionError)
    ├── Timeout (also TimeoutError)
    ├── NameResolutionError (also ConnectionError)
    ├── ConnectError (also ConnectionError)
    ├── TLSError (also ConnectionError)
    │   └── CertificateError
    ├── InvalidHandshake
    │   └── InvalidStatus
    ├── ProtocolError
    │   └── InvalidUTF8 (also ValueError)
    ├── PayloadTooBig
    ├── ConnectionLost (also ConnectionError)
    ├── HeartbeatTimeout (also TimeoutError)
    ├── ResourceError (also OSError)
    ├── ConcurrencyError (also RuntimeError)
    ├── ForkedError (also RuntimeError)
    ├── InternalError (also RuntimeError)
    ├── UnsupportedOperation (also RuntimeError)
    └── HookError

Every error of the core has a number and a symbol that never change and are the
same in all languages; here they are attributes of its class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

__all__ = [
    "CertificateError",
    "Close",
    "ConcurrencyError",
    "ConnectError",
    "ConnectionClosed",
    "ConnectionClosedError",
    "ConnectionClosedOK",
    "ConnectionLost",
    "ForkedError",
    "HeartbeatTimeout",
    "HookError",
    "InternalError",
    "InvalidArgument",
    "InvalidHandshake",
    "InvalidStatus",
    "InvalidURI",
    "InvalidUTF8",
    "LongwireError",
    "NameResolutionError",
    "NotConnected",
    "PayloadTooBig",
    "ProtocolError",
    "ResourceError",
    "Response",
    "SendBufferFull",
    "TLSError",
    "Timeout",
    "UnsupportedOperation",
]


@dataclass(frozen=True, slots=True)
class Close:
    """Code and reason of a close frame."""

    code: int
    reason: str

    def __str__(self) -> str:
        return f"{self.code} {self.reason}".rstrip()


@dataclass(frozen=True, slots=True)
class Response:
    """What a server answered to the handshake.

    Attributes:
        status_code: The HTTP status.
        headers: The headers in the order they came, names in lower case.
        body: The beginning of the body, at most 4 KiB.

    """

    status_code: int
    headers: list[tuple[str, str]]
    body: bytes


class LongwireError(Exception):
    """What all exceptions of longwire have in common.

    Attributes:
        number: A negative number that never changes; C's code for the error.
        symbol: Its name, such as ``"EURL"``.

    """

    number: ClassVar[int] = 0
    symbol: ClassVar[str] = ""

    # Some of the built-in exceptions that are inherited beside this one format
    # themselves from attributes that are not set here.
    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class ConnectionClosed(LongwireError):
    """The connection is closed, or is being closed, for good.

    Attributes:
        rcvd: The close frame that was received, if any.
        sent: The close frame that was sent, if any.
        rcvd_then_sent: Who began: ``True`` for the peer, ``None`` if there
            were not two close frames.

    """

    number = -3
    symbol = "ECLOSED"

    def __init__(
        self,
        rcvd: Close | None,
        sent: Close | None,
        rcvd_then_sent: bool | None = None,
    ) -> None:
        # Not OSError's, which takes its arguments for an errno and a file.
        Exception.__init__(self, rcvd, sent, rcvd_then_sent)
        self.rcvd = rcvd
        self.sent = sent
        self.rcvd_then_sent = rcvd_then_sent

    #: What the core said, where it did.
    _message = ""

    def __str__(self) -> str:
        if self._message:
            return self._message
        if self.rcvd is None:
            if self.sent is None:
                return "no close frame received or sent"
            return f"sent {self.sent}; no close frame received"
        if self.sent is None:
            return f"received {self.rcvd}; no close frame sent"
        if self.rcvd_then_sent:
            return f"received {self.rcvd}; then sent {self.sent}"
        return f"sent {self.sent}; then received {self.rcvd}"

    @property
    def code(self) -> int:
        """The peer's close code; 1006 if there was none."""
        return 1006 if self.rcvd is None else self.rcvd.code

    @property
    def reason(self) -> str:
        """The peer's reason."""
        return "" if self.rcvd is None else self.rcvd.reason


class ConnectionClosedOK(ConnectionClosed):
    """The connection was closed properly, with code 1000 or 1001 or without any."""


class ConnectionClosedError(ConnectionClosed, ConnectionError):
    """The connection was closed with another code, or without a closing handshake.

    If longwire knows why, ``__cause__`` says it.
    """


class InvalidArgument(LongwireError, ValueError):
    """An option or an argument is not what it has to be."""

    number = -1
    symbol = "EINVAL"


class InvalidURI(LongwireError, ValueError):
    """The URL cannot be used: not a URL, not ``ws:`` or ``wss:``, or no host."""

    number = -2
    symbol = "EURL"


class SendBufferFull(LongwireError):
    """The send buffer is full, and an event handler or another thread cannot wait."""

    number = -4
    symbol = "EFULL"


class NotConnected(LongwireError, ConnectionError):
    """The connection is down, and ``offline="refuse"`` was chosen, or it was a ping."""

    number = -5
    symbol = "EOFFLINE"


class Timeout(LongwireError, TimeoutError):
    """A time limit passed: connecting, the handshake, or a ``recv``."""

    number = -6
    symbol = "ETIMEOUT"


class NameResolutionError(LongwireError, ConnectionError):
    """The host name did not resolve."""

    number = -7
    symbol = "EDNS"


class ConnectError(LongwireError, ConnectionError):
    """No TCP connection: refused, unreachable, and the like."""

    number = -8
    symbol = "ECONNECT"


class TLSError(LongwireError, ConnectionError):
    """The TLS handshake or a TLS record failed."""

    number = -9
    symbol = "ETLS"


class CertificateError(TLSError):
    """The server's certificate was not accepted."""

    number = -10
    symbol = "ECERT"


class InvalidHandshake(LongwireError):
    """The server answered, but not with a valid WebSocket handshake."""

    number = -11
    symbol = "EHANDSHAKE"


class InvalidStatus(InvalidHandshake):
    """The server answered the handshake with another status than 101.

    Attributes:
        response: What it answered.

    """

    number = -12
    symbol = "ESTATUS"

    def __init__(self, message: str, response: Response) -> None:
        super().__init__(message, response)
        self.response = response

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.response.status_code

    @property
    def headers(self) -> list[tuple[str, str]]:
        """The headers in the order they came, names in lower case."""
        return self.response.headers

    @property
    def body(self) -> bytes:
        """The beginning of the body."""
        return self.response.body


class ProtocolError(LongwireError):
    """The peer broke the protocol (close code 1002)."""

    number = -13
    symbol = "EPROTO"


class InvalidUTF8(ProtocolError, ValueError):
    """Text is not UTF-8 (close code 1007 if it came from the peer)."""

    number = -14
    symbol = "EUTF8"


class PayloadTooBig(LongwireError):
    """A message is larger than the limit (close code 1009 if it came from the peer)."""

    number = -15
    symbol = "ETOOBIG"


class ConnectionLost(LongwireError, ConnectionError):
    """The TCP connection ended without a closing handshake."""

    number = -16
    symbol = "ELOST"


class HeartbeatTimeout(LongwireError, TimeoutError):
    """The peer did not answer a heartbeat ping in time."""

    number = -17
    symbol = "EHEARTBEAT"


class ResourceError(LongwireError, OSError):
    """The operating system refused a resource: a thread, a descriptor, memory."""

    number = -18
    symbol = "ERESOURCE"


class ConcurrencyError(LongwireError, RuntimeError):
    """Two tasks or threads do at once what only one can do."""

    number = -19
    symbol = "EBUSY"


class ForkedError(LongwireError, RuntimeError):
    """The connection was made by the parent of this forked process."""

    number = -20
    symbol = "EFORKED"


class InternalError(LongwireError, RuntimeError):
    """A defect in longwire itself; the connection is closed."""

    number = -21
    symbol = "EPANIC"


class UnsupportedOperation(LongwireError, RuntimeError):
    """The connection does not have this operation."""

    number = -22
    symbol = "EUNSUPPORTED"


class HookError(LongwireError):
    """``before_connect`` raised, or gave no answer that can be used; ``__cause__`` says more."""

    number = -23
    symbol = "EHOOK"


#: The class of every error of the core, by its number.
BY_NUMBER: dict[int, type[LongwireError]] = {
    cls.number: cls
    for cls in (
        InvalidArgument,
        InvalidURI,
        ConnectionClosed,
        SendBufferFull,
        NotConnected,
        Timeout,
        NameResolutionError,
        ConnectError,
        TLSError,
        CertificateError,
        InvalidHandshake,
        InvalidStatus,
        ProtocolError,
        InvalidUTF8,
        PayloadTooBig,
        ConnectionLost,
        HeartbeatTimeout,
        ResourceError,
        ConcurrencyError,
        ForkedError,
        InternalError,
        UnsupportedOperation,
        HookError,
    )
}


def decode_headers(headers: list[tuple[str, bytes]]) -> list[tuple[str, str]]:
    """Header values as text, each byte one character (RFC 9110 section 5.5)."""
    return [(name, value.decode("latin-1")) for name, value in headers]


def from_native(
    number: int,
    message: str,
    refusal: tuple[int, list[tuple[str, bytes]], bytes] | None,
) -> LongwireError:
    """Make the exception for an error of the core."""
    cls = BY_NUMBER[number]
    if refusal is not None and issubclass(cls, InvalidStatus):
        status, headers, body = refusal
        return cls(message, Response(status, decode_headers(headers), body))
    if issubclass(cls, ConnectionClosed):
        closed = ConnectionClosedError(None, None)
        closed._message = message
        return closed
    return cls(message)
