"""What makes Dovecot refuse its configuration: all of it at once, where doveconf(1) stops at the first mistake."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator

from maildiag.dovecot import renamed
from maildiag.dovecot.edits import Edit
from maildiag.dovecot.mentioned import mentioned
from maildiag.dovecot.refusal import Refusal
from maildiag.dovecot.syntax import Place
from maildiag.dovecot.tree import Section, Setting, Unbalanced
from maildiag.dovecot.variables import modern
from maildiag.facts.dovecot import DovecotConfig
from maildiag.records import dataclass

VERSION = "dovecot_config_version"
STORAGE = "dovecot_storage_version"
_SCOPES = ("protocol", "local", "remote", "local_name", "namespace", "plugin", "service")
_NAMED = ("passdb", "userdb")
_UNCLOSED = "has no }"
_DUPLICATE = re.compile(r"duplicate listener: (?:.*:)?(?P<port>\d+)\b")
_PORT = re.compile(r"(?P<address>[*\w.-]+|\[[\da-fA-F:]+\]):(?P<port>\d+)$")
# fmt: off
_KINDS = (
    "service", "protocol", "passdb", "userdb", "namespace", "mailbox", "plugin", "local", "remote", "local_name",
    "unix_listener", "fifo_listener", "inet_listener", "dict", "dict_server", "fields", "ssl_server", "ssl_client",
    "quota", "sieve_script", "event_exporter", "metric", "acl",
)
# fmt: on
_PROTOCOL = re.compile(r"Unknown protocol: (?P<name>\S+)")


@dataclass(frozen=True, slots=True)
class Mistake:
    """One line that Dovecot refuses: what is wrong with it, what to do, and the edits that do it (none: a person must)."""

    place: Place
    what: str
    advice: str = ""
    edits: tuple[Edit, ...] = ()
    certain: bool = False


def mistakes(config: DovecotConfig) -> tuple[Mistake, ...]:
    """Everything in the files that Dovecot refuses, in the order of reading, one mistake a line.

    Only to be asked where Dovecot refuses its configuration: what it accepts is never a mistake.
    """
    found = [*_invisible(config), *_structure(config), *_ports_in_listen(config), *_misspelt_sections(config)]
    found += [*(_generation_2_4(config) if config.modern else _generation_2_3(config))]
    found += _misspelt(config)
    named = _named_by_dovecot(config, found)
    if named:
        found.insert(0, named)
    by_place: dict[Place, Mistake] = {}
    for each in found:
        by_place.setdefault(each.place, each)
    return tuple(by_place.values())


def _named_by_dovecot(config: DovecotConfig, found: Iterable[Mistake]) -> Mistake | None:
    """The one that doveconf names, where no rule of ours says more of that line."""
    refusal = config.refusal
    if refusal is None or refusal.place is None or refusal.denied:
        return None
    for each in found:
        same_name = any(name in refusal.text and name in each.what for name in (VERSION, STORAGE))
        if each.place == refusal.place or same_name or _follows_from(each, refusal.place):
            return each
    if not refusal.place.line:
        return _without_line(config, refusal)
    unknown = refusal.unknown
    if unknown in config.known and "{" in refusal.text:
        return Mistake(
            refusal.place, refusal.text, f"{unknown} does not belong into this section: look for a missing }} above it"
        )
    return _value(config, refusal) or Mistake(refusal.place, refusal.text, _advice(refusal.text))


# Settings that take one of a few words.
_WORDS = {"ssl": ("yes", "no", "required")}
_WITHOUT = ("ssl_dh", "ssl_server_dh_file")
_BOOLEANS = {"true": "yes", "on": "yes", "1": "yes", "false": "no", "off": "no", "0": "no"}


def _value(config: DovecotConfig, refusal: Refusal) -> Mistake | None:
    """A word that is none of those that the setting takes, and plainly means one of them."""
    setting = next((each for each in config.source.settings if each.place == refusal.place), None)
    if setting is not None and setting.name in _WITHOUT and "No such file" in refusal.text:
        advice = "take the line out: without it Dovecot has parameters of its own"
        return Mistake(setting.place, refusal.text, advice, (Edit(setting.place),), True)
    if setting is None or "nvalid" not in refusal.text:
        return None
    near = difflib.get_close_matches(setting.value, _WORDS.get(setting.name, ()), 1, 0.75)
    meant = near[0] if near else _BOOLEANS.get(setting.value.lower(), "") if "boolean" in refusal.text else ""
    if not meant:
        return None
    line = f"{setting.raw.partition('=')[0]}= {meant}"
    what = f"{setting.name} cannot be {setting.value}"
    return Mistake(setting.place, what, f"write {meant}", (Edit(setting.place, (line,)),), True)


def _without_line(config: DovecotConfig, refusal: Refusal) -> Mistake | None:
    """Where Dovecot names a setting and no line, the line is the last one that sets it."""
    assert refusal.place is not None
    name = refusal.text.split(":")[0]
    word = _PROTOCOL.search(refusal.text)
    setting = config.source.find(word["name"], (name, "")) if word else None
    setting = setting or config.source.find(name) or _listener(config, refusal.text)
    setting = setting or next(iter(mentioned(refusal.text, config.source)), None)
    if setting is None:
        return Mistake(refusal.place, refusal.text, _advice(refusal.text))
    if _PORT.search(setting.value.split()[-1] if setting.value else ""):
        return None
    edits: tuple[Edit, ...] = ()
    if word and setting.within:
        edits = (Edit(setting.place),)
    elif word:
        left = " ".join(each for each in setting.value.replace(",", " ").split() if each != word["name"])
        edits = (Edit(setting.place, (f"{name} = {left}",)),)
    return Mistake(setting.place, refusal.text, _advice(refusal.text), edits, bool(edits))


def _listener(config: DovecotConfig, text: str) -> Setting | None:
    """`duplicate listener: ADDRESS:PORT`: the last listener that asks for this port, else the addresses themselves."""
    match = _DUPLICATE.search(text)
    if match is None:
        return None
    ports = [each for each in config.source.settings if each.name == "port" and each.value == match["port"]]
    return ports[-1] if ports else config.source.find("listen")


def _follows_from(mistake: Mistake, place: Place) -> bool:
    """True where Dovecot stumbles at `place` over a section that was not closed above it."""
    return _UNCLOSED in mistake.what and mistake.place.file == place.file and mistake.place.line <= place.line


def _advice(text: str) -> str:
    hints = (
        (r"use yes or no", "write yes or no"),
        (r"Unknown protocol: (\S+)", "install the package of this protocol, or take it out of protocols"),
        (r"Can't open file|open\(\S+\) failed", "put the file there, or name the one that is there"),
        (r"No matches", "use !include_try for files that may be absent, or correct the path"),
        (r"duplicate listener", "two services listen on the same socket: take one out"),
        (
            r"doesn't exist",
            "name an account that exists; the package makes its own (dovecot, dovenull) when it is reinstalled",
        ),
    )
    return next((advice for pattern, advice in hints if re.search(pattern, text)), "")


def _structure(config: DovecotConfig) -> Iterator[Mistake]:
    for brace in config.source.unbalanced:
        yield _unbalanced(config, brace)
    for head, below in config.source.split:
        line = f"{head.raw.rstrip()} {{"
        edits = (Edit(head.place, (line,)), Edit(below.place))
        yield Mistake(head.place, "the { must stand on the same line", f"write: {line.strip()}", edits, True)
    for junk in config.source.junk:
        first = re.match(r"(\s*)([\w/]+)\s+(\S.*)$", junk.raw)
        if first and (first[2] in config.known or not config.known):
            line = f"{first[1]}{first[2]} = {first[3]}"
            yield Mistake(
                junk.place,
                f"there is no = behind {first[2]}",
                f"write: {line.strip()}",
                (Edit(junk.place, (line,)),),
                True,
            )
        else:
            yield Mistake(
                junk.place, f"neither a setting nor a section: {junk.raw.strip()}", "correct it or take it out"
            )
    for include in config.absent:
        fixed = include.raw.replace("!include", "!include_try", 1)
        yield Mistake(
            include.place,
            f"!include matches no file: {include.pattern}",
            "put the file back, or use !include_try where it may be absent",
            (Edit(include.place, (fixed,)),),
        )


def _unbalanced(config: DovecotConfig, brace: Unbalanced) -> Mistake:
    if brace.section is None:
        return Mistake(brace.place, "a } without a section", "take the } out", (Edit(brace.place),), True)
    end = _last_line(config, brace.place)
    line = config.source_line(end)
    indent = config.source_line(brace.place)
    indent = indent[: len(indent) - len(indent.lstrip())]
    edits = (Edit(end, (line, f"{indent}}}")),) if line else ()
    where = f"behind line {end.line}" if line else "at its end"
    return Mistake(brace.place, f"the section {brace.section.label} {{ {_UNCLOSED}", f"put it {where}", edits)


def _last_line(config: DovecotConfig, start: Place) -> Place:
    """The last line that is indented deeper than the section's first: where its brace belongs."""
    lines = config.lines.get(start.file, ())
    column = _column(lines[start.line - 1]) if start.line <= len(lines) else 0
    last = start.line
    for number in range(start.line + 1, len(lines) + 1):
        body = lines[number - 1].strip()
        if body and not body.startswith("#") and _column(lines[number - 1]) <= column:
            break
        last = number if body else last
    return Place(start.file, last)


