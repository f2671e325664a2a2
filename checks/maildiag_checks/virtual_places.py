"""Step 7, the mailboxes of virtual users: does virtual(8) deliver where Dovecot looks, and in its format?"""

from __future__ import annotations

from collections.abc import Iterator

from maildiag.facts.domains import Domains
from maildiag.facts.dovecot import DovecotConfig
from maildiag.facts.mail_users import MailUser, MailUsers, inbox_query
from maildiag.facts.mailboxes import below, same_place
from maildiag.facts.postfix_config import PostfixConfig
from maildiag.facts.table_entries import Entries, Entry, UnreadableError
from maildiag.facts.tables import Tables
from maildiag.lint.sinks import transport_of
from maildiag.model import Evidence, Step, Verdict, critical, is_absent, ok, skipped, unknown
from maildiag.records import dataclass
from maildiag.registry import SERVER, check
from maildiag.text import plural
from maildiag_checks._main_cf import shown
from maildiag_checks._sockets import DEAD

ID = "authentication.virtual-place"
_BASE, _MAPS = "virtual_mailbox_base", "virtual_mailbox_maps"


@dataclass(frozen=True, slots=True)
class _Place:
    """Where virtual(8) puts a user's mail (a slash at its end: Maildir), by which entry, and where Dovecot looks."""

    user: MailUser
    entry: Entry
    base: str
    maildir: bool

    @property
    def delivered(self) -> str:
        return f"{self.base.rstrip('/')}/{self.entry.value}"

    @property
    def apart(self) -> bool:
        return not same_place(self.delivered, self.user.inbox)

    @property
    def other_format(self) -> bool:
        return self.delivered.endswith("/") is not self.maildir

    @property
    def by_base(self) -> bool:
        """True where the place is the same below another base."""
        if below(self.user.inbox, self.base) is not None:
            return False
        return self.user.inbox.rstrip("/").endswith(f"/{self.entry.value.rstrip('/')}")


@check(
    ID,
    step=Step.AUTHENTICATION,
    asks="Does virtual(8) deliver where Dovecot looks?",
    roles=SERVER,
    explained_by=(*DEAD, "services.dovecot-config", "services.lookup-tables"),
)
def virtual_place(
    config: PostfixConfig, domains: Domains, tables: Tables, users: MailUsers, dovecot: DovecotConfig
) -> Iterator[Verdict]:
    """The path is virtual_mailbox_base, a slash, and what virtual_mailbox_maps says; a slash at its end makes it a Maildir.

    Source: virtual(8).
    """
    if transport_of(config.get("virtual_transport")) != "virtual":
        yield skipped("virtual(8) delivers to nobody")
        return
    people = [each for each in users.users if each.inbox and _is_virtual(each, domains)]
    try:
        found = list(_places(people, config, tables, dovecot))
    except UnreadableError as closed:
        if closed.gap is not None and not is_absent(closed.gap):
            yield unknown(f"{closed.table} could not be read", detail=str(closed.gap))
        else:
            yield skipped(f"What {closed.table} says of people's addresses is not read")
        return
    if not found:
        yield skipped("No user of virtual(8) is known to Dovecot")
        return
    wrong = [each for each in found if each.apart or each.other_format]
    if wrong:
        yield _wrong(wrong, config, dovecot)
    else:
        yield ok(f"virtual(8) delivers where Dovecot looks, for {plural(len(found), 'user')}",
                 evidence=(Evidence(" ".join(inbox_query(found[0].user.name)), found[0].user.inbox),))  # fmt: skip


def _is_virtual(user: MailUser, domains: Domains) -> bool:
    domain = user.name.rpartition("@")[2].lower()
    classes = [each.parameter for each in domains.classes_of(domain)]
    return "@" in user.name and classes[:1] == ["virtual_mailbox_domains"]


def _places(people: list[MailUser], config: PostfixConfig, tables: Tables, dovecot: DovecotConfig) -> Iterator[_Place]:
    entries = Entries(config, tables)
    for user in people:
        address = user.name.lower()
        entry = entries.find(_MAPS, address, f"@{address.rpartition('@')[2]}")
        if entry is not None:
            yield _Place(user, entry, config.get(_BASE), _is_maildir(user, dovecot))


def _is_maildir(user: MailUser, dovecot: DovecotConfig) -> bool:
    """The user's own `mail` or `mail_driver` (userdb), else the setting of all."""
    told = (
        user.fields.get("mail")
        or user.fields.get("mail_driver")
        or dovecot.value("mail_driver")
        or dovecot.value("mail_location")
    )
    return told.partition(":")[0] == "maildir"


def _wrong(wrong: list[_Place], config: PostfixConfig, dovecot: DovecotConfig) -> Verdict:
    first = wrong[0]
    by_base = first.apart and first.by_base
    line = first.entry.line
    told = Evidence(f"{first.entry.table.partition(':')[2]}:{line.first}", line.text.strip()) if line else None
    place = dovecot.where("mail_path") or dovecot.where("mail_location")
    configured = (Evidence(place.file, f"{place.line}: {dovecot.source_line(place)}"),) if place else ()
    if first.apart:
        title = f"virtual(8) delivers to {first.delivered}, and Dovecot looks for INBOX in {first.user.inbox}"
        detail = 'Postfix logs "delivered", the login succeeds, and the user sees nothing of it.'
    else:
        slash = (
            "has a slash at its end, which makes it a Maildir"
            if first.delivered.endswith("/")
            else "has no slash at its end, which makes it an mbox file"
        )
        title = f"virtual(8) and Dovecot take {first.user.inbox} for different formats: {first.entry.key} {first.entry.value} {slash}"
        detail = f"Dovecot keeps {'Maildirs' if first.maildir else 'mbox files'}."
    return critical(
        title,
        detail=f"{detail} This concerns {plural(len(wrong), 'user')}.",
        subject=_BASE if by_base else first.entry.table,
        data={"users": [each.user.name for each in wrong], "delivered": first.delivered, "inbox": first.user.inbox},
        evidence=(
            *shown(config, _BASE),
            *((told,) if told else ()),
            Evidence(" ".join(inbox_query(first.user.name)), first.user.inbox),
            *configured,
        ),
    )
