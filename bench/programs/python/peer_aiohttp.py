"""aiohttp's client, in the shape of ``awaiting.py``, with its own names for everything."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
from measuring import Result, Span, Task, check_flood, check_many, now, run_on_loop, work


@asynccontextmanager
async def connect(task: Task) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(
            task.url,
            ssl=task.ssl_context or True,
            compress=15 if task.is_deflated else 0,
            max_msg_size=0,
        ) as ws,
    ):
        yield ws


async def echo(task: Task) -> Result:
    payload = bytes(task.size)
    samples = [0] * task.count
    async with connect(task) as ws:
        for _ in range(task.warm_up):
            await ws.send_bytes(payload)
            await ws.receive_bytes()
        span = Span()
        for i in range(task.count):
            begun = now()
            await ws.send_bytes(payload)
            await ws.receive_bytes()
            samples[i] = now() - begun
        return span.finish(task.count, samples)


async def flood(task: Task) -> Result:
    left, length = task.count, 0
    async with connect(task) as ws:
        span = Span()
        await ws.send_str("go")
        async for message in ws:
            length += len(message.data)
            left -= 1
            if not left:
                break
        result = span.finish(task.count)
    check_flood(task, length)
    return result


async def sink(task: Task) -> Result:
    payload = bytes(task.size)
    async with connect(task) as ws:
        span = Span()
        for _ in range(task.count):
            await ws.send_bytes(payload)
        await ws.receive_str()
        return span.finish(task.count)


async def tick(task: Task) -> Result:
    samples = [0] * task.count
    i = 0
    async with connect(task) as ws:
        span = Span()
        await ws.send_str("go")
        async for message in ws:
            come = now()
            samples[i] = come - int.from_bytes(message.data[:8], "little")
            work(come, task.size)
            i += 1
            if i == task.count:
                break
        return span.finish(task.count, samples)


async def many(task: Task) -> Result:
    come = 0

    async def read(ws: aiohttp.ClientWebSocketResponse) -> None:
        nonlocal come
        async for _ in ws:
            come += 1

    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connect(task)) for _ in range(task.count)]
        readers = [asyncio.create_task(read(ws)) for ws in clients]
        # What came while the others connected is not part of it.
        await asyncio.sleep(0.1)
        come = 0
        span = Span()
        await asyncio.sleep(task.size)
        result = span.finish(come)
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
    check_many(task, come)
    return result


run_on_loop({"echo": echo, "flood": flood, "sink": sink, "tick": tick, "many": many})
