"""The tools every fleet has: quick, without network or files of their own.

One file a tool, `NAME.py` with the tool `NAME` in it. An agent imports those its manifest names:
schemas cost milliseconds, and there are many agents.
"""