def _column(line: str) -> int:
    return len(line) - len(line.lstrip())


def _generation_2_4(config: DovecotConfig) -> Iterator[Mistake]:
    yield from _versions(config)
    for setting in config.source.settings:
        kind = setting.within[-1].kind if setting.within else ""
        if (kind and kind not in _SCOPES) or setting.name in config.known:
            continue
        successor = renamed.successor(setting.name, kind)
        if successor:
            yield _renamed(setting, successor, kind)
    for setting in config.source.settings:
        if setting.full_name.endswith("_file") and setting.value.startswith("<"):
            line = setting.raw.replace(setting.value, setting.value.lstrip("< "), 1)
            what = f"{setting.name} = {setting.value}: 2.4 takes the name of the file, without <"
            yield Mistake(setting.place, what, f"write: {line.strip()}", (Edit(setting.place, (line,)),), True)
    for section in config.source.sections:
        if section.kind in _NAMED and not section.name:
            yield _unnamed(config, section)
        elif section.kind == "plugin":
            yield _plugin(config, section)


def _renamed(setting: Setting, successor: str, kind: str) -> Mistake:
    lines = renamed.translated(setting.name, setting.value, kind) if kind != "plugin" else ()
    indent = setting.raw[: len(setting.raw) - len(setting.raw.lstrip())]
    edits = (Edit(setting.place, tuple(indent + each for each in lines)),) if lines else ()
    advice = f"2.4 has {successor}" if not successor.startswith("nothing: ") else successor.removeprefix("nothing: ")
    return Mistake(setting.place, f"{setting.name} is a setting of Dovecot 2.3", advice, edits, bool(edits))


