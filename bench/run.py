"""Every client and every workload, in turn, in one run.

    run.py [--rounds N] [--client NAME]… [--workload NAME]… [--quick] [--keep] [--json FILE]

A round is one run of each client, one behind the other: A B C A B C …; so what the
machine does meanwhile meets all of them. Writes what each run said into a JSON file,
of which report.py makes the tables.

Round trips are done with client and server on one processor: between two of them a
wake-up costs 5 µs or 45 by chance, where processors are virtual and fall asleep. All
else is done with the server on a processor of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pathlib
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

from clients import CLIENTS, Client
from workloads import WORKLOADS, Workload, is_round_trip, seconds

ROOT = pathlib.Path(__file__).resolve().parent.parent
RESULTS = ROOT / "build/bench/results.json"
#: Programs end with this where their client cannot do the work.
CANNOT = 3
#: Seconds that a run may take.
LIMIT = 60
PROCESSORS = sorted(os.sched_getaffinity(0))


@contextlib.contextmanager
def opponent() -> Iterator[dict[str, str]]:
    """Run the server; its URLs and its CA."""
    server = subprocess.Popen(
        [ROOT / "build/bench/opponent"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert server.stdin
    assert server.stdout
    os.sched_setaffinity(server.pid, PROCESSORS[:1])
    try:
        yield json.loads(server.stdout.readline())
    finally:
        server.stdin.close()
        server.wait(10)


Record = dict[str, Any]


def run(client: Client, workload: Workload, count: int, server: dict[str, str]) -> Record | None:
    """One run; None for a client that cannot do it."""
    path = workload.path.format(count=count, size=workload.size)
    command = [*client.command, workload.verb, server[workload.scheme] + path]
    environment = {**os.environ, "BENCH_CA": server["ca"], "BENCH_LOOP": client.loop}
    one = PROCESSORS[:1] if is_round_trip(workload) else PROCESSORS
    for last in (False, True):
        try:
            done = subprocess.run(
                [*command, str(count), str(workload.size)],
                cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
                timeout=LIMIT, preexec_fn=lambda: os.sched_setaffinity(0, one),
            )  # fmt: skip
            break
        except subprocess.TimeoutExpired:
            hung = f"{client.name}, {workload.name}: not done after {LIMIT} s"
            # A peer that hangs once has another try; longwire has none.
            if last or client.ours:
                sys.exit(hung)
            print(hung, file=sys.stderr)
    if done.returncode == CANNOT:
        return None
    if done.returncode != 0:
        sys.exit(f"{client.name}, {workload.name}: ended with {done.returncode}\n{done.stderr}")
    record: Record = json.loads(done.stdout)
    return record


def calibrated(client: Client, workload: Workload, server: dict[str, str]) -> int | None:
    """How many messages take about `seconds`; None for a client that cannot do it."""
    if workload.count is not None:
        count = workload.count
        return count if run(client, workload, min(count, 20), server) else None
    count, wanted = 2000 if workload.size < 1 << 16 else 10, seconds(workload)
    while True:
        record = run(client, workload, count, server)
        if record is None:
            return None
        took = max(record["seconds"], 1e-4)
        if took > wanted / 4:
            return max(int(count * wanted / took), 10)
        count = int(count * min(wanted / took, 20))


def measure(
    clients: list[Client], workload: Workload, rounds: int, server: dict[str, str]
) -> dict[str, list[Record]]:
    """What each client did in each round."""
    counts = {client: calibrated(client, workload, server) for client in clients}
    able = [(client, count) for client, count in counts.items() if count is not None]
    records: dict[str, list[Record]] = {client.name: [] for client, _ in able}
    for _ in range(rounds):
        for client, count in able:
            record = run(client, workload, count, server)
            assert record is not None
            records[client.name].append(record)
    return records


def machine() -> dict[str, str]:
    """What it was measured on."""
    cpuinfo = pathlib.Path("/proc/cpuinfo").read_text()
    model = next(
        (line.partition(": ")[2] for line in cpuinfo.splitlines() if line.startswith("model name")),
        platform.machine(),
    )
    versions = {
        "rustc": ["rustc", "--version"],
        "Python": [".local/bench-venv/bin/python", "--version"],
        "Node": ["node", "--version"],
        "cc": ["cc", "--version"],
    }
    return {
        "processors": f"{len(PROCESSORS)} of {model}",
        "kernel": f"{platform.system()} {platform.release()}",
        "date": time.strftime("%Y-%m-%d"),
        **{
            name: subprocess.check_output(command, cwd=ROOT, text=True).splitlines()[0]
            for name, command in versions.items()
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7, help="for all but round trips")
    parser.add_argument("--client", action="append", choices=[c.name for c in CLIENTS])
    parser.add_argument("--workload", action="append", choices=[w.name for w in WORKLOADS])
    parser.add_argument("--quick", action="store_true", help="round trips no oftener than the rest")
    parser.add_argument("--keep", action="store_true", help="what is there of other workloads")
    parser.add_argument("--json", type=pathlib.Path, default=RESULTS, help="where it is written")
    arguments = parser.parse_args()
    clients = [c for c in CLIENTS if arguments.client is None or c.name in arguments.client]
    results: dict[str, dict[str, list[Record]]] = {}
    earlier: list[str] = []
    if arguments.keep and arguments.json.exists():
        results = json.loads(arguments.json.read_text())["results"]
        earlier = list(results)
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    where = machine()
    with opponent() as server:
        for workload in WORKLOADS:
            if arguments.workload is not None and workload.name not in arguments.workload:
                continue
            rounds = arguments.rounds
            if workload.rounds is not None and not arguments.quick:
                rounds = workload.rounds
            begun = time.monotonic()
            results[workload.name] = measure(clients, workload, rounds, server)
            earlier = [name for name in earlier if name != workload.name]
            # What was measured is there, should the rest be interrupted.
            written = {"machine": where, "results": results, "earlier": earlier}
            arguments.json.write_text(json.dumps(written))
            print(f"{workload.name}: {time.monotonic() - begun:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
