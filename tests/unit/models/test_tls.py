"""TLS to an endpoint: what is trusted works, what is not is a model failure."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ossa.contracts.configuration import Endpoint
from ossa.contracts.errors import ModelFailed
from ossa.contracts.model import ModelRequest
from ossa.models.client import OpenAIClient

REQUEST = ModelRequest(model="m", messages=[{"role": "user", "content": "hi"}], timeout_s=10)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A fresh self-signed certificate for 127.0.0.1, with its key, in one file."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([address, x509.DNSName("model.invalid")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = tmp_path / "certificate.pem"
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return file


async def serve(certificate: Path) -> tuple[asyncio.Server, Endpoint]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = b'{"choices": [{"message": {"content": "safe"}}]}'
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        await writer.drain()
        writer.close()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    return server, Endpoint(base_url=f"https://127.0.0.1:{port}/v1", model="m", max_retries=0)


async def test_an_endpoint_with_a_trusted_certificate_is_called(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    server, endpoint = await serve(certificate)
    client = OpenAIClient(endpoint)
    assert (await client.complete(REQUEST)).message["content"] == "safe"
    await client.close()
    server.close()


async def test_an_endpoint_with_an_unknown_certificate_is_refused(certificate: Path) -> None:
    server, endpoint = await serve(certificate)
    with pytest.raises(ModelFailed, match="certificate"):
        await OpenAIClient(endpoint).complete(REQUEST)
    server.close()


async def test_an_endpoints_own_authority_is_trusted(certificate: Path) -> None:
    server, endpoint = await serve(certificate)
    client = OpenAIClient(endpoint.model_copy(update={"ca_file": certificate}))
    assert (await client.complete(REQUEST)).message["content"] == "safe"
    await client.close()
    server.close()


async def test_a_ca_file_that_cannot_be_read_is_named() -> None:
    endpoint = Endpoint(base_url="https://127.0.0.1:9/v1", model="m", max_retries=0, ca_file=Path("/nowhere/ca.pem"))
    with pytest.raises(ModelFailed, match="ca_file"):
        await OpenAIClient(endpoint).complete(REQUEST)


@contextlib.asynccontextmanager
async def forwarding(port: int) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A proxy that opens a way to a local port, whatever host it is asked for."""
    heads: list[bytes] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(65536):
                writer.write(piece)
                await writer.drain()
        writer.close()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n")
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

    server = await asyncio.start_server(forward, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1], heads
    server.close()


async def test_https_goes_through_a_tunnel_and_is_verified_at_its_far_end(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, endpoint = await serve(certificate)
    async with forwarding(server.sockets[0].getsockname()[1]) as (port, heads):
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        trusted = endpoint.model_copy(update={"base_url": "https://model.invalid/v1", "ca_file": certificate})
        client = OpenAIClient(trusted)
        assert (await client.complete(REQUEST)).message["content"] == "safe"
        await client.close()
        with pytest.raises(ModelFailed, match="certificate"):
            await OpenAIClient(trusted.model_copy(update={"ca_file": None})).complete(REQUEST)
    assert [head.split(b"\r\n")[0] for head in heads] == [b"CONNECT model.invalid:443 HTTP/1.1"] * 2
    server.close()


def test_the_tunnel_works_in_uvloop_too(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uvloop = pytest.importorskip("uvloop")

    async def call() -> None:
        await test_https_goes_through_a_tunnel_and_is_verified_at_its_far_end(certificate, monkeypatch)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(call())
