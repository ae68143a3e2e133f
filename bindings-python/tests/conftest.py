"""The test server, and the event loops that every asyncio test runs under."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

import pytest
import uvloop
from longwire import sync

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 60.0


def server_binary() -> Path:
    """Find the server's binary."""
    if given := os.environ.get("LONGWIRE_TEST_SERVER"):
        return Path(given)
    for profile in ("release", "debug"):
        path = ROOT / "target" / profile / "longwire-test-server"
        if path.exists():
            return path
    raise FileNotFoundError("build the test server first: cargo build -p longwire-test-server")


class Server:
    """A running server, as its line of JSON describes it."""

    def __init__(self, command: list[str]) -> None:
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"{command} did not say that it is ready"
        self.ready: dict[str, Any] = json.loads(line)

    @property
    def ca_file(self) -> str:
        return str(self.ready["ca_file"])

    def url(self, path: str, scheme: str = "ws", **query: object) -> str:
        return f"{self.ready[scheme]}{path}?{urlencode(query)}"

    def port(self, scheme: str = "ws") -> int:
        return int(self.ready[scheme].rpartition(":")[2])

    def stop(self) -> None:
        self.process.kill()
        self.process.communicate()


@contextlib.contextmanager
def start(*command: str | Path) -> Iterator[Server]:
    server = Server([str(word) for word in command])
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with start(server_binary(), "--stdin-guard") as server:
        yield server


async def until(condition: Callable[[], object]) -> None:
    """Give the loop its turns until something has happened; whoever calls has a limit."""
    while not condition():
        await asyncio.sleep(0.001)


def drive_until(ws: sync.Connection, condition: Callable[[], object]) -> None:
    """Wait with a blocking connection, and so drive it, until something has happened."""
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end
        ws.wait_closed(0.01)


Run = Callable[[Coroutine[Any, Any, T]], T]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run[Any]:
    """Run a coroutine under one of the event loops, within a limit.

    What the loop would only have logged, such as an exception in a callback,
    fails the test.
    """

    def run(main: Coroutine[Any, Any, T]) -> T:
        complaints: list[dict[str, Any]] = []

        async def limited() -> T:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, context: complaints.append(context))
            async with asyncio.timeout(LIMIT):
                return await main

        factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop
        with asyncio.Runner(loop_factory=factory) as runner:
            result = runner.run(limited())
        assert not complaints
        return result

    return run
