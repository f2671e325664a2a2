"""What earlier runs tell: a drop of deliveries, a mail store that grows, and a history that is short, missing or broken."""

from __future__ import annotations

from datetime import timedelta

from maildiag.facts.disk import Disks, Place
from maildiag.facts.history import History
from maildiag.facts.mail_log import MailLog
from maildiag.logs.summary import LogSummary
from maildiag.model import Gap, GapReason, Status
from maildiag.probes import EarlierRun, FileSystem, Identity, Indicator
from maildiag.settings import Settings
from maildiag.testing import judge
from maildiag_checks.trends import delivery_drop, mail_store
from tests.support import NOW

ME = Identity("mail", "Linux", NOW, NOW, privileged=True)
UNREADABLE = Gap(GapReason.FAILED, "history.sqlite: file is not a database")
GIB = 1024**3


def past(name: str, *values: float) -> History:
    """One run a day, the newest a day and an hour old."""
    days = (NOW - timedelta(days=number, hours=1) for number in range(1, len(values) + 1))
    return History(tuple(EarlierRun(at, (Indicator(name, value),)) for at, value in zip(days, values, strict=True)))


def log(sent: int) -> MailLog:
    summary = LogSummary(
        lines=sent,
        skipped=0,
        unparsed=0,
        unparsed_samples=(),
        first=None,
        last=None,
        groups=(),
        reasons=(),
        statuses={"sent": sent},
        auth_failures_by_user={},
        auth_failures_by_address={},
        sasl_messages={},
        starts=(),
        last_success=None,
        overflow=0,
    )
    return MailLog("/var/log/mail.log", NOW - timedelta(days=1), summary, ())


def delivered(sent: int, history: History | Gap) -> tuple[Status, str]:
    (verdict,) = judge(delivery_drop, log(sent), history, ME, Settings())
    return verdict.status, verdict.title


def stored(used: int, history: History | Gap) -> tuple[Status, str]:
    system = FileSystem("/home", "ext4", False, 100 * GIB, 100 * GIB - used, 0, 0)
    (verdict,) = judge(mail_store, Disks((Place("/home", "store", system),)), history, ME, Settings())
    assert verdict.data["mail_store_bytes"] == used
    return verdict.status, verdict.title


def test_far_fewer_deliveries_than_on_the_quietest_day_are_a_warning() -> None:
    assert delivered(30, past("delivered", *[1000.0] * 6, 200.0)) == (
        Status.WARNING,
        "85 % fewer deliveries than on the quietest of the last 7 days",
    )


def test_a_quiet_sunday_is_no_drop() -> None:
    assert delivered(150, past("delivered", *[1000.0] * 6, 200.0))[0] is Status.OK


def test_a_host_with_little_mail_has_no_drop() -> None:
    assert delivered(0, past("delivered", *[12.0] * 8))[0] is Status.OK


def test_a_short_or_missing_history_judges_nothing() -> None:
    for history in (History(()), past("delivered", 1000.0)):
        assert delivered(0, history)[0] is Status.SKIPPED


def test_a_history_that_cannot_be_read_is_unknown_and_never_too_young() -> None:
    told = (Status.UNKNOWN, f"The history of earlier runs cannot be read: {UNREADABLE}")
    assert delivered(0, UNREADABLE) == told
    assert stored(20 * GIB, UNREADABLE) == told


def test_a_mail_store_that_grows_fast_is_a_warning() -> None:
    grown = past("mail_store_bytes", *[19.0 * GIB] * 6, 10.0 * GIB, 10.0 * GIB)
    assert stored(20 * GIB, grown) == (Status.WARNING, "The mail store grew by 100 % in a week")
    assert stored(11 * GIB, grown)[0] is Status.OK


def test_a_small_mail_store_may_double() -> None:
    assert stored(200_000_000, past("mail_store_bytes", *[100_000_000.0] * 9))[0] is Status.OK


def test_without_history_the_mail_store_is_only_measured() -> None:
    assert stored(20 * GIB, History(()))[0] is Status.OK
