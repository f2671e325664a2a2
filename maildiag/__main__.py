"""Entry point: `maildiag` and `python -m maildiag`."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line; the exit status is the contract's."""
    from maildiag.cli import main as cli_main

    return cli_main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
