"""Round trips of 64 bytes: what each face adds to a raw blocking socket.

round_trip.py [ROUNDS] [COUNT]

Every program does one short round in turn, ROUNDS times (30), and each is judged by its
best round. All of them, and the server, share one processor: between two of them a
wake-up costs 5 µs or 45 by chance, where processors are virtual and fall asleep.
"""

import os
import subprocess
import sys

import opponent

HERE = "bench/programs"
PYTHON = ".local/venv/bin/python"
PROGRAMS = {
    "raw socket": ["build/bench/raw"],
    "C callback": ["build/bench/longwire", "callback"],
    "C hosted": ["build/bench/longwire", "hosted"],
    "Python asyncio": [PYTHON, f"{HERE}/longwire_asyncio.py", "asyncio"],
    "Python uvloop": [PYTHON, f"{HERE}/longwire_asyncio.py", "uvloop"],
    "Python blocking": [PYTHON, f"{HERE}/longwire_blocking.py"],
    "Node connect": ["node", f"{HERE}/longwire_node.mjs", "connect"],
    "Node WebSocket": ["node", f"{HERE}/longwire_node.mjs", "websocket"],
}


def median(name: str, command: list[str]) -> float:
    done = subprocess.run(
        command, cwd=opponent.ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode != 0:
        sys.exit(f"{name} failed ({done.returncode}): {done.stderr}")
    return float(done.stdout)


def main(rounds: int = 30, count: int = 3000) -> None:
    best = dict.fromkeys(PROGRAMS, float("inf"))
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with opponent.started() as base:
        for _ in range(rounds):
            for name, command in PROGRAMS.items():
                best[name] = min(best[name], median(name, [*command, f"{base}/echo", str(count)]))
    raw = best["raw socket"]
    print(f"best p50 of {rounds} rounds of {count} echoes, 64 bytes\n")
    print(f"{'':18} {'µs':>7} {'above raw':>10}")
    for name, p50 in best.items():
        print(f"{name:18} {p50:7.2f} {p50 - raw:+10.2f}")


main(*map(int, sys.argv[1:]))
