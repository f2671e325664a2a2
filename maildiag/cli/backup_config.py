"""`maildiag backup-config`: both configurations in one archive that only its owner can read."""

from __future__ import annotations

import argparse
import socket
import sys
from pathlib import Path

from maildiag.cli.errors import OutputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `backup-config`."""
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="the archive (.tar.gz)")


def main(args: argparse.Namespace) -> int:
    """Write the archive; exit status 0 when everything is in it, 1 when something could not be read."""
    from maildiag.hosts.local import LocalHost
    from maildiag.repair import backup
    from maildiag.repair.hand import Hand
    from maildiag.repair.saving import places
    from maildiag.text import plural, safe

    where = places(Hand(LocalHost()))
    tables = [each.partition(":")[2] or each for each in where.aliases]
    try:
        done = backup.write(args.output, backup.places(where.postfix, aliases=tables), socket.gethostname())
    except OSError as error:
        raise OutputError(f"{args.output}: {error.strerror or error}") from error
    for each in done.missed:
        print(f"maildiag backup-config: left out {safe(each)}", file=sys.stderr)
    print(f"{done.file}: {plural(len(done.paths), 'path')}")
    print(
        "It holds passwords and keys as they are (mode 600): keep it where only administrators can read it, and "
        "do not send it to anybody; for support there is maildiag bundle.",
        file=sys.stderr,
    )
    return 1 if done.missed else 0
