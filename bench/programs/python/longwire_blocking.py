"""longwire's blocking face."""

from collections.abc import Iterator
from contextlib import contextmanager

import blocking
import longwire
import longwire.sync
from measuring import Task


@contextmanager
def connect(task: Task) -> Iterator[blocking.Client]:
    with longwire.sync.connect(
        task.url,
        tls=None if task.ca_file is None else longwire.TLS(ca_file=task.ca_file),
        compression="deflate" if task.is_deflated else None,
        send_buffer=2 << 20,
    ) as ws:
        yield blocking.Client(ws.send, ws.send, ws.recv, iter(ws))


blocking.run_with(connect)
