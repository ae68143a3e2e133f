"""Bad input and bad servers: each has its exception, in both faces."""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
from collections.abc import Callable, Iterator
from typing import Any

import longwire
import pytest
from conftest import LIMIT, Server
from longwire import TLS, Deflate, Reconnect, _longwire, exceptions, sync

Connect = Callable[..., str]
LARGEST = sys.maxsize


def with_asyncio(url: str, **options: Any) -> str:
    async def main() -> str:
        async with asyncio.timeout(LIMIT), longwire.connect(url, **options) as ws:
            await ws.send("hello")
            return str(await ws.recv())

    return asyncio.run(main())


def blocking(url: str, **options: Any) -> str:
    with sync.connect(url, **options) as ws:
        ws.send("hello")
        return str(ws.recv(timeout=LIMIT))


@pytest.fixture(params=[with_asyncio, blocking])
def connect(request: pytest.FixtureRequest) -> Connect:
    function: Connect = request.param
    return function


def test_every_error_of_the_core_has_its_exception() -> None:
    table = {number: cls.symbol for number, cls in exceptions.BY_NUMBER.items()}
    assert table == dict(_longwire.ERROR_KINDS)
    for number, cls in exceptions.BY_NUMBER.items():
        raised = exceptions.from_native(number, "what happened", (500, [("a", b"b")], b"c"))
        assert isinstance(raised, cls)
        assert raised.number == number


def test_exceptions_are_exported() -> None:
    for name in exceptions.__all__:
        assert getattr(longwire, name) is getattr(exceptions, name)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "not a url",
        "http://127.0.0.1/",
        "https://127.0.0.1/",
        "ws://",
        "ws:///path",
        "wss://:443/",
        "ws://127.0.0.1:99999/",
        "ws://127.0.0.1:port/",
        "//127.0.0.1/",
        "ws://127.0.0.1/a\r\nb",
        "ws://127.0.0.1/a\0b",
        "ws://127.0.0.1/a b\nHost: x",
    ],
)
def test_urls_that_cannot_be_used(connect: Connect, url: str) -> None:
    with pytest.raises(longwire.InvalidURI) as caught:
        connect(url)
    assert (caught.value.number, caught.value.symbol) == (-2, "EURL")
    assert isinstance(caught.value, ValueError)
    assert str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"headers": {"X-A": "a\r\nb"}},
        {"headers": {"X-A": "a\0b"}},
        {"headers": {"X\r\nA": "a"}},
        {"headers": {"": "a"}},
        {"headers": {"Sec-WebSocket-Key": "a"}},
        {"headers": {"Upgrade": "a"}},
        {"subprotocols": ["a\r\nb"]},
        {"subprotocols": ["a b"]},
        {"subprotocols": [""]},
        {"subprotocols": ["a", "a"]},
        {"origin": "a\r\nb"},
    ],
)
def test_what_cannot_be_in_a_handshake(
    connect: Connect, server: Server, options: dict[str, Any]
) -> None:
    with pytest.raises(longwire.InvalidArgument) as caught:
        connect(server.url("/echo"), **options)
    assert (caught.value.number, caught.value.symbol) == (-1, "EINVAL")
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"max_sice": 1}, TypeError, "'max_sice'; did you mean 'max_size'"),
        ({"bogus": 1}, TypeError, "unexpected option 'bogus'"),
        ({"max_queue": 16}, TypeError, "use receive_buffer"),
        ({"max_size": 1, "max_message_size": 1}, TypeError, "twice"),
        ({"heartbeat": longwire.Heartbeat(), "ping_interval": 1}, TypeError, "twice"),
        ({"ssl": ssl.create_default_context(), "tls": TLS()}, TypeError, "twice"),
        ({"headers": 5}, TypeError, "not iterable"),
        ({"headers": [("a", 1)]}, TypeError, "pairs of str"),
        ({"subprotocols": "chat"}, TypeError, "list of str"),
        ({"reconnect": "yes"}, TypeError, "reconnect must be"),
        ({"offline": "drop"}, ValueError, "'queue' or 'refuse'"),
        ({"proxy": False}, TypeError, "True for the environment or None, not False"),
        ({"max_redirects": -1}, ValueError, "max_redirects must be 0 to"),
        ({"max_redirects": True}, TypeError, "max_redirects must be an int"),
        ({"compression": "gzip"}, ValueError, r"'deflate', Deflate\(...\) or None, not 'gzip'"),
        ({"compression": True}, ValueError, "not True"),
        ({"compression": Deflate(level=10)}, ValueError, "level must be 1 to 9, not 10"),
        ({"compression": Deflate(memory_level=0)}, ValueError, "memory_level must be 1 to 9"),
        ({"compression": Deflate(client_max_window_bits=8)}, ValueError, "must be 9 to 15, not 8"),
        ({"compression": Deflate(threshold=-1)}, ValueError, "threshold must be 0 to"),
        ({"compression": Deflate(threshold=LARGEST)}, None, ""),
        ({"compression": None, "proxy": None, "max_redirects": 1}, None, ""),
        ({"streaming": 1}, TypeError, "streaming must be True or False"),
        ({"tls": TLS(pinned_keys="sha256//x")}, TypeError, "pinned_keys must be a list of str"),
        ({"max_size": "1"}, TypeError, "max_message_size must be an int"),
        ({"max_size": 0}, ValueError, "1 or more"),
        ({"open_timeout": -1}, ValueError, "open_timeout"),
        ({"ping_interval": float("nan")}, ValueError, "ping_interval"),
        ({"reconnect": Reconnect(min_delay=-1)}, ValueError, "min_delay"),
        ({"tls": TLS(ca_file="/nowhere/ca.pem")}, None, ""),
        ({"ssl": True}, None, ""),
    ],
)
def test_options(
    connect: Connect,
    server: Server,
    options: dict[str, Any],
    error: type[Exception] | None,
    match: str,
) -> None:
    if error is None:
        assert connect(server.url("/echo"), **options) == "hello"
        return
    with pytest.raises(error, match=match):
        connect(server.url("/echo"), **options)


