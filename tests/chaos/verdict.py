"""What the clients tell against what the server wrote down.

A message may be lost with the connection that it was sent on, and only so: for every
number that is missing there must be a connection that was lost after it was sent and
before a later one arrived. What arrived must have been sent, once and in order, and what
a client was told (an answer, a refusal) must be true.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, TypedDict


class Report(TypedDict):
    """What a client tells at its end."""

    number: int
    sent: int
    answers: int
    #: Numbers that the library said it did not send.
    unsent: list[int]
    #: See :class:`Row`.
    connections: list[list[int]]
    #: Errors with which a connection was lost, and an attempt failed.
    downs: dict[str, int]
    failures: dict[str, int]
    closed: int
    code: int
    #: In Python, the code says it.
    clean: bool
    wrong: list[str]


class Row(NamedTuple):
    """One connection, as its client saw it; 0 for no answer, -1 for one that was not lost."""

    name: int
    sent_when_lost: int
    first_heard: int
    last_heard: int
    first_acknowledged: int
    last_acknowledged: int


class Connection(TypedDict):
    """One connection, as the server saw it; 0 for nothing."""

    name: int
    #: The last thing that was done to it.
    fault: str | None
    arrived: tuple[int, int]
    holes: list[tuple[int, int]]
    told: tuple[int, int]


class Entry(TypedDict):
    """What the server wrote down about a client."""

    arrived: int
    twice: int
    disordered: int
    wrong: list[str]
    connections: list[Connection]


@dataclass
class Verdict:
    """What became of a client's messages, and what is wrong with that."""

    complaints: list[str] = field(default_factory=list)
    lost: Counter[str] = field(default_factory=Counter)


def judge(report: Report, entry: Entry) -> Verdict:
    """Compare the two."""
    rows = [Row(*row) for row in report["connections"]]
    verdict = Verdict([*report["wrong"], *entry["wrong"]])
    verdict.complaints += check_end(report, rows)
    verdict.complaints += check_connections(rows, entry["connections"])
    verdict.complaints += check_arrivals(report, entry)
    explain_losses(report, rows, entry["connections"], verdict)
    return verdict


def check_end(report: Report, rows: list[Row]) -> Iterator[str]:
    if report["closed"] != 1:
        yield f"closed {report['closed']} times"
    elif report.get("code") != 1000 or not report.get("clean", True):
        yield f"closed with {report.get('code')}, not clean"
    if not rows or rows[-1].sent_when_lost != -1:
        yield "not open at the end"
    else:
        last = max(set(range(1, report["sent"] + 1)) - set(report["unsent"]), default=0)
        if rows[-1].last_acknowledged != last:
            yield f"{last} was not acknowledged, as the last of all"


def check_connections(rows: list[Row], connections: list[Connection]) -> Iterator[str]:
    """What a client saw on each connection is what the server did on it."""
    served = {one["name"]: one for one in connections}
    for before, row in zip([None, *rows], rows, strict=False):
        if before is not None and (before.name >= row.name or before.sent_when_lost == -1):
            yield f"connection {row.name} was opened behind {before.name}, which was not lost"
        one = served.pop(row.name, None)
        if one is None:
            yield f"connection {row.name} is not known to the server"
            continue
        pairs = [
            ("heard", row.first_heard, row.last_heard, one["told"]),
            ("acknowledged", row.first_acknowledged, row.last_acknowledged, one["arrived"]),
        ]
        for what, first, last, truly in pairs:
            if first != 0 and (first != truly[0] or last > truly[1]):
                yield f"{what} on connection {row.name}: {first} to {last} of {truly}"
        if row.sent_when_lost != -1 and one["fault"] is None:
            yield f"connection {row.name} was lost, and nothing had been done to it"
    for one in served.values():
        if one["arrived"][0] != 0:
            yield f"messages on connection {one['name']}, of which the client does not know"


def check_arrivals(report: Report, entry: Entry) -> Iterator[str]:
    spans = [one["arrived"] for one in entry["connections"] if one["arrived"][0] != 0]
    if spans and spans[-1][1] > report["sent"]:
        yield f"{spans[-1][1]} arrived, {report['sent']} were sent"
    holes = [hole for one in entry["connections"] for hole in one["holes"]]
    for number in report["unsent"]:
        within = any(first <= number <= last for first, last in spans)
        if within and not any(first <= number <= last for first, last in holes):
            yield f"{number} arrived, and was said not to be sent"
    unsent = set(report["unsent"])
    for first, last in holes:
        if missing := [number for number in range(first, last + 1) if number not in unsent]:
            yield f"{missing[0]} to {missing[-1]} are missing in the middle of a connection"


def explain_losses(
    report: Report, rows: list[Row], connections: list[Connection], verdict: Verdict
) -> None:
    """Find the connection that each missing number was lost with, and what was done to it."""
    faults = {one["name"]: one["fault"] for one in connections}
    unsent = set(report["unsent"])
    speaking = [one for one in connections if one["arrived"][0] != 0]
    since, last = 0, 0
    ends = [(one["name"], *one["arrived"]) for one in speaking]
    for name, first, following in [*ends, (1 << 60, report["sent"] + 1, 0)]:
        lost_with = [row for row in rows if since <= row.name < name and row.sent_when_lost != -1]
        for number in range(last + 1, first):
            if number in unsent:
                continue
            row = next((row for row in lost_with if row.sent_when_lost >= number), None)
            if row is None:
                verdict.complaints.append(
                    f"{number} is missing, and no connection was lost after it was sent"
                )
                return
            verdict.lost[faults.get(row.name) or "nothing"] += 1
        since, last = name, following
