"""Where an endpoint listens, and by which proxy it is reached. Pure."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from typing import NamedTuple
from urllib.parse import unquote, urljoin, urlsplit

_PORTS = {"http": 80, "https": 443}


class Origin(NamedTuple):
    """Where an endpoint listens, and the path its calls begin with."""

    scheme: str
    host: str
    port: int
    path: str
    query: str

    @classmethod
    def parse(cls, base_url: str) -> Origin:
        """Takes off a trailing slash and a pasted `/chat/completions`.

        Raises `ValueError` with a sentence that says what is wrong.
        """
        parts = urlsplit(base_url.strip())
        if parts.scheme not in _PORTS:
            raise ValueError("base_url must start with http:// or https://")
        if not parts.hostname or parts.username or parts.password:
            raise ValueError("base_url must name a host, and carry no user or password")
        path = parts.path.rstrip("/").removesuffix("/chat/completions").rstrip("/")
        if any(ord(char) <= 32 or ord(char) > 126 for char in path + parts.query):
            raise ValueError("base_url must be ASCII without spaces; percent-encode other characters")
        return cls(parts.scheme, parts.hostname, parts.port or _PORTS[parts.scheme], path, parts.query)

    @property
    def host_header(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def authority(self) -> str:
        """Host and port, as CONNECT names them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def target(self, suffix: str) -> str:
        """The request target of a path below the base: `/chat/completions` -> `/v1/chat/completions`."""
        return f"{self.path}{suffix}" + (f"?{self.query}" if self.query else "")

    def redirected(self, target: str, location: str) -> str | None:
        """The target that a redirect from `target` leads to; None when it leaves this host."""
        try:
            parts = urlsplit(urljoin(f"{self.scheme}://{self.host_header}{target}", location))
            port = parts.port or _PORTS.get(parts.scheme)
        except ValueError:
            return None
        if (parts.scheme, parts.hostname, port) != (self.scheme, self.host, self.port):
            return None
        new = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return new if all(32 < ord(char) < 127 for char in new) else None


class Proxy(NamedTuple):
    """An HTTP proxy. `authorization` is the value of `Proxy-Authorization`; empty: none."""

    host: str
    port: int
    authorization: str

    def __repr__(self) -> str:
        return f"Proxy({self.host}:{self.port})"

    @classmethod
    def parse(cls, url: str) -> Proxy:
        """Raises `ValueError` with a sentence that shows no user and no password."""
        parts = urlsplit(url if "://" in url else f"http://{url}")
        try:
            port = parts.port or 80
        except ValueError:
            raise ValueError("the proxy's port is no number from 1 to 65535") from None
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError(f"a proxy is named http://HOST:PORT; {parts.scheme}:// proxies are not supported")
        authorization = ""
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            authorization = "Basic " + base64.b64encode(pair.encode()).decode()
        return cls(parts.hostname, port, authorization)


def proxy_of(origin: Origin, environ: Mapping[str, str]) -> Proxy | None:
    """The proxy that `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` name, in small letters too.

    A loopback address has none: the proxy would look for it on its own machine.
    Raises `ValueError` for a proxy that cannot be used.
    """
    url = _variable(environ, f"{origin.scheme}_proxy") or _variable(environ, "all_proxy")
    if not url or _is_loopback(origin.host) or _is_exempt(origin, _variable(environ, "no_proxy")):
        return None
    return Proxy.parse(url)


def _variable(environ: Mapping[str, str], name: str) -> str:
    return (environ.get(name) or environ.get(name.upper()) or "").strip()


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _is_exempt(origin: Origin, names: str) -> bool:
    host = origin.host.lower().rstrip(".")
    for name in (entry.strip().lower() for entry in names.split(",")):
        if name == "*":
            return True
        if not name or _in_network(host, name) is False:
            continue
        if _in_network(host, name):
            return True
        bare, _, port = name.partition(":") if name.count(":") == 1 else (name, "", "")
        if port and port != str(origin.port):
            continue
        bare = bare.strip("[]").removeprefix("*").lstrip(".")
        if bare and (host == bare or host.endswith(f".{bare}")):
            return True
    return False


def _in_network(host: str, name: str) -> bool | None:
    """Whether the address lies in the network `name`; None where `name` is none."""
    if "/" not in name:
        return None
    try:
        network = ip_network(name, strict=False)
    except ValueError:
        return None
    try:
        return ip_address(host) in network
    except ValueError:
        return False
