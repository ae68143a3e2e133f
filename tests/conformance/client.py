"""client.py asyncio|blocking URL COUNT: echoes in each of COUNT cases of a fuzzing server.

What becomes of a connection is for the server to judge.
"""

import asyncio
import contextlib
import sys

import longwire
from longwire.exceptions import ConnectionClosed


def cases(url: str, count: str) -> list[str]:
    numbers = range(1, int(count) + 1)
    return [f"{url}/runCase?case={number}&agent=longwire" for number in numbers]


async def echo(case: str) -> None:
    with contextlib.suppress(ConnectionClosed):
        async with longwire.connect(case, reconnect=False) as ws:
            async for message in ws:
                await ws.send(message)


async def converse(url: str, count: str) -> None:
    for case in cases(url, count):
        await echo(case)


def converse_blocking(url: str, count: str) -> None:
    for case in cases(url, count):
        with (
            contextlib.suppress(ConnectionClosed),
            longwire.sync.connect(case, reconnect=False) as ws,
        ):
            for message in ws:
                ws.send(message)


if sys.argv[1] == "asyncio":
    asyncio.run(converse(*sys.argv[2:]))
else:
    converse_blocking(*sys.argv[2:])
