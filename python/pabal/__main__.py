"""``python -m pabal`` is the command ``pabal``."""

import sys

from pabal.cli import main

sys.exit(main())
