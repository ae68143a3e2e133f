"""websockets' asyncio client, with longwire's interval of pings and without compression."""

import sys

import crowd
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as websockets_connect

# One for all connections, as its documentation has it.
context = crowd.ssl_context(sys.argv[1])


async def connect(url: str) -> ClientConnection:
    return await websockets_connect(url, ssl=context, ping_interval=20, compression=None)


crowd.run(connect)
