"""Send something, print what comes back: asyncio.

python echo.py URL [CA_FILE]
"""

import asyncio
import sys

import longwire


async def main(url: str, ca_file: str | None = None) -> None:
    async with longwire.connect(url, tls=longwire.TLS(ca_file=ca_file)) as ws:
        await ws.send("hello")
        print(await ws.recv())

        await ws.send(b"\x00\x01\x02")
        print(await ws.recv())

        pong = await ws.ping()
        print(f"round trip: {await pong * 1e6:.0f} µs")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
