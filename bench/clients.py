"""The clients that are measured, and the aims that longwire has beside them."""

from __future__ import annotations

from dataclasses import dataclass

PYTHON = ".local/bench-venv/bin/python"
PROGRAMS = "bench/programs"


@dataclass(frozen=True)
class Client:
    """A program, and how it is named in the tables."""

    name: str
    #: Whose column it is in: "C", "Python" or "Node".
    language: str
    command: tuple[str, ...]
    loop: str = "asyncio"
    ours: bool = False


def _native(name: str, path: str, *, ours: bool = False) -> Client:
    return Client(name, "C", (path,), ours=ours)


def _python(name: str, program: str, *, loop: str = "asyncio", ours: bool = False) -> Client:
    return Client(name, "Python", (PYTHON, f"{PROGRAMS}/python/{program}.py"), loop, ours)


def _node(name: str, program: str, *, ours: bool = False) -> Client:
    return Client(name, "Node", ("node", f"{PROGRAMS}/node/{program}.mjs"), ours=ours)


#: What every round trip is compared with.
RAW = _native("raw socket", "build/bench/peers/raw")

CLIENTS = (
    RAW,
    _native("longwire C", "build/bench/peers/longwire", ours=True),
    _native("Boost.Beast", "build/bench/peers/beast"),
    _native("libwebsockets", "build/bench/peers/libwebsockets"),
    _native("tokio-tungstenite", "target/release/tokio-tungstenite"),
    _native("fastwebsockets", "target/release/fastwebsockets"),
    _native("yawc", "target/release/yawc"),
    _python("longwire async for", "longwire_asyncio", ours=True),
    _python("longwire on_message", "longwire_callback", ours=True),
    _python("longwire.sync", "longwire_blocking", ours=True),
    _python("picows", "peer_picows"),
    _python("aiohttp", "peer_aiohttp"),
    _python("websockets", "peer_websockets"),
    _python("websockets.sync", "peer_websockets_sync"),
    _python("websocket-client", "peer_websocket_client"),
    _python("longwire async for, uvloop", "longwire_asyncio", loop="uvloop", ours=True),
    _python("longwire on_message, uvloop", "longwire_callback", loop="uvloop", ours=True),
    _python("picows, uvloop", "peer_picows", loop="uvloop"),
    _python("aiohttp, uvloop", "peer_aiohttp", loop="uvloop"),
    _python("websockets, uvloop", "peer_websockets", loop="uvloop"),
    _node("longwire connect", "longwire_connect", ours=True),
    _node("longwire WebSocket", "longwire_websocket", ours=True),
    _node("ws", "peer_ws"),
    _node("undici", "peer_undici"),
)


@dataclass(frozen=True)
class Aim:
    """At least `factor` times the best of `peers`; at most, if it is a round trip's time."""

    client: str
    workload: str
    peers: tuple[str, ...]
    factor: float
    #: An absolute bound beside it: of a round trip in µs, of a message in ns of CPU time.
    limit: float | None = None


_NATIVE = ("Boost.Beast", "libwebsockets", "tokio-tungstenite", "fastwebsockets")

#: The rows of the table of aims: workload, then for each face (peers, factor).
_TABLE: dict[str, dict[str, tuple[tuple[str, ...], float]]] = {
    "round trip 64 B": {
        "longwire C": (_NATIVE, 1.0),
        "longwire async for": (("aiohttp",), 0.7),
        "longwire on_message": (("picows",), 1.0),
        "longwire.sync": (("websocket-client",), 0.5),
        "longwire connect": (("ws",), 0.7),
        "longwire WebSocket": (("undici",), 0.7),
    },
    "flood 64 B": {
        "longwire C": (("tokio-tungstenite",), 2.0),
        "longwire async for": (("picows",), 1.3),
        "longwire on_message": (("picows",), 1.5),
        "longwire.sync": (("websockets.sync",), 10.0),
        "longwire connect": (("ws",), 2.0),
        "longwire WebSocket": (("undici",), 3.0),
    },
    "flood 1 MB": {
        "longwire C": (_NATIVE, 1.0),
        "longwire async for": (("picows",), 1.1),
        "longwire on_message": (("picows",), 1.1),
        "longwire.sync": (("websocket-client",), 3.0),
        "longwire connect": (("ws",), 1.5),
        "longwire WebSocket": (("undici",), 1.5),
    },
    "sink 64 B": {
        "longwire C": (_NATIVE, 3.0),
        "longwire async for": (("picows",), 3.0),
        "longwire on_message": (("picows",), 3.0),
        "longwire.sync": (("websocket-client",), 3.0),
        "longwire connect": (("ws",), 4.0),
        "longwire WebSocket": (("undici",), 4.0),
    },
    "sink 1 MB": {
        "longwire C": (_NATIVE, 1.0),
        "longwire async for": (("picows",), 1.5),
        "longwire on_message": (("picows",), 1.5),
        "longwire.sync": (("websockets.sync",), 1.5),
        "longwire connect": (("ws",), 3.0),
        "longwire WebSocket": (("undici",), 3.0),
    },
}

_LIMITS = {("round trip 64 B", "longwire C"): 1.5, ("flood 64 B", "longwire C"): 30.0}

#: Over TLS within a tenth of the same.
_SECURE = {"round trip 64 B": "wss round trip 64 B", "flood 1 MB": "wss flood 1 MB"}


def _aims() -> list[Aim]:
    aims = [
        Aim(client, workload, peers, factor, _LIMITS.get((workload, client)))
        for workload, row in _TABLE.items()
        for client, (peers, factor) in row.items()
    ]
    for plain, secure in _SECURE.items():
        slack = 1.1 if plain.startswith("round trip") else 0.9
        aims += [
            Aim(client, secure, peers, factor * slack)
            for client, (peers, factor) in _TABLE[plain].items()
        ]
    return aims


AIMS = _aims()
