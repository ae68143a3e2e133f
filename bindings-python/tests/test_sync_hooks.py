"""`before_connect` and `should_reconnect` of the blocking face: they run in the calls that wait."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import longwire
import pytest
from conftest import LIMIT, Server, drive_until
from longwire import Attempt, Changes, GiveUp, HookError, Outage, Reconnect, State, sync

QUICK = Reconnect(min_delay=0.01, max_delay=0.02)


def test_each_attempt_can_have_a_header_of_its_own(server: Server) -> None:
    attempts: list[Attempt] = []
    threads: set[int] = set()

    def renew(attempt: Attempt) -> Changes:
        attempts.append(attempt)
        threads.add(threading.get_ident())
        token = f"token {len(attempts)}"
        url = server.url("/need-header", name="Authorization", value=token)
        return Changes(url=url, headers={"Authorization": token})

    url = server.url("/need-header", name="Authorization", value="never right")
    with sync.connect(url, reconnect=QUICK, before_connect=renew) as ws:
        for number in range(3):
            ws.send("hello")
            assert ws.recv(timeout=LIMIT) == "hello"
            ws.reconnect()
            drive_until(ws, lambda number=number: ws.reconnects > number)  # type: ignore[misc]
    assert [(attempt.number, attempt.reconnects) for attempt in attempts[:3]] == [
        (1, 0),
        (1, 1),
        (1, 2),
    ]
    assert isinstance(attempts[1].error, longwire.ConnectionLost)
    assert threads == {threading.get_ident()}


def test_an_exception_on_the_first_attempt_is_that_of_connect(server: Server) -> None:
    for exception in (KeyError("token"), GiveUp("token")):

        def fail(_: Attempt, exception: Exception = exception) -> None:
            raise exception

        with pytest.raises(HookError, match="token") as caught:
            sync.connect(server.url("/echo"), before_connect=fail)
        assert caught.value.__cause__ is exception


def test_an_exception_is_a_failed_attempt_and_giving_up_is_the_end(server: Server) -> None:
    downs: list[longwire.Down] = []

    def fail(attempt: Attempt) -> None:
        if attempt.reconnects and attempt.number == 1:
            raise OSError("no token")
        if attempt.reconnects == 2:
            raise GiveUp

    with sync.connect(
        server.url("/drop", after=1), reconnect=QUICK, before_connect=fail, on_down=downs.append
    ) as ws:
        ws.send("x")
        assert ws.recv(timeout=LIMIT) == "x"
        ws.reconnect()
        drive_until(ws, lambda: ws.reconnects == 1)
        ws.send("y")
        assert ws.recv(timeout=LIMIT) == "y"
        with pytest.raises(longwire.ConnectionClosedError) as caught:
            ws.recv(timeout=LIMIT)
    assert [str(down.error.__cause__) for down in downs if isinstance(down.error, HookError)] == [
        "no token",
        "no token",
    ]
    assert str(caught.value.__cause__) == "before_connect: gave up"
    assert isinstance(caught.value.__cause__.__cause__, GiveUp)  # type: ignore[union-attr]


def test_only_plain_functions_will_do(server: Server) -> None:
    async def hook(_: Any) -> None:
        raise AssertionError

    url = server.url("/echo")
    with pytest.raises(HookError, match="must be a plain function") as caught:
        sync.connect(url, before_connect=hook)  # type: ignore[arg-type]
    assert isinstance(caught.value.__cause__, TypeError)
    with pytest.raises(TypeError, match="on_open must be a plain function"):
        sync.connect(url, on_open=hook)
    ws = sync.connect(server.url("/drop", after=1), should_reconnect=hook)  # type: ignore[arg-type]
    ws.send("x")
    assert ws.recv(timeout=LIMIT) == "x"
    with pytest.raises(TypeError, match="should_reconnect must be a plain function"):
        ws.recv(timeout=LIMIT)
    ws.close()


def test_a_hook_decides_whether_there_is_another_connection(server: Server) -> None:
    outages: list[Outage] = []

    def decide(outage: Outage) -> bool | None:
        outages.append(outage)
        return {1: True, 2: None}.get(len(outages))

    with sync.connect(
        server.url("/close", code=1008), reconnect=QUICK, should_reconnect=decide
    ) as ws:
        with pytest.raises(longwire.ConnectionClosedError) as caught:
            ws.recv(timeout=LIMIT)
        assert caught.value.code == 1008
    assert [(outage.code, outage.retry, outage.attempt) for outage in outages] == [
        (1008, False, 1),
        (1008, False, 2),
    ]
    assert ws.stats.connections == 2


def test_an_exception_of_should_reconnect_is_raised_and_the_rule_decides(server: Server) -> None:
    def broken(_: Outage) -> bool:
        raise KeyError("broken")

    with sync.connect(server.url("/drop", after=1), reconnect=QUICK, should_reconnect=broken) as ws:
        for _ in range(2):
            ws.send("x")
            assert ws.recv(timeout=LIMIT) == "x"
            with pytest.raises(KeyError, match="broken"):
                ws.recv(timeout=LIMIT)


def test_the_attempt_of_a_hook_that_hangs_fails(server: Server) -> None:
    downs: list[longwire.Down] = []
    late = threading.Event()

    def hang(attempt: Attempt) -> Changes | None:
        if attempt.reconnects and attempt.number == 1:
            while ws.stats.state is not State.DOWN:
                late.wait(0.001)
            return Changes(url="ws://127.0.0.1:9/wrong")
        return None

    with sync.connect(
        server.url("/echo"),
        reconnect=QUICK,
        before_connect=hang,
        hook_timeout=0.5,
        on_down=downs.append,
    ) as ws:
        ws.reconnect()
        drive_until(ws, lambda: ws.reconnects == 1)
        ws.send("on the next attempt")
        assert ws.recv(timeout=LIMIT) == "on the next attempt"
    assert isinstance(downs[1].error, longwire.Timeout)
    assert "before_connect did not answer within 500ms" in str(downs[1].error)


def test_a_hook_cannot_wait_but_it_can_close(server: Server) -> None:
    refused: list[longwire.LongwireError] = []

    def hook(attempt: Attempt) -> None:
        if attempt.reconnects:
            try:
                ws.recv()
            except longwire.ConcurrencyError as error:
                refused.append(error)
            ws.close()

    ws = sync.connect(server.url("/echo"), reconnect=QUICK, before_connect=hook)
    ws.reconnect()
    with pytest.raises(longwire.ConnectionClosedOK):
        ws.recv(timeout=LIMIT)
    assert "event handler" in str(refused[0])


def test_another_thread_may_close_while_a_hook_runs(server: Server) -> None:
    asked, closing, ended = threading.Event(), threading.Event(), threading.Event()

    def hook(attempt: Attempt) -> None:
        if attempt.reconnects:
            asked.set()
            assert closing.wait(LIMIT)

    def receive() -> None:
        with pytest.raises(longwire.ConnectionClosedOK):
            ws.recv(timeout=LIMIT)
        ended.set()

    ws = sync.connect(server.url("/echo"), reconnect=QUICK, before_connect=hook)
    ws.reconnect()
    receiver = threading.Thread(target=receive)
    receiver.start()
    assert asked.wait(LIMIT)
    closer = threading.Thread(target=ws.close)
    closer.start()
    while ws.state is not State.CLOSED:
        asked.wait(0)
    assert not ended.is_set()
    closing.set()
    assert ended.wait(LIMIT)
    for thread in (closer, receiver):
        thread.join(LIMIT)
        assert not thread.is_alive()


def test_hooks_run_although_nothing_is_read(server: Server) -> None:
    """Whoever waits for something else does not read on behind a full inbox, but asks."""
    attempts: list[Attempt] = []
    url = server.url("/push", count=2000, size=1000, window=2000)
    with sync.connect(
        url, reconnect=QUICK, receive_buffer=10_000, before_connect=attempts.append
    ) as ws:
        drive_until(ws, lambda: ws.stats.inbox >= 10_000)
        ws.reconnect()
        drive_until(ws, lambda: len(attempts) == 2)
        assert attempts[1].reconnects == 1
        assert str(ws.recv(timeout=LIMIT)).startswith("0 ")


def test_a_connection_may_be_dropped_in_its_hook(server: Server) -> None:
    held: list[sync.Connection] = []

    def drop(attempt: Attempt) -> None:
        if attempt.reconnects:
            held.clear()

    held.append(sync.connect(server.url("/echo"), reconnect=QUICK, before_connect=drop))
    gone = weakref.ref(held[0])
    held[0].reconnect()
    with pytest.warns(ResourceWarning, match="unclosed connection"):
        while held:
            held[0].wait_closed(0.01)
        gc.collect()
    assert gone() is None
