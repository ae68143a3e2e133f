"""websockets' asyncio client, with longwire's interval of pings and without compression's windows."""

import crowd
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as websockets_connect


async def connect(url: str) -> ClientConnection:
    return await websockets_connect(
        url, ssl=context if url.startswith("wss:") else None, ping_interval=20, compression=None
    )


context = crowd.ssl_context("wss:") if "BENCH_CA" in crowd.os.environ else None
crowd.run(connect)
