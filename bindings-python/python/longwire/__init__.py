"""longwire: a WebSocket client that stays connected.

``longwire.connect`` is for asyncio (uvloop included), ``longwire.sync.connect``
for threads. Names and semantics follow the ``websockets`` package wherever it
has them.
"""

from __future__ import annotations

import atexit as _atexit
import logging as _logging

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
    HookError,
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
from .hooks import Attempt, Changes, GiveUp, Outage
from .options import TLS, Deflate, Down, Heartbeat, Reconnect
from .stats import Stats

__version__ = VERSION

__all__ = [
    "TLS",
    "Attempt",
    "CertificateError",
    "Changes",
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
    "GiveUp",
    "Heartbeat",
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
    "Outage",
    "PayloadTooBig",
    "ProtocolError",
    "Reconnect",
    "ResourceError",
    "Response",
    "SendBufferFull",
    "State",
    "Stats",
    "TLSError",
    "Timeout",
    "UnsupportedOperation",
    "__version__",
    "connect",
    "exceptions",
    "sync",
]

# A program that says nothing about its log gets none.
_logging.getLogger("longwire").addHandler(_logging.NullHandler())

# The runtime's thread has to be gone before the interpreter is.
_atexit.register(_shutdown, 1.0)
