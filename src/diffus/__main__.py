"""``python -m diffus`` is the command line."""

import sys

from diffus.cli import main

sys.exit(main())
