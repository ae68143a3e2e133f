"""An echo server of the `websockets` package, to test against what nobody here wrote.

Prints one JSON line when ready, {"ws": "ws://127.0.0.1:PORT", "pid": N}, and ends when its stdin
does.
"""

import asyncio
import json
import os
import sys

from websockets.asyncio.server import ServerConnection, serve

# Longer than any test's message.
MAX_MESSAGE = 256 << 20


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


async def main() -> None:
    # A client that is gone must not hold up the end.
    async with serve(echo, "127.0.0.1", 0, max_size=MAX_MESSAGE, close_timeout=1) as server:
        port = server.sockets[0].getsockname()[1]
        print(json.dumps({"ws": f"ws://127.0.0.1:{port}", "pid": os.getpid()}), flush=True)
        await asyncio.to_thread(sys.stdin.buffer.read)


if __name__ == "__main__":
    asyncio.run(main())
