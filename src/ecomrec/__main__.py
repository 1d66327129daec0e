"""``python -m ecomrec`` is the ``ecomrec`` command."""

import sys

from ecomrec.cli import main

if __name__ == "__main__":
    sys.exit(main())
