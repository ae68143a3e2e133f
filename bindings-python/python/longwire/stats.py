"""A connection at one moment, in numbers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._common import State
    from .exceptions import LongwireError


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """A connection at one moment. Times are in seconds; counters are over its whole life.

    Attributes:
        state: Where it is in its life.
        attempt: The attempt that is under way or, while down, waits for its time: counted
            from 1 since the last open connection. While open, how many attempts it took.
        next_retry: The time until that attempt, while down.
        last_error: Why the latest connection was lost, or the latest attempt failed.
        connected_for: How long the connection has been open.
        connected_since: When it was opened, in UTC.
        connections: Connections that were opened.
        messages_sent: Messages taken by ``send``.
        messages_received: Messages that came, whole or in pieces.
        bytes_sent: Bytes of frames handed to the kernel or to TLS.
        bytes_received: Bytes of frames that came.
        pings_sent: Pings sent, those of the heartbeat included.
        pongs_received: Pongs that answered one of them.
        round_trip: The latest round trip of a ping.
        smoothed_round_trip: The round trip smoothed as TCP does it (RFC 6298).
        buffered_amount: Bytes that were taken by ``send`` and not yet by the kernel.
        inbox: Bytes of messages that wait for ``recv``.
        expired: Messages dropped because they had waited for ``offline_max_age``.
        stalled: For how long messages have waited for a program that takes none, once
            that is longer than ``consumer_timeout``.
        deflated: Bytes of messages before they were compressed, and after.
        inflated: Bytes of compressed messages that came, and what they were.

    """

    state: State
    attempt: int
    next_retry: float | None
    last_error: LongwireError | None
    connected_for: float | None
    connected_since: datetime | None
    connections: int
    messages_sent: int
    messages_received: int
    bytes_sent: int
    bytes_received: int
    pings_sent: int
    pongs_received: int
    round_trip: float | None
    smoothed_round_trip: float | None
    buffered_amount: int
    inbox: int
    expired: int
    stalled: float | None
    deflated: tuple[int, int]
    inflated: tuple[int, int]

    @property
    def deflate_ratio(self) -> float | None:
        """The size of messages that were sent compressed, as a part of what they were."""
        before, after = self.deflated
        return after / before if before else None

    @property
    def inflate_ratio(self) -> float | None:
        """The size of compressed messages that came, as a part of what they were."""
        before, after = self.inflated
        return before / after if after else None
