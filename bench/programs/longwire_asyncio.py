"""longwire_asyncio.py asyncio|uvloop URL COUNT: 64-byte echoes, awaited one by one."""

import asyncio
import statistics
import sys
from time import perf_counter_ns

import longwire


async def main(url: str, count: int) -> None:
    payload = bytes(64)
    samples = []
    async with longwire.connect(url) as ws:
        for _ in range(count):
            begun = perf_counter_ns()
            await ws.send(payload)
            await ws.recv()
            samples.append(perf_counter_ns() - begun)
    print(f"{statistics.median(samples) / 1000:.2f}")


_, loop, url, count = sys.argv
if loop == "uvloop":
    import uvloop

    uvloop.run(main(url, int(count)))
else:
    asyncio.run(main(url, int(count)))
