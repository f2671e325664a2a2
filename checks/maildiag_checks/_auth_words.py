"""What Dovecot's authentication process itself complains of, led back to the line of the configuration."""

from __future__ import annotations

import re
from collections.abc import Iterator

from maildiag.dovecot import edits as editing
from maildiag.dovecot.edits import Edit
from maildiag.dovecot.mentioned import mentioned
from maildiag.dovecot.tree import Setting
from maildiag.facts.dovecot import DovecotConfig
from maildiag.facts.mail_log import MailLog
from maildiag.logs.summary import Group
from maildiag.model import Evidence, Fix, Verdict, critical
from maildiag_checks._sockets import GUARDS, RESTART

_CONFIG = "dovecot.auth-config"
_MECHANISM = re.compile(r"^(?!No passdbs).*\bmechanisms?\b")  # "No passdbs specified … PLAIN mechanism needs one"


def complaints(log: MailLog | None, config: DovecotConfig, check: str, *, of_mechanisms: bool) -> Iterator[Verdict]:
    """One finding for each thing that the process has said since Dovecot was started: of mechanisms, or of databases.

    A process that refuses its configuration dies, is started again, and dies; Postfix and the login processes then say
    only that there is no authentication.
    """
    seen: set[str] = set()
    for group in _groups(log):
        words = _words(group)
        if bool(_MECHANISM.search(words)) is of_mechanisms and words not in seen:
            seen.add(words)
            yield _verdict(group, words, config, check)


def mailbox_complaints(log: MailLog | None, config: DovecotConfig) -> Iterator[Verdict]:
    """What the mail processes say of users whose userdb gives no home or a number that is not allowed.

    Asked where no user is known to be looked up: with a static userdb any name is a user.
    """
    seen: set[str] = set()
    for group in log.summary.of("dovecot.mail-location") if log else ():
        words = _error(group)
        if group.over or words in seen:
            continue
        seen.add(words)
        userdb = next((each for each in config.databases("userdb") if each.place.file), None)
        about = tuple(each for each in mentioned(words, config.source) if each.place.file)
        place = about[0].place if about else userdb.place if userdb else None
        shown = (Evidence(place.file, f"{place.line}: {config.source_line(place)}"),) if place else ()
        yield critical(
            f"{place}: Dovecot opens no mailbox: {words[:200]}"
            if place
            else f"Dovecot opens no mailbox: {words[:200]}",
            detail="The password is right, and the login fails all the same: the userdb gives what Dovecot cannot work with.",
            subject=about[0].name if about else "userdb",
            evidence=(Evidence("log", group.samples[-1], group.last), *shown),
        )


def _error(group: Group) -> str:
    return group.samples[-1].partition("Error: ")[2] or group.key


def _groups(log: MailLog | None) -> Iterator[Group]:
    """Fatal lines of a class of no other's come last: they are shown where nothing better is known."""
    mine = [each for each in log.summary.groups if not each.over and _speaks(each)] if log else []
    yield from (each for each in mine if each.meaning == _CONFIG)
    if not any(each.meaning == _CONFIG for each in mine):
        yield from (each for each in mine if each.meaning == "other" and each.severity == "critical")


def _speaks(group: Group) -> bool:
    return group.family == "dovecot" and group.daemon in ("auth", "auth-worker")


def _words(group: Group) -> str:
    """The line without its user and session, which differ each time."""
    text = group.samples[-1].partition(": ")[2]
    for level in ("Fatal: ", "Error: ", "Panic: "):
        text = text.partition(level)[2] or text
    head, bracket, rest = text.partition(">): ")
    return f"{head.partition('(')[0]}: {rest}" if bracket else text


def _verdict(group: Group, words: str, config: DovecotConfig, check: str) -> Verdict:
    about = tuple(each for each in mentioned(words, config.source) if each.place.file) or _database(words, config)
    where = f"{about[0].place}: " if about else ""
    return critical(
        f"{where}Dovecot's authentication process says: {words[:200]}",
        detail="Dovecot accepts the configuration; the process that needs the line fails, and logins with it.",
        subject=about[0].name if about else "auth",
        evidence=(
            Evidence("log", group.samples[-1], group.last),
            *(Evidence(each.place.file, f"{each.place.line}: {each.raw}") for each in about[:2]),
        ),
        fixes=_fixes(words, about, check),
    )


def _database(words: str, config: DovecotConfig) -> tuple[Setting, ...]:
    """The first line of the passdb or userdb whose driver the words begin with (`static userdb`, `sql`, `prefetch`)."""
    named = set(words.replace(":", " ").split()[:2])
    if _MECHANISM.search(words):
        offered = config.source.find("auth_mechanisms")
        return (offered,) if offered else ()
    for kind in ("userdb", "passdb"):
        for each in config.databases(kind):
            if each.driver in named and each.place.file:
                return (Setting(kind, each.driver, each.place, (), config.source_line(each.place)),)
    for setting in config.source.settings:
        if setting.name in ("driver", "args") and setting.value.split(" ")[0] in named and setting.within:
            return (setting,)
    return ()


def _fixes(words: str, about: tuple[Setting, ...], check: str) -> tuple[Fix, ...]:
    """A mechanism that this Dovecot does not have is taken out of the list; all else needs a person."""
    setting = about[0] if about else None
    if setting is not None and setting.name == "auth_mechanisms":
        kept = " ".join(each for each in setting.value.split() if each.upper() not in words.upper()) or "plain login"
        edits = (Edit(setting.place, (f"auth_mechanisms = {kept}",)),)
        return (
            Fix(
                id=f"{check}/without",
                title=f"Offer {kept}",
                commands=(*editing.commands(edits), RESTART),
                automatic=True,
                changes=editing.files(edits),
                verify=(check,),
                guards=GUARDS,
            ),
        )
    place = f"{setting.place}: {setting.raw.strip()}\n" if setting else ""
    hint = f"install the package that has it (dovecot-{_driver(words)})\n" if _driver(words) else ""
    return (
        Fix(
            id=f"{check}/correct",
            title="Correct what the authentication process complains of, then restart Dovecot",
            verify=(check,),
            ask=f"{place}{hint}systemctl restart dovecot",
        ),
    )


def _driver(words: str) -> str:
    """`Unknown database driver 'mysql'`: each driver has a package of its own on Debian and Red Hat."""
    if "driver" not in words:
        return ""
    return next((each for each in ("mysql", "pgsql", "sqlite", "ldap", "lua") if f"'{each}'" in words), "")
