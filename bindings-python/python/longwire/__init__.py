"""longwire: a WebSocket client that stays connected.

``longwire.connect`` is for asyncio (uvloop included), ``longwire.sync.connect``
for threads. Names and semantics follow the ``websockets`` package wherever it
has them.
"""

from __future__ import annotations

import atexit as _atexit

from . import exceptions, sync
from ._common import State
from ._longwire import VERSION
from ._longwire import shutdown as _shutdown
from .connection import Connection, connect
from .exceptions import (
    CertificateError,
    Close,
    ConcurrencyError,
    ConnectError,
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    ConnectionLost,
    ForkedError,
    HeartbeatTimeout,
    InternalError,
    InvalidArgument,
    InvalidHandshake,
    InvalidStatus,
    InvalidURI,
    InvalidUTF8,
    LongwireError,
    NameResolutionError,
    NotConnected,
    PayloadTooBig,
    ProtocolError,
    ResourceError,
    Response,
    SendBufferFull,
    Timeout,
    TLSError,
    UnsupportedOperation,
)
from .options import TLS, Deflate, Down, Heartbeat, Reconnect

__version__ = VERSION

__all__ = [
    "TLS",
    "CertificateError",
    "Close",
    "ConcurrencyError",
    "ConnectError",
    "Connection",
    "ConnectionClosed",
    "ConnectionClosedError",
    "ConnectionClosedOK",
    "ConnectionLost",
    "Deflate",
    "Down",
    "ForkedError",
    "Heartbeat",
    "HeartbeatTimeout",
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
    "Reconnect",
    "ResourceError",
    "Response",
    "SendBufferFull",
    "State",
    "TLSError",
    "Timeout",
    "UnsupportedOperation",
    "__version__",
    "connect",
    "exceptions",
    "sync",
]

# The runtime's thread has to be gone before the interpreter is.
_atexit.register(_shutdown, 1.0)
