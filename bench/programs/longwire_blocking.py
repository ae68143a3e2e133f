"""longwire_blocking.py URL COUNT: 64-byte echoes, without an event loop."""

import statistics
import sys
from time import perf_counter_ns

import longwire.sync

_, url, count = sys.argv
payload = bytes(64)
samples = []
with longwire.sync.connect(url) as ws:
    for _ in range(int(count)):
        begun = perf_counter_ns()
        ws.send(payload)
        ws.recv()
        samples.append(perf_counter_ns() - begun)
print(f"{statistics.median(samples) / 1000:.2f}")
