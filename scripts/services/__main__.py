"""`python -m scripts.services`."""

import sys

from scripts.services.command import main

sys.exit(main())
