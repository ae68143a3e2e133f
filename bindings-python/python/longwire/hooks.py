"""What a program is asked before an attempt and after a loss, and how its answer is taken.

An answer that raises, or that is none, never leaves a question open: ``before_connect`` then
fails the attempt, and after ``should_reconnect`` the rule decides.
"""

from __future__ import annotations

import inspect
import traceback
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from .exceptions import HookError, LongwireError
from .options import HeadersLike, header_pairs, strings

if TYPE_CHECKING:
    from ._common import Record

_Changed: TypeAlias = tuple[str | None, list[tuple[str, str]] | None, list[str] | None]


class GiveUp(Exception):
    """Raised by ``before_connect``: no attempt makes sense any more.

    The connection ends with a :class:`HookError`, whose ``__cause__`` this is.
    """


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that is about to begin.

    Attributes:
        number: Which one it is since the last open connection, counted from 1.
        reconnects: How many connections were open before.
        error: Why the attempt or connection before came to nothing.

    """

    number: int
    reconnects: int
    error: LongwireError | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What ``before_connect`` changes for one attempt; ``None`` leaves what the options say.

    Attributes:
        url: Where to connect to.
        headers: All additional request headers.
        subprotocols: All subprotocols to offer.

    """

    url: str | None = None
    headers: HeadersLike | None = None
    subprotocols: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class Outage:
    """A loss, or a failed attempt, about which ``should_reconnect`` decides.

    Attributes:
        error: The cause.
        code: The peer's close code, if there was a closing handshake.
        attempt: Failed attempts since the last connection that was stable.
        retry: Whether another attempt would follow.
        retry_in: Seconds until it.

    """

    error: LongwireError
    code: int | None
    attempt: int
    retry: bool
    retry_in: float


class Failures:
    """The latest exceptions of ``before_connect``, for the errors that the core makes of them."""

    def __init__(self) -> None:
        # Attempts can be ahead of the events that tell of their failures.
        self._latest: deque[tuple[str, BaseException]] = deque(maxlen=8)

    def add(self, reason: str, exception: BaseException) -> None:
        if (traceback := exception.__traceback__) is not None:
            # Our own part of it would keep the connection alive.
            exception = exception.with_traceback(traceback.tb_next)
        self._latest.append((f"before_connect: {reason}", exception))

    def explain(self, error: LongwireError) -> None:
        """Give ``error`` its cause, if it is that of a hook."""
        if isinstance(error, HookError) and error.__cause__ is None:
            for text, exception in self._latest:
                if text == str(error):
                    error.__cause__ = exception


@dataclass(frozen=True, slots=True)
class Question:
    """A question that is open: what is asked, its number, and what happens by default."""

    name: Literal["before_connect", "should_reconnect"]
    number: int
    default: bool = True


class Hooks(ABC):
    """How both kinds of connection answer, beside their native half."""

    _record: Record

    @abstractmethod
    def _proceed(self, ask: int, changed: _Changed) -> None: ...

    @abstractmethod
    def _refuse(self, ask: int, reason: str, retry: bool) -> bool: ...

    @abstractmethod
    def _decide(self, ask: int, retry: bool) -> bool: ...

    @abstractmethod
    def _stats(self) -> dict[str, Any]: ...

    @abstractmethod
    def _answer_later(self, question: Question, answer: Awaitable[Any]) -> None:
        """Answer with what awaiting ``answer`` gives."""

    # What the native half asks, from within its drive.

    def _on_before_connect(
        self, ask: int, number: int, reconnects: int, error: LongwireError | None
    ) -> None:
        attempt = Attempt(number, reconnects, self._record.explained(error))
        self._ask(Question("before_connect", ask), self._record.before_connect, attempt)

    def _on_should_reconnect(
        self, ask: int, retry: bool, down: tuple[LongwireError, int | None, int, float]
    ) -> None:
        error, code, attempt, retry_in = down
        outage = Outage(self._record.explained(error), code, attempt, retry, retry_in)
        # Questions precede other events, so `Open` may be still to come.
        if self._stats()["connections"]:
            question = Question("should_reconnect", ask, retry)
            self._ask(question, self._record.should_reconnect, outage)
        else:
            # `connect` raises, whatever the hook would say.
            self._decide(ask, retry)

    def _ask(self, question: Question, hook: Callable[[Any], Any], about: object) -> None:
        try:
            answer = hook(about)
        except BaseException as exception:
            self._fail(question, exception)
            return
        if inspect.isawaitable(answer):
            self._answer_later(question, answer)
        else:
            self._answer(question, answer)

    def _answer(self, question: Question, answer: object) -> None:
        """Take the answer of a hook."""
        try:
            if question.name == "before_connect":
                self._proceed(question.number, _changed(answer))
            else:
                self._decide(question.number, _decision(answer, question.default))
        except (LongwireError, TypeError, ValueError) as exception:
            self._fail(question, exception, final=True)

    def _fail(self, question: Question, exception: BaseException, *, final: bool = False) -> None:
        """Answer for a hook that raised. What nobody would hear of is raised again."""
        if question.name == "before_connect":
            final = final or isinstance(exception, GiveUp)
            reason = _reason(exception)
            self._record.failures.add(reason, exception)
            self._refuse(question.number, reason, not final)
            if isinstance(exception, Exception):
                return
        else:
            self._decide(question.number, question.default)
        raise exception


def _changed(answer: object) -> _Changed:
    if answer is None:
        return None, None, None
    if not isinstance(answer, Changes):
        raise TypeError(f"expected Changes(...) or None, got {type(answer).__name__}")
    if not isinstance(answer.url, str | None):
        raise TypeError(f"url must be str, not {type(answer.url).__name__}")
    headers = None if answer.headers is None else header_pairs(answer.headers)
    subprotocols = answer.subprotocols
    return (
        answer.url,
        headers,
        None if subprotocols is None else strings("subprotocols", subprotocols),
    )


def _decision(answer: object, default: bool) -> bool:
    if answer is None:
        return default
    if not isinstance(answer, bool):
        raise TypeError(
            f"should_reconnect: expected True, False or None, got {type(answer).__name__}"
        )
    return answer


def _reason(exception: BaseException) -> str:
    if isinstance(exception, GiveUp):
        text = str(exception) or "gave up"
    else:
        # Does not fail, whatever the exception's own text does.
        text = traceback.format_exception_only(exception)[0].strip()
    return text.encode("utf-8", "backslashreplace").decode()
