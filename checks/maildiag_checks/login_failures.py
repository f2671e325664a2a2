"""Step 7, what the log says of logins that fail: attacks, and accounts that the system keeps out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from maildiag.edits import comment_line
from maildiag.facts.closed_accounts import ClosedAccount, ClosedAccounts
from maildiag.facts.mail_log import MailLog
from maildiag.facts.refused_logins import DeniedUser, RefusedLogins, ShutOut
from maildiag.model import Confidence, Evidence, Fix, JsonValue, Step, Verdict, ok, warning
from maildiag.registry import BOTH, SERVER, check
from maildiag.settings import Settings
from maildiag.text import plural

FAILURES = "authentication.failures"
ACCOUNTS = "authentication.accounts"
_ROOTS = (
    "authentication.passdb",
    "authentication.mechanisms",
    "authentication.users",
    "services.dovecot-config",
    "services.dovecot",
)


@check(
    FAILURES,
    step=Step.AUTHENTICATION,
    asks="Do logins fail no oftener than people mistype?",
    roles=BOTH,
    explained_by=_ROOTS,
)
def failures(log: MailLog, settings: Settings) -> Iterator[Verdict]:
    """Many failures from one address, or for one user, are an attack, or a program with an old password.

    Counted over the window of the log (thresholds.auth_failures_per_hour is the limit for one address and for one user,
    and for all of them together in each hour of the window).
    """
    summary = log.summary
    limit = settings.thresholds.auth_failures_per_hour
    addresses, users = summary.auth_failures_by_address, summary.auth_failures_by_user
    total = max(sum(addresses.values()), sum(users.values()))
    evidence = (Evidence(log.shown_by or log.source, _top(addresses, users)),) if total else ()
    loud = [each for each in addresses if addresses[each] >= limit and each]
    aimed = [each for each in users if users[each] >= limit and each]
    if not loud and not aimed and total < limit * _hours(log):
        yield ok(f"{plural(total, 'failed login')} in the log, under the limit of {limit}", evidence=evidence)
        return
    if loud:
        title = f"{plural(addresses[loud[0]], 'failed login')} from {loud[0]}"
        title += f" and {plural(len(loud) - 1, 'more address', 'more addresses')} over {limit}" if len(loud) > 1 else ""
    elif aimed:
        title = f"{plural(users[aimed[0]], 'failed login')} for the user {aimed[0]}, from several addresses"
    else:
        title = f"{plural(total, 'failed login')} from {plural(len(addresses), 'address', 'addresses')}"
    yield warning(
        title,
        detail="Somebody tries passwords, or a program keeps an old one. Legitimate users are slowed down meanwhile.",
        data={"total": total, "addresses": _first(addresses), "users": _first(users)},
        evidence=evidence,
        fixes=(_shut_out(loud),) if loud else (),
    )


def _hours(log: MailLog) -> float:
    first, last = log.summary.first, log.summary.last
    return max(1.0, (last - first).total_seconds() / 3600) if first and last else 1.0


def _first(counts: Mapping[str, int], most: int = 5) -> dict[str, JsonValue]:
    return dict(sorted(counts.items(), key=lambda each: -each[1])[:most])


def _top(addresses: Mapping[str, int], users: Mapping[str, int]) -> str:
    parts = [f"{count} from {name}" for name, count in _first(addresses).items()]
    parts += [f"{count} for {name or 'no user'}" for name, count in _first(users).items()]
    return "\n".join(parts)


def _shut_out(addresses: list[str]) -> Fix:
    return Fix(
        id=f"{FAILURES}/shut-out",
        title="See whose address it is, and shut it out for a while",
        verify=(FAILURES,),
        why="If it is one of your own programs, its password is the thing to change. fail2ban does it by itself.",
        ask="Addresses: " + ", ".join(addresses[:20]),
    )


@check(
    ACCOUNTS,
    step=Step.AUTHENTICATION,
    asks="Does the system let those people in whose logins fail?",
    roles=SERVER,
    explained_by=("services.clock",),
)
def accounts(found: ClosedAccounts, refused: RefusedLogins | None = None) -> Iterator[Verdict]:
    """PAM refuses the right password of a locked or expired account, Dovecot that of a user on a list of denied ones or of
    a network that is not allowed; to its user it looks like a wrong one.

    Only the accounts of people are looked at, and only where logins fail. Sources: passwd(1), chage(1), pam_unix(8),
    Dovecot's documentation of passdbs (deny, allow_nets).
    """
    for each in found.closed:
        yield _closed(each)
    rules = list(_by_rules(refused or RefusedLogins(), {each.name for each in found.closed}))
    yield from rules
    if rules:
        return
    if not found.closed and found.looked:
        yield ok(
            f"The accounts of {', '.join(found.looked)}, whose logins failed, are open, and PAM names no other reason: the password was wrong",
        )
    elif not found.closed:
        yield ok("No account of this host has failed logins")


def _by_rules(refused: RefusedLogins, known: set[str]) -> Iterator[Verdict]:
    """What Dovecot's own rules refuse; what the log alone tells is said last, of users that nothing else explains."""
    for each in refused.denied:
        yield _denied(each)
    for rule in refused.shut_out:
        yield _shut_out_by(rule)
    known |= {each.user for each in refused.denied} | {each.user.partition("@")[0] for each in refused.denied}
    for user, why, count in refused.told:
        if not {user, user.partition("@")[0]} & known:
            yield warning(
                f"{user} cannot log in: Dovecot says {why}",
                detail=f"{plural(count, 'failed login')} in the log; the right password is refused like a wrong one.",
                subject=user,
                data={"failures": count},
                evidence=(Evidence("log", f"{why}: user=<{user}>"),),
            )


