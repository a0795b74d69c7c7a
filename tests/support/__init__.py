"""What tests of several folders share."""

import os

FULL = os.environ.get("OSSA_TEST_FULL") == "1"
"""Whether the long forms run: `make test-full`."""
