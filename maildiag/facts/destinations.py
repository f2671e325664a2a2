"""Where the mail of each person ends: rewritten, expanded and routed by the tables as Postfix asks them."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field

from maildiag.facts.accounts import Accounts
from maildiag.facts.domains import Domains
from maildiag.facts.forwards import Forwards
from maildiag.facts.mail_users import MOST_USERS, MailUsers
from maildiag.facts.postfix_config import PostfixConfig
from maildiag.facts.table_entries import Entries, Entry, UnreadableError
from maildiag.facts.tables import Tables
from maildiag.lint import restrictions
from maildiag.lint.context import words
from maildiag.lint.lines import logical_lines
from maildiag.lint.sinks import discards, is_idle, transport_of
from maildiag.records import dataclass

_NOBODY = "maildiag-asks-for-nobody"
_TRANSPORTS = {
    "mydestination": "local_transport",
    "virtual_mailbox_domains": "virtual_transport",
    "relay_domains": "relay_transport",
}


@dataclass(frozen=True, slots=True)
class End:
    """Where a copy ends: the mailbox `place` of this host, or an address, file or command. `thrown` is the setting or the
    entry that throws it away, `fails` why it is returned to its sender; both are "" where it is kept or passed on.
    """

    place: str
    mailbox: bool = False
    thrown: str = ""
    fails: str = ""


@dataclass(frozen=True, slots=True)
class Course:
    """The way of mail for an address of `user` ("" for an address that nobody has): the entries on it, and its ends."""

    user: str
    address: str
    entries: tuple[Entry, ...]
    ends: tuple[End, ...]

    @property
    def own(self) -> bool:
        """True where a copy comes to the user's own mailbox, and is kept there."""
        kept = (each for each in self.ends if not each.thrown and not each.fails)
        return any(each.mailbox and each.place == self.user.lower() for each in kept)

    @property
    def lost(self) -> bool:
        """True where every copy is thrown away."""
        return bool(self.ends) and all(each.thrown for each in self.ends)


@dataclass(frozen=True, slots=True)
class Destinations:
    """The courses of the people whose mail is here, by domain the course of an address that nobody has, and the course of an
    address of somebody else's domain.
    """

    courses: tuple[Course, ...]
    nobody: Mapping[str, Course] = field(default_factory=dict)
    outside: Course | None = None

    def shared(self, course: Course) -> bool:
        """True where an address that nobody has goes the same way by the same entries: none is meant for this person."""
        other = self.nobody.get(course.address.rpartition("@")[2])
        return other is not None and bool(course.entries) and other.ends == course.ends


def destinations(
    config: PostfixConfig,
    domains: Domains,
    tables: Tables,
    users: MailUsers | None,
    accounts: Accounts | None,
    forwards: Forwards | None = None,
) -> Destinations:
    """Follow each person's address through the tables, in the order in which Postfix asks them.

    Raises UnreadableError where a table on the way cannot be read. Sources: ADDRESS_REWRITING_README, virtual(5), transport(5),
    aliases(5).
    """
    named = {user: address for user in _people(users, accounts) if (address := _address(user, config, domains))}
    at = dict.fromkeys(address.rpartition("@")[2] for address in named.values())
    router = _Router(config, domains, Entries(config, tables), forwards or Forwards())
    return Destinations(
        tuple(router.course(user, address) for user, address in named.items()),
        {domain: router.course("", f"{_NOBODY}@{domain}") for domain in at},
        router.course("", f"{_NOBODY}@{_NOBODY}.invalid"),
    )


def sent_away(config: PostfixConfig, tables: Tables, courses: Iterable[Course]) -> Iterator[tuple[Course, Entry]]:
    """The entries by which smtpd discards or redirects mail for these addresses, whoever sends it (access(5)).

    Tables that cannot be read are passed over.
    """
    entries = Entries(config, tables)
    port25 = next(
        (each for each in config.master.running("smtpd") if each.name.rpartition(":")[2] in ("smtp", "25")), None
    )
    for name in restrictions.LISTS:
        own = port25.override(name) if port25 else None
        for rule in restrictions.parse(words(own) if own is not None else config.context.words(name)):
            if rule.name != "check_recipient_access" or rule.warned:
                continue
            for course in courses:
                local, _, domain = course.address.rpartition("@")
                try:
                    entry = entries.find_in(name, rule.argument, course.address, domain, f"{local}@")
                except UnreadableError:
                    break
                action, _, target = entry.value.partition(" ") if entry else ("", "", "")
                if entry and (
                    action.upper() == "DISCARD"
                    or (action.upper() == "REDIRECT" and target.strip().lower() != course.address)
                ):
                    yield course, entry


