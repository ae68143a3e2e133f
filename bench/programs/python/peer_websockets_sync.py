"""websockets' client for threads."""

from collections.abc import Iterator
from contextlib import contextmanager

import blocking
from measuring import Task
from websockets.sync.client import connect as websockets_connect


@contextmanager
def connect(task: Task) -> Iterator[blocking.Client]:
    with websockets_connect(
        task.url,
        ssl=task.ssl_context,
        compression="deflate" if task.is_deflated else None,
        max_size=None,
    ) as ws:
        yield blocking.Client(ws.send, ws.send, ws.recv, iter(ws))


blocking.run_with(connect)
