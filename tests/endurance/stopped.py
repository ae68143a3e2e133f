"""stopped.py FLOOD DEAF SECONDS: takes nothing of a flood, and floods a peer that takes nothing.

Prints by how many bytes the process grew: for a reader that stopped for so long, and for
a sender whose peer did, with the bounds that were set for both.
"""

import asyncio
import json
import sys
from pathlib import Path

import longwire

RECEIVE_BUFFER = 4 << 20
SEND_BUFFER = 4 << 20


def resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


async def main(flood: str, deaf: str, seconds: float) -> None:
    async with longwire.connect(flood, proxy=None, receive_buffer=RECEIVE_BUFFER) as ws:
        await ws.recv()
        before = resident()
        most = before
        end = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < end:
            await asyncio.sleep(0.25)
            most = max(most, resident())
        reader = {"grown": most - before, "bound": RECEIVE_BUFFER, "inbox": ws.stats.inbox}
        reader["in_order"] = True
        for number in range(1, 10_001):
            message = await ws.recv()
            assert isinstance(message, str)
            reader["in_order"] &= int(message.split()[0]) == number
    async with longwire.connect(
        deaf, proxy=None, send_buffer=SEND_BUFFER, close_timeout=0.5, reconnect=False
    ) as ws:
        before = resident()
        message = b"x" * 1000
        taken = 0
        try:
            while True:
                ws.send_nowait(message)
                taken += 1
        except longwire.SendBufferFull:
            pass
        sender = {"grown": resident() - before, "bound": SEND_BUFFER, "taken": taken}
    print(json.dumps({"reader": reader, "sender": sender}))


asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3])))
