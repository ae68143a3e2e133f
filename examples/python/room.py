"""Talk in a room that survives its server: asyncio.

python room.py URL CA_FILE NAME COUNT

Sends "NAME 1", "NAME 2", … every 25 ms until COUNT of them have come back. When
the server dies in between, the connection comes back by itself and what was sent
meanwhile follows; what was on its way just then is gone, so it counts what came
back and not what it sent.
"""

import asyncio
import itertools
import json
import statistics
import sys
from time import perf_counter

import longwire


async def main(url: str, ca_file: str, name: str, count: str) -> None:
    sent_at: dict[str, float] = {}
    round_trips: list[float] = []
    received = 0

    async with longwire.connect(
        url,
        tls=longwire.TLS(ca_file=ca_file),
        reconnect=longwire.Reconnect(min_delay=0.1, max_delay=1.0),
    ) as ws:

        async def talk() -> None:
            for n in itertools.count(1):
                message = f"{name} {n}"
                sent_at[message] = perf_counter()
                await ws.send(message)
                await asyncio.sleep(0.025)

        talking = asyncio.create_task(talk())
        async for message in ws:
            received += 1
            if isinstance(message, str) and message in sent_at:
                round_trips.append(perf_counter() - sent_at[message])
                if len(round_trips) == int(count):
                    break
        talking.cancel()

    report = {
        "language": "Python asyncio",
        "url": url,
        "sent": len(sent_at),
        "received": received,
        "round_trip_us": round(statistics.median(round_trips) * 1e6),
        "reconnects": ws.reconnects,
    }
    print(json.dumps(report))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
