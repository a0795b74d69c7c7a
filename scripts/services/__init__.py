"""Real servers for development and tests, on 127.0.0.1: `python -m scripts.services --help`.

services.py       `Services`: start, stop, kill, erase; the interface of tests
supervisor.py     brings one service's members up and down
service.py        what every service is made of; one module each: postgres, postgres_ha, redis, ...
settings.py       members, ports and password, decided once
process.py        pid and start time
home.py           folders, and whom servers run as
needs.py, jars.py, install.py    what must be installed, and installing it
command.py        the command line
"""

from scripts.services.failure import NotInstalled, ServiceFailed
from scripts.services.service import Address
from scripts.services.services import Services

__all__ = ["Address", "NotInstalled", "ServiceFailed", "Services"]
