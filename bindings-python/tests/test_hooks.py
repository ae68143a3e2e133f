"""`before_connect` and `should_reconnect` under an event loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import longwire
import pytest
from conftest import Run, Server, server_binary, start, until
from frames import Conversation, peer
from longwire import Attempt, Changes, GiveUp, HookError, Outage, Reconnect

QUICK = Reconnect(min_delay=0.01, max_delay=0.02)

Answer = Callable[[Attempt], Changes | Awaitable[Changes | None] | None]


def later(hook: Callable[[Any], Any]) -> Callable[[Any], Awaitable[Any]]:
    """The same as a coroutine function that takes some turns of the loop."""

    async def waiting(about: Any) -> Any:
        await asyncio.sleep(0.001)
        return hook(about)

    return waiting


KINDS: list[Callable[[Any], Any]] = [lambda hook: hook, later]
plain_or_async = pytest.mark.parametrize("kind", KINDS, ids=["plain", "async"])


@plain_or_async
def test_each_attempt_can_have_a_header_of_its_own(
    run: Run[None], server: Server, kind: Callable[[Answer], Answer]
) -> None:
    """As with a token that is valid once: without the right one the server answers 403."""
    attempts: list[Attempt] = []

    def renew(attempt: Attempt) -> Changes:
        attempts.append(attempt)
        token = f"token {len(attempts)}"
        url = server.url("/need-header", name="Authorization", value=token)
        return Changes(url=url, headers={"Authorization": token})

    async def main() -> None:
        url = server.url("/need-header", name="Authorization", value="never right")
        opened: asyncio.Queue[int] = asyncio.Queue()
        async with longwire.connect(
            url,
            reconnect=QUICK,
            before_connect=kind(renew),
            on_open=lambda ws: opened.put_nowait(ws.reconnects),
        ) as ws:
            for number in range(3):
                assert await opened.get() == number
                await ws.send("hello")
                assert await ws.recv() == "hello"
                ws.reconnect()

    run(main())
    assert [(attempt.number, attempt.reconnects) for attempt in attempts[:3]] == [
        (1, 0),
        (1, 1),
        (1, 2),
    ]
    assert attempts[0].error is None
    assert isinstance(attempts[1].error, longwire.ConnectionLost)


def test_changes_hold_for_one_attempt(run: Run[None], server: Server) -> None:
    async def main() -> None:
        def choose(attempt: Attempt) -> Changes | None:
            if attempt.reconnects == 1:
                return Changes(url=server.url("/subprotocol"), subprotocols=["two", "three"])
            return None

        opened: asyncio.Queue[str | None] = asyncio.Queue()
        async with longwire.connect(
            server.url("/subprotocol"),
            subprotocols=["one"],
            reconnect=QUICK,
            before_connect=choose,
            on_open=lambda ws: opened.put_nowait(ws.subprotocol),
        ) as ws:
            for expected in ("one", "two", "one"):
                assert await opened.get() == expected
                ws.reconnect()

    run(main())


def test_an_attempt_may_move_to_tls(run: Run[None], server: Server) -> None:
    async def main() -> None:
        secure = server.url("/echo", scheme="wss")
        async with longwire.connect(
            server.url("/stall-handshake"),
            tls=longwire.TLS(ca_file=server.ca_file),
            before_connect=lambda _: Changes(url=secure),
        ) as ws:
            await ws.send("secret")
            assert await ws.recv() == "secret"

    run(main())


@plain_or_async
def test_an_exception_on_the_first_attempt_is_that_of_connect(
    run: Run[None], server: Server, kind: Callable[[Answer], Answer]
) -> None:
    async def main() -> None:
        broken = KeyError("token")

        def fail(_: Attempt) -> None:
            raise broken

        for reconnect in (True, False):
            connecting = longwire.connect(
                server.url("/echo"), before_connect=kind(fail), reconnect=reconnect
            )
            with pytest.raises(HookError, match="before_connect: KeyError: 'token'") as caught:
                await connecting
            assert caught.value.__cause__ is broken
            assert (caught.value.number, caught.value.symbol) == (-23, "EHOOK")

    run(main())


@plain_or_async
def test_an_exception_is_a_failed_attempt_like_any_other(
    run: Run[None], server: Server, kind: Callable[[Answer], Answer]
) -> None:
    async def main() -> None:
        downs: list[longwire.Down] = []
        attempts: list[Attempt] = []

        def fail_twice(attempt: Attempt) -> None:
            attempts.append(attempt)
            if attempt.reconnects and attempt.number < 3:
                raise OSError(f"no token {attempt.number}")

        opened: asyncio.Queue[int] = asyncio.Queue()
        async with longwire.connect(
            server.url("/echo"),
            reconnect=QUICK,
            before_connect=kind(fail_twice),
            on_down=downs.append,
            on_open=lambda ws: opened.put_nowait(ws.reconnects),
        ) as ws:
            assert await opened.get() == 0
            ws.reconnect()
            assert await opened.get() == 1
            await ws.send("still there")
            assert await ws.recv() == "still there"
            assert ws.stats.attempt == 3
        lost, *failed = [down.error for down in downs]
        assert isinstance(lost, longwire.ConnectionLost)
        assert [str(error.__cause__) for error in failed] == ["no token 1", "no token 2"]
        assert all(isinstance(error, HookError) for error in failed)
        causes = [attempt.error.__cause__ for attempt in attempts[2:] if attempt.error]
        assert list(map(str, causes)) == ["no token 1", "no token 2"]

    run(main())


@plain_or_async
def test_giving_up_is_the_end(
    run: Run[None], server: Server, kind: Callable[[Answer], Answer]
) -> None:
    async def main() -> None:
        given_up = GiveUp("the account is closed")

        def give_up(attempt: Attempt) -> None:
            if attempt.reconnects:
                raise given_up

        async with longwire.connect(
            server.url("/drop"),
            reconnect=Reconnect(min_delay=0.01, retry={"LW_EHOOK": True}),
            before_connect=kind(give_up),
        ) as ws:
            with pytest.raises(longwire.ConnectionClosedError) as caught:
                await ws.recv()
        cause = caught.value.__cause__
        assert isinstance(cause, HookError)
        assert str(cause) == "before_connect: the account is closed"
        assert cause.__cause__ is given_up
        assert ws.stats.last_error is not None
        assert ws.stats.last_error.__cause__ is given_up

    run(main())


WRONG: list[tuple[Any, str]] = [
    ("wss://x", r"expected Changes\(...\) or None, got str"),
    (Changes(url=1), "url must be str, not int"),  # type: ignore[arg-type]
    (Changes(url="http://x"), "ws:"),
    (Changes(headers=[("a", 1)]), "headers must be pairs of str"),  # type: ignore[list-item]
    (Changes(headers={"Upgrade": "x"}), "Upgrade"),
    (Changes(subprotocols="one"), "subprotocols must be a list of str"),
    (Changes(subprotocols=["a", "a"]), "subprotocol"),
    (Changes(headers={"a": "\ud800"}), "surrogates"),
]


@plain_or_async
@pytest.mark.parametrize(("answer", "says"), WRONG, ids=[says for _, says in WRONG])
def test_what_is_no_answer_is_the_end(
    run: Run[None], server: Server, kind: Callable[[Answer], Answer], answer: Any, says: str
) -> None:
    async def main() -> None:
        hook = kind(lambda attempt: answer if attempt.reconnects else None)
        async with longwire.connect(
            server.url("/drop"), reconnect=QUICK, before_connect=hook
        ) as ws:
            with pytest.raises(longwire.ConnectionClosedError) as caught:
                await ws.recv()
        assert isinstance(caught.value.__cause__, HookError)
        assert isinstance(caught.value.__cause__.__cause__, TypeError | ValueError)
        with pytest.raises(HookError, match=says):
            await longwire.connect(server.url("/echo"), before_connect=kind(lambda _: answer))

    run(main())


def test_a_hook_that_hangs_has_a_limit(run: Run[None], server: Server) -> None:
    async def main() -> None:
        cancelled = asyncio.Event()

        async def hang(attempt: Attempt) -> None:
            if attempt.reconnects and attempt.number == 1:
                try:
                    await asyncio.Event().wait()
                finally:
                    cancelled.set()

        downs: asyncio.Queue[longwire.Down] = asyncio.Queue()
        async with longwire.connect(
            server.url("/echo"),
            reconnect=QUICK,
            before_connect=hang,
            hook_timeout=0.5,
            on_down=downs.put_nowait,
        ) as ws:
            ws.reconnect()
            await downs.get()
            error = (await downs.get()).error
            assert isinstance(error, longwire.Timeout)
            assert "before_connect did not answer within 500ms" in str(error)
            await cancelled.wait()
            await ws.send("on the next attempt")
            assert await ws.recv() == "on the next attempt"

        async def hang_at_first(_: Attempt) -> None:
            await asyncio.Event().wait()

        with pytest.raises(TimeoutError, match="before_connect"):
            await longwire.connect(
                server.url("/echo"), before_connect=hang_at_first, hook_timeout=0.5
            )

    run(main())


def test_a_late_answer_means_nothing(run: Run[None], server: Server) -> None:
    async def main() -> None:
        finished: asyncio.Queue[int] = asyncio.Queue()

        async def stubborn(attempt: Attempt) -> Changes | None:
            if attempt.reconnects and attempt.number == 1:
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    finished.put_nowait(attempt.number)
                    return Changes(url="ws://127.0.0.1:9/wrong")
            return None

        async with longwire.connect(
            server.url("/echo"), reconnect=QUICK, before_connect=stubborn, hook_timeout=0.5
        ) as ws:
            ws.reconnect()
            assert await finished.get() == 1
            await ws.send("on the next attempt")
            assert await ws.recv() == "on the next attempt"

    run(main())


@plain_or_async
def test_a_refusal_can_be_tried_again_by_a_hook(
    run: Run[None], server: Server, kind: Callable[[Any], Any]
) -> None:
    async def main() -> None:
        outages: list[Outage] = []

        def choose(attempt: Attempt) -> Changes | None:
            if attempt.reconnects and attempt.number == 1:
                return Changes(url=server.url("/http", status=403))
            return None

        def decide(outage: Outage) -> bool:
            outages.append(outage)
            return True

        async with longwire.connect(
            server.url("/echo"),
            reconnect=QUICK,
            before_connect=choose,
            should_reconnect=kind(decide),
        ) as ws:
            ws.reconnect()
            await until(lambda: ws.reconnects)
            await ws.send("back")
            assert await ws.recv() == "back"
        # The user's own reconnect is nothing to ask about.
        [refused] = outages
        assert isinstance(refused.error, longwire.InvalidStatus)
        assert (refused.error.status, refused.code, refused.retry) == (403, None, False)
        assert refused.attempt == 1
        assert refused.retry_in >= 0

    run(main())


@plain_or_async
@pytest.mark.parametrize(
    "case", [(4000, False, False), (4000, None, True), (1008, None, False), (1008, True, True)]
)
def test_a_hook_decides_or_leaves_it_to_the_rule(
    run: Run[None],
    server: Server,
    kind: Callable[[Any], Any],
    case: tuple[int, bool | None, bool],
) -> None:
    code, answer, again = case

    async def main() -> None:
        codes: list[int | None] = []
        opened: asyncio.Queue[int] = asyncio.Queue()

        def decide(outage: Outage) -> bool | None:
            codes.append(outage.code)
            return answer

        async with longwire.connect(
            server.url("/close", code=code),
            reconnect=QUICK,
            should_reconnect=kind(decide),
            on_open=lambda ws: opened.put_nowait(ws.reconnects),
        ) as ws:
            assert await opened.get() == 0
            if again:
                assert await opened.get() == 1
            else:
                await ws.wait_closed()
                assert opened.empty()
        assert codes[0] == code

    run(main())


def test_a_program_that_is_late_is_asked_all_the_same(run: Run[None]) -> None:
    """A question overtakes what else waits to be told, the opening included."""

    async def main() -> None:
        codes: list[int | None] = []

        def decide(outage: Outage) -> bool:
            codes.append(outage.code)
            return outage.code == 1008

        async def connect(url: str) -> longwire.Connection:
            return await longwire.connect(url, reconnect=QUICK, should_reconnect=decide)

        def close_first(conversation: Conversation) -> bytes:
            conversation.close(1008)
            conversation.socket.shutdown(socket.SHUT_WR)
            return conversation.socket.recv(1)  # The client is done with it.

        with peer(close_first, lambda ws: ws.close(1000)) as server:
            connecting = asyncio.create_task(connect(server.url))
            await asyncio.sleep(0)
            assert server.result == b""  # The loop is blocked until then.
            ws = await connecting
            await ws.wait_closed()
        assert codes == [1008, 1000]

    run(main())


def test_what_is_wrong_with_should_reconnect_is_told_and_the_rule_decides(server: Server) -> None:
    async def use(hook: Callable[[Outage], Any], expected: type[Exception]) -> None:
        complaints: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.put_nowait(context))
        async with longwire.connect(
            server.url("/drop", after=1), reconnect=QUICK, should_reconnect=hook
        ) as ws:
            for _ in range(2):
                await ws.send("x")
                assert await ws.recv() == "x"
                assert isinstance((await complaints.get())["exception"], expected)

    def broken(_: Outage) -> bool:
        raise KeyError("broken")

    cases: list[tuple[Callable[[Outage], Any], type[Exception]]]
    cases = [(broken, KeyError), (lambda _: 1, TypeError)]
    for hook, expected in cases:
        for either in (hook, later(hook)):
            asyncio.run(asyncio.wait_for(use(either, expected), 30))


def test_hooks_run_although_nothing_is_read(run: Run[None], server: Server) -> None:
    """A connection whose inbox is full is not watched; questions come all the same."""

    async def main() -> None:
        attempts: asyncio.Queue[Attempt] = asyncio.Queue()
        url = server.url("/push", count=2000, size=1000, window=2000)
        async with longwire.connect(
            url, reconnect=QUICK, receive_buffer=10_000, before_connect=attempts.put_nowait
        ) as ws:
            await attempts.get()
            await until(lambda: ws.stats.inbox >= 10_000)
            ws.reconnect()
            assert (await attempts.get()).reconnects == 1
            # Nor is anything lost meanwhile.
            assert str(await ws.recv()).startswith("0 ")

    run(main())


def test_no_answer_is_missed(run: Run[None]) -> None:
    """A thousand attempts, each with its questions."""

    async def main() -> None:
        with start(server_binary(), "--stdin-guard") as old:
            ws = await longwire.connect(
                old.url("/echo"),
                reconnect=Reconnect(min_delay=0, max_delay=0),
                before_connect=lambda _: None,
                should_reconnect=lambda _: None,
            )
        await until(lambda: ws.stats.attempt > 1000)
        await ws.close()

    run(main())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"before_connect": 1}, "before_connect must be a function"),
        ({"should_reconnect": True}, "should_reconnect must be a function"),
        ({"hook_timeout": "1"}, "hook_timeout must be a number of seconds"),
        ({"hook_timeout": -1}, "hook_timeout must be a number of seconds, zero or more"),
        ({"offline_max_age": float("nan")}, "offline_max_age must be a number"),
        ({"consumer_timeout": True}, "consumer_timeout must be a number"),
        ({"consumer_action": "kill"}, "consumer_action must be 'report' or 'close'"),
        ({"logger": "longwire"}, "logger must be a logging.Logger"),
        ({"reconnect": Reconnect(retry={"LW_NONE": True})}, "symbol of an error, got 'LW_NONE'"),
        ({"reconnect": Reconnect(retry={42: True})}, "expected an HTTP status"),
        ({"reconnect": Reconnect(retry={403: 1})}, "403 must be True or False"),  # type: ignore[dict-item]
        ({"reconnect": Reconnect(retry=[403])}, "retry must be a mapping"),  # type: ignore[arg-type]
        ({"reconnect": Reconnect(restart_delay=(2, 1))}, "restart_min_delay to be at most"),
        ({"reconnect": Reconnect(max_time=-1)}, "max_time must be a number of seconds"),
    ],
)
def test_wrong_options_are_refused(
    run: Run[None], server: Server, options: dict[str, Any], says: str
) -> None:
    async def main() -> None:
        with pytest.raises((TypeError, ValueError), match=says):
            await longwire.connect(server.url("/echo"), **options)

    run(main())
