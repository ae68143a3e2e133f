"""The work that every client is given."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Workload:
    """One row of the tables; the programs know what to do by `verb`."""

    name: str
    verb: str
    path: str
    size: int
    #: What is counted: messages by default.
    scheme: str = "ws"
    #: A fixed number of messages (or connections); otherwise as many as take `seconds`.
    count: int | None = None
    #: How often it is done; None for as often as the runner is told.
    rounds: int | None = None


#: How long one run of a client lasts, roughly, where the count is not fixed.
SECONDS = 0.15
#: With large messages: TCP opens its windows over the first of them, which is nobody's merit.
SECONDS_LARGE = 0.6

_FLOOD = "/flood?count={count}&size={size}&kind="

WORKLOADS = (
    Workload("round trip 64 B", "echo", "/echo", 64, count=800, rounds=30),
    Workload("round trip 16 KiB", "echo", "/echo", 16 << 10, count=500, rounds=10),
    Workload("flood 64 B", "flood", _FLOOD + "binary", 64),
    Workload("flood 64 B text", "flood", _FLOOD + "text", 64),
    Workload("flood 1 KiB", "flood", _FLOOD + "binary", 1024),
    Workload("flood 1 KiB text", "flood", _FLOOD + "text", 1024),
    Workload("flood 1 MB", "flood", _FLOOD + "binary", 1_000_000),
    Workload("flood 1 MB text", "flood", _FLOOD + "text", 1_000_000),
    Workload("flood 1 KiB JSON, deflate", "flood", _FLOOD + "text&deflate=1", 1024),
    Workload("sink 64 B", "sink", "/sink?count={count}", 64),
    Workload("sink 1 MB", "sink", "/sink?count={count}", 1_000_000),
    Workload("wss round trip 64 B", "echo", "/echo", 64, "wss", count=800, rounds=15),
    Workload("wss flood 1 MB", "flood", _FLOOD + "binary", 1_000_000, "wss"),
    Workload(
        "ticks, the host busy half of the time",
        "tick", "/tick?count={count}&interval={size}", 500, count=800,
    ),
    Workload("100 connections", "many", "/steady?interval=1000", 2, count=100, rounds=2),
)  # fmt: skip


def seconds(workload: Workload) -> float:
    """How long one run lasts, roughly."""
    return SECONDS_LARGE if workload.size >= 1 << 16 else SECONDS


def is_round_trip(workload: Workload) -> bool:
    """Whether it is judged by its time above the raw socket's."""
    return workload.verb == "echo"
