"""longwire's asyncio face with ``on_message``: called on the event loop with each message."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import longwire
from measuring import Result, Span, Task, check_flood, check_many, now, run_on_loop, work


def connect(task: Task, on_message: Callable[[longwire.Connection, Any], None]) -> longwire.connect:
    return longwire.connect(
        task.url,
        on_message=on_message,
        tls=None if task.ca_file is None else longwire.TLS(ca_file=task.ca_file),
        compression="deflate" if task.is_deflated else None,
        send_buffer=2 << 20,
    )


class Taker:
    """Takes ``count`` messages after each ``expect``, which is done then."""

    def expect(self, count: int) -> asyncio.Future[None]:
        self.left = count
        self.done = asyncio.get_running_loop().create_future()
        return self.done


class Echo(Taker):
    def __init__(self, task: Task) -> None:
        self.payload = bytes(task.size)
        self.samples = [0] * max(task.count, task.warm_up)
        self.begun = 0

    def ask(self, ws: longwire.Connection) -> None:
        self.begun = now()
        ws.send_nowait(self.payload)

    def on_message(self, ws: longwire.Connection, message: str | bytes) -> None:
        self.left -= 1
        self.samples[self.left] = now() - self.begun
        if self.left:
            self.begun = now()
            ws.send_nowait(self.payload)
        else:
            self.done.set_result(None)


async def echo(task: Task) -> Result:
    taker = Echo(task)
    async with connect(task, taker.on_message) as ws:
        for rounds in (task.warm_up, task.count):
            span = Span()
            done = taker.expect(rounds)
            taker.ask(ws)
            await done
        return span.finish(task.count, taker.samples)


class Flood(Taker):
    length = 0

    def on_message(self, ws: longwire.Connection, message: str | bytes) -> None:
        self.length += len(message)
        self.left -= 1
        if not self.left:
            self.done.set_result(None)


async def flood(task: Task) -> Result:
    taker = Flood()
    async with connect(task, taker.on_message) as ws:
        span = Span()
        done = taker.expect(task.count)
        ws.send_nowait("go")
        await done
        result = span.finish(task.count)
    check_flood(task, taker.length)
    return result


async def sink(task: Task) -> Result:
    payload = bytes(task.size)
    taker = Flood()
    async with connect(task, taker.on_message) as ws:
        span = Span()
        done = taker.expect(1)
        for _ in range(task.count):
            await ws.send(payload)
        await done
        return span.finish(task.count)


class Tick(Taker):
    def __init__(self, task: Task) -> None:
        self.samples = [0] * task.count
        self.size = task.size

    def on_message(self, ws: longwire.Connection, message: bytes) -> None:
        come = now()
        self.left -= 1
        self.samples[self.left] = come - int.from_bytes(message[:8], "little")
        work(come, self.size)
        if not self.left:
            self.done.set_result(None)


async def tick(task: Task) -> Result:
    taker = Tick(task)
    async with connect(task, taker.on_message) as ws:
        span = Span()
        done = taker.expect(task.count)
        ws.send_nowait("go")
        await done
        return span.finish(task.count, taker.samples)


class Many:
    """One for all connections."""

    come = 0

    def on_message(self, ws: longwire.Connection, message: str | bytes) -> None:
        self.come += 1


async def many(task: Task) -> Result:
    taker = Many()
    async with AsyncExitStack() as stack:
        for _ in range(task.count):
            await stack.enter_async_context(connect(task, taker.on_message))
        # What came while the others connected is not part of it.
        await asyncio.sleep(0.1)
        before = taker.come
        span = Span()
        await asyncio.sleep(task.size)
        result = span.finish(taker.come - before)
    check_many(task, result.messages)
    return result


run_on_loop({"echo": echo, "flood": flood, "sink": sink, "tick": tick, "many": many})