def _people(users: MailUsers | None, accounts: Accounts | None) -> tuple[str, ...]:
    known = tuple(each.name for each in users.users if each.status == 0) if users else ()
    return known or (tuple(each.name for each in accounts.people[:MOST_USERS]) if accounts else ())


def _address(user: str, config: PostfixConfig, domains: Domains) -> str:
    """What people write to: for an account, its name in the first of this host's domains that local(8) serves."""
    if "@" in user:
        return user.lower()
    names = [config.get(each).lower() for each in ("mydomain", "myorigin", "myhostname")]
    domain = next((each for each in names if _class(each, domains) == "mydestination"), "")
    return f"{user.lower()}@{domain}" if domain else ""


def _class(domain: str, domains: Domains) -> str:
    return next((each.parameter for each in domains.classes_of(domain)), "")


@dataclass(frozen=True, slots=True)
class _Router:
    """Computes courses, an address at a time."""

    config: PostfixConfig
    domains: Domains
    entries: Entries
    forwards: Forwards

    def course(self, user: str, address: str) -> Course:
        passed: list[Entry] = []
        ends = [
            end
            for rewritten in self._canonical(address, passed)
            for final in self._virtual(rewritten, passed, frozenset())
            for end in self._delivered(final, passed)
        ]
        return Course(user, address, tuple(dict.fromkeys(passed)), tuple(dict.fromkeys(ends)))

    def _canonical(self, address: str, passed: list[Entry]) -> Iterator[str]:
        keys = self._keys(address)
        entry = self.entries.find("recipient_canonical_maps", *keys) or self.entries.find("canonical_maps", *keys)
        passed += [entry] if entry else []
        yield next(iter(self._targets(address, entry)), address) if entry else address

    def _virtual(self, address: str, passed: list[Entry], seen: frozenset[str]) -> Iterator[str]:
        """virtual(5): again and again, until an address stands for itself."""
        entry = self.entries.find("virtual_alias_maps", *self._keys(address)) if address not in seen else None
        if entry is None:
            yield address
            return
        targets = self._targets(address, entry)
        passed += [entry] if targets != [address] else []
        for target in targets:
            yield from self._virtual(target, passed, seen | {address})

    def _keys(self, address: str) -> tuple[str, ...]:
        """The address, the bare name of a local one, the whole domain (virtual(5), canonical(5))."""
        name, _, domain = address.rpartition("@")
        local = self._class(domain) == "mydestination" or domain == self.config.get("myorigin").lower()
        return (address, *([name] if local else []), f"@{domain}")

    def _targets(self, address: str, entry: Entry) -> list[str]:
        """A bare name is completed with myorigin, `@domain` keeps the name."""
        name = address.rpartition("@")[0]
        found = [word.strip('"').lower() for word in entry.value.replace(",", " ").split()]
        origin = self.config.get("myorigin").lower()
        return [f"{name}{one}" if one.startswith("@") else one if "@" in one else f"{one}@{origin}" for one in found]

    def _delivered(self, address: str, passed: list[Entry]) -> Iterator[End]:
        name, _, domain = address.rpartition("@")
        kind = self._class(domain)
        parameter = _TRANSPORTS.get(kind, "default_transport")
        entry = self.entries.find("transport_maps", *self._routes(address))
        routed = entry if entry and transport_of(entry.value) else None
        passed += [routed] if routed else []
        value, told = (routed.value, _told(routed)) if routed else (self.config.get(parameter), "")
        if discards(value, self.config.master):
            yield End("", thrown=told or f"{parameter} = {value}")
        elif transport_of(value) == "local":
            yield from self._local(self._without_extension(name), passed, frozenset())
        else:
            yield End(address, mailbox=kind == "virtual_mailbox_domains")

    def _routes(self, address: str) -> tuple[str, ...]:
        """transport(5): the address, its domain, the domains above (as `.domain`, or without the dot), everything."""
        labels = address.rpartition("@")[2].split(".")
        dot = "" if "transport_maps" in self.config.context.words("parent_domain_matches_subdomains") else "."
        above = [dot + ".".join(labels[number:]) for number in range(1, len(labels))]
        return (address, ".".join(labels), *above, "*")

    def _without_extension(self, name: str) -> str:
        letters = self.config.get("recipient_delimiter")
        return name[: next((place for place, letter in enumerate(name) if place and letter in letters), len(name))]

    def _local(self, name: str, passed: list[Entry], seen: frozenset[str], way: tuple[str, ...] = ()) -> Iterator[End]:
        """local(8): aliases first, again and again; a name within its own alias is the account, whose .forward is next."""
        entry = self.entries.find("alias_maps", name) if name not in seen else None
        if entry is None:
            yield from self._account(name, passed, way)
            return
        passed.append(entry)
        for target in alias_targets(entry.value):
            if target.startswith("\\"):
                yield self._mailbox(target[1:].lower())
            elif self._is_local(target):
                yield from self._local(target.partition("@")[0].lower(), passed, seen | {name}, way)
            else:
                yield _elsewhere(target, entry)

    def _account(self, name: str, passed: list[Entry], way: tuple[str, ...]) -> Iterator[End]:
        """The .forward of the account, and of those that it names; one that names its own account keeps a copy (local(8)).

        `way` are the accounts whose files led here: to come back to one of them is a loop.
        """
        path, text = self.forwards.files.get(name, ("", ""))
        lines = [(line, target) for line in logical_lines(text) for target in alias_targets(line.text)]
        if name in way:
            yield End(name, fails="mail forwarding loop")
        elif not lines:
            yield self._mailbox(name)
        for line, target in lines if name not in way else ():
            entry = Entry("forward_path", path, name, target, line)
            passed.append(entry)
            other = target.lstrip("\\").partition("@")[0].lower()
            if not self._is_local(target):
                yield _elsewhere(target, entry)
            elif target.startswith("\\") or other == name:
                yield self._mailbox(other)
            elif other in self.forwards.known or self.entries.find("alias_maps", other):
                yield from self._local(other, passed, frozenset(), (*way, name))
            else:
                yield self._unknown(other)

    def _unknown(self, name: str) -> End:
        """A name without account and alias; luser_relay and fallback_transport take such mail (local(8))."""
        caught = any(self.config.get(each) for each in ("luser_relay", "fallback_transport", "fallback_transport_maps"))
        return End(name, fails="" if caught or not self.forwards.known else "unknown user")

    def _is_local(self, target: str) -> bool:
        if target.startswith(("/", "|", ":")):
            return False
        return "@" not in target or self._class(target.rpartition("@")[2].lower()) == "mydestination"

    def _mailbox(self, name: str) -> End:
        """Who stores it: mailbox_transport_maps, mailbox_transport, mailbox_command_maps, mailbox_command (local(8))."""
        for setting, stores in (("mailbox_transport", self._stores), ("mailbox_command", _keeps)):
            entry = self.entries.find(f"{setting}_maps", name)
            value = entry.value if entry else self.config.get(setting)
            if value:
                named = f"{setting}_maps" if entry else setting
                return End(name, True, "" if stores(value) else f"{named} = {self.config.get(named)}")
        return End(name, True)

    def _stores(self, transport: str) -> bool:
        return not discards(transport, self.config.master)

    def _class(self, domain: str) -> str:
        return _class(domain, self.domains)


def _keeps(program: str) -> bool:
    return not is_idle(program)


def _elsewhere(target: str, entry: Entry) -> End:
    """A file, a command, a list or somebody else's address."""
    thrown = target == "/dev/null" or (target[0] == "|" and is_idle(target[1:].strip(' "')))
    return End(target, thrown=_told(entry) if thrown else "")


def _told(entry: Entry) -> str:
    return f"{entry.key} {entry.value} in {entry.table}"


def alias_targets(value: str) -> list[str]:
    """The targets in an entry of aliases(5): addresses, files, `|commands`; quotes keep blanks and commas."""
    return [word.strip() for word in next(csv.reader([value], skipinitialspace=True), []) if word.strip()]
