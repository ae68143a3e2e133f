"""The echo example of every language against servers, and through proxies, nobody here wrote.

Python's and Node's tests ask more of the same servers; C, C++ and Rust meet them
here, and have to compress what they say to one that agrees to it. Prints what failed,
and at the end "N passed, N failed".
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[2]
INTEROP = Path("tests/interop")
LIMIT = 30.0

#: What to run, before URL and CA_FILE, and what it has to print.
GREETING = "grüezi"
EXAMPLES: dict[str, tuple[Sequence[str], Sequence[str], str]] = {
    "C": (["build/c/echo"], [GREETING], GREETING),
    "C++": (["build/cpp/echo"], [GREETING], GREETING),
    "Rust": (["target/release/echo"], [GREETING], GREETING),
    "Python asyncio": ([sys.executable, "examples/python/echo.py"], [], "hello"),
    "Python blocking": ([sys.executable, "examples/python/echo_sync.py"], [], "hello"),
    "Node": (["node", "examples/node/echo.mjs"], [], "hello"),
}

#: Compressed, it is a hundredth of this. One argument can be 128 KiB long.
LONG = "longwire, " * 10_000


@contextmanager
def started(*command: str | Path) -> Iterator[dict[str, Any]]:
    """A server that prints a line of JSON when it is ready and ends with its stdin."""
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())
        finally:
            process.communicate(timeout=LIMIT)


def peers(stack: ExitStack, directory: Path) -> Iterator[tuple[str, str, list[str]]]:
    """Name, URL and CA file of each server."""
    websockets = stack.enter_context(started(sys.executable, INTEROP / "websockets_server.py"))
    ws = stack.enter_context(started("node", INTEROP / "ws_server.mjs"))
    yield "websockets", websockets["ws"], []
    yield "ws", ws["ws"], []
    # Setting up names what it could not install; nginx need not be there.
    if shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin:/sbin"):
        for name, upstream in (("websockets", websockets["ws"]), ("ws", ws["ws"])):
            nginx = stack.enter_context(
                started(sys.executable, INTEROP / "nginx.py",
                        "--upstream", upstream, "--dir", directory)
            )  # fmt: skip
            yield f"nginx in front of {name}", nginx["wss"], [nginx["ca_file"]]


def environment(proxy: str = "") -> dict[str, str]:
    """This process's, but with that proxy and no other."""
    kept = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    return {**kept, "ALL_PROXY": proxy}


def complaint(language: str, url: str, ca_file: list[str], proxy: str = "") -> str:
    """What went wrong in one conversation; empty if nothing did."""
    program, arguments, answer = EXAMPLES[language]
    try:
        run = subprocess.run(
            [*program, url, *arguments, *ca_file],
            cwd=ROOT, env=environment(proxy), capture_output=True, text=True, timeout=LIMIT,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"not done after {LIMIT:.0f} s"
    if run.returncode != 0:
        return f"exit code {run.returncode}\n{run.stderr.strip()}"
    if answer not in run.stdout:
        return f"expected {answer!r} in {run.stdout!r}"
    return ""


async def traffic(command: Sequence[str], url: str, message: str) -> tuple[int, int]:
    """How many bytes go to the server, and come back, while `command` sends `message`."""
    counts = [0, 0]

    async def forward(way: int, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while piece := await source.read(65536):
            counts[way] += len(piece)
            target.write(piece)
            await target.drain()
        target.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind = urlsplit(url)
        answers, questions = await asyncio.open_connection(behind.hostname, behind.port)
        await asyncio.gather(forward(0, reader, questions), forward(1, answers, writer))

    async with await asyncio.start_server(relay, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        process = await asyncio.create_subprocess_exec(
            *command, f"ws://127.0.0.1:{port}", message,
            cwd=ROOT, env=environment(), stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            out, _ = await asyncio.wait_for(process.communicate(), LIMIT)
        finally:
            if process.returncode is None:
                process.kill()
    if out.decode() != message + "\n":
        raise ValueError(f"expected what was sent, got {len(out)} bytes that begin {out[:50]!r}")
    return counts[0], counts[1]


def not_compressed(language: str, url: str) -> str:
    """What is wrong with the bytes of a long message, both ways; empty if nothing is."""
    try:
        sent, received = asyncio.run(traffic(EXAMPLES[language][0], url, LONG))
    except (TimeoutError, ValueError) as error:
        return f"{error or 'not done in time'}"
    if max(sent, received) > len(LONG) // 10:
        return f"expected {len(LONG)} bytes compressed, got {sent} sent and {received} received"
    return ""


def server_complaints(stack: ExitStack, directory: Path) -> Iterator[tuple[str, str]]:
    """Every language with every server: who it is, and what went wrong."""
    for name, url, ca_file in peers(stack, directory):
        for language, (_, arguments, _) in EXAMPLES.items():
            yield f"{language} with {name}", complaint(language, url, ca_file)
            # Of these two, it alone compresses unless told otherwise.
            if arguments and name == "websockets":
                yield f"{language} with {name}, at length", not_compressed(language, url)


def proxy_complaints(ours: dict[str, Any], proxies: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Every language through every proxy, which must let nobody else through."""
    ca_file = [ours["ca_file"]]
    for scheme in ("http", "https", "socks5", "socks5h"):
        if scheme not in proxies:
            continue
        # The name is for the proxy to resolve, by socks5h:.
        for url in (f"{ours['ws']}/echo".replace("127.0.0.1", "localhost"), f"{ours['wss']}/echo"):
            for language in EXAMPLES:
                who = f"{language} through {scheme}: to {url}"
                yield who, complaint(language, url, ca_file, proxies[scheme])
        stranger = proxies[scheme].replace("p%61ss", "wrong")
        refused = complaint("Rust", f"{ours['ws']}/echo", ca_file, stranger)
        as_expected = "the proxy" in refused and "wrong" not in refused
        yield f"a stranger through {scheme}:", "" if as_expected else f"not refused: {refused!r}"


def main() -> int:
    passed = failed = 0
    server = os.environ.get("LONGWIRE_TEST_SERVER", "target/release/longwire-test-server")
    with ExitStack() as stack:
        ours = stack.enter_context(started(server, "--stdin-guard"))
        directory = Path(ours["ca_file"]).parent
        proxies = stack.enter_context(
            started(sys.executable, INTEROP / "proxies.py", "--dir", directory)
        )
        for complaints in (server_complaints(stack, directory), proxy_complaints(ours, proxies)):
            for who, what in complaints:
                if what:
                    failed += 1
                    print(f"{who}: {what}")
                else:
                    passed += 1
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
