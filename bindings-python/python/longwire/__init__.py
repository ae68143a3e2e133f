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
from .exceptions import *  # noqa: F403
from .options import TLS, Down, Heartbeat, Reconnect

__version__ = VERSION

__all__ = [
    "TLS",
    "Connection",
    "Down",
    "Heartbeat",
    "Reconnect",
    "State",
    "__version__",
    "connect",
    "exceptions",
    "sync",
]
__all__ += exceptions.__all__

# The runtime's thread has to be gone before the interpreter is.
_atexit.register(_shutdown, 1.0)