def _plugin(config: DovecotConfig, section: Section) -> Mistake:
    what = "plugin { } is a section of Dovecot 2.3"
    if config.source.inside(section):
        return Mistake(section.place, what, "its settings stand at top level in 2.4, most under other names")
    end = _end(config, section)
    edits = tuple(Edit(Place(section.place.file, line)) for line in range(section.place.line, end + 1)) if end else ()
    return Mistake(section.place, what, "it is empty: take it out", edits, bool(edits))


def _end(config: DovecotConfig, section: Section) -> int:
    """The line of the brace that ends an empty section, 0 where it cannot be told."""
    lines = config.lines.get(section.place.file, ())
    for number in range(section.place.line + 1, len(lines) + 1):
        body = lines[number - 1].strip()
        if body.startswith("}"):
            return number
        if body and not body.startswith("#"):
            return 0
    return 0


def _versions(config: DovecotConfig) -> Iterator[Mistake]:
    """dovecot_config_version must be the first setting, and dovecot_storage_version must be there."""
    version = _supported(config)
    settings = config.source.settings
    first = config.files[0] if config.files else ""
    stated = config.source.find(VERSION)
    storage = config.source.find(STORAGE)
    head = [] if stated else [f"{VERSION} = {version}"]
    head += [] if storage else [f"{STORAGE} = {version}"]
    if stated and settings and settings[0].name != VERSION:
        yield Mistake(stated.place, f"{VERSION} is not the first setting", "move it to the top of the first file")
    for each in (stated, storage):
        if each and config.refusal and config.refusal.place == each.place and "Invalid" in config.refusal.text:
            yield Mistake(
                each.place,
                f"{each.name} = {each.value}: {config.refusal.text.split(': ', 1)[-1]}",
                f"write {each.name} = {version}",
                (Edit(each.place, (f"{each.name} = {version}",)),),
                True,
            )
    if head and first:
        place = Place(first, 1)
        line = config.source_line(place)
        what = "dovecot_config_version must be the first setting" if not stated else f"{STORAGE} is not set"
        if stated and stated.place.file == first:
            place, line = stated.place, config.source_line(stated.place)
            yield Mistake(place, what, f"add {head[0]}", (Edit(place, (line, *head)),), True)
        else:
            yield Mistake(place, what, f"add {' and '.join(head)}", (Edit(place, (*head, line)),), True)


