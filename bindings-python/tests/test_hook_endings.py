"""The end comes at any moment: in hooks and handlers, on the way, and of the whole process."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
import subprocess
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any

import longwire
import pytest
from conftest import LIMIT, Run, Server, drive_until, until
from longwire import Attempt, Changes, Reconnect, State, sync
from test_lifetime import outcome, program

QUICK = Reconnect(min_delay=0.01, max_delay=0.02)
NEVER = Reconnect(min_delay=1000, max_delay=1000)

#: What a client can be busy with when the end comes.
STAGES = ["dialling", "TLS", "handshake", "back-off"]


@contextlib.contextmanager
def stuck(server: Server, stage: str) -> Iterator[str]:
    """A URL at which an attempt does not get past `stage`."""
    if stage in ("handshake", "back-off"):
        yield server.url("/stall-handshake" if stage == "handshake" else "/garbage")
        return
    with socket.socket() as listener, contextlib.ExitStack() as others:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0 if stage == "dialling" else 5)
        port = listener.getsockname()[1]
        if stage == "dialling":
            # With its queue full, Linux answers no SYN.
            for _ in range(3):
                other = others.enter_context(socket.socket())
                other.setblocking(False)
                other.connect_ex(("127.0.0.1", port))
        yield f"{'wss' if stage == 'TLS' else 'ws'}://127.0.0.1:{port}/"


def later(url: str) -> Any:
    """Connect there, but for the first time."""
    return lambda attempt: Changes(url=url) if attempt.reconnects else None


@pytest.mark.parametrize("stage", STAGES)
def test_close_on_the_way_to_another_connection(run: Run[None], server: Server, stage: str) -> None:
    async def main() -> None:
        with stuck(server, stage) as url:
            ws = await longwire.connect(
                server.url("/echo"),
                reconnect=Reconnect(min_delay=1000, max_delay=1000, retry={"EHANDSHAKE": True}),
                before_connect=later(url),
                close_timeout=1000,
            )
            ws.reconnect()
            await until(
                lambda: (
                    (ws.state is State.DOWN and ws.stats.next_retry)
                    if stage == "back-off"
                    else (ws.state is State.CONNECTING and ws.stats.attempt == 1)
                )
            )
            await ws.send("never leaves")
            await ws.close()
            assert ws.state is State.CLOSED
            assert ws.unsent == ["never leaves"]
            with pytest.raises(longwire.ConnectionClosedOK):
                await ws.recv()

    run(main())


@pytest.mark.parametrize("stage", STAGES)
def test_close_of_a_blocking_connection_on_its_way(server: Server, stage: str) -> None:
    with stuck(server, stage) as url:
        ws = sync.connect(
            server.url("/echo"),
            reconnect=Reconnect(min_delay=1000, max_delay=1000, retry={"EHANDSHAKE": True}),
            before_connect=later(url),
            close_timeout=1000,
        )
        ws.reconnect()
        drive_until(ws, lambda: ws.state in (State.DOWN, State.CONNECTING))
        ws.send("never leaves")
        ws.close()
        assert ws.unsent == ["never leaves"]


@pytest.mark.parametrize("stage", STAGES[:3])
def test_connecting_can_be_given_up(run: Run[None], server: Server, stage: str) -> None:
    async def main() -> None:
        async def connect(url: str) -> None:
            await longwire.connect(url, before_connect=lambda _: asked.set())

        with stuck(server, stage) as url:
            asked = asyncio.Event()
            connecting = asyncio.create_task(connect(url))
            await asked.wait()
            connecting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await connecting

    run(main())


def test_who_lets_go_of_a_connection_lets_go_of_its_hook(run: Run[None], server: Server) -> None:
    async def main() -> None:
        asked, cancelled = asyncio.Event(), asyncio.Event()

        async def hang(attempt: Attempt) -> None:
            if attempt.reconnects:
                asked.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    cancelled.set()

        ws = await longwire.connect(server.url("/echo"), reconnect=QUICK, before_connect=hang)
        ws.reconnect()
        await asked.wait()
        gone = weakref.ref(ws)
        with pytest.warns(ResourceWarning, match="unclosed connection"):
            del ws
            gc.collect()
        assert gone() is None
        await cancelled.wait()

    run(main())


def test_who_gives_up_connecting_gives_up_its_hook(run: Run[None], server: Server) -> None:
    async def main() -> None:
        asked, cancelled = asyncio.Event(), asyncio.Event()

        async def hang(_: Attempt) -> None:
            asked.set()
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

        async def connect() -> None:
            await longwire.connect(server.url("/echo"), before_connect=hang)

        connecting = asyncio.create_task(connect())
        await asked.wait()
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        await cancelled.wait()

    run(main())


@pytest.mark.parametrize("who", ["hook", "other"])
def test_close_goes_through_while_a_hook_runs(run: Run[None], server: Server, who: str) -> None:
    async def main() -> None:
        asked, cancelled, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def hook(attempt: Attempt) -> None:
            if attempt.reconnects:
                asked.set()
                if who == "hook":
                    await ws.close()
                    done.set()
                    return
                try:
                    await asyncio.Event().wait()
                finally:
                    cancelled.set()

        ws = await longwire.connect(server.url("/echo"), reconnect=QUICK, before_connect=hook)
        ws.reconnect()
        await asked.wait()
        if who == "hook":
            await done.wait()
        else:
            await ws.close()
            await cancelled.wait()
        assert ws.state is State.CLOSED
        with pytest.raises(longwire.ConnectionClosedOK):
            await ws.recv()

    run(main())


@pytest.mark.parametrize(
    ("where", "how"),
    [
        ("on_open", "in it"),
        ("on_open", "in a task"),
        ("on_down", "in a task"),
        ("before_connect", "in it"),
        ("before_connect", "in a task"),
        ("should_reconnect", "in it"),
        ("should_reconnect", "in a task"),
    ],
)
def test_close_from_within(run: Run[None], server: Server, where: str, how: str) -> None:
    """From a coroutine's own hand, or from a task that a plain function starts."""

    async def main() -> None:
        calls: list[Any] = []
        closed = asyncio.Event()

        async def close() -> None:
            await ws.close(4000)
            await asyncio.sleep(0)  # Nobody cuts it off.
            closed.set()

        def handler(about: Any) -> Any:
            if not getattr(about, "reconnects", 1) or calls:
                return None
            closing = close()
            calls.append(closing if how == "in it" else asyncio.create_task(closing))
            return closing if how == "in it" else None

        options: dict[str, Any] = {where: handler}
        url = server.url("/drop", after=1)
        async with longwire.connect(url, reconnect=QUICK, **options) as ws:
            await ws.send("x")
            with pytest.raises(longwire.ConnectionClosed) as caught:
                for _ in range(2):
                    await ws.recv()
            assert caught.value.sent == longwire.Close(4000, "")
            await closed.wait()
        assert len(calls) == 1
        assert ws.state is State.CLOSED

    run(main())


