"""Makes bench/RESULTS.md and its plot of what run.py, scale/run.py and weight.py wrote.

report.py [--json FILE] [--scale FILE] [--weight FILE]
"""

from __future__ import annotations

import argparse
import json
import pathlib
from statistics import median
from typing import Any

import figures
import plot
from clients import CLIENTS, RAW
from figures import Results, above_raw, best_p50
from workloads import WORKLOADS, Workload, is_round_trip

HERE = pathlib.Path(__file__).resolve().parent
BUILD = HERE.parent / "build/bench"

INTRODUCTION = """\
# longwire beside its peers

Written by `make bench`: in one run every client did every piece of work in turn, round by
round. Rates and CPU times are medians of the rounds; round trips are the lowest median of many
short rounds, less the raw socket's. What the workloads are and how it is measured:
[README.md](README.md). Where the time goes: [docs/performance.md](../docs/performance.md).

![longwire and its peers](results.svg)
"""

EARLIER = "Of an earlier run, with the longwire of that time.\n"
TIMES = "\N{MULTIPLICATION SIGN}"


def table(head: list[str], rows: list[list[str]]) -> str:
    """Markdown; numbers to the right."""
    rule = ["---", *["--:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, rule, *rows])


def per_second(value: float) -> str:
    """Messages per second, with three digits that count."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g}"


def nanoseconds(value: float) -> str:
    """CPU time of a message."""
    return f"{value / 1000:,.3g} µs" if value >= 10_000 else f"{value:,.0f} ns"


def mebibytes(records: figures.Records) -> str:
    """The highest peak."""
    return f"{max(record['peak'] for record in records) / (1 << 20):.0f}"


def strong(name: str) -> str:
    """Ours stand out."""
    ours = any(client.ours and client.name == name for client in CLIENTS)
    return f"**{name}**" if ours else name


def workload_table(workload: Workload, results: Results) -> str:
    """One workload, all clients that can do it."""
    by_client = results[workload.name]
    rows = []
    for name, records in by_client.items():
        cost = nanoseconds(median(map(figures.cpu, records)))
        peak = mebibytes(records)
        if is_round_trip(workload):
            above = "" if name == RAW.name else f"{above_raw(workload, name, results):+.1f}"
            p99 = min(record["p99"] for record in records)
            row = [above, f"{best_p50(records):.1f}", f"{p99:.1f}", cost, peak]
        elif workload.verb == "tick":
            p50, p99 = (median(record[p] for record in records) for p in ("p50", "p99"))
            row = [f"{p50:,.0f}", f"{p99:,.0f}", cost, peak]
        elif workload.verb == "many":
            share = median(record["cpu"] / record["seconds"] * 100 for record in records)
            row = [f"{share:.2f}", cost, peak]
        else:
            rates = sorted(map(figures.rate, records))
            row = [
                per_second(median(rates)),
                per_second(rates[0]),
                per_second(rates[-1]),
                cost,
                peak,
            ]
        rows.append([strong(name), *row])
    head = {
        "echo": ["µs above raw", "p50", "p99", "CPU each", "peak MiB"],
        "tick": ["p50 µs", "p99 µs", "CPU each", "peak MiB"],
        "many": ["% of a processor", "CPU each", "peak MiB"],
    }.get(workload.verb, ["messages/s", "least", "most", "CPU each", "peak MiB"])
    return table([workload.name, *head], rows)


def aims_table(results: Results) -> str:
    """What was aimed at, and what came of it."""
    rows = []
    for found in figures.outcomes(results):
        aim = found.aim
        low = is_round_trip(figures.BY_NAME[aim.workload])
        peers = "the best" if len(aim.peers) > 1 else aim.peers[0]
        wanted = f"{'≤' if low else '≥'} {aim.factor:.3g} {TIMES} {peers}"
        got = f"{found.ratio:.2f} {TIMES}"
        if found.cpu_ratio is not None:
            got += f", CPU {found.cpu_ratio:.2f} {TIMES}"
        if found.figure is not None:
            unit = "µs" if low else "ns"
            wanted += f", ≤ {aim.limit:g} {unit}"
            got += f", {found.figure:.1f} {unit}"
        rows.append([aim.workload, strong(aim.client), wanted, got, "yes" if found.met else "no"])
    return table(["workload", "client", "aim", "measured", "met"], rows)


def read(path: pathlib.Path) -> Any:
    """What a part of the run wrote; None if it was not run."""
    return json.loads(path.read_text()) if path.exists() else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name in ("results", "scale", "weight"):
        parser.add_argument(f"--{name}", type=pathlib.Path, default=BUILD / f"{name}.json")
    arguments = parser.parse_args()
    measured = read(arguments.results)
    results: Results = measured["results"]
    parts = [INTRODUCTION, "## The machine\n"]
    parts += [f"- {name}: {what}" for name, what in measured["machine"].items()]
    parts += ["", "## Aims\n", aims_table(results), ""]
    for workload in WORKLOADS:
        if results.get(workload.name):
            earlier = workload.name in measured.get("earlier", [])
            parts += [
                f"## {workload.name[0].upper()}{workload.name[1:]}\n",
                *([EARLIER] if earlier else []),
                workload_table(workload, results),
                "",
            ]
    for path in (arguments.scale, arguments.weight):
        extra = read(path)
        if extra is not None:
            parts.append(f"## {extra['title']}\n")
            # `make bench` writes it after the workloads.
            if path.stat().st_mtime < arguments.results.stat().st_mtime:
                parts.append(EARLIER)
            parts += extra.get("text", [])
            parts += [table(one["head"], one["rows"]) + "\n" for one in extra["tables"]]
    (HERE / "RESULTS.md").write_text("\n".join(parts).rstrip() + "\n")
    plot.draw(results, HERE / "results.svg")


if __name__ == "__main__":
    main()
