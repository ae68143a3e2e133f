"""The test server, as the other side of a measurement."""

import contextlib
import json
import os
import pathlib
import subprocess
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).resolve().parent.parent


@contextlib.contextmanager
def started() -> Iterator[str]:
    """Its ws:// URL, for as long as it runs."""
    binary = os.environ.get("LONGWIRE_TEST_SERVER", "target/release/longwire-test-server")
    server = subprocess.Popen(
        [binary, "--stdin-guard"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    )
    assert server.stdin
    assert server.stdout
    try:
        yield str(json.loads(server.stdout.readline())["ws"])
    finally:
        server.stdin.close()
        server.wait(10)
