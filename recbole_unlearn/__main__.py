"""``python -m recbole_unlearn``: the same as ``run_unlearn.py``."""

import sys

from recbole_unlearn.cli import main

if __name__ == "__main__":
    sys.exit(main())
