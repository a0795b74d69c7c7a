"""HTTP as servers, balancers and proxies speak it: encodings, redirects, proxies, forms of the base URL."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from ossa.contracts.configuration import Endpoint
from ossa.contracts.errors import ModelFailed
from ossa.contracts.model import ModelReply, ModelRequest
from ossa.models.client import OpenAIClient
from ossa.models.encoding import BodyDecoder, EncodingFailed
from ossa.models.origin import Origin, Proxy, proxy_of

GOOD = json.dumps({"choices": [{"message": {"content": "Fine."}, "finish_reason": "stop"}]}).encode()
EVENTS = (
    b'data: {"choices":[{"delta":{"content":"Fi"}}]}\n\n'
    b'data: {"choices":[{"delta":{"content":"ne."},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
)
REQUEST = ModelRequest(model="m", messages=[{"role": "user", "content": "hi"}], timeout_s=10)


def answer(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class RawServer:
    """Answers the first request with the first of its raw answers, and so on; the last one repeats."""

    def __init__(self, *answers: bytes) -> None:
        self._answers = answers
        self.requests: list[bytes] = []
        self.port = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(length))
                raw = self._answers[min(len(self.requests), len(self._answers)) - 1]
                writer.write(raw.replace(b"PORT", str(self.port).encode()))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    @property
    def paths(self) -> list[str]:
        return [request.split(b" ", 2)[1].decode() for request in self.requests]


@asynccontextmanager
async def serving(*answers: bytes, path: str = "/v1") -> AsyncIterator[tuple[RawServer, OpenAIClient]]:
    raw = RawServer(*answers)
    server = await asyncio.start_server(raw, "127.0.0.1", 0)
    raw.port = server.sockets[0].getsockname()[1]
    endpoint = Endpoint(base_url=f"http://127.0.0.1:{raw.port}{path}", model="m", api_key="sk-sesame", max_retries=0)
    client = OpenAIClient(endpoint)
    yield raw, client
    await client.close()
    server.close()


def deflated(body: bytes, wbits: int) -> bytes:
    packer = zlib.compressobj(wbits=wbits)
    return packer.compress(body) + packer.flush()


ENCODED = {
    "gzip": (gzip.compress, "gzip"),
    "x-gzip": (gzip.compress, "X-GZIP"),
    "deflate": (lambda body: deflated(body, zlib.MAX_WBITS), "deflate"),
    "bare deflate": (lambda body: deflated(body, -zlib.MAX_WBITS), "deflate"),
    "two members": (lambda body: gzip.compress(body[:40]) + gzip.compress(body[40:]), "gzip"),
    "said but not done": (bytes, "gzip"),
    "identity": (bytes, "identity"),
    "done but not said": (gzip.compress, ""),
}


@pytest.mark.parametrize("name", ENCODED)
async def test_a_compressed_answer_is_read_whole_and_streamed(name: str) -> None:
    pack, said = ENCODED[name]
    headers = [f"Content-Encoding: {said}"] if said else []
    async with serving(answer(pack(GOOD), *headers), answer(pack(EVENTS), *headers)) as (_, client):
        assert (await client.complete(REQUEST)).message["content"] == "Fine."
        pieces = [piece async for piece in client.stream(REQUEST) if isinstance(piece, str)]
    assert "".join(pieces) == "Fine."


async def test_a_compressed_error_keeps_its_words() -> None:
    body = gzip.compress(b'{"error": {"message": "no such thing"}}')
    async with serving(answer(body, "Content-Encoding: gzip", status="418 Teapot")) as (_, client):
        with pytest.raises(Exception, match="no such thing"):
            await client.complete(REQUEST)


@pytest.mark.parametrize("cut", [1, 2, 3, 17])
def test_an_encoding_does_not_depend_on_where_the_bytes_are_cut(cut: int) -> None:
    packed = gzip.compress(EVENTS)
    decoder = BodyDecoder("gzip")
    parts = [decoder.feed(packed[at : at + cut], 10_000) for at in range(0, len(packed), cut)]
    assert b"".join(parts) == EVENTS


def test_a_body_that_grows_over_its_bound_is_not_unpacked() -> None:
    with pytest.raises(EncodingFailed) as raised:
        BodyDecoder("gzip").feed(gzip.compress(bytes(10**7)), 1000)
    assert raised.value.too_large


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, br"])
async def test_an_encoding_that_is_not_read_is_named(encoding: str) -> None:
    async with serving(answer(b"\x1b\x00", f"Content-Encoding: {encoding}")) as (_, client):
        with pytest.raises(ModelFailed, match=encoding):
            await client.complete(REQUEST)


async def test_a_broken_body_is_a_model_failure() -> None:
    async with serving(answer(b"\x1f\x8b" + bytes(40), "Content-Encoding: gzip")) as (_, client):
        with pytest.raises(ModelFailed, match="compressed body"):
            await client.complete(REQUEST)


@pytest.mark.parametrize("status", ["307 Temporary Redirect", "308 Permanent Redirect"])
@pytest.mark.parametrize(
    ("location", "path"),
    [
        ("/v2/chat/completions?a=1", "/v2/chat/completions?a=1"),
        ("http://127.0.0.1:PORT/v1/chat/completions/", "/v1/chat/completions/"),
        ("//127.0.0.1:PORT/x", "/x"),
        ("again", "/v1/chat/again"),
    ],
)
async def test_a_redirect_within_the_host_is_followed(status: str, location: str, path: str) -> None:
    async with serving(answer(b"", f"Location: {location}", status=status), answer(GOOD)) as (server, client):
        assert (await client.complete(REQUEST)).message["content"] == "Fine."
    assert server.paths == ["/v1/chat/completions", path]
    first, second = server.requests
    assert first.split(b"\r\n", 1)[1] == second.split(b"\r\n", 1)[1], "the method, the headers and the body stay"


@pytest.mark.parametrize(
    ("status", "location"),
    [
        ("307 Temporary Redirect", "http://elsewhere.invalid/v1"),
        ("308 Permanent Redirect", "https://127.0.0.1:PORT/v1"),
        ("308 Permanent Redirect", "http://127.0.0.1:1/v1"),
        ("301 Moved Permanently", "/v2"),
        ("302 Found", "/login"),
        ("303 See Other", "/v2"),
        ("307 Temporary Redirect", "/v1/chat/completions"),
    ],
)
async def test_another_redirect_is_an_error_that_says_so(
    status: str, location: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(answer(b"", f"Location: {location}", status=status)) as (server, client):
        with pytest.raises(ModelFailed, match=f"{status[:3]}, a redirect that is not followed.*base_url"):
            await client.complete(REQUEST)
    assert len(server.requests) == (4 if location == "/v1/chat/completions" else 1)
    assert "model_endpoint_misconfigured" in caplog.text


@pytest.mark.parametrize("status", ["201 Created", "203 Non-Authoritative Information"])
async def test_any_2xx_is_an_answer(status: str) -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    async with serving(early + answer(GOOD, status=status)) as (_, client):
        assert (await client.complete(REQUEST)).message["content"] == "Fine."
        assert isinstance([piece async for piece in client.stream(REQUEST)][-1], ModelReply)


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/v1", "/v1/chat/completions"),
        ("/v1//", "/v1/chat/completions"),
        ("", "/chat/completions"),
        ("/v1/chat/completions", "/v1/chat/completions"),
        ("/v1/chat/completions/?api-version=2", "/v1/chat/completions?api-version=2"),
        ("/openai/deployments/x?api-version=2", "/openai/deployments/x/chat/completions?api-version=2"),
    ],
)
async def test_a_base_url_is_taken_in_every_form(path: str, target: str) -> None:
    async with serving(answer(GOOD), path=path) as (server, client):
        await client.complete(REQUEST)
    assert server.paths == [target]


# Proxies


async def test_plain_http_goes_by_the_proxy_with_its_whole_url(monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = RawServer(answer(b"", "Location: /v2", status="307 Temporary Redirect"), answer(GOOD))
    server = await asyncio.start_server(proxy, "127.0.0.1", 0)
    monkeypatch.setenv("HTTP_PROXY", f"http://user:p%40ss@127.0.0.1:{server.sockets[0].getsockname()[1]}")
    client = OpenAIClient(Endpoint(base_url="http://model.invalid:8080/v1", model="m"))
    assert (await client.complete(REQUEST)).message["content"] == "Fine."
    await client.close()
    server.close()
    assert proxy.paths == ["http://model.invalid:8080/v1/chat/completions", "http://model.invalid:8080/v2"]
    expected = base64.b64encode(b"user:p@ss")
    assert all(b"Proxy-Authorization: Basic " + expected in request for request in proxy.requests)
    assert "p@ss" not in repr(client._proxy)
    assert b"Host: model.invalid:8080\r\n" in proxy.requests[0]


@pytest.mark.parametrize("said", [b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", b"SSH-2.0\r\n\r\n", b""])
async def test_a_proxy_that_opens_no_way_is_a_failure_that_names_it(
    said: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads: list[bytes] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(said)
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    monkeypatch.setenv("https_proxy", f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
    client = OpenAIClient(Endpoint(base_url="https://model.invalid/v1", model="m", api_key="sk-sesame", max_retries=0))
    with pytest.raises(ModelFailed, match=r"the proxy 127\.0\.0\.1.*opened no way to model\.invalid:443") as raised:
        await client.complete(REQUEST)
    server.close()
    assert raised.value.details == {"sent": False}
    assert heads[0].startswith(b"CONNECT model.invalid:443 HTTP/1.1\r\nHost: model.invalid:443\r\n")
    assert b"sesame" not in heads[0], "the key is for the endpoint alone"


async def test_a_proxy_of_another_kind_fails_the_call_and_names_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://user:secret@p:1080")
    client = OpenAIClient(Endpoint(base_url="https://model.invalid/v1", model="m"))
    with pytest.raises(ModelFailed, match=r"socks5.*NO_PROXY") as raised:
        await client.complete(REQUEST)
    assert "secret" not in raised.value.message


PROXY = Proxy("p", 3128, "")


@pytest.mark.parametrize(
    ("url", "environ", "expected"),
    [
        ("https://api.example/v1", {"HTTPS_PROXY": "http://p:3128"}, PROXY),
        ("https://api.example/v1", {"https_proxy": "p:3128"}, PROXY),
        ("https://api.example/v1", {"ALL_PROXY": "http://p:3128"}, PROXY),
        ("https://api.example/v1", {"HTTP_PROXY": "http://p:3128"}, None),
        ("http://api.example/v1", {"HTTP_PROXY": "http://p:3128"}, PROXY),
        ("http://127.0.0.1:9/v1", {"HTTP_PROXY": "http://p:3128"}, None),
        ("http://localhost:9/v1", {"HTTP_PROXY": "http://p:3128"}, None),
        ("http://[::1]:9/v1", {"HTTP_PROXY": "http://p:3128"}, None),
        ("https://api.example/v1", {"HTTPS_PROXY": "http://p:3128", "NO_PROXY": "*"}, None),
        ("https://api.example/v1", {"HTTPS_PROXY": "http://p:3128", "NO_PROXY": "a.b, example"}, None),
        ("https://api.example/v1", {"HTTPS_PROXY": "http://p:3128", "no_proxy": ".example"}, None),
        ("https://api.example/v1", {"HTTPS_PROXY": "http://p:3128", "NO_PROXY": "*.example"}, None),
        ("https://api.example/v1", {"HTTPS_PROXY": "http://p:3128", "NO_PROXY": "ample,xapi.example"}, PROXY),
        ("https://api.example/v1", {"HTTPS_PROXY": "http://p:3128", "NO_PROXY": "api.example:443"}, None),
        ("https://api.example/v1", {"HTTPS_PROXY": "http://p:3128", "NO_PROXY": "api.example:8443"}, PROXY),
        ("https://10.1.2.3/v1", {"HTTPS_PROXY": "http://p:3128", "NO_PROXY": "10.0.0.0/8"}, None),
        ("https://11.1.2.3/v1", {"HTTPS_PROXY": "http://p:3128", "NO_PROXY": "10.0.0.0/8"}, PROXY),
        ("https://[fd00::1]/v1", {"HTTPS_PROXY": "http://p:3128", "NO_PROXY": "[fd00::1]"}, None),
    ],
)
def test_the_environment_says_which_proxy(url: str, environ: dict[str, str], expected: Proxy | None) -> None:
    assert proxy_of(Origin.parse(url), environ) == expected


@pytest.mark.parametrize("url", ["socks5://user:secret@p:1080", "https://user:secret@p", "http://user:secret@p:x"])
def test_a_proxy_that_cannot_be_used_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ValueError, match="proxy") as raised:
        Proxy.parse(url)
    assert "secret" not in str(raised.value)
