"""websocket-client, with wsaccel as its documentation advises."""

from collections.abc import Iterator
from contextlib import contextmanager

import blocking
import websocket
from measuring import Task, left_out


@contextmanager
def connect(task: Task) -> Iterator[blocking.Client]:
    if task.is_deflated:
        left_out("websocket-client has no permessage-deflate")
    ws = websocket.create_connection(
        task.url,
        enable_multithread=False,
        sslopt={} if task.ssl_context is None else {"context": task.ssl_context},
    )
    try:
        yield blocking.Client(ws.send_bytes, ws.send, ws.recv, iter(ws))
    finally:
        # Its `close` would read for three seconds beside a thread that does so, too.
        ws.shutdown()  # type: ignore[no-untyped-call]


blocking.run_with(connect)
