"""What a connection can be told, and how it is said.

Every option has one name of the project, the same in all languages, and where
the ``websockets`` package has a name for the same thing, that name is taken as
well. Giving both is an error, as is a name that is neither.
"""

from __future__ import annotations

import difflib
import inspect
import logging
import math
import os
import ssl as _ssl
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict

from . import _ssl_context
from ._longwire import ERROR_KINDS, Config

if TYPE_CHECKING:
    from .exceptions import LongwireError

HeadersLike: TypeAlias = Mapping[str, str] | Iterable[tuple[str, str]]

#: The names that ``websockets`` uses, and the project's own.
ALIASES = {
    "additional_headers": "headers",
    "open_timeout": "connect_timeout",
    "max_size": "max_message_size",
    "write_limit": "send_buffer",
}

#: Options of ``websockets`` that mean something else here, and what to use instead.
ELSEWHERE = {
    "max_queue": "max_queue counts messages; longwire bounds bytes: use receive_buffer",
    "server_hostname": "use tls=TLS(server_name=...)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TLS:
    """How the server of a ``wss:`` URL proves who it is, and how the client does.

    Attributes:
        ca_file: A PEM file with the authorities to trust instead of the system's.
        ca_pem: The same as text; used together with ``ca_file`` if both are given.
        verify: ``False`` accepts any certificate. Only for tests: anyone
            between the client and the server can then read and change everything.
        server_name: The name the certificate must carry; the URL's host by default.
        client_cert: A PEM file with the client's certificate and what links it to
            an authority. Read anew at each attempt, as is ``client_key``.
        client_key: A PEM file with its private key, not encrypted.
        pinned_keys: If there are any, the server's public key must be one of these:
            ``sha256//`` and the base64 of the SHA-256 of its SubjectPublicKeyInfo.

    """

    ca_file: str | os.PathLike[str] | None = None
    ca_pem: str | None = None
    verify: bool = True
    server_name: str | None = None
    client_cert: str | os.PathLike[str] | None = None
    client_key: str | os.PathLike[str] | None = None
    pinned_keys: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Deflate:
    """What to offer of permessage-deflate (RFC 7692), and how to compress.

    Attributes:
        threshold: Messages shorter than so many bytes are sent as they are.
        level: 1 is the quickest, 9 the smallest.
        memory_level: 1 takes the least memory, 9 the most.
        client_no_context_takeover: Each message is compressed by itself, so that
            nothing is kept between messages.
        server_no_context_takeover: Asks the server for the same.
        client_max_window_bits: The largest window to compress with, 9 to 15.
        server_max_window_bits: The largest the server may compress with, 9 to 15.

    """

    threshold: int = 1024
    level: int = 6
    memory_level: int = 8
    client_no_context_takeover: bool = True
    server_no_context_takeover: bool = False
    client_max_window_bits: int = 15
    server_max_window_bits: int = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconnect:
    """How to come back after a loss: exponential back-off with full jitter.

    Attributes:
        min_delay: The shortest wait, in seconds.
        max_delay: The longest wait, in seconds.
        factor: How the upper bound grows.
        max_attempts: Give up after so many failures in a row; ``None`` for never.
        max_time: Give up when there was no stable connection for so many seconds;
            ``None`` for never.
        stable_after: A connection that lived so many seconds starts the
            back-off anew.
        max_retry_after: A server that says ``Retry-After`` is not called again
            earlier, but not later than so many seconds for its sake.
        restart_delay: After the close codes 1012 and 1013 the wait is drawn between
            these two.
        retry: What is tried again against the rule, or not: HTTP statuses, close
            codes, and errors by number or symbol, as in
            ``{403: True, 1008: True, "LW_ECERT": False}``.

    """

    min_delay: float = 0.25
    max_delay: float = 30.0
    factor: float = 2.0
    max_attempts: int | None = None
    max_time: float | None = None
    stable_after: float = 5.0
    max_retry_after: float = 3600.0
    restart_delay: tuple[float, float] = (5.0, 30.0)
    retry: Mapping[int | str, bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """Pings that prove that both directions live.

    Attributes:
        interval: Ping after so many seconds without a byte received; ``None`` for never.
        timeout: The connection is lost if nothing comes back for so many
            seconds after a ping; ``None`` for never.

    """

    interval: float | None = 20.0
    timeout: float | None = 20.0


@dataclass(frozen=True, slots=True)
class Down:
    """A connection was lost, or an attempt failed; another one follows.

    Attributes:
        error: The cause.
        code: The peer's close code, if there was a closing handshake.
        attempt: Failed attempts since the last connection that was stable.
        retry_in: Seconds until the next attempt.

    """

    error: LongwireError
    code: int | None
    attempt: int
    retry_in: float


class CommonOptions(TypedDict, total=False):
    """The options of both faces; see the table in the package's README."""

    headers: HeadersLike | None
    additional_headers: HeadersLike | None
    subprotocols: Sequence[str] | None
    origin: str | None
    tls: TLS | None
    ssl: _ssl.SSLContext | Literal[True] | None
    proxy: str | Literal[True] | None
    max_redirects: int
    compression: Literal["deflate"] | Deflate | None
    connect_timeout: float | None
    open_timeout: float | None
    close_timeout: float | None
    heartbeat: Heartbeat | None
    ping_interval: float | None
    ping_timeout: float | None
    reconnect: bool | Reconnect
    offline: Literal["queue", "refuse"]
    offline_max_age: float | None
    hook_timeout: float | None
    consumer_timeout: float | None
    consumer_action: Literal["report", "close"]
    logger: logging.Logger | None
    streaming: bool
    max_message_size: int | None
    max_size: int | None
    max_fragments: int
    send_buffer: int
    write_limit: int
    receive_buffer: int
    on_down: Callable[[Down], object] | None


_DEFAULT_TIMEOUT = 10.0
_MIB = 1 << 20
_U32 = (1 << 32) - 1
_I32 = (1 << 31) - 1


def canonical(
    options: Mapping[str, Any], known: Iterable[str], elsewhere: Mapping[str, str] = ELSEWHERE
) -> dict[str, Any]:
    """Return ``options`` under the project's names, or say what is wrong with them."""
    names = set(known)
    found: dict[str, Any] = {}
    for given, value in options.items():
        if given in elsewhere:
            raise TypeError(f"connect() got an unexpected option {given!r}: {elsewhere[given]}")
        if given not in names:
            near = difflib.get_close_matches(given, names, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise TypeError(f"connect() got an unexpected option {given!r}{hint}")
        name = ALIASES.get(given, given)
        if name in found:
            raise TypeError(f"connect() got {name!r} twice: {given!r} is another name for it")
        found[name] = value
    return found


def config(url: str, options: Mapping[str, Any]) -> Config:
    """Make the native configuration from options under the project's names."""
    if not isinstance(url, str):
        raise TypeError(f"url must be str, not {type(url).__name__}")
    tls = _tls(url, options.get("tls"), options.get("ssl"))
    heartbeat = _heartbeat(options)
    reconnect = _reconnect(options.get("reconnect", True))
    return Config(
        url,
        headers=header_pairs(options.get("headers")),
        subprotocols=strings("subprotocols", options.get("subprotocols")),
        origin=options.get("origin"),
        proxy=_proxy(options.get("proxy", True)),
        max_redirects=_integer("max_redirects", options.get("max_redirects", 0), 0, _U32),
        compression=_compression(options.get("compression", "deflate")),
        open_timeout=options.get("connect_timeout", _DEFAULT_TIMEOUT),
        close_timeout=options.get("close_timeout", _DEFAULT_TIMEOUT),
        ping_interval=heartbeat.interval,
        ping_timeout=heartbeat.timeout,
        streaming=_flag("streaming", options.get("streaming", False)),
        max_size=_size(options, "max_message_size", 64 * _MIB),
        max_fragments=_size(options, "max_fragments", None),
        send_buffer=_size(options, "send_buffer", None),
        receive_buffer=_size(options, "receive_buffer", None),
        offline=options.get("offline", "queue"),
        offline_max_age=_seconds("offline_max_age", options.get("offline_max_age")),
        reconnect=reconnect,
        retry=[] if reconnect is None else _retry(reconnect.retry),
        before_connect=_function(options, "before_connect"),
        should_reconnect=_function(options, "should_reconnect"),
        hook_timeout=hook_timeout(options),
        consumer_timeout=_seconds("consumer_timeout", options.get("consumer_timeout")),
        consumer_action=options.get("consumer_action", "report"),
        log_level=_log_level(logger(options)),
        ca_file=tls.ca_file,
        ca_pem=tls.ca_pem,
        verify=tls.verify,
        server_name=tls.server_name,
        client_cert=tls.client_cert,
        client_key=tls.client_key,
        pinned_keys=strings("pinned_keys", tls.pinned_keys),
    )


def header_pairs(headers: HeadersLike | None) -> list[tuple[str, str]]:
    """Return header fields in order."""
    if headers is None:
        return []
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    found = []
    for pair in pairs:
        match pair:
            case (str() as name, str() as value):
                found.append((name, value))
            case _:
                raise TypeError(f"headers must be pairs of str, not {pair!r}")
    return found


def strings(name: str, given: Sequence[str] | None) -> list[str]:
    """Return the option ``name`` as a list."""
    if given is None:
        return []
    if isinstance(given, str):
        raise TypeError(f"{name} must be a list of str, not a str")
    return list(given)


def _proxy(proxy: str | Literal[True] | None) -> str | bool:
    if proxy is None or proxy is True:
        return proxy is True
    if not isinstance(proxy, str):
        raise TypeError(f"proxy must be a URL, True for the environment or None, not {proxy!r}")
    return proxy


def _compression(compression: str | Deflate | None) -> Deflate | None:
    if compression is None:
        return None
    if compression == "deflate":
        return Deflate()
    if not isinstance(compression, Deflate):
        raise ValueError(
            f"compression must be 'deflate', Deflate(...) or None, not {compression!r}"
        )
    _integer("threshold", compression.threshold, 0, sys.maxsize)
    for name in ("level", "memory_level"):
        _integer(name, getattr(compression, name), 1, 9)
    for side in ("client", "server"):
        bits, takeover = f"{side}_max_window_bits", f"{side}_no_context_takeover"
        _integer(bits, getattr(compression, bits), 9, 15)
        _flag(takeover, getattr(compression, takeover))
    return compression


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, not {value!r}")
    return value


def _integer(name: str, value: object, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an int, not {value!r}")
    if not least <= value <= most:
        raise ValueError(f"{name} must be {least} to {most}, not {value}")
    return value


def _size(options: Mapping[str, Any], name: str, default: int | None) -> int | None:
    value = options.get(name, default)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an int, not {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be 1 or more, not {value}")
    return value


def _heartbeat(options: Mapping[str, Any]) -> Heartbeat:
    heartbeat: Heartbeat | None = options.get("heartbeat", Heartbeat())
    if heartbeat is None:
        heartbeat = Heartbeat(interval=None)
    pings = {name for name in ("ping_interval", "ping_timeout") if name in options}
    if not pings:
        return heartbeat
    if "heartbeat" in options:
        raise TypeError(f"connect() got 'heartbeat' twice: {min(pings)!r} is part of it")
    return Heartbeat(
        interval=options.get("ping_interval", heartbeat.interval),
        timeout=options.get("ping_timeout", heartbeat.timeout),
    )


def _seconds(name: str, value: object) -> float | None:
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number of seconds or None, not {value!r}")
    if math.isnan(value) or value < 0:
        raise ValueError(f"{name} must be a number of seconds, zero or more, not {value}")
    return value


def hook_timeout(options: Mapping[str, Any]) -> float | None:
    """Return how many seconds a hook has."""
    return _seconds("hook_timeout", options.get("hook_timeout", _DEFAULT_TIMEOUT))


def _function(options: Mapping[str, Any], name: str) -> bool:
    """Return whether there is one."""
    function = options.get(name)
    if function is not None and not callable(function):
        raise TypeError(f"{name} must be a function, not {function!r}")
    return function is not None


def on_message(options: Mapping[str, Any]) -> Callable[..., object] | None:
    """Return what messages go to, if not to ``recv``."""
    if not _function(options, "on_message"):
        return None
    function: Callable[..., object] = options["on_message"]
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        type(function).__call__
    ):
        raise TypeError("on_message must be a plain function, not a coroutine function")
    if options.get("streaming"):
        raise ValueError("on_message takes whole messages: it does not go with streaming=True")
    return function


def logger(options: Mapping[str, Any]) -> logging.Logger:
    """Return where the log goes."""
    given = options.get("logger")
    if given is None:
        return logging.getLogger("longwire")
    if not isinstance(given, logging.Logger):
        raise TypeError(f"logger must be a logging.Logger, not {given!r}")
    return given


#: The levels of `logging` for those of the core, whose numbers are 1 to 4.
LEVELS = (logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG)


def _log_level(logger: logging.Logger) -> int:
    """Return the core's number of the lowest level that ``logger`` takes; 0 for none."""
    return sum(logger.isEnabledFor(level) for level in LEVELS)


def _reconnect(reconnect: bool | Reconnect) -> Reconnect | None:
    if reconnect is False:
        return None
    if reconnect is True:
        return Reconnect()
    if not isinstance(reconnect, Reconnect):
        raise TypeError(f"reconnect must be True, False or Reconnect(...), not {reconnect!r}")
    return reconnect


def _retry(retry: Mapping[int | str, bool]) -> list[tuple[int, bool]]:
    if not isinstance(retry, Mapping):
        raise TypeError(f"retry must be a mapping, not {retry!r}")
    numbers = {symbol: number for number, symbol in ERROR_KINDS}
    found = []
    for cause, again in retry.items():
        number = numbers.get(cause.removeprefix("LW_")) if isinstance(cause, str) else cause
        if number is None:
            raise ValueError(f"retry: expected the symbol of an error, got {cause!r}")
        found.append((_integer("retry", number, -_I32, _I32), _flag(f"retry: {cause!r}", again)))
    return found


def _tls(url: str, tls: TLS | None, ssl: _ssl.SSLContext | bool | None) -> TLS:
    if ssl is None or ssl is True:
        return tls if tls is not None else TLS()
    if tls is not None:
        raise TypeError("connect() got 'tls' twice: 'ssl' is another way to say it")
    if not isinstance(ssl, _ssl.SSLContext):
        raise TypeError(f"ssl must be an ssl.SSLContext or True, not {ssl!r}")
    if not url.lower().startswith("wss:"):
        raise ValueError("ssl is given, but the URL is not wss:")
    verify, ca_pem = _ssl_context.read(ssl)
    return TLS(verify=verify, ca_pem=ca_pem)