@pytest.mark.parametrize("where", ["on_open", "on_down", "before_connect", "should_reconnect"])
def test_close_from_within_a_blocking_connection(server: Server, where: str) -> None:
    """It does not wait there; the call that drives tells of the end."""
    calls: list[Any] = []

    def handler(about: Any) -> None:
        if getattr(about, "reconnects", 1) and not calls:
            calls.append(about)
            ws.close(4000)

    options: dict[str, Any] = {where: handler}
    url = server.url("/drop", after=1)
    with sync.connect(url, reconnect=QUICK, **options) as ws:
        ws.send("x")
        with pytest.raises(longwire.ConnectionClosed) as caught:
            for _ in range(2):
                ws.recv(timeout=LIMIT)
        assert caught.value.sent == longwire.Close(4000, "")
    assert len(calls) == 1
    assert ws.state is State.CLOSED


BUSY = {
    "a blocking hook": """
def hook(attempt):
    if attempt.reconnects:
        print('a', flush=True)
        sys.exit(0)
ws = longwire.sync.connect(URL, before_connect=hook)
ws.reconnect()
ws.recv()
""",
    "a hook in a daemon thread": """
asked = threading.Event()
def hook(attempt):
    if attempt.reconnects:
        asked.set()
        threading.Event().wait()
ws = longwire.sync.connect(URL, before_connect=hook)
ws.reconnect()
threading.Thread(target=ws.recv, daemon=True).start()
asked.wait(); print('a')
""",
    "a coroutine": """
async def hook(attempt):
    if attempt.reconnects:
        asked.set()
        await asyncio.Event().wait()
async def main():
    global ws, asked
    asked = asyncio.Event()
    ws = await longwire.connect(URL, before_connect=hook)
    ws.reconnect()
    await asked.wait(); print('a')
asyncio.run(main())
""",
    "a coroutine of the first attempt": """
async def hook(attempt):
    print('a', flush=True)
    sys.exit(0)
async def main():
    await longwire.connect(URL, before_connect=hook)
asyncio.run(main())
""",
    "on_open": """
async def on_open(ws):
    if ws.reconnects:
        opened.set()
        await asyncio.Event().wait()
async def main():
    global ws, opened
    opened = asyncio.Event()
    ws = await longwire.connect(URL, on_open=on_open)
    ws.reconnect()
    await opened.wait(); print('a')
asyncio.run(main())
""",
    "a handler of the log": """
import logging
class Handler(logging.Handler):
    def emit(self, record):
        if 'open' in record.getMessage():
            print('a', flush=True)
            sys.exit(0)
logging.getLogger('longwire').addHandler(Handler())
logging.getLogger('longwire').setLevel('INFO')
ws = longwire.sync.connect(URL)
""",
}


