"""The systems of this package that take part in every gateway replica, each in a room of its own.

A room offers `extension(core, ...)`, which returns an `ossa.gateway.hooks.Extension`. `ossa.app.extensions` lists them.
The gateway's core imports none of them.
"""
