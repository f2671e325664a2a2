"""The emergency procedure in its order, as a conversation: who leads through it asks, and tells what came of each stage."""

from __future__ import annotations

import socket
from collections.abc import Generator
from pathlib import Path

from maildiag.records import dataclass
from maildiag.repair import backup, emergency
from maildiag.repair.applying import Workshop
from maildiag.repair.emergency import Stage
from maildiag.repair.hand import Ran
from maildiag.repair.saving import places


@dataclass(frozen=True, slots=True)
class Archive:
    """Both configurations are about to be saved to `file` (mode 600, secrets included)."""

    file: Path


@dataclass(frozen=True, slots=True)
class Checked:
    """What both programs say of their configuration."""

    ran: tuple[Ran, ...]


Procedure = Generator[Archive | Checked | Stage, str, None]


def procedure(shop: Workshop, dry_run: bool = False) -> Procedure:
    """Every stage in order. A `Stage` is answered with the transaction that it became, or with an empty string if left out.

    What is saved is saved here, unless `dry_run`; a stage is carried out by who leads. Raises Unsafe, OSError.
    """
    hand = shop.hand
    directory = places(hand).postfix
    main_cf = f"{directory}/main.cf"
    file = shop.store.root / f"emergency-{shop.store.new_id()}.tar.gz"
    yield Archive(file)
    if not dry_run:
        shop.store.prepare()
        backup.write(file, backup.places(directory), socket.gethostname())
    yield emergency.stop(hand)
    yield Checked(emergency.check(hand))
    refused = emergency.refused_settings(hand, directory)
    if refused:
        yield emergency.mend(refused, main_cf)
    opened = yield emergency.minimal(hand)
    yield emergency.start_dovecot(hand)
    if opened:
        transaction = shop.store.load(opened)
        copy = next(each.copy for each in transaction.saved if each.path == main_cf)
        yield emergency.reopen(hand, transaction.copies / copy, main_cf)
