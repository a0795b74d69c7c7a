"""The import path of `FakeGateway` in earlier versions. It goes with the next one."""

from __future__ import annotations

import warnings

from ossa.testing.app import FakeGateway as FakeGateway

warnings.warn("FakeGateway is imported from ossa.testing.app now.", DeprecationWarning, stacklevel=2)
