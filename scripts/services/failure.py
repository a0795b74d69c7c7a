"""What goes wrong with a server."""

from __future__ import annotations

from ossa.contracts.errors import OssaError


class ServiceFailed(OssaError):
    """A server could not be installed, started or stopped; the text says what to do, or ends with the server's log."""

    code, title = "service_failed", "Service failed"


class NotInstalled(ServiceFailed):
    """Programs of a service are missing; the text names their packages."""

    code, title = "not_installed", "Not installed"
