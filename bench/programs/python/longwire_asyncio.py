"""longwire's asyncio face, awaited and iterated."""

import awaiting
import longwire
from measuring import Task


def connect(task: Task) -> longwire.connect:
    return longwire.connect(
        task.url,
        tls=None if task.ca_file is None else longwire.TLS(ca_file=task.ca_file),
        compression="deflate" if task.is_deflated else None,
        send_buffer=2 << 20,
    )


awaiting.run_with(connect)
