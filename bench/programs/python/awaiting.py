"""The workloads for a connection with ``await ws.send``, ``await ws.recv`` and ``async for``."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import partial
from typing import Any, Protocol

from measuring import Result, Span, Task, check_flood, check_many, now, run_on_loop, work


class Connection(Protocol):
    def send(self, message: Any, /) -> Awaitable[None]: ...
    def recv(self) -> Awaitable[Any]: ...
    def __aiter__(self) -> AsyncIterator[Any]: ...


Connect = Callable[[Task], AbstractAsyncContextManager[Connection]]


async def echo(connect: Connect, task: Task) -> Result:
    payload = bytes(task.size)
    samples = [0] * task.count
    async with connect(task) as ws:
        for _ in range(task.warm_up):
            await ws.send(payload)
            await ws.recv()
        span = Span()
        for i in range(task.count):
            begun = now()
            await ws.send(payload)
            await ws.recv()
            samples[i] = now() - begun
        return span.finish(task.count, samples)


async def flood(connect: Connect, task: Task) -> Result:
    left, length = task.count, 0
    async with connect(task) as ws:
        span = Span()
        await ws.send("go")
        async for message in ws:
            length += len(message)
            left -= 1
            if not left:
                break
        result = span.finish(task.count)
    check_flood(task, length)
    return result


async def sink(connect: Connect, task: Task) -> Result:
    payload = bytes(task.size)
    async with connect(task) as ws:
        span = Span()
        for _ in range(task.count):
            await ws.send(payload)
        await ws.recv()
        return span.finish(task.count)


async def tick(connect: Connect, task: Task) -> Result:
    samples = [0] * task.count
    i = 0
    async with connect(task) as ws:
        span = Span()
        await ws.send("go")
        async for message in ws:
            come = now()
            samples[i] = come - int.from_bytes(message[:8], "little")
            work(come, task.size)
            i += 1
            if i == task.count:
                break
        return span.finish(task.count, samples)


async def many(connect: Connect, task: Task) -> Result:
    come = 0

    async def read(ws: Connection) -> None:
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
    check_many(task, come)
    return result


def run_with(connect: Connect) -> None:
    workloads = {"echo": echo, "flood": flood, "sink": sink, "tick": tick, "many": many}
    run_on_loop({name: partial(workload, connect) for name, workload in workloads.items()})
