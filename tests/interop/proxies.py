"""tinyproxy, the same behind stunnel, and microsocks, each wanting a user and a password.

    proxies.py --dir DIR

DIR is the test server's `--dir`: its leaf.pem and leaf.key are the certificate of the proxy behind
TLS. Prints one JSON line when ready, with the URL of each proxy that is installed,
{"http": "http://user:p%61ss@127.0.0.1:PORT", "https": …, "socks5": …, "socks5h": …, "pid": N}, and
ends, the proxies with it, when its stdin does or on SIGTERM. What is missing is named on stderr.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

START_LIMIT = 10.0
STOP_LIMIT = 5.0
#: Between a look for a free port and its use, somebody else may take it.
TRIES = 5

USER, PASSWORD = "user", "pass"
# Percent-encoded, as any character may be.
LOGIN = "user:p%61ss"

TINYPROXY = """
Port {port}
Listen 127.0.0.1
Allow 127.0.0.1
MaxClients 100
Timeout 60
BasicAuth {user} {password}
LogLevel Error
"""

STUNNEL = """
foreground = yes
pid =
syslog = no
debug = crit
[proxy]
accept = 127.0.0.1:{port}
connect = 127.0.0.1:{inner}
cert = {directory}/leaf.pem
key = {directory}/leaf.key
"""


def fail(message: str) -> NoReturn:
    sys.exit(f"proxies.py: {message}")


def found(program: str) -> str | None:
    """Where Debian keeps it."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])
    return shutil.which(program, path=path)


def is_listening(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1.0):
            return True
    except OSError:
        return False


def is_ready(process: subprocess.Popen[bytes], port: int) -> bool:
    """Whether the process listens there before it ends or the time is over."""
    deadline = time.monotonic() + START_LIMIT
    while process.poll() is None and time.monotonic() < deadline:
        if is_listening(port):
            return True
        time.sleep(0.01)
    return False


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextlib.contextmanager
def running(name: str, command: Callable[[int], Sequence[str]]) -> Iterator[int]:
    """A proxy on a free port of 127.0.0.1; none of them takes over a socket or tells its port."""
    for _ in range(TRIES):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = int(free.getsockname()[1])
        process = subprocess.Popen(
            command(port), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        try:
            if is_ready(process, port):
                yield port
                return
        finally:
            stop(process)
    fail(f"{name} does not listen; exit status {process.returncode}")


def proxies(stack: ExitStack, directory: Path) -> Iterator[tuple[str, str]]:
    """Scheme and URL of each proxy that is installed, which runs until the stack is left."""
    home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="longwire-proxies-")))

    def configured(program: str, text: str, *options: str) -> Callable[[int], Sequence[str]]:
        def command(port: int) -> Sequence[str]:
            file = home / f"{Path(program).name}.conf"
            file.write_text(text.replace("{port}", str(port)))
            return [program, *options, str(file)]

        return command

    if tinyproxy := found("tinyproxy"):
        text = TINYPROXY.format(port="{port}", user=USER, password=PASSWORD)
        port = stack.enter_context(running("tinyproxy", configured(tinyproxy, text, "-d", "-c")))
        yield "http", f"http://{LOGIN}@127.0.0.1:{port}"
        if stunnel := found("stunnel4"):
            text = STUNNEL.format(port="{port}", inner=port, directory=directory)
            port = stack.enter_context(running("stunnel", configured(stunnel, text)))
            yield "https", f"https://{LOGIN}@localhost:{port}"
        else:
            print("proxies.py: no stunnel4, so no https: proxy", file=sys.stderr)
    else:
        print("proxies.py: no tinyproxy (Debian: tinyproxy-bin)", file=sys.stderr)
    if microsocks := found("microsocks"):

        def command(port: int) -> Sequence[str]:
            return [microsocks, "-i", "127.0.0.1", "-p", str(port), "-u", USER, "-P", PASSWORD]

        port = stack.enter_context(running("microsocks", command))
        for scheme in ("socks5", "socks5h"):
            yield scheme, f"{scheme}://{LOGIN}@127.0.0.1:{port}"
    else:
        print("proxies.py: no microsocks", file=sys.stderr)


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    parser = argparse.ArgumentParser(description="real proxies on free ports of 127.0.0.1")
    parser.add_argument(
        "--dir", required=True, type=Path, help="directory with leaf.pem and leaf.key"
    )
    directory = parser.parse_args().dir.resolve()
    for name in ("leaf.pem", "leaf.key"):
        if not (directory / name).is_file():
            fail(f"no {name} in {directory}")
    with ExitStack() as stack:
        ready = {**dict(proxies(stack, directory)), "pid": os.getpid()}
        print(json.dumps(ready), flush=True)
        sys.stdin.buffer.read()


if __name__ == "__main__":
    main()
