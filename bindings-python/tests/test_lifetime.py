"""Loops that end first, blocked loops, forks, signals and the interpreter's end."""

from __future__ import annotations

import asyncio
import gc
import signal
import subprocess
import sys
import time
from typing import Any

import longwire
import pytest
from conftest import LIMIT, Run, Server
from longwire import sync


def busy(seconds: float) -> None:
    """Hold the thread and, most of the time, the interpreter."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def test_a_blocked_loop_stays_connected(run: Run[None], server: Server) -> None:
    async def main() -> None:
        losses: list[longwire.Down] = []
        url = server.url("/pinger", interval_ms=1000, timeout_ms=2000, messages=100)
        async with longwire.connect(url, on_down=losses.append) as ws:
            busy(5)
            assert [await ws.recv() for _ in range(100)] == [str(n) for n in range(100)]
            await ws.send("done")
            answer, pings, pongs = str(await ws.recv()).split()
            assert answer == "alive"
            assert int(pongs) >= int(pings) - 1 >= 3
        assert not losses

    run(main())


def test_a_loop_may_close_before_its_connection(server: Server) -> None:
    loop = asyncio.new_event_loop()

    async def main() -> longwire.Connection:
        return await longwire.connect(server.url("/echo"))

    ws = loop.run_until_complete(main())
    loop.close()
    with pytest.raises(RuntimeError):
        asyncio.run(asyncio.wait_for(ws.recv(), 1))
    with pytest.warns(ResourceWarning, match="unclosed connection"):
        del ws
        gc.collect()


def program(server: Server, text: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a program that knows the server's `/echo`, with all warnings on."""
    head = "import asyncio, os, sys, threading, longwire, longwire.sync\nURL = sys.argv[1]\n"
    return subprocess.Popen(
        [sys.executable, *arguments, "-c", head + text, server.url("/echo")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
    )


def outcome(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    try:
        out, err = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        pytest.fail(f"hangs; it said {out!r} and {err!r}")
    return process.returncode, out, err


LEFT_OPEN = {
    "blocking": "ws = longwire.sync.connect(URL); ws.send('a'); print(ws.recv())",
    "asyncio": """
async def main():
    global ws
    ws = await longwire.connect(URL); await ws.send('a'); print(await ws.recv())
asyncio.run(main())
""",
    "in a daemon thread": """
ws = longwire.sync.connect(URL)
ready = threading.Event()
def wait():
    ready.set()
    ws.recv()
threading.Thread(target=wait, daemon=True).start()
ready.wait(); print('a')
""",
    "in a cycle": """
ws = longwire.sync.connect(URL); ws.me = ws; print('a')
""",
    "while connecting": """
async def main():
    asyncio.get_running_loop().call_later(0.01, sys.exit, 0)
    print('a', flush=True)
    await longwire.connect(URL.replace('/echo', '/stall-handshake'))
asyncio.run(main())
""",
}


@pytest.mark.parametrize("text", LEFT_OPEN.values(), ids=LEFT_OPEN.keys())
def test_a_connection_may_be_open_when_the_interpreter_ends(server: Server, text: str) -> None:
    assert outcome(program(server, text)) == (0, "a\n", "")


def test_a_connection_left_open_is_named_in_development_mode(server: Server) -> None:
    code, out, err = outcome(program(server, LEFT_OPEN["blocking"], "-X", "dev"))
    assert (code, out) == (0, "a\n")
    assert "ResourceWarning: unclosed connection" in err


FORK = """
ws = longwire.sync.connect(URL)
ws.send('before'); assert ws.recv() == 'before'
child = os.fork()
if child == 0:
    for what in (lambda: ws.send('no'), lambda: ws.recv(timeout=5), ws.ping, ws.close):
        try:
            what()
        except longwire.ForkedError as error:
            print(error.symbol, flush=True)
    with longwire.sync.connect(URL) as own:
        own.send('child'); print(own.recv(), flush=True)
    del ws
    sys.exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
ws.send('after'); print(ws.recv())
ws.close()
"""


def test_a_forked_child_is_refused_and_the_parent_goes_on(server: Server) -> None:
    code, out, err = outcome(program(server, FORK, "-W", "ignore"))
    assert (code, out.split()) == (0, ["EFORKED"] * 4 + ["child", "after"]), err


INTERRUPT = {
    "recv": "ws.recv()",
    "recv with a timeout": "ws.recv(timeout=50)",
    "iteration": "next(iter(ws))",
    "close": "ws.close()",
    "a pong": "ws.ping().wait()",
    "recv behind another thread": """
    threading.Thread(target=ws.wait_closed, daemon=True).start()
    ws.recv()
""",
}


@pytest.mark.parametrize("call", INTERRUPT.values(), ids=INTERRUPT.keys())
def test_a_blocking_call_can_be_interrupted(server: Server, call: str) -> None:
    text = f"""
ws = longwire.sync.connect(URL.replace('/echo', '/stall'), close_timeout=50)
try:
    print('ready', flush=True)
    {call.strip()}
except KeyboardInterrupt:
    print('interrupted', flush=True)
    os._exit(0)
"""
    process = program(server, text)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    # The signal may come before the wait begins; so more of them follow.
    end = time.monotonic() + LIMIT
    while process.poll() is None and time.monotonic() < end:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(0.2)
        except subprocess.TimeoutExpired:
            continue
    assert outcome(process)[:2] == (0, "interrupted\n")


def test_a_signal_does_not_extend_a_timeout(server: Server) -> None:
    interruptions = 0

    def count(*_: Any) -> None:
        nonlocal interruptions
        interruptions += 1

    before = signal.signal(signal.SIGALRM, count)
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    try:
        with sync.connect(server.url("/echo")) as ws:
            began = time.monotonic()
            with pytest.raises(TimeoutError):
                ws.recv(timeout=0.3)
            assert 0.29 < time.monotonic() - began < 5
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert interruptions > 3
