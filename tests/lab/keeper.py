"""Waits beside a lab and clears it away when the process that owns it is gone, however it went."""

from __future__ import annotations

import sys

from tests.lab.instance import destroy


def main() -> None:
    """Read standard input to its end, which comes when the owner of the other end dies; then end the lab `argv[1]`."""
    sys.stdin.buffer.read()
    destroy(sys.argv[1])


if __name__ == "__main__":
    main()