def test_a_url_is_a_str(connect: Connect) -> None:
    with pytest.raises(TypeError):
        connect(b"ws://127.0.0.1")


@pytest.fixture
def refusing_port() -> Iterator[int]:
    """Bind a port and do not listen on it."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield int(holder.getsockname()[1])


@pytest.mark.parametrize("reconnect", [True, False])
def test_a_port_that_refuses(connect: Connect, refusing_port: int, reconnect: bool) -> None:
    with pytest.raises(longwire.ConnectError, match="refused") as caught:
        connect(f"ws://127.0.0.1:{refusing_port}/", reconnect=reconnect)
    assert caught.value.number == -8
    assert isinstance(caught.value, ConnectionError)


@pytest.mark.parametrize("reconnect", [True, False])
def test_a_host_that_does_not_resolve(connect: Connect, reconnect: bool) -> None:
    with pytest.raises(longwire.NameResolutionError) as caught:
        connect("ws://no-such-host.invalid/", reconnect=reconnect)
    assert caught.value.number == -7
    assert isinstance(caught.value, OSError)


@pytest.mark.parametrize("status", [200, 204, 301, 401, 403, 404, 429, 500, 503])
def test_another_status_than_101(connect: Connect, server: Server, status: int) -> None:
    body = "" if status == 204 else "because"
    url = server.url("/http", status=status, body=body, header="X-Why: reasons")
    with pytest.raises(longwire.InvalidStatus) as caught:
        connect(url)
    assert caught.value.number == -12
    assert caught.value.status == caught.value.response.status_code == status
    assert ("x-why", "reasons") in caught.value.headers
    assert caught.value.body == body.encode()
    assert isinstance(caught.value, longwire.InvalidHandshake)


def test_a_refusal_says_what_came(connect: Connect, server: Server) -> None:
    url = server.url("/need-header", name="X-Token", value="secret")
    with pytest.raises(longwire.InvalidStatus) as caught:
        connect(url, headers={"X-Token": "wrong"})
    assert caught.value.status == 403
    assert connect(url, headers={"X-Token": "secret"}) == "hello"


def test_a_server_that_does_not_speak_http(connect: Connect, server: Server) -> None:
    with pytest.raises(longwire.InvalidHandshake) as caught:
        connect(server.url("/garbage"))
    assert caught.value.number == -11


def test_a_server_that_says_nothing(connect: Connect, server: Server) -> None:
    with pytest.raises(longwire.Timeout) as caught:
        connect(server.url("/stall-handshake"), open_timeout=0.1)
    assert caught.value.number == -6
    assert isinstance(caught.value, TimeoutError)


def test_a_subprotocol_that_was_not_offered(connect: Connect, server: Server) -> None:
    with pytest.raises(longwire.InvalidHandshake):
        connect(server.url("/subprotocol", choose="other"), subprotocols=["mine"])


@pytest.mark.parametrize(
    ("frame", "error", "code"),
    [
        ("8f00", longwire.ProtocolError, 1002),
        ("c100", longwire.ProtocolError, 1002),
        ("8101ff", longwire.InvalidUTF8, 1007),
        ("827f7fffffffffffffff", longwire.PayloadTooBig, 1009),
    ],
)
def test_a_server_that_breaks_the_protocol(
    connect: Connect, server: Server, frame: str, error: type[Exception], code: int
) -> None:
    with pytest.raises(longwire.ConnectionClosedError) as caught:
        connect(server.url("/raw", after=frame), reconnect=False)
    assert isinstance(caught.value.__cause__, error)
    # The server tells what it was closed with.
    token = f"{connect.__name__}-{frame}"
    with pytest.raises(longwire.ConnectionClosedError):
        connect(server.url("/raw", after=frame, id=token), reconnect=False)
    with sync.connect(server.url("/raw-result", id=token)) as result:
        assert str(result.recv(timeout=LIMIT)).split()[0] == str(code)


def test_a_message_that_is_too_large(connect: Connect, server: Server) -> None:
    with pytest.raises(longwire.ConnectionClosedError) as caught:
        connect(server.url("/push", count=1, size=1001), max_size=1000, reconnect=False)
    assert isinstance(caught.value.__cause__, longwire.PayloadTooBig)


def test_a_certificate_of_an_unknown_authority(connect: Connect, server: Server) -> None:
    with pytest.raises(longwire.CertificateError) as caught:
        connect(server.url("/echo", "wss"))
    assert caught.value.number == -10
    assert isinstance(caught.value, ConnectionError)


def test_a_certificate_for_another_host(connect: Connect, server: Server) -> None:
    url = server.url("/echo", "wss_bad_name")
    with pytest.raises(longwire.CertificateError):
        connect(url, tls=TLS(ca_file=server.ca_file))
    assert connect(url, tls=TLS(ca_file=server.ca_file, server_name="other.example")) == "hello"
    assert connect(url, tls=TLS(verify=False)) == "hello"


def test_tls_where_there_is_none(connect: Connect, server: Server) -> None:
    with pytest.raises(longwire.TLSError) as caught:
        connect(f"wss://127.0.0.1:{server.port()}/echo", tls=TLS(ca_file=server.ca_file))
    assert not isinstance(caught.value, longwire.CertificateError)


def test_authorities_from_a_file_and_from_text(connect: Connect, server: Server) -> None:
    with open(server.ca_file) as file:
        pem = file.read()
    for tls in (TLS(ca_file=server.ca_file), TLS(ca_pem=pem)):
        assert connect(server.url("/echo", "wss"), tls=tls) == "hello"
    with pytest.raises(longwire.InvalidArgument):
        connect(server.url("/echo", "wss"), tls=TLS(ca_file="/nowhere/ca.pem"))
    with pytest.raises(longwire.InvalidArgument):
        connect(server.url("/echo", "wss"), tls=TLS(ca_pem="no certificate"))


def test_an_ssl_context_is_honoured_where_it_can_be_read(connect: Connect, server: Server) -> None:
    good, bad = server.url("/echo", "wss"), server.url("/echo", "wss_bad_name")
    context = ssl.create_default_context(cafile=server.ca_file)
    assert connect(good, ssl=context) == "hello"
    with pytest.raises(longwire.CertificateError):
        connect(bad, ssl=context)
    context.check_hostname = False
    with pytest.raises(ValueError, match="host name"):
        connect(bad, ssl=context)
    context.verify_mode = ssl.CERT_NONE
    assert connect(bad, ssl=context) == "hello"


def test_an_ssl_context_is_refused_where_it_cannot(connect: Connect, server: Server) -> None:
    url = server.url("/echo", "wss")
    with pytest.raises(ValueError, match="no certificate authorities"):
        connect(url, ssl=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    context = ssl.create_default_context(cafile=server.ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    with pytest.raises(ValueError, match=r"TLS 1\.2 and TLS 1\.3"):
        connect(url, ssl=context)
    context = ssl.create_default_context(cafile=server.ca_file)
    context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
    with pytest.raises(ValueError, match="revocation"):
        connect(url, ssl=context)
    with pytest.raises(ValueError, match="not wss"):
        connect(server.url("/echo"), ssl=ssl.create_default_context())
    with pytest.raises(TypeError, match=r"ssl\.SSLContext"):
        connect(url, ssl="yes")
