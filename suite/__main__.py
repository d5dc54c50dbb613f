"""``python -m leakybench`` runs the ``leakybench`` command."""

from __future__ import annotations

import sys

from leakybench.cli import main

if __name__ == "__main__":
    sys.exit(main())
