"""TLS to an endpoint: what is trusted works, what is not is a model failure."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
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
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
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