def _supported(config: DovecotConfig) -> str:
    match = re.match(r"\d+\.\d+\.\d+", config.version)
    return match[0] if match else "2.4.0"


def _unnamed(config: DovecotConfig, section: Section) -> Mistake:
    """`passdb { driver = pam }` is `passdb pam { }` in 2.4."""
    settings = config.source.inside(section)
    driver = next((each for each in settings if each.name == "driver"), None)
    what = f"{section.kind} {{ }} has no name, which 2.4 wants"
    if driver is None:
        return Mistake(section.place, what, f"write {section.kind} DRIVER {{")
    edits = [Edit(section.place, (f"{section.kind} {driver.value} {{",)), Edit(driver.place)]
    for each in settings:
        if each.name == "args":
            lines = _arguments(section.kind, driver.value, each.value)
            if lines is None:
                return Mistake(section.place, what, f"write {section.kind} {driver.value} {{ and its own settings")
            edits.append(Edit(each.place, lines))
    return Mistake(section.place, what, f"write {section.kind} {driver.value} {{", tuple(edits), True)


def _arguments(kind: str, driver: str, args: str) -> tuple[str, ...] | None:
    """2.3's `args` of a passdb or userdb as the settings of 2.4; None where that needs a person."""
    words = args.split()
    match driver:
        case "pam" if len(words) == 1 and "=" not in words[0]:
            return (f"  passdb_pam_service_name = {words[0]}",)
        case "passwd-file" if words and words[-1].startswith("/"):
            options = dict(each.partition("=")[::2] for each in words[:-1])
            if set(options) - {"scheme", "username_format"}:
                return None
            lines = [f"  passwd_file_path = {modern(words[-1])}"]
            lines += (
                [f"  default_password_scheme = {options['scheme']}"] if "scheme" in options and kind == "passdb" else []
            )
            lines += (
                [f"  auth_username_format = {modern(options['username_format'])}"]
                if "username_format" in options
                else []
            )
            return tuple(lines)
        case "static" if kind == "userdb" and all("=" in each for each in words):
            fields = [f"    {name} = {modern(value)}" for name, _, value in (each.partition("=") for each in words)]
            return ("  fields {", *fields, "  }")
    return None if words else ()


