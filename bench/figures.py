"""What the records of a run come to: best times, medians, ratios, aims."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Any

from clients import AIMS, RAW, Aim
from workloads import WORKLOADS, Workload, is_round_trip

Records = list[dict[str, Any]]
Results = dict[str, dict[str, Records]]

BY_NAME = {workload.name: workload for workload in WORKLOADS}


def rate(record: dict[str, Any]) -> float:
    """Messages per second."""
    return float(record["messages"] / record["seconds"])


def cpu(record: dict[str, Any]) -> float:
    """Nanoseconds of CPU time per message."""
    return float(record["cpu"] / record["messages"] * 1e9)


def best_p50(records: Records) -> float:
    """The lowest median round trip, in µs."""
    return min(float(record["p50"]) for record in records)


def above_raw(workload: Workload, client: str, results: Results) -> float:
    """By how many µs a round trip takes longer than the raw socket's.

    Over TLS there is no raw socket that would be no client: there it is the one without TLS.
    """
    named = workload.name.removeprefix("wss ")
    raw = best_p50(results[named][RAW.name])
    return best_p50(results[workload.name][client]) - raw


@dataclass(frozen=True)
class Outcome:
    """How an aim was met."""

    aim: Aim
    #: Against the best of the peers: messages per second (or time above raw) and CPU time.
    ratio: float
    cpu_ratio: float | None
    #: The figure that the absolute bound is about, if there is one.
    figure: float | None

    @property
    def met(self) -> bool:
        """Whether both ratios and the bound are kept."""
        if is_round_trip(BY_NAME[self.aim.workload]):
            kept = self.ratio <= self.aim.factor
        else:
            kept = self.ratio >= self.aim.factor
            kept = kept and (self.cpu_ratio is None or self.cpu_ratio >= self.aim.factor)
        return kept and (self.figure is None or self.figure <= (self.aim.limit or 0))


def outcome(aim: Aim, results: Results) -> Outcome | None:
    """None where it was not measured."""
    records = results.get(aim.workload, {})
    ours = records.get(aim.client)
    peers = [peer for peer in aim.peers if peer in records]
    if not ours or not peers:
        return None
    workload = BY_NAME[aim.workload]
    if is_round_trip(workload):
        mine = above_raw(workload, aim.client, results)
        theirs = min(above_raw(workload, peer, results) for peer in peers)
        return Outcome(aim, mine / theirs, None, mine if aim.limit else None)
    rates = [
        rate(mine) / max(rate(records[peer][at]) for peer in peers) for at, mine in enumerate(ours)
    ]
    costs = [
        min(cpu(records[peer][at]) for peer in peers) / cpu(mine) for at, mine in enumerate(ours)
    ]
    figure = median(map(cpu, ours)) if aim.limit else None
    return Outcome(aim, median(rates), median(costs), figure)


def outcomes(results: Results) -> list[Outcome]:
    """Those that were measured, in the order of the table."""
    return [found for aim in AIMS if (found := outcome(aim, results)) is not None]
