"""Send something, print what comes back: blocking.

python echo_sync.py URL [CA_FILE]
"""

import sys

import longwire
import longwire.sync


def main(url: str, ca_file: str | None = None) -> None:
    with longwire.sync.connect(url, tls=longwire.TLS(ca_file=ca_file)) as ws:
        ws.send("hello")
        print(ws.recv())

        ws.send(b"\x00\x01\x02")
        print(ws.recv())

        pong = ws.ping()
        if pong.wait(timeout=10):
            print(f"round trip: {ws.latency * 1e6:.0f} µs")


if __name__ == "__main__":
    main(*sys.argv[1:])
