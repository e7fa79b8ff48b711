"""``python -m tfsaver`` is ``tfsaver``."""

import sys

from tfsaver.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
