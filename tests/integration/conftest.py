"""Certificates for servers that want TLS."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
_NAMES = {"server": "DNS:localhost", "client": "DNS:localhost", "address": "IP:127.0.0.1"}


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`ca.crt`, `other-ca.crt`; signed by `ca`, with their `.key`s: `server`, `client` (for localhost, and not for
    127.0.0.1) and `address` (the other way round).
    """
    if shutil.which("openssl") is None:
        pytest.skip("left out, not installed: openssl")
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments: str) -> None:
        done = subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr

    for name in ("ca", "other-ca"):
        subject = ("-subj", f"/CN={name}", "-days", "2")
        openssl("req", "-x509", *_KEY, "-keyout", f"{name}.key", "-out", f"{name}.crt", *subject)
    for name, host in _NAMES.items():
        (folder / "names").write_text(f"subjectAltName={host}")
        openssl("req", *_KEY, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        signed = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names")
        openssl("x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.crt", *signed)
    return folder
