"""Step 7, the mailboxes: does Postfix deliver where Dovecot looks?"""

from __future__ import annotations

from collections.abc import Iterator

from maildiag.dovecot import edits as editing
from maildiag.dovecot.edits import Edit
from maildiag.facts.dovecot import DovecotConfig
from maildiag.facts.mail_users import inbox_query
from maildiag.facts.mailboxes import Mailbox, Mailboxes, below, same_place
from maildiag.model import Evidence, Fix, Step, Verdict, critical, ok, skipped
from maildiag.registry import SERVER, check
from maildiag.text import plural
from maildiag_checks._sockets import DEAD, GUARDS, RELOAD

PLACE = "authentication.inbox-place"
_BEFORE = ("services.disk", "authentication.users", *DEAD)


@check(
    PLACE,
    step=Step.AUTHENTICATION,
    asks="Does Postfix deliver where Dovecot looks?",
    roles=SERVER,
    explained_by=DEAD,
)
def inbox_place(found: Mailboxes, config: DovecotConfig) -> Iterator[Verdict]:
    """Mail that Postfix delivers to another place than Dovecot's INBOX is never seen, and nothing is logged.

    Sources: local(8) for the order of mailbox_transport, mailbox_command, home_mailbox and mail_spool_directory;
    doveadm-mailbox(1) path; Debian 13 sets mail_inbox_path = /var/mail/%{user}.
    """
    if found.delivery.by_dovecot:
        yield ok(
            f"Dovecot itself delivers ({found.delivery.setting or 'no Postfix'} {found.delivery.value}".strip() + ")"
        )
        return
    known = [each for each in found.boxes if each.delivered and each.inbox]
    if not known:
        yield skipped("Where Postfix delivers could not be compared with any user's INBOX")
        return
    apart = [each for each in known if not same_place(each.delivered, each.inbox)]
    if not apart:
        first = known[0]
        yield ok(
            f"Postfix delivers where Dovecot looks ({found.delivery.setting} = {found.delivery.value})",
            evidence=(Evidence(" ".join(inbox_query(first.user)), first.inbox),),
        )
        return
    yield _apart(found, config, apart)


def _apart(found: Mailboxes, config: DovecotConfig, apart: list[Mailbox]) -> Verdict:
    first = next((each for each in apart if each.waiting), apart[0])
    place = config.where("mail_inbox_path") or config.where("mail_path") or config.where("mail_location")
    evidence = [
        Evidence("postconf -x", f"{found.delivery.setting} = {found.delivery.value}"),
        Evidence(" ".join(inbox_query(first.user)), first.inbox),
    ]
    if place:
        evidence.append(Evidence(place.file, f"{place.line}: {config.source_line(place)}"))
    waiting = sum(each.waiting for each in apart)
    return critical(
        f"Postfix delivers to {first.delivered}, and Dovecot looks for INBOX in {first.inbox}",
        detail=(
            f"{plural(len(apart), 'user')} see an empty or stale INBOX, and nothing is logged: Postfix says "
            '"delivered", the login succeeds.'
            + (f" {plural(waiting, 'message')} lie where nobody sees them." if waiting else "")
        ),
        subject=found.delivery.setting,
        data={"users": [each.user for each in apart], "delivered": first.delivered, "inbox": first.inbox},
        evidence=tuple(evidence),
        fixes=tuple(_bring_together(found, config, apart)),
        explained_by=("services.dovecot-config@variables", "services.main-cf@main.cf:home_mailbox"),
    )


def _bring_together(found: Mailboxes, config: DovecotConfig, apart: list[Mailbox]) -> Iterator[Fix]:
    """The side that says Maildir in the home is the documented one; the other is changed to it."""
    safe = all(not each.seen for each in apart)
    if _misread(found.delivery.in_home):
        return
    if found.delivery.in_home.endswith("/"):
        if not all(same_place(f"{each.home}/{found.delivery.in_home}", each.delivered) for each in apart):
            return  # Dovecot's ~ is another home than the account's
        fix = _move_dovecot(config, found.delivery.in_home.rstrip("/"), safe)
        if fix:
            yield fix
        return
    relative = _in_home(apart[0])
    if relative:
        yield Fix(
            id=f"{PLACE}/move-postfix",
            title=f"Let Postfix deliver to {relative}/ in the home, where Dovecot looks",
            commands=(("postconf", "-e", f"home_mailbox = {relative}/"), ("postfix", "reload")),
            automatic=found.delivery.setting in ("home_mailbox", "mail_spool_directory"),
            changes=("/etc/postfix/main.cf",),
            verify=(PLACE,),
            guards=(("postfix", "check"),),
            why="What was delivered before stays where it is; move it by hand.",
        )


def _misread(in_home: str) -> bool:
    """True where home_mailbox is written in Dovecot's way: that is main.cf's fault, and nothing for Dovecot to follow."""
    return in_home.startswith(("/", "~")) or "%" in in_home


def _in_home(box: Mailbox) -> str:
    return below(box.inbox, box.home) or "" if box.home else ""


def _move_dovecot(config: DovecotConfig, folder: str, safe: bool) -> Fix | None:
    wanted = (
        {"mail_driver": "maildir", "mail_path": f"~/{folder}", "mail_inbox_path": f"~/{folder}"}
        if config.modern
        else {"mail_location": f"maildir:~/{folder}"}
    )
    found = {name: config.source.find(name) for name in wanted}
    anchor = next((each for each in found.values() if each), None)
    if anchor is None:
        return None
    edits = [
        Edit(each.place, (f"{name} = {wanted[name]}",))
        for name, each in found.items()
        if each and each.value != wanted[name]
    ]
    missing = tuple(f"{name} = {wanted[name]}" for name, each in found.items() if each is None)
    if missing:
        kept = next((each.lines[0] for each in edits if each.place == anchor.place), anchor.raw)
        edits = [each for each in edits if each.place != anchor.place]
        edits.append(Edit(anchor.place, (kept, *missing)))
    if not edits:
        return None
    return Fix(
        id=f"{PLACE}/move-dovecot",
        title=f"Let Dovecot look in ~/{folder}, where Postfix delivers",
        commands=(*editing.commands(edits), RELOAD),
        automatic=safe,
        changes=editing.files(edits),
        verify=(PLACE,),
        guards=GUARDS,
        why=""
        if safe
        else "Mail that Dovecot shows now stays in its old place and is no longer seen; move it by hand.",
    )
