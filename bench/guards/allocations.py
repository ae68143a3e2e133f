"""Allocations of memory per message, through the C interface.

allocations.py

Receives, echoes and sends messages of several sizes in both drive modes, and fails if
memory is allocated for them once they flow. It then names the places.
"""

import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import test_server

PROGRAM = "build/guards/allocations"
MODES = ("callback", "hosted")
SIZES = (64, 1024, 16 * 1024)
# What the program does, on which path of the test server, and how often.
TRAFFIC = (
    ("receive", "/push?count={count}&size={size}&kind=binary", 100_000, SIZES),
    ("echo", "/echo", 20_000, SIZES),
    ("thread", "/echo", 20_000, SIZES),
    ("burst", "/count?every={tenth}", 100_000, (64,)),
)
# A buffer may be needed for the first time after 10,000 messages, such as the one for a message
# that two receives cut in two.
ONCE = 10
# A burst is faster than the socket, so it fills new chunks of memory, and each grows in a few
# steps: so many messages pay for one allocation.
BURST = 20
# On a busy machine the library may have to stand in for a host that comes late, and keeps what
# arrives meanwhile. What every message costs shows in each of these runs.
RUNS = 3


def run(way: str, mode: str, url: str, messages: int, size: int) -> tuple[int, str]:
    """How many allocations there were, and the stacks of the first."""
    said = subprocess.run(
        [PROGRAM, way, mode, url, str(messages), str(size)],
        cwd=test_server.ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
    ).stdout
    allocations, _, stacks = said.partition("\n")
    return int(allocations), stacks


def places(stacks: str) -> list[str]:
    """What the library was doing in each of the stacks, innermost first."""
    found = set()
    for stack in stacks.split("from\n")[1:]:
        frames = re.findall(r"^(\S*liblongwire\S*)\(\+(0x[0-9a-f]+)\)", stack, re.M)
        if not frames:
            found.add(stack)
            continue
        names = subprocess.run(
            ["addr2line", "-C", "-f", "-e", frames[0][0], *(offset for _, offset in frames)],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.splitlines()[::2]
        # What drives the library is the same everywhere.
        own = [name for name in names if "longwire" in name or "lw_" in name]
        found.add(" < ".join(own))
    return sorted(found)


def main() -> None:
    failures = []
    with test_server.started() as base:
        for way, path, messages, sizes in TRAFFIC:
            allowed = messages // BURST if way == "burst" else ONCE
            for mode in MODES:
                for size in sizes:
                    url = base + path.format(count=messages, tenth=messages // 10, size=size)
                    for _ in range(RUNS):
                        allocations, stacks = run(way, mode, url, messages, size)
                        if allocations <= allowed:
                            break
                    counted = messages * 8 // 10
                    what = (
                        f"{way}, {mode}, {size} B: {allocations} allocations in {counted} messages"
                    )
                    print(what, flush=True)
                    if allocations > allowed:
                        failures.append(f"{what}, expected at most {allowed}; the first in")
                        failures += [f"    {place}" for place in places(stacks)]
    if failures:
        sys.exit("\n".join(failures))


main()
