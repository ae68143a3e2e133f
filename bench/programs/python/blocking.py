"""The workloads for a client without an event loop.

A client is what ``connect`` returns: how to send binary, how to send text, how to receive a
message, and an iterator over messages. They are its own methods, with nothing in between.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, suppress
from functools import partial
from typing import Any, NamedTuple

from measuring import Result, Span, Task, check_flood, check_many, now, run, work


class Client(NamedTuple):
    send: Callable[[bytes], object]
    send_text: Callable[[str], object]
    recv: Callable[[], Any]
    messages: Iterator[Any]


Connect = Callable[[Task], AbstractContextManager[Client]]


def echo(connect: Connect, task: Task) -> Result:
    payload = bytes(task.size)
    samples = [0] * task.count
    with connect(task) as (send, _, recv, _):
        for _ in range(task.warm_up):
            send(payload)
            recv()
        span = Span()
        for i in range(task.count):
            begun = now()
            send(payload)
            recv()
            samples[i] = now() - begun
        return span.finish(task.count, samples)


def flood(connect: Connect, task: Task) -> Result:
    left, length = task.count, 0
    with connect(task) as client:
        span = Span()
        client.send_text("go")
        for message in client.messages:
            length += len(message)
            left -= 1
            if not left:
                break
        result = span.finish(task.count)
    check_flood(task, length)
    return result


def sink(connect: Connect, task: Task) -> Result:
    payload = bytes(task.size)
    with connect(task) as (send, _, recv, _):
        span = Span()
        for _ in range(task.count):
            send(payload)
        recv()
        return span.finish(task.count)


def tick(connect: Connect, task: Task) -> Result:
    samples = [0] * task.count
    i = 0
    with connect(task) as client:
        span = Span()
        client.send_text("go")
        for message in client.messages:
            come = now()
            samples[i] = come - int.from_bytes(message[:8], "little")
            work(come, task.size)
            i += 1
            if i == task.count:
                break
        return span.finish(task.count, samples)


def many(connect: Connect, task: Task) -> Result:
    come = [0] * task.count

    def read(index: int, client: Client) -> None:
        # Not every client can be closed beside a thread that reads.
        with suppress(Exception):
            for _ in client.messages:
                come[index] += 1

    with ExitStack() as stack:
        for index in range(task.count):
            client = stack.enter_context(connect(task))
            threading.Thread(target=read, args=(index, client), daemon=True).start()
        # What came while the others connected is not part of it.
        time.sleep(0.1)
        before = sum(come)
        span = Span()
        time.sleep(task.size)
        result = span.finish(sum(come) - before)
    check_many(task, result.messages)
    return result


def run_with(connect: Connect) -> None:
    workloads = {"echo": echo, "flood": flood, "sink": sink, "tick": tick, "many": many}
    run({name: partial(workload, connect) for name, workload in workloads.items()})
