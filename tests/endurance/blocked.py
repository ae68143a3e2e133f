"""blocked.py URL SECONDS COUNT: computes for so long, then takes COUNT messages.

Prints what the server said of the connection, the number of messages that came in
order, and how often the connection was made anew.
"""

import asyncio
import json
import sys
import time

import longwire


async def main(url: str, seconds: float, count: int) -> None:
    async with longwire.connect(url, proxy=None) as ws:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pass
        in_order = 0
        for number in range(count):
            in_order += await ws.recv() == str(number)
        await ws.send("done")
        verdict = await ws.recv()
        print(json.dumps({"verdict": verdict, "in_order": in_order, "reconnects": ws.reconnects}))


asyncio.run(main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3])))
