"""A numbered file, read: what the server does and what the client must do."""

from __future__ import annotations

import tomllib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import peer
from octets import octets

#: The limits of a case that names none.
SECONDS = 10.0
MEGABYTES = 16.0

_OPTIONS = {
    "connect_timeout", "close_timeout", "max_message_size", "max_fragments", "subprotocols",
    "reconnect", "compression", "server_max_window_bits", "server_no_context_takeover",
}  # fmt: skip
_KEYS = {
    "what", "rfc", "each", "scheme", "options", "on_open", "server", "sent", "connection",
    "events", "says", "seconds", "megabytes", "address_space",
}  # fmt: skip


class Wrong(Exception):
    """A file that is no case, or a client that did not do what it must."""


@dataclass(frozen=True)
class Connection:
    """What the server does on one connection, and the frames it must be sent."""

    script: str
    sent: list[str]

    def check(self, frames: list[peer.Frame]) -> None:
        """Compare what the client sent with what it must send."""
        rest = list(frames)
        for expected in self.sent:
            kind, _, what = expected.partition(" ")
            if what.startswith("at most "):
                count = 0
                while rest and rest[0].kind == kind:
                    rest.pop(0)
                    count += 1
                if count > int(what.removeprefix("at most ")):
                    raise Wrong(f"expected {expected}, the client sent {count}")
                continue
            if not rest or not _is(rest.pop(0), kind, what):
                break
        else:
            if not rest:
                return
        came = ", ".join(map(str, frames[:10])) or "nothing"
        raise Wrong(f"expected the client to send {self.sent or 'nothing'}, got {came}")


def _is(frame: peer.Frame, kind: str, what: str) -> bool:
    if frame.kind != kind:
        return False
    if kind == "close":
        # The reasons are sentences of the library's own, and may change.
        return frame.payload[:2] == (int(what).to_bytes(2, "big") if what else b"")
    return frame.payload == octets(what)


@dataclass(frozen=True)
class Report:
    """A line of a client program's."""

    line: str
    word: str
    #: What a case names of it, in the words of a case.
    words: list[str]
    reason: bytes = b""
    message: str = ""

    @staticmethod
    def read(line: str) -> Report:
        """Read a line; README.md has the words."""
        word, *rest = line.split(" ")
        match word, rest:
            case "closed", [code, clean, reason, symbol, status, message]:
                words = [code, *(["clean"] if clean == "clean" else []), *_named(symbol, status)]
                return Report(line, word, words, _hexadecimal(reason), _text(message))
            case "down", [symbol, status, message]:
                return Report(line, word, _named(symbol, status), b"", _text(message))
            case "open", [subprotocol]:
                return Report(line, word, [] if subprotocol == "-" else [subprotocol])
            case "text" | "binary", [_, _]:
                return Report(line, word, rest)
        raise Wrong(f"expected an event, the client program said {line!r}")

    def __str__(self) -> str:
        text = " ".join([self.word, *self.words])
        if self.reason:
            text += f" reason {self.reason!r}"
        return f"{text} ({self.message})" if self.message else text

    def is_what(self, expected: str) -> bool:
        """Tell whether this is what a case expects."""
        head, _, reason = expected.partition(" reason ")
        word, *words = head.split(" ")
        if word != self.word:
            return False
        if word in ("text", "binary"):
            payload = octets(expected.partition(" ")[2])
            return self.words == [str(len(payload)), str(zlib.adler32(payload))]
        return (
            len(words) == len(self.words)
            and all(came in word.split("|") for word, came in zip(words, self.words, strict=True))
            and self.reason == octets(reason)
        )


def _named(symbol: str, status: str) -> list[str]:
    return [*([] if symbol == "-" else [symbol]), *([] if status == "0" else [status])]


def _hexadecimal(word: str) -> bytes:
    return b"" if word == "-" else bytes.fromhex(word)


def _text(word: str) -> str:
    return _hexadecimal(word).decode()


@dataclass(frozen=True)
class Case:
    """One run: a file, with one choice of its variables."""

    name: str
    scheme: str
    options: dict[str, Any]
    on_open: str
    connections: list[Connection]
    events: list[str]
    says: str
    seconds: float
    megabytes: float
    #: How many megabytes the client may reserve meanwhile, used or not.
    address_space: float | None

    def command(self, port: int) -> str:
        """Return the line that has a client program play its part."""
        words = {"url": f"{self.scheme}://127.0.0.1:{port}/", **self.options}
        if isinstance(subprotocols := words.get("subprotocols"), list):
            words["subprotocols"] = ",".join(subprotocols)
        for name in ("compression", "server_no_context_takeover"):
            if name in words:
                words[name] = int(words[name])
        if self.on_open:
            words["on_open"] = self.on_open.replace(" ", ":")
        return " ".join(f"{name}={value}" for name, value in words.items())

    def check(self, reports: list[Report]) -> None:
        """Compare what the client's user saw with what it must see."""
        pairs = zip(self.events, reports, strict=False)
        same = len(self.events) == len(reports) and all(
            report.is_what(expected) for expected, report in pairs
        )
        came = ", ".join(map(str, reports[:10]))
        if not same:
            raise Wrong(f"expected the events {', '.join(self.events)}; got {came}")
        if self.says and self.says not in reports[-1].message:
            raise Wrong(f"expected a message with {self.says!r}; got {came}")


def read(path: Path) -> list[Case]:
    """Return the runs that a file asks for."""
    text = path.read_text()
    number = path.name.partition("-")[0]
    try:
        each = tomllib.loads(text).get("each", {})
        choices = [[(name, value) for value in _values(values)] for name, values in each.items()]
        return [_case(number, text, choice) for choice in product(*choices)]
    except (ValueError, KeyError, TypeError, Wrong) as error:
        raise Wrong(f"{path}: {type(error).__name__}: {error}") from error


def _values(values: list[str] | str) -> Iterator[str]:
    """Values as a list, or as a range of numbers, `first..last`."""
    if isinstance(values, list):
        yield from map(str, values)
    else:
        first, _, last = values.partition("..")
        yield from map(str, range(int(first), int(last) + 1))


def _case(number: str, text: str, choice: tuple[tuple[str, str], ...]) -> Case:
    name = number
    for variable, value in choice:
        text = text.replace(f"${variable}", value)
        name += f" {variable}={value}"
    table = tomllib.loads(text)
    options = table.get("options", {})
    if unknown := sorted((table.keys() - _KEYS) | (options.keys() - _OPTIONS)):
        raise Wrong(f"unknown keys {', '.join(unknown)}")
    if not (table["what"] and table["rfc"]):
        raise Wrong("expected `what` to say what is wrong, and `rfc` where that is written")
    served = table.get("connection", [table])
    connections = [Connection(one["server"], one.get("sent", [])) for one in served]
    for connection in connections:
        peer.check(connection.script)
    return Case(
        name,
        table.get("scheme", "ws"),
        options,
        table.get("on_open", ""),
        connections,
        table["events"],
        table.get("says", ""),
        table.get("seconds", SECONDS),
        table.get("megabytes", MEGABYTES),
        table.get("address_space"),
    )
