"""What the Python programs of the bench share: their command line and what they measure.

A program is called as ``PROGRAM WORKLOAD URL COUNT SIZE`` and prints one line of JSON:
``seconds`` and ``cpu`` (user and system, all threads) of the measured part, ``messages``
in it, the process's ``peak`` of resident memory in bytes, and for workloads that take
samples ``p50`` and ``p99`` in microseconds. Programs on an event loop take uvloop's with
``BENCH_LOOP=uvloop``; wss: trusts the authorities in ``BENCH_CA``.

Workloads measure in one shape: samples go into a list that has its length already, and
nothing is computed from them before the measured part is over.
"""

import asyncio
import json
import os
import resource
import ssl
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any, NoReturn
from urllib.parse import parse_qs, urlsplit

#: Nanoseconds on CLOCK_MONOTONIC, which is the clock of the opponent's stamps as well.
now = perf_counter_ns

#: The exit code of a client that has no means to do the workload.
LEFT_OUT = 3


@dataclass(frozen=True)
class Task:
    url: str
    count: int
    size: int

    @property
    def is_deflated(self) -> bool:
        return parse_qs(urlsplit(self.url).query).get("deflate") == ["1"]

    @property
    def ca_file(self) -> str | None:
        return os.environ["BENCH_CA"] if self.url.startswith("wss:") else None

    @property
    def ssl_context(self) -> ssl.SSLContext | None:
        return None if self.ca_file is None else ssl.create_default_context(cafile=self.ca_file)

    @property
    def warm_up(self) -> int:
        """How many echoes precede the measured ones."""
        return max(1, self.count // 10)


@dataclass(frozen=True)
class Result:
    seconds: float
    cpu: float
    messages: int
    samples: Sequence[int] = ()


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class Span:
    """The measured part: from where this is made to ``finish``."""

    def __init__(self) -> None:
        self._cpu = _cpu()
        self._begun = now()

    def finish(self, messages: int, samples: Sequence[int] = ()) -> Result:
        return Result((now() - self._begun) / 1e9, _cpu() - self._cpu, messages, samples)


def work(since: int, size: int) -> None:
    """Be busy, from ``since`` on, for half of ``size`` microseconds."""
    until = since + size * 500
    while now() < until:
        pass


def check_flood(task: Task, length: int) -> None:
    """``length`` is that of all messages. What came compressed has about the length asked for."""
    wanted = task.count * task.size
    least = wanted - 96 * task.count if task.is_deflated else wanted
    if not least <= length <= wanted:
        sys.exit(f"expected messages of {wanted} bytes in all, got {length}")


def check_many(task: Task, messages: int) -> None:
    """Each connection gets one a second: far fewer, and some were lost."""
    if messages < task.count * task.size / 2:
        sys.exit(f"expected {task.count * task.size} messages, got {messages}")


def left_out(why: str) -> NoReturn:
    print(f"LEFT OUT: {why}", file=sys.stderr)
    sys.exit(LEFT_OUT)


def run(workloads: Mapping[str, Callable[[Task], Result]]) -> None:
    _, workload, url, count, size = sys.argv
    result = workloads[workload](Task(url, int(count), int(size)))
    line = {
        "seconds": result.seconds,
        "cpu": result.cpu,
        "messages": result.messages,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    if result.samples:
        ordered = sorted(result.samples)
        line["p50"] = ordered[len(ordered) // 2] / 1000
        line["p99"] = ordered[len(ordered) * 99 // 100] / 1000
    print(json.dumps(line))


def run_on_loop(workloads: Mapping[str, Callable[[Task], Coroutine[Any, Any, Result]]]) -> None:
    def on_loop(task: Task) -> Result:
        coroutine = workloads[sys.argv[1]](task)
        if os.environ.get("BENCH_LOOP") == "uvloop":
            import uvloop  # noqa: PLC0415 - the others are measured without it in memory

            return uvloop.run(coroutine)
        return asyncio.run(coroutine)

    run(dict.fromkeys(workloads, on_loop))