def _generation_2_3(config: DovecotConfig) -> Iterator[Mistake]:
    for setting in config.source.settings:
        if setting.name in renamed.SINCE_2_4 and setting.name not in config.known:
            back = renamed.predecessor(setting.name)
            versions = setting.name in (VERSION, STORAGE)
            yield Mistake(
                setting.place,
                f"{setting.name} is a setting of Dovecot 2.4, and this is {config.version}",
                f"2.3 has {back}" if back else "take it out",
                (Edit(setting.place),) if versions else (),
                versions,
            )


def _invisible(config: DovecotConfig) -> Iterator[Mistake]:
    """What came along when a line was copied from a web page, and what editors of other systems put before the first line.

    Dovecot takes it for a part of the name.
    """
    for file, lines in config.lines.items():
        for number, line in enumerate(lines, 1):
            names = [name for letter, name in _UNSEEN.items() if letter in _name_part(line)]
            if names:
                clean = line.translate({ord(each): " " if "space" in name else "" for each, name in _UNSEEN.items()})
                place = Place(file, number)
                what = f"an invisible {' and '.join(names)} is part of the name"
                yield Mistake(place, what, f"write: {clean.strip()}", (Edit(place, (clean,)),), True)


_UNSEEN = {
    "\ufeff": "byte order mark",
    "\u00a0": "no-break space",
    "\u202f": "narrow no-break space",
    "\u2003": "em space",
    "\u3000": "ideographic space",
    "\u200b": "zero-width character",
    "\u200e": "direction mark",
}


def _name_part(line: str) -> str:
    return "" if line.lstrip().startswith("#") else line.partition("=")[0]


def _ports_in_listen(config: DovecotConfig) -> Iterator[Mistake]:
    """`listen = *:143`: listen takes addresses alone, the port belongs to an inet_listener."""
    for setting in config.source.settings:
        if setting.name != "listen" or setting.within:
            continue
        words = setting.value.replace(",", " ").split()
        plain = [match["address"].strip("[]") if (match := _PORT.match(word)) else word for word in words]
        if plain != words:
            line = f"listen = {', '.join(dict.fromkeys(plain))}"
            what = f"listen = {setting.value} has a port in it; listen takes addresses alone"
            yield Mistake(setting.place, what, f"write {line}", (Edit(setting.place, (line,)),), True)


def _misspelt_sections(config: DovecotConfig) -> Iterator[Mistake]:
    """A section whose kind Dovecot does not know and that is one slip away from one that it knows."""
    unknown = config.refusal.unknown if config.refusal else ""
    for section in config.source.sections:
        near = difflib.get_close_matches(section.kind, _KINDS, 1, 0.75)
        if section.kind in _KINDS or section.kind in config.known or not near or not unknown:
            continue
        line = config.source_line(section.place)
        yield Mistake(
            section.place,
            f"there is no section {section.kind}",
            f"{near[0]} is the nearest that there is",
            (Edit(section.place, (line.replace(section.kind, near[0], 1),)),) if line else (),
            bool(line),
        )


def _misspelt(config: DovecotConfig) -> Iterator[Mistake]:
    """Names at top level that this version does not know and that are one slip away from one that it knows."""
    unknown = config.refusal.unknown if config.refusal else ""
    for setting in config.source.settings:
        if (setting.within and setting.name != unknown) or setting.name in config.known or not config.known:
            continue
        if renamed.successor(setting.name) or setting.name in renamed.SINCE_2_4 or not setting.name[0].isalpha():
            continue
        near = difflib.get_close_matches(setting.name, config.known, 2, 0.85)
        if near:
            line = setting.raw.replace(setting.name, near[0], 1)
            yield Mistake(
                setting.place,
                f"there is no setting {setting.name}",
                f"{near[0]} is the nearest that there is",
                (Edit(setting.place, (line,)),),
                len(near) == 1 or _slip(setting.name, near[0]) < _slip(setting.name, near[1]),
            )
        elif setting.name == unknown and config.refusal and config.refusal.place == setting.place:
            yield Mistake(
                setting.place, f"there is no setting {setting.name}", "take it out", (Edit(setting.place),), False
            )


def _slip(one: str, other: str) -> float:
    return 1 - difflib.SequenceMatcher(None, one, other).ratio()
