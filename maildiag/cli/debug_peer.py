"""`maildiag debug-peer`: verbose logging for one peer or domain, which switches itself off even when maildiag is killed."""

from __future__ import annotations

import argparse
import sys
from datetime import timedelta

from maildiag.cli.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `debug-peer`."""
    parser.add_argument(
        "peer",
        nargs="*",
        metavar="ADDRESS_OR_DOMAIN",
        help="whose connections Postfix logs in detail (debug_peer_list)",
    )
    parser.add_argument(
        "--for",
        dest="duration",
        type=_duration,
        default=timedelta(minutes=10),
        metavar="TIME",
        help="for how long (default: 10m)",
    )
    parser.add_argument("--level", type=int, choices=range(1, 5), default=2, help="how detailed (default: 2)")
    parser.add_argument("--dovecot", action="store_true", help="Dovecot's authentication, mail and TLS too")
    parser.add_argument("--dry-run", action="store_true", help="show the commands, change nothing")


def _duration(word: str) -> timedelta:
    from maildiag.repair.debug_peer import duration

    try:
        return duration(word)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def main(args: argparse.Namespace) -> int:
    """Switch it on; exit status 0 when it is on (or shown), 1 when it is not."""
    from maildiag.cli.carrying import told, workshop
    from maildiag.repair.carrying import Applied
    from maildiag.repair.debug_peer import PEER, Wish, change, switch_on
    from maildiag.typed import typed

    for each in args.peer:
        if not PEER.fullmatch(each):
            raise UsageError(f"{each!r} is no address, network or domain")
    if not args.peer and not args.dovecot:
        raise UsageError("name a peer (an address, a network or a domain), or --dovecot")
    wish = Wish(tuple(args.peer), args.duration, args.level, args.dovecot)
    shop = workshop()
    if args.dry_run:
        shop.store.prepare()
        for argv in change(wish, shop.hand, shop.store.root).commands:
            print(f"$ {typed(argv)}")
        return 0
    done = told(switch_on(wish, shop))
    if not isinstance(done, Applied):
        return 1
    print(f"On for {args.duration}, then it switches itself off; earlier: maildiag undo {done.transaction}")
    print("See it: maildiag trace, or the mail log", file=sys.stderr)
    return 0
