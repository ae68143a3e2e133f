"""picows' core API: what comes is given to a method of a listener, on the event loop.

As with the other clients, the user gets ``str`` for text and ``bytes`` for binary.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from measuring import Result, Span, Task, check_flood, check_many, left_out, now, run_on_loop, work
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect


class Listener(WSListener):
    """Takes ``count`` messages after each ``expect``, which is done then."""

    def expect(self, count: int) -> asyncio.Future[None]:
        self.left = count
        self.done = asyncio.get_running_loop().create_future()
        return self.done

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        if not self.done.done():
            self.done.set_exception(ConnectionError("disconnected before all had come"))


@asynccontextmanager
async def connect(task: Task, listener: WSListener) -> AsyncIterator[WSTransport]:
    if task.is_deflated:
        left_out("picows' core API has no permessage-deflate")
    transport, _ = await ws_connect(lambda: listener, task.url, ssl_context=task.ssl_context)
    try:
        yield transport
    finally:
        transport.disconnect()


class Echo(Listener):
    def __init__(self, task: Task) -> None:
        self.payload = bytes(task.size)
        self.samples = [0] * max(task.count, task.warm_up)
        self.begun = 0

    def ask(self, transport: WSTransport) -> None:
        self.begun = now()
        transport.send(WSMsgType.BINARY, self.payload)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        frame.get_payload_as_bytes()
        self.left -= 1
        self.samples[self.left] = now() - self.begun
        if self.left:
            self.begun = now()
            transport.send(WSMsgType.BINARY, self.payload)
        else:
            self.done.set_result(None)


async def echo(task: Task) -> Result:
    listener = Echo(task)
    async with connect(task, listener) as transport:
        for rounds in (task.warm_up, task.count):
            span = Span()
            done = listener.expect(rounds)
            listener.ask(transport)
            await done
        return span.finish(task.count, listener.samples)


class Flood(Listener):
    length = 0

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT:
            self.length += len(frame.get_payload_as_utf8_text())
        else:
            self.length += len(frame.get_payload_as_bytes())
        self.left -= 1
        if not self.left:
            self.done.set_result(None)


async def flood(task: Task) -> Result:
    listener = Flood()
    async with connect(task, listener) as transport:
        span = Span()
        done = listener.expect(task.count)
        transport.send(WSMsgType.TEXT, b"go")
        await done
        result = span.finish(task.count)
    check_flood(task, listener.length)
    return result


class Sink(Listener):
    """Its back-pressure is that of picows' examples: a future while writing is paused."""

    resumed: asyncio.Future[None] | None = None

    def pause_writing(self) -> None:
        self.resumed = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self.resumed is not None:
            self.resumed.set_result(None)
            self.resumed = None

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        frame.get_payload_as_utf8_text()
        self.done.set_result(None)


async def sink(task: Task) -> Result:
    payload = bytes(task.size)
    listener = Sink()
    async with connect(task, listener) as transport:
        span = Span()
        done = listener.expect(1)
        for _ in range(task.count):
            if listener.resumed is not None:
                await listener.resumed
            transport.send(WSMsgType.BINARY, payload)
        await done
        return span.finish(task.count)


class Tick(Listener):
    def __init__(self, task: Task) -> None:
        self.samples = [0] * task.count
        self.size = task.size

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        message = frame.get_payload_as_bytes()
        come = now()
        self.left -= 1
        self.samples[self.left] = come - int.from_bytes(message[:8], "little")
        work(come, self.size)
        if not self.left:
            self.done.set_result(None)


async def tick(task: Task) -> Result:
    listener = Tick(task)
    async with connect(task, listener) as transport:
        span = Span()
        done = listener.expect(task.count)
        transport.send(WSMsgType.TEXT, b"go")
        await done
        return span.finish(task.count, listener.samples)


class Many(WSListener):
    """One for all connections."""

    come = 0

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        frame.get_payload_as_utf8_text()
        self.come += 1


async def many(task: Task) -> Result:
    listener = Many()
    async with AsyncExitStack() as stack:
        for _ in range(task.count):
            await stack.enter_async_context(connect(task, listener))
        # What came while the others connected is not part of it.
        await asyncio.sleep(0.1)
        before = listener.come
        span = Span()
        await asyncio.sleep(task.size)
        result = span.finish(listener.come - before)
    check_many(task, result.messages)
    return result


run_on_loop({"echo": echo, "flood": flood, "sink": sink, "tick": tick, "many": many})
