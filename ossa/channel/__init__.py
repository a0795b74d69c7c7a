"""The turn channel: how a dispatcher talks to an agent's process.

Ray places, supervises and restarts agents; turns do not travel as Ray actor
calls, which cost about ten times as much (docs/decisions/0002-turn-channel.md).
On the same port the agent's supervisor calls it (`control`).
"""

from ossa.channel.control import ControlDesk, ControlLine
from ossa.channel.link import ChannelLink
from ossa.channel.server import ChannelServer

__all__ = ["ChannelLink", "ChannelServer", "ControlDesk", "ControlLine"]
