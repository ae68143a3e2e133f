"""The programs in examples/python do what they say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import LIMIT, ROOT, Server, server_binary, start
from longwire import TLS, sync

EXAMPLES = ROOT / "examples" / "python"


@pytest.mark.parametrize("name", ["echo.py", "echo_sync.py"])
def test_echo(server: Server, name: str) -> None:
    command = [sys.executable, str(EXAMPLES / name), server.url("/echo", "wss"), server.ca_file]
    out = subprocess.run(command, capture_output=True, text=True, check=True, timeout=LIMIT).stdout
    assert out.splitlines()[:2] == ["hello", r"b'\x00\x01\x02'"]
    assert "round trip: " in out


@pytest.mark.parametrize("name", ["room.py", "room_sync.py"])
def test_room(tmp_path: Path, name: str) -> None:
    command = (server_binary(), "--stdin-guard", "--dir", tmp_path)
    with start(*command) as old:
        ports = ("--port", old.port(), "--tls-port", old.port("wss"))
        url = old.url("/room", "wss")
        with sync.connect(url, tls=TLS(ca_file=old.ca_file)) as room:
            arguments = [str(EXAMPLES / name), url, old.ca_file, "me", "40"]
            talker = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE)
            for number in range(1, 11):
                assert room.recv(timeout=LIMIT) == f"me {number}"
    with start(*command, *map(str, ports)):
        out, _ = talker.communicate(timeout=LIMIT)
    report = json.loads(out)
    assert talker.returncode == 0
    assert report.pop("round_trip_us") > 0
    assert report.pop("sent") >= 40
    language = "Python blocking" if "sync" in name else "Python asyncio"
    assert report == {"language": language, "url": url, "received": 40, "reconnects": 1}
