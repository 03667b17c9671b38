"""`python -m snaplabel` is the same as the `snaplabel` command."""

import sys

from snaplabel.cli import main

if __name__ == "__main__":
    sys.exit(main())
