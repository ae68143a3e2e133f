"""nginx terminating TLS in front of a WebSocket server.

    nginx.py --upstream ws://127.0.0.1:PORT --dir DIR [--verify-client]

DIR is the test server's `--dir`: its leaf.pem, leaf.key and ca.pem are used. With --verify-client
clients have to show a certificate of that CA; nginx answers others by HTTP, with 400. Prints one
JSON line when ready, {"wss": "wss://localhost:PORT", "ca_file": "…", "pid": N}, and ends, nginx
with it, when its stdin does or on SIGTERM. Needs no root and touches nothing outside a temporary
directory.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

START_LIMIT = 10.0
STOP_LIMIT = 5.0

# With a master process, for without one nginx 1.22 crashes on an inherited socket.
CONFIG = """
daemon off;
worker_processes 1;
pid {home}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {certificates}/leaf.pem;
        ssl_certificate_key {certificates}/leaf.key;
        ssl_client_certificate {certificates}/ca.pem;
        ssl_verify_client {verify_client};
        location / {{
            proxy_pass http://{upstream};
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection "upgrade";
            proxy_set_header Host $http_host;
        }}
    }}
}}
"""


def fail(message: str) -> NoReturn:
    sys.exit(f"nginx.py: {message}")


def find_nginx() -> str:
    # Debian keeps it where only root's PATH looks.
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])
    return shutil.which("nginx", path=path) or fail("no nginx found; Debian has it in nginx-light")


def arguments() -> tuple[str, Path, bool]:
    parser = argparse.ArgumentParser(
        description="nginx terminating TLS in front of a WebSocket server"
    )
    parser.add_argument(
        "--upstream", required=True, metavar="URL", help="ws://HOST:PORT of the server behind nginx"
    )
    parser.add_argument(
        "--dir", required=True, type=Path, help="directory with leaf.pem, leaf.key and ca.pem"
    )
    parser.add_argument(
        "--verify-client", action="store_true", help="demand a client certificate of ca.pem"
    )
    given = parser.parse_args()
    upstream = urlsplit(given.upstream)
    if upstream.scheme != "ws" or not upstream.netloc:
        fail(f"--upstream should be ws://HOST:PORT, got {given.upstream!r}")
    for name in ("leaf.pem", "leaf.key", "ca.pem"):
        if not (given.dir / name).is_file():
            fail(f"no {name} in {given.dir}")
    return upstream.netloc, given.dir.resolve(), given.verify_client


@contextlib.contextmanager
def running(
    upstream: str, certificates: Path, verify_client: bool
) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """nginx on a free port, bound here and inherited so that nobody takes it in between."""
    with contextlib.ExitStack() as stack:
        home = stack.enter_context(tempfile.TemporaryDirectory(prefix="longwire-nginx-"))
        with socket.create_server(("127.0.0.1", 0), backlog=511) as listener:
            port = int(listener.getsockname()[1])
            config = Path(home, "nginx.conf")
            config.write_text(
                CONFIG.format(
                    home=home,
                    port=port,
                    certificates=certificates,
                    upstream=upstream,
                    verify_client="on" if verify_client else "off",
                )
            )
            nginx = subprocess.Popen(
                [find_nginx(), "-p", home, "-c", str(config), "-e", "stderr"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[listener.fileno()],
                # How a new nginx takes over the sockets of the one before.
                env={**os.environ, "NGINX": f"{listener.fileno()};"},
            )
        stack.callback(stop, nginx)
        yield port, nginx


def stop(nginx: subprocess.Popen[bytes]) -> None:
    nginx.terminate()
    try:
        nginx.wait(STOP_LIMIT)
    except subprocess.TimeoutExpired:
        nginx.kill()
        nginx.wait()


def wait_until_ready(port: int, ca_file: Path, nginx: subprocess.Popen[bytes]) -> None:
    """A TLS handshake: the kernel takes the connection at once, but only nginx can answer."""
    context = ssl.create_default_context(cafile=ca_file)
    try:
        with (
            socket.create_connection(("127.0.0.1", port), START_LIMIT) as tcp,
            context.wrap_socket(tcp, server_hostname="localhost"),
        ):
            pass
    except OSError as error:
        fail(f"nginx does not answer: {error}; exit status {nginx.poll()}")


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    upstream, certificates, verify_client = arguments()
    ca_file = certificates / "ca.pem"
    with running(upstream, certificates, verify_client) as (port, nginx):
        wait_until_ready(port, ca_file, nginx)
        ready = {"wss": f"wss://localhost:{port}", "ca_file": str(ca_file), "pid": os.getpid()}
        print(json.dumps(ready), flush=True)
        sys.stdin.buffer.read()


if __name__ == "__main__":
    main()
