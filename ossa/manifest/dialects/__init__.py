"""One file a dialect family: which documents it claims and where they keep things.

`detect` in `ossa.manifest.dialect` asks them in turn.
"""
