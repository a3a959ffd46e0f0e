"""python -m labkit: the command where it is not on the path."""

import sys

from labkit.commands import main

sys.exit(main())
