"""Encrypted calls: the certificate must belong to the name in the URL, whatever address was connected to."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.adapters.loopback import addresses, loopback, redirect, reply

from weft.adapters.addresses import Allow
from weft.adapters.http_client import SafeHttpClient
from weft.core.ports import HttpError, HttpRequest

NAMES = addresses({"secure.test": ["127.0.0.1"], "stranger.test": ["127.0.0.1"]})


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for `secure.test`, with its key in the same file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "secure.test")])
    start = datetime.now(UTC) - timedelta(days=1)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("secure.test")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture
def trusting(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate))


async def test_the_name_of_the_url_is_what_the_certificate_must_say(
    tls: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    seen: list[str | None] = []
    tls.sni_callback = lambda _socket, name, _context: seen.append(name)
    async with loopback({"/": reply(200, b"secret")}, tls) as server:
        allow = Allow.parse([f"127.0.0.1:{server.port}"])
        async with SafeHttpClient(allow, resolve=NAMES, ssl_context=trusting) as client:
            response = await client.send(HttpRequest("GET", server.url("/", "secure.test", "https"), {}))
            assert response.body == b"secret"
            assert server.received[0].headers["host"] == f"secure.test:{server.port}"
            with pytest.raises(HttpError, match="Hostname mismatch") as caught:
                await client.send(HttpRequest("GET", server.url("/", "stranger.test", "https"), {}))
    assert (caught.value.kind, caught.value.retryable) == ("tls", False)
    assert seen == ["secure.test", "stranger.test"]


async def test_a_certificate_that_nobody_vouches_for_is_refused(tls: ssl.SSLContext) -> None:
    async with loopback({"/": reply(200)}, tls) as server:
        allow = Allow.parse([f"127.0.0.1:{server.port}"])
        async with SafeHttpClient(allow, resolve=NAMES) as client:
            with pytest.raises(HttpError) as caught:
                await client.send(HttpRequest("GET", server.url("/", "secure.test", "https"), {}))
    assert (caught.value.kind, caught.value.retryable) == ("tls", False)
    assert server.received == []


async def test_a_server_that_does_not_speak_tls(trusting: ssl.SSLContext) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65_536)  # a socket that is closed with something unread resets its connection
        writer.write(b"220 mail.example.com ESMTP\r\n")
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, SafeHttpClient(Allow.parse(["127.0.0.1"]), resolve=NAMES, ssl_context=trusting) as client:
        with pytest.raises(HttpError) as caught:
            await client.send(HttpRequest("GET", f"https://secure.test:{port}/", {}))
    assert (caught.value.kind, caught.value.retryable) == ("tls", True)


async def test_a_handshake_that_stalls_costs_no_socket(trusting: ssl.SSLContext) -> None:
    async with loopback() as server:  # it reads the handshake as a request that never ends
        allow = Allow.parse([f"127.0.0.1:{server.port}"])
        async with SafeHttpClient(allow, resolve=NAMES, ssl_context=trusting) as client:
            while not server.connections:  # on a busy machine the time may be over before there is one
                with pytest.raises(HttpError) as caught:
                    await client.send(HttpRequest("GET", server.url("/", "secure.test", "https"), {}, timeout=0.05))
                assert caught.value.kind == "timeout"
        async with asyncio.timeout(60):
            await server.idle.wait()


async def test_an_encrypted_call_is_not_led_into_the_open(tls: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    async with loopback({"/": reply(200)}) as plain, loopback({}, tls) as server:
        server.answers["/"] = redirect(302, plain.url("/", "secure.test"))
        allow = Allow.parse(["127.0.0.1"])
        async with SafeHttpClient(allow, resolve=NAMES, ssl_context=trusting) as client:
            with pytest.raises(HttpError) as caught:
                await client.send(HttpRequest("GET", server.url("/", "secure.test", "https"), {}))
    assert (caught.value.kind, caught.value.retryable) == ("redirect", False)
    assert plain.received == []
