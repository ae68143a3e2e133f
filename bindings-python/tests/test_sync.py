"""The blocking face, method by method."""

from __future__ import annotations

import json
import threading
from typing import Any

import longwire
import pytest
from conftest import LIMIT, Server, server_binary, start
from longwire import Reconnect, State, sync
from test_asyncio import SIZES


def test_messages_of_every_size_come_back(server: Server) -> None:
    with sync.connect(server.url("/echo")) as ws:
        for size in SIZES:
            text = "aé" * (size // 3) + "a" * (size % 3)
            ws.send(text)
            assert ws.recv() == text
            binary = bytes(range(256)) * (size // 256) + bytes(size % 256)
            ws.send(binary)
            assert ws.recv() == binary


def test_kinds_of_messages(server: Server) -> None:
    with sync.connect(server.url("/echo")) as ws:
        ws.send(bytearray(b"abc"))
        assert ws.recv() == b"abc"
        ws.send(b"abc", text=True)
        assert ws.recv() == "abc"
        ws.send("abc", text=False)
        assert ws.recv() == b"abc"
        ws.send("ä")
        assert ws.recv(decode=False) == "ä".encode()
        with pytest.raises(
            TypeError, match="must be str or bytes-like, or an iterable of either, not int"
        ):
            ws.send(1)  # type: ignore[arg-type]
        with pytest.raises(UnicodeEncodeError):
            ws.send("\ud800")


def test_a_recv_that_timed_out_loses_nothing(server: Server) -> None:
    url = server.url("/pinger", interval_ms=1000, timeout_ms=5000, messages=40, spread_ms=400)
    with sync.connect(url) as ws:
        received: list[int] = []
        timeouts = 0
        while len(received) < 40:
            try:
                received.append(int(ws.recv(timeout=0.003)))
            except longwire.Timeout:
                timeouts += 1
        assert received == list(range(40))
        assert timeouts


def test_a_timeout_of_zero_takes_what_is_there(server: Server) -> None:
    with sync.connect(server.url("/echo")) as ws:
        with pytest.raises(TimeoutError):
            ws.recv(timeout=0)
        for number in range(10):
            ws.send(str(number))
        # The pong comes after all of them.
        assert ws.ping().wait(LIMIT)
        assert [ws.recv(timeout=0) for _ in range(10)] == [str(number) for number in range(10)]


def test_iteration(server: Server) -> None:
    with sync.connect(server.url("/push", count=1000, size=100)) as ws:
        numbers = [int(str(message).split()[0]) for message in ws]
    assert numbers == list(range(1000))
    assert (ws.close_code, ws.state) == (1000, State.CLOSED)
    with sync.connect(server.url("/close", code=4001, reason="enough"), reconnect=False) as ws:
        with pytest.raises(longwire.ConnectionClosedError, match="4001 enough"):
            list(ws)
        assert (ws.close_code, ws.close_reason) == (4001, "enough")


def test_threads_send_while_one_receives(server: Server) -> None:
    with sync.connect(server.url("/echo"), send_buffer=1 << 16) as ws:

        def talk(name: int) -> None:
            for number in range(200):
                ws.send(f"{name} {number} {'.' * 500}")

        threads = [threading.Thread(target=talk, args=(name,)) for name in range(8)]
        for thread in threads:
            thread.start()
        seen: dict[str, int] = {}
        for _ in range(8 * 200):
            name, number, _dots = str(ws.recv(timeout=LIMIT)).split()
            assert int(number) == seen.get(name, -1) + 1
            seen[name] = int(number)
        for thread in threads:
            thread.join(LIMIT)


def test_two_threads_cannot_receive_at_once(server: Server) -> None:
    with sync.connect(server.url("/echo")) as ws:
        first: list[Any] = []
        thread = threading.Thread(target=lambda: first.append(ws.recv()))
        thread.start()
        refused = None
        while refused is None:
            try:
                ws.recv(timeout=0)
            except longwire.ConcurrencyError as error:
                refused = error
            except TimeoutError:
                continue
        assert "another thread" in str(refused)
        ws.send("for the first")
        thread.join(LIMIT)
        assert first == ["for the first"]


def test_a_thread_may_close_while_another_receives(server: Server) -> None:
    ws = sync.connect(server.url("/echo"))
    ended: list[BaseException] = []

    def receive() -> None:
        try:
            ws.recv()
        except longwire.ConnectionClosedOK as error:
            ended.append(error)

    thread = threading.Thread(target=receive)
    thread.start()
    ws.close()
    thread.join(LIMIT)
    assert len(ended) == 1


def test_ping(server: Server) -> None:
    with sync.connect(server.url("/echo")) as ws:
        pong = ws.ping()
        assert pong.latency is None
        assert pong.wait(LIMIT)
        assert pong.is_set()
        assert pong.latency is not None
        assert ws.latency == pytest.approx(pong.latency)
        pong = ws.ping("mine")
        with pytest.raises(longwire.ConcurrencyError, match="same data"):
            ws.ping(b"mine")
        assert pong.wait(LIMIT)
    with pytest.raises(longwire.ConnectionClosedOK):
        ws.ping()
    ws = sync.connect(server.url("/stall"), close_timeout=0.05, reconnect=False)
    pong = ws.ping()
    assert not pong.wait(0.01)
    ws.close()
    with pytest.raises(longwire.ConnectionClosed):
        pong.wait(LIMIT)


def test_close(server: Server) -> None:
    ws = sync.connect(server.url("/echo"))
    assert not ws.wait_closed(0.01)
    with pytest.raises(longwire.InvalidArgument):
        ws.close(1005)
    ws.send("before")
    assert ws.ping().wait(LIMIT)
    ws.close(4321, "done")
    assert ws.recv() == "before"
    for _ in range(2):
        with pytest.raises(longwire.ConnectionClosed) as caught:
            ws.recv()
        assert caught.value.sent == longwire.Close(4321, "done")
        with pytest.raises(longwire.ConnectionClosed):
            ws.send("too late")
    ws.close()
    assert ws.wait_closed()


def test_close_does_not_wait_for_a_flood_to_be_read(server: Server) -> None:
    url = server.url("/push", count=100_000, size=10_000)
    ws = sync.connect(url, receive_buffer=4096, close_timeout=30)
    ws.recv()
    ws.close()
    assert ws.state is State.CLOSED


def test_what_the_handshake_carries(server: Server) -> None:
    with sync.connect(server.url("/headers"), additional_headers={"X-One": "1"}) as ws:
        assert json.loads(ws.recv())["x-one"] == "1"
        assert dict(ws.response_headers)["upgrade"] == "websocket"
    with sync.connect(server.url("/subprotocol"), subprotocols=["one", "two"]) as ws:
        assert ws.subprotocol == "one"


def test_a_full_send_buffer_is_waited_for(server: Server) -> None:
    """One thread sends more than all buffers hold, before it reads any of the answers."""
    with sync.connect(server.url("/count", every=1000), send_buffer=1 << 16) as ws:
        for _ in range(2000):
            ws.send(b"x" * 10_000)
        assert ws.recv(timeout=LIMIT) == "1000 10000000"
        assert ws.recv(timeout=LIMIT) == "2000 20000000"


def test_losses_are_repaired(server: Server) -> None:
    opens = 0
    downs: list[longwire.Down] = []

    def on_open(ws: sync.Connection) -> None:
        nonlocal opens
        opens += 1
        ws.send(f"subscribe {opens}")

    with sync.connect(
        server.url("/drop", after=1),
        reconnect=Reconnect(min_delay=0.01, max_delay=0.02),
        on_open=on_open,
        on_down=downs.append,
    ) as ws:
        for number in range(1, 4):
            assert ws.recv(timeout=LIMIT) == f"subscribe {number}"
        assert ws.reconnects == 2
    assert isinstance(downs[0].error, longwire.ConnectionLost)


def test_a_program_that_only_sends_comes_back_too() -> None:
    """What was queued while down leaves although nobody ever waits."""
    with start(server_binary(), "--stdin-guard") as old:
        port = old.port()
        url = old.url("/room")
        ws = sync.connect(url, reconnect=Reconnect(min_delay=0.01, max_delay=0.05))
    with (
        start(server_binary(), "--stdin-guard", "--port", str(port)),
        sync.connect(url) as listener,
    ):
        heard = threading.Event()

        def listen() -> None:
            if str(listener.recv(timeout=LIMIT)).startswith("hello"):
                heard.set()

        thread = threading.Thread(target=listen)
        thread.start()
        number = 0
        while not heard.wait(0.01):
            ws.send(f"hello {number}")
            number += 1
            assert number < LIMIT / 0.01
        thread.join(LIMIT)
        ws.close()


def test_an_event_handler_cannot_wait(server: Server) -> None:
    def on_open(ws: sync.Connection) -> None:
        ws.recv()

    with pytest.raises(longwire.ConcurrencyError, match="event handler"):
        sync.connect(server.url("/echo"), on_open=on_open)


def test_without_reconnect_a_loss_is_the_end(server: Server) -> None:
    with sync.connect(server.url("/drop"), reconnect=False) as ws:
        with pytest.raises(longwire.ConnectionClosedError) as caught:
            ws.recv()
        assert isinstance(caught.value.__cause__, longwire.ConnectionLost)
