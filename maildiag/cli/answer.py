"""`maildiag answer`: answers the questions of a maildiag elsewhere, one JSON line each; looks, and changes nothing."""

from __future__ import annotations

import argparse
import json
import sys
import threading
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It takes none: the questions come on standard input."""


def main(args: argparse.Namespace) -> int:
    """Answer until standard input ends; each question in a thread of its own, the answers in any order."""
    from maildiag.hosts.local import LocalHost

    host = LocalHost()
    lock = threading.Lock()
    try:
        for line in sys.stdin:
            threading.Thread(target=_answer, args=(host, line, lock), daemon=True).start()
    finally:
        host.close()
    return 0


def _answer(host: Any, line: str, lock: threading.Lock) -> None:
    from maildiag.codec import decode, encode
    from maildiag.model import Gap, GapReason

    try:
        question = json.loads(line)
        number, probe = int(question["id"]), decode(question["ask"])
    except (ValueError, KeyError, TypeError) as error:
        print(f"not understood: {error}", file=sys.stderr)
        return
    try:
        got = host.ask(probe)
    except Exception as error:  # noqa: BLE001 (a question of another version may not fit; the asker is told)
        got = Gap(GapReason.FAILED, f"{type(error).__name__}: {error}")
    said = json.dumps({"id": number, "got": encode(got)})
    with lock:
        print(said, flush=True)
