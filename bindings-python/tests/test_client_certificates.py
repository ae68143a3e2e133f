"""Servers that ask who the client is, and clients that know the server's key."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import longwire
import pytest
from conftest import LIMIT, ROOT, Server, start
from longwire import TLS, Reconnect, sync

#: Which error each client gets from nginx, which answers by HTTP, and from the test server.
CLIENTS: dict[str | None, str] = {
    None: "No required SSL certificate was sent",
    "expired": "The SSL certificate error",
    "foreign": "The SSL certificate error",
}


def tls_of(server: Server, client: str | None) -> TLS:
    directory = Path(server.ca_file).parent
    if client is None:
        return TLS(ca_file=server.ca_file)
    certificate, key = directory / f"{client}.pem", directory / f"{client}.key"
    return TLS(ca_file=server.ca_file, client_cert=certificate, client_key=key)


def echo(url: str, tls: TLS) -> None:
    with sync.connect(url, tls=tls) as ws:
        ws.send("hello")
        assert ws.recv(timeout=LIMIT) == "hello"


def test_a_good_certificate(server: Server) -> None:
    echo(server.url("/echo", "wss_client_cert"), tls_of(server, "client"))


@pytest.mark.parametrize(
    ("client", "alert"),
    [(None, "CertificateRequired"), ("expired", "CertificateExpired"), ("foreign", "UnknownCA")],
)
def test_an_alert_is_told(server: Server, client: str | None, alert: str) -> None:
    with pytest.raises(longwire.TLSError, match=alert):
        echo(server.url("/echo", "wss_client_cert"), tls_of(server, client))


def test_files_that_cannot_be_used(server: Server) -> None:
    url = server.url("/echo", "wss_client_cert")
    good = tls_of(server, "client")
    foreign = tls_of(server, "foreign")
    for tls, match in [
        (TLS(client_cert=good.client_cert), "expected client_key beside client_cert"),
        (TLS(client_key=good.client_key), "expected client_cert beside client_key"),
        (TLS(client_cert="/no/such", client_key=good.client_key), "client_cert /no/such: No such"),
        (TLS(client_cert=good.client_cert, client_key=foreign.client_key), "expected the key of"),
        (TLS(pinned_keys=["sha256//x"]), "pinned_keys: expected sha256//"),
    ]:
        with pytest.raises(longwire.InvalidArgument, match=match):
            echo(url, tls)


def pin(server: Server) -> str:
    """Return what OpenSSL makes of the server's certificate."""
    if not shutil.which("openssl"):
        pytest.skip("openssl could not be installed")
    certificate = Path(server.ca_file).with_name("leaf.pem").read_bytes()
    pem = subprocess.run(
        ["openssl", "x509", "-noout", "-pubkey"], input=certificate, stdout=-1, check=True
    ).stdout
    key = base64.b64decode(b"".join(pem.split(b"\n")[1:-2]))
    return "sha256//" + base64.b64encode(hashlib.sha256(key).digest()).decode()


def test_a_pinned_key(server: Server) -> None:
    url = server.url("/echo", "wss")
    right, other = pin(server), "sha256//" + base64.b64encode(bytes(32)).decode()
    echo(url, TLS(ca_file=server.ca_file, pinned_keys=[other, right]))
    echo(url, TLS(verify=False, pinned_keys=[right]))
    for tls in [
        TLS(ca_file=server.ca_file, pinned_keys=[other]),
        TLS(verify=False, pinned_keys=[other]),
    ]:
        with pytest.raises(longwire.CertificateError) as caught:
            echo(url, tls)
        assert right in str(caught.value)


@pytest.fixture
def nginx(server: Server) -> Iterator[str]:
    program = ROOT / "tests" / "interop" / "nginx.py"
    options = ["--upstream", server.ready["ws"], "--dir", Path(server.ca_file).parent]
    if not shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin:/sbin"):
        pytest.skip("nginx could not be installed")
    with start(sys.executable, program, *options, "--verify-client") as proxy:
        yield proxy.ready["wss"]


@pytest.mark.interop
def test_nginx_is_shown_a_good_certificate(server: Server, nginx: str) -> None:
    echo(f"{nginx}/echo", tls_of(server, "client"))


@pytest.mark.interop
@pytest.mark.parametrize("client", CLIENTS)
def test_nginx_refuses_by_http(server: Server, nginx: str, client: str | None) -> None:
    with pytest.raises(longwire.InvalidStatus) as caught:
        echo(f"{nginx}/echo", tls_of(server, client))
    assert caught.value.response.status_code == 400
    assert CLIENTS[client] in caught.value.response.body.decode()


@pytest.mark.interop
def test_nginx_sees_files_that_were_replaced(server: Server, nginx: str, tmp_path: Path) -> None:
    directory = Path(server.ca_file).parent
    mine = TLS(
        ca_file=server.ca_file,
        client_cert=tmp_path / "mine.pem",
        client_key=tmp_path / "mine.key",
    )

    def greet(ws: longwire.Connection) -> None:
        ws.send_nowait("hello")

    def put(client: str) -> None:
        for end in ("pem", "key"):
            shutil.copyfile(directory / f"{client}.{end}", tmp_path / f"mine.{end}")

    async def main() -> None:
        put("client")
        quick = Reconnect(min_delay=0.01, max_delay=0.02)
        url = f"{nginx}/drop?after=1"
        async with (
            asyncio.timeout(LIMIT),
            longwire.connect(url, tls=mine, reconnect=quick, on_open=greet) as ws,
        ):
            # Each connection ends with its echo: the second one had the same certificate.
            assert await ws.recv() == "hello"
            assert await ws.recv() == "hello"
            put("foreign")
            with pytest.raises(longwire.ConnectionClosedError) as caught:
                while True:
                    await ws.recv()
            assert isinstance(caught.value.__cause__, longwire.InvalidStatus)

    asyncio.run(main())