def _denied(each: DeniedUser) -> Verdict:
    place = each.setting.place
    return warning(
        f"{each.user} cannot log in: {each.path} line {each.number} is in a passdb with deny = yes",
        detail=f"{plural(each.failures, 'failed login')} in the log; the right password is refused like a wrong one.",
        subject=each.user,
        data={"failures": each.failures},
        evidence=(
            Evidence(each.path, f"{each.number}: {each.user}"),
            Evidence(place.file, f"{place.line}: {each.setting.raw.strip()}"),
        ),
        fixes=(
            Fix(
                id=f"{ACCOUNTS}/allow",
                title=f"Take {each.user} off the list",
                commands=(comment_line(each.path, each.number),),
                changes=(each.path,),
                verify=(ACCOUNTS,),
                why="Somebody put the name there: ask why before it goes.",
            ),
        ),
    )


def _shut_out_by(rule: ShutOut) -> Verdict:
    place = rule.setting.place
    more = (
        f" and {plural(len(rule.addresses) - 1, 'more address', 'more addresses')}" if len(rule.addresses) > 1 else ""
    )
    return warning(
        f"{place}: allow_nets lets nobody log in from {rule.addresses[0]}{more}",
        detail=f"Only {', '.join(rule.networks)} may; from elsewhere the right password is refused like a wrong one.",
        subject="allow_nets",
        data={"addresses": list(rule.addresses), "networks": list(rule.networks)},
        evidence=(Evidence(place.file, f"{place.line}: {rule.setting.raw.strip()}"),),
        confidence=Confidence.LIKELY,
    )


def _closed(each: ClosedAccount) -> Verdict:
    locked = each.source.startswith("passwd")
    counted = "pam_faillock " in each.why
    unlock = ("usermod", "--unlock", each.name) if locked else ("chage", "--expiredate", "-1", each.name)
    if counted:
        unlock = ("faillock", "--user", each.name, "--reset")
    fixes: tuple[Fix, ...] = ()
    if locked or counted or (each.source.startswith("chage") and "account" in each.why):
        fixes = (
            Fix(
                id=f"{ACCOUNTS}/open",
                title=f"Open the account of {each.name} again",
                commands=(unlock,),
                undo=(("usermod", "--lock", each.name),) if locked else (),
                verify=(ACCOUNTS,),
                why="Somebody closed it: ask why before it is opened.",
            ),
        )
    return warning(
        f"{each.name} cannot log in: {each.why}",
        detail=f"{plural(each.failures, 'failed login')} in the log; the right password is refused like a wrong one.",
        subject=each.name,
        data={"failures": each.failures},
        evidence=(Evidence(each.source, each.text),),
        fixes=fixes,
        confidence=Confidence.LIKELY,
    )