@pytest.mark.parametrize("text", BUSY.values(), ids=BUSY.keys())
def test_the_interpreter_may_end_in_the_middle(server: Server, text: str) -> None:
    code, out, err = outcome(program(server, text))
    assert (code, out) == (0, "a\n"), err
    assert "fatal" not in err.lower()


SIGNALLED = {
    "blocking": """
def hook(attempt):
    if attempt.reconnects:
        print('ready', flush=True)
        threading.Event().wait(50)
ws = longwire.sync.connect(URL, before_connect=hook)
ws.reconnect()
try:
    ws.recv()
except KeyboardInterrupt:
    print('interrupted', flush=True)
ws.close()
""",
    "blocking, in should_reconnect": """
def hook(outage):
    print('ready', flush=True)
    threading.Event().wait(50)
try:
    # The question may come before connect returns.
    with longwire.sync.connect(URL.replace('echo', 'drop'), should_reconnect=hook) as ws:
        ws.recv()
except KeyboardInterrupt:
    print('interrupted', flush=True)
""",
    "asyncio": """
async def hook(attempt):
    if attempt.reconnects:
        print('ready', flush=True)
        await asyncio.sleep(50)
async def main():
    ws = await longwire.connect(URL, before_connect=hook)
    ws.reconnect()
    try:
        await ws.recv()
    finally:
        await ws.close()
try:
    asyncio.run(main())
except KeyboardInterrupt:
    print('interrupted', flush=True)
""",
}


@pytest.mark.parametrize("text", SIGNALLED.values(), ids=SIGNALLED.keys())
def test_a_hook_can_be_interrupted(server: Server, text: str) -> None:
    process = program(server, text)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    end = time.monotonic() + LIMIT
    # The signal may come before the wait begins; so more of them follow.
    while time.monotonic() < end:
        process.send_signal(signal.SIGINT)
        if process.stdout.readline() == "interrupted\n":
            break
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(LIMIT)
    code, _, err = outcome(process)
    assert code == 0, err


FORK = """
def hook(attempt):
    if attempt.reconnects:
        child = os.fork()
        if child == 0:
            try:
                for what in (ws.reconnect, ws.network_changed, lambda: ws.stats, ws.close):
                    try:
                        what()
                    except longwire.ForkedError as error:
                        print(error.symbol, flush=True)
            finally:
                os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
ws = longwire.sync.connect(URL, before_connect=hook)
ws.reconnect()
while not ws.reconnects:
    ws.wait_closed(0.01)
ws.send('after'); print(ws.recv())
ws.close()
"""


def test_a_child_that_a_hook_forked_is_refused(server: Server) -> None:
    code, out, err = outcome(program(server, FORK, "-W", "ignore"))
    assert (code, out.split()) == (0, ["EFORKED"] * 4 + ["after"]), err


def test_a_thread_in_its_hook_outlives_nothing(server: Server) -> None:
    """The connection is over although the hook has not come back; its answer is nobody's."""
    asked, leave = threading.Event(), threading.Event()

    def hook(attempt: Attempt) -> Changes | None:
        if attempt.reconnects:
            asked.set()
            assert leave.wait(LIMIT)
            return Changes(url="ws://127.0.0.1:9/")
        return None

    ws = sync.connect(server.url("/echo"), reconnect=NEVER, before_connect=hook)
    ended: list[BaseException] = []

    def receive() -> None:
        try:
            ws.recv(timeout=LIMIT)
        except longwire.ConnectionClosed as error:
            ended.append(error)

    ws.reconnect()
    thread = threading.Thread(target=receive)
    thread.start()
    assert asked.wait(LIMIT)
    assert not ws.wait_closed(0.01)
    closer = threading.Thread(target=ws.close)
    closer.start()
    end = time.monotonic() + LIMIT
    while ws.stats.state is not State.CLOSED:
        assert time.monotonic() < end
        leave.wait(0.001)
    leave.set()
    for other in (thread, closer):
        other.join(LIMIT)
        assert not other.is_alive()
    assert isinstance(ended[0], longwire.ConnectionClosedOK)
