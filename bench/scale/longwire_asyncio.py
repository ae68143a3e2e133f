"""longwire.connect on asyncio."""

import crowd
import longwire


async def connect(url: str) -> longwire.Connection:
    tls = longwire.TLS(ca_file=crowd.ca_file()) if url.startswith("wss:") else None
    return await longwire.connect(url, tls=tls, reconnect=None)


crowd.run(connect)
