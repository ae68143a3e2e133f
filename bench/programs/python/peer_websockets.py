"""websockets' asyncio client."""

import awaiting
from measuring import Task
from websockets.asyncio.client import connect as websockets_connect


def connect(task: Task) -> websockets_connect:
    return websockets_connect(
        task.url,
        ssl=task.ssl_context,
        compression="deflate" if task.is_deflated else None,
        max_size=None,
    )


awaiting.run_with(connect)
