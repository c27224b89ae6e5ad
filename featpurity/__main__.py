"""`python -m featpurity` is the command line."""

import sys

from featpurity.cli import main

if __name__ == "__main__":
    sys.exit(main())
