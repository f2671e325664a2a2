"""Step 7, Dovecot's settings for mailboxes: is each user's mail kept, and apart from everybody else's?"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator
from pathlib import PurePosixPath

from maildiag.facts.dovecot import DovecotConfig
from maildiag.facts.mail_users import MailUser, MailUsers, inbox_query
from maildiag.facts.mailboxes import delivery_of
from maildiag.facts.postfix import Postfix
from maildiag.lint.sinks import transport_of
from maildiag.model import Evidence, Step, Verdict, critical, ok, warning
from maildiag.registry import SERVER, check
from maildiag.text import plural
from maildiag_checks._sockets import DEAD, take_out

ID = "authentication.mailbox-settings"
_PLACES = ("mail_inbox_path", "mail_path", "mail_location")


@check(
    ID,
    step=Step.AUTHENTICATION,
    asks="Do Dovecot's settings keep each user's mail, and apart from others'?",
    roles=SERVER,
    explained_by=(*DEAD, "services.dovecot-config"),
)
def mailbox_settings(config: DovecotConfig, users: MailUsers | None, postfix: Postfix | None) -> Iterator[Verdict]:
    """One place for everybody, mail that goes by itself, names that are cut in two. Nothing of it is logged.

    Sources: Dovecot's documentation of mail location, autoexpunge, recipient_delimiter.
    """
    people = [each for each in users.users if each.status == 0] if users else []
    found = [
        *_one_for_all(people, config),
        *_by_protocol(config, postfix),
        *_expunged(config),
        *_delimiters(people, config, postfix),
    ]
    yield from found
    if not found:
        yield ok("Each user has a mailbox of their own, and no mail goes from INBOX by itself",
                 evidence=tuple(_place(config)))  # fmt: skip


def _one_for_all(people: list[MailUser], config: DovecotConfig) -> Iterator[Verdict]:
    """The same INBOX for all: the setting of the place lacks the variable of the user. Two who share one may be meant."""
    placed = [each for each in people if each.inbox]
    names = {each.name.partition("@")[0].lower() for each in placed}
    inboxes = {PurePosixPath(each.inbox) for each in placed}
    if len(names) < 2 or len(inboxes) != 1:
        return
    first, second = (
        placed[0],
        next(each for each in placed if each.name.partition("@")[0] != placed[0].name.partition("@")[0]),
    )
    yield critical(
        f"All users have one INBOX, {first.inbox}: {first.name} reads the mail of {second.name}",
        detail="The setting of the place has no variable of the user's name or home, so that it is the same for everybody.",
        subject="place",
        data={"users": [each.name for each in placed], "inbox": first.inbox},
        evidence=(
            *_place(config),
            *(Evidence(" ".join(inbox_query(each.name)), each.inbox) for each in (first, second)),
        ),
        explained_by=("services.dovecot-config@variables",),
    )


def _by_protocol(config: DovecotConfig, postfix: Postfix | None) -> Iterator[Verdict]:
    """A `protocol` section that has a place of its own: what one protocol stores another one does not show."""
    if postfix is None or not postfix.installed:
        return
    by_lda = "dovecot-lda" in postfix.get("mailbox_command") or "dovecot/deliver" in postfix.get("mailbox_command")
    delivers = "lmtp" if _delivers(postfix) else "lda" if by_lda else ""
    for name in _PLACES:
        if name == "mail_path" and config.source.find("mail_inbox_path"):
            continue  # it decides for INBOX, where mail arrives
        everywhere = config.source.find(name)
        own = {each: config.source.find(name, ("protocol", each)) for each in ("imap", delivers)}
        shown, stored = own["imap"] or everywhere, own[delivers] or everywhere
        odd = own[delivers] or own["imap"]
        if shown is None or stored is None or odd is None or _path(shown.value) == _path(stored.value):
            continue
        yield critical(
            f"{odd.place}: {name} = {odd.value} for {odd.within[-1].name} alone: mail is delivered to {_path(stored.value)}, "
            f"and IMAP shows {_path(shown.value)}",
            detail="Nothing is logged: the mail is stored, and nobody sees it.",
            subject=name,
            evidence=tuple(
                Evidence(each.place.file, f"{each.place.line}: {each.raw.strip()}") for each in (stored, shown)
            ),
            fixes=(take_out(odd, ID, "one-place", f"Take the line out, so that every protocol has the same {name}"),),
        )


def _path(value: str) -> str:
    """`maildir:~/Maildir:INDEX=…` without what does not matter to where the mail is."""
    head, *options = value.split(":")
    place, *rest = options if options else [head]
    inbox = [each for each in rest if each.startswith("INBOX=")]
    return ":".join([place.rstrip("/"), *inbox])


def _place(config: DovecotConfig) -> Iterator[Evidence]:
    for name in _PLACES:
        where = config.where(name)
        if where:
            yield Evidence(where.file, f"{where.line}: {config.source_line(where)}")


def _expunged(config: DovecotConfig) -> Iterator[Verdict]:
    """autoexpunge is for Trash and Junk: where INBOX has it, what nobody deleted is deleted when its user logs out."""
    for each in config.source.settings:
        box = each.within[-1] if each.within else None
        if (
            not each.name.removeprefix("mailbox_").startswith("autoexpunge")
            or each.value in ("", "0")
            or box is None
            or box.kind != "mailbox"
        ):
            continue
        if fnmatch.fnmatch("inbox", box.name.strip('"').lower()):
            yield warning(
                f"{each.place}: {each.name} = {each.value} deletes mail from INBOX, read or not",
                detail="Dovecot deletes what is older when the user's session ends, and keeps no copy.",
                subject="autoexpunge",
                evidence=(Evidence(each.place.file, f"{each.place.line}: {each.raw.strip()}"),),
                fixes=(take_out(each, ID, "keep", f"Take {each.name} out of the mailbox INBOX"),),
            )


def _delimiters(people: list[MailUser], config: DovecotConfig, postfix: Postfix | None) -> Iterator[Verdict]:
    """What Dovecot's LMTP cuts off a name before they look the user up, against names and against Postfix's own."""
    if postfix is None or not postfix.installed or not _delivers(postfix):
        return
    letters, own = config.value("recipient_delimiter", "+"), postfix.get("recipient_delimiter")
    where = config.where("recipient_delimiter")
    shown = (
        Evidence("doveconf", f"recipient_delimiter = {letters}" + (f" ({where})" if where else "")),
        Evidence("postconf -x", f"recipient_delimiter = {own}"),
    )
    cut = [each.name for each in people if set(each.name.partition("@")[0][1:]) & set(letters)]
    if cut:
        head = _head(cut[0], letters)
        yield warning(
            f"Dovecot takes mail for {cut[0]} for {head}'s: recipient_delimiter = {letters} is a part of the name",
            detail=f"LMTP looks {head} up: the mail comes to {head}, or is returned. {plural(len(cut), 'name')} of users"
            " have such a letter.",
            subject="recipient_delimiter",
            data={"users": [*cut]},
            evidence=shown,
        )
    elif missing := [each for each in own if each not in letters]:
        yield warning(
            f"Postfix takes mail for NAME{missing[0]}anything, and Dovecot looks for a user of that whole name: it is returned",
            detail=f"Both need the same recipient_delimiter: Postfix has {own}, Dovecot {letters or 'none'}.",
            subject="recipient_delimiter",
            evidence=shown,
        )


def _head(name: str, letters: str) -> str:
    local, at, domain = name.partition("@")
    place = next(number for number, letter in enumerate(local) if number and letter in letters)
    return f"{local[:place]}{at}{domain}"


def _delivers(postfix: Postfix) -> bool:
    """True where Postfix hands whole addresses to Dovecot: by LMTP. dovecot-lda is called for an account (local(8))."""
    virtual = postfix.get("virtual_mailbox_domains") and transport_of(postfix.get("virtual_transport")) == "lmtp"
    return transport_of(delivery_of(postfix).value) == "lmtp" or bool(virtual)
