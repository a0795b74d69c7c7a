"""For all tests: Ray's environment, which it reads when it is first imported, and how long hypothesis searches."""

import os

import hypothesis

os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_DISABLE_IMPORT_WARNING", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

hypothesis.settings.register_profile("quick", max_examples=30, deadline=None)
hypothesis.settings.register_profile("full", max_examples=300, deadline=None)
hypothesis.settings.load_profile("full" if os.environ.get("OSSA_TEST_FULL") == "1" else "quick")
