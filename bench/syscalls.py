"""System calls per message, counted by strace.

syscalls.py

Prints what a 64-byte echo costs in each drive mode, and a burst of 10,000 sends.
Fails if an echo costs more than one send and one receive, or the burst 500 writes.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile

import test_server

ECHOES = 5000
BURST = 10_000
SENDS = ("sendto", "write", "writev", "sendmsg")
RECEIVES = ("recvfrom", "read", "readv", "recvmsg")


def count(command: list[str], **environment: str) -> dict[str, int]:
    with tempfile.NamedTemporaryFile("r") as table:
        subprocess.run(
            ["strace", "-f", "-c", "-o", table.name, *command],
            cwd=test_server.ROOT,
            env={**os.environ, **environment},
            check=True,
            stdout=subprocess.DEVNULL,
            timeout=120,
        )
        rows = re.findall(r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+) +(?:\d+ +)?(\w+)$", table.read(), re.M)
    return {name: int(calls) for calls, name in rows}


def main() -> None:
    if shutil.which("strace") is None:
        print("LEFT OUT: strace is not installed, so system calls were not counted")
        return
    failures = []
    with test_server.started() as base:
        for mode in ("callback", "hosted"):
            command = ["build/bench/peers/longwire", "echo", f"{base}/echo", str(ECHOES), "64"]
            calls = count(command, BENCH_MODE=mode)
            done = ECHOES * 11 // 10  # a tenth to warm up
            sends = sum(calls.get(name, 0) for name in SENDS)
            receives = sum(calls.get(name, 0) for name in RECEIVES)
            waits = sum(
                calls.get(name, 0) for name in ("epoll_wait", "epoll_pwait", "poll", "ppoll")
            )
            print(
                f"{done} echoes, {mode}: {sends / done:.3f} sends, "
                f"{receives / done:.3f} receives and {waits / done:.3f} waits each"
            )
            # What it takes to start and to stop is not per message.
            if max(sends, receives) > done * 1.02 + 100:
                failures.append(f"{mode}: more than one send and one receive for an echo: {calls}")
        calls = count(["build/bench/burst", f"{base}/count?every={BURST}", str(BURST)])
        writes = sum(calls.get(name, 0) for name in SENDS)
        print(f"{BURST} sends in one burst: {writes} writes")
        if writes >= 500:
            failures.append(f"a burst of {BURST} sends cost {writes} writes: {calls}")
    if failures:
        sys.exit("\n".join(failures))


main()
