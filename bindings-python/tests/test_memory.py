"""Memory is bounded and given back, whatever servers send."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys

import longwire
import pytest
from conftest import LIMIT, Run, Server
from longwire import sync

#: Reads 200 MB slower than the server sends them, and says how much memory
#: that took at most, in KiB.
SLOW = """
import asyncio, resource, sys, time, longwire, longwire.sync
url, face = sys.argv[1:]
options = {"receive_buffer": 1 << 20}

def busy():
    end = time.perf_counter() + 0.0003
    while time.perf_counter() < end: pass

async def main():
    async with longwire.connect(url, **options) as ws:
        async for message in ws:
            busy()
            await asyncio.sleep(0)

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
if face == "asyncio":
    asyncio.run(main())
else:
    with longwire.sync.connect(url, **options) as ws:
        for message in ws:
            busy()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("face", ["asyncio", "blocking"])
def test_a_slow_reader_does_not_pile_up_messages(server: Server, face: str) -> None:
    url = server.url("/push", count=2000, size=100_000)
    command = [sys.executable, "-c", SLOW, url, face]
    out = subprocess.run(command, capture_output=True, text=True, check=True, timeout=LIMIT).stdout
    assert int(out) < 30_000


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def test_messages_and_connections_are_given_back(run: Run[None], server: Server) -> None:
    async def use(messages: int) -> None:
        async with longwire.connect(server.url("/echo")) as ws:
            for _ in range(messages):
                await ws.send("x" * 10_000)
                await ws.recv()
                receiving = asyncio.create_task(ws.recv())
                await asyncio.sleep(0)
                receiving.cancel()
        with sync.connect(server.url("/echo")) as blocking:
            for _ in range(messages):
                blocking.send(b"x" * 10_000)
                blocking.recv()

    async def main() -> None:
        for _ in range(5):
            await use(200)
        gc.collect()
        before, descriptors = resident(), len(os.listdir("/proc/self/fd"))
        for _ in range(20):
            await use(200)
        gc.collect()
        assert resident() - before < 8 << 20
        assert len(os.listdir("/proc/self/fd")) <= descriptors + 4

    run(main())


def test_a_connection_may_be_dropped_on_another_thread(run: Run[None], server: Server) -> None:
    async def main() -> None:
        descriptors = len(os.listdir("/proc/self/fd"))
        for _ in range(10):
            held = [await longwire.connect(server.url("/echo"))]
            with pytest.warns(ResourceWarning, match="unclosed connection"):
                await asyncio.to_thread(held.clear)
        while len(os.listdir("/proc/self/fd")) > descriptors + 4:
            await asyncio.sleep(0)

    run(main())
