"""Train, withdraw, unlearn, measure: see ``python run_unlearn.py --help``."""

import sys

from recbole_unlearn.cli import main

if __name__ == "__main__":
    sys.exit(main())
