"""``python -m trackkit``."""

import sys

from trackkit.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
