"""What the Python programs of the crowd share; what they print and take is in run.py."""

import asyncio
import json
import os
import pathlib
import re
import resource
import ssl
import sys
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Protocol

AT_ONCE = 256


class Connection(Protocol):
    async def send(self, message: bytes, /) -> object: ...

    async def recv(self) -> object: ...


def ca_file() -> str:
    return os.environ["BENCH_CA"]


def ssl_context(url: str) -> ssl.SSLContext | None:
    return ssl.create_default_context(cafile=ca_file()) if url.startswith("wss:") else None


def memory() -> dict[str, float]:
    text = pathlib.Path("/proc/self/smaps_rollup").read_text()
    found = dict(re.findall(r"^(Rss|Pss): +(\d+) kB$", text, re.MULTILINE))
    return {name.lower(): int(kilobytes) * 1024 for name, kilobytes in found.items()}


def cpu() -> dict[str, float]:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {"cpu": used.ru_utime + used.ru_stime}


async def broadcast(crowd: list[Connection]) -> dict[str, float]:
    begun = perf_counter()
    await crowd[0].send(bytes(64))
    for one in crowd:
        await one.recv()
    return {"seconds": perf_counter() - begun}


async def main(connect: Callable[[str], Awaitable[Connection]]) -> None:
    url, count = f"{sys.argv[1]}/hub", int(sys.argv[2])
    places = iter(range(count))
    crowd: list[Connection] = []

    async def connect_some() -> None:
        for _ in places:
            crowd.append(await connect(url))

    begun = perf_counter()
    await asyncio.gather(*(connect_some() for _ in range(min(AT_ONCE, count))))
    print(json.dumps({"connected": len(crowd), "seconds": perf_counter() - begun}), flush=True)
    while (command := (await asyncio.to_thread(sys.stdin.readline)).strip()) != "end":
        match command:
            case "memory":
                answer = memory()
            case "cpu":
                answer = cpu()
            case "broadcast":
                answer = await broadcast(crowd)
            case _:
                raise SystemExit(f"an unknown command: {command!r}")
        print(json.dumps(answer), flush=True)
    print("{}", flush=True)
    # The kernel takes all connections down at once.
    os._exit(0)


def run(connect: Callable[[str], Awaitable[Connection]]) -> None:
    asyncio.run(main(connect))
