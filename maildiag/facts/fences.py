"""What systemd keeps Postfix and Dovecot away from: the sandbox settings of their units, and the drop-ins that may have set them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field

from maildiag.asking import Ask
from maildiag.facts.services import BOOTED
from maildiag.model import Gap, GapReason, Missing, is_absent
from maildiag.probes import CommandResult, FileText, ReadFile, command
from maildiag.records import dataclass
from maildiag.registry import gatherer

UNITS = ("postfix@-.service", "postfix.service", "dovecot.service")
PROPERTIES = (
    "Id,LoadState,ActiveState,Type,DropInPaths,ProtectHome,ProtectSystem,PrivateNetwork,ReadOnlyPaths,ReadWritePaths,"
    "InaccessiblePaths,IPAddressDeny,IPAddressAllow,ConditionResult,ConditionTimestamp,RuntimeDirectory,StateDirectory,"
    "ExecCondition,ExecStartPre,ExecStart,ExecStartPost"
)
_COMMAND = re.compile(
    r"argv\[\]=(?P<argv>.*?) ; ignore_errors=no ; .* ; code=(?P<code>exited|killed|dumped) ; status=(?P<status>[1-9]\d*)"
)
_OF_A_FILTER = re.compile(r"code=(?:killed|dumped) ; status=31\b")
_OF_SYSTEMD = range(200, 245)  # systemd.exec(5), "Process Exit Codes"
_NEEDS = ("Requires", "BindsTo", "Requisite")
_HOMES = ("/home", "/root", "/run/user")
_SYSTEM = {"yes": ("/usr", "/boot", "/efi"), "full": ("/usr", "/boot", "/efi", "/etc"), "strict": ("/",)}
_MADE = {"RuntimeDirectory": "/run", "StateDirectory": "/var/lib"}
_NEVER_STRICT = ("/dev", "/proc", "/sys")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a setting stands: file, line and text."""

    path: str
    number: int
    text: str


@dataclass(frozen=True, slots=True)
class Failed:
    """A command of a drop-in that failed as the unit was to start: its line, and its exit status or signal."""

    place: Place
    killed: bool
    status: int


@dataclass(frozen=True, slots=True)
class Fence:
    """One unit's sandbox: its properties as `systemctl show` prints them, and the lines by setting of its drop-ins and of
    a unit file that the administrator put in the place of the package's.

    A property that is printed several times has all its values, one in a line. `absent` are the units that such a line
    requires and that systemd does not find.
    """

    unit: str
    values: Mapping[str, str] = field(hash=False)
    places: Mapping[str, tuple[Place, ...]] = field(default_factory=dict, hash=False)
    absent: tuple[str, ...] = ()

    @property
    def needs(self) -> Mapping[str, Place]:
        """The units that these lines require, each with its line. Source: systemd.unit(5)."""
        places = [place for name in _NEEDS for place in self.places.get(name, ())]
        return {unit: place for place in places for unit in place.text.partition("=")[2].split()}

    @property
    def daemon(self) -> str:
        """`postfix` or `dovecot`."""
        return "dovecot" if self.unit.startswith("dovecot") else "postfix"

    @property
    def used(self) -> bool:
        """True for a unit that runs its daemon, or tried to; Debian has an idle wrapper or template beside the real one."""
        return self.values.get("Type") != "oneshot" and self.values.get("ActiveState") != "inactive"

    @property
    def skipped(self) -> bool:
        """True where systemd did not start the unit, because a condition of it does not hold."""
        active = self.values.get("ActiveState") in ("active", "activating", "reloading")
        return not active and self.values.get("ConditionResult") == "no" and bool(self.values.get("ConditionTimestamp"))

    @property
    def offline(self) -> str:
        """The setting that leaves the unit without a network, or nothing."""
        if self.values.get("PrivateNetwork") == "yes":
            return "PrivateNetwork"
        denied = self.values.get("IPAddressDeny", "").split()
        return "IPAddressDeny" if "0.0.0.0/0" in denied and not self.values.get("IPAddressAllow") else ""

    @property
    def crippled(self) -> Mapping[str, str]:
        """The lines of drop-ins that take a right or room which a mail daemon needs, and what that is.

        Of these the property tells less than the line: `systemctl show` prints a default for each. Source: systemd.exec(5).
        """
        lines = {name: places[-1].text.partition("=")[2].strip() for name, places in self.places.items()}
        return {name: why for name, value in lines.items() if (why := _lack(name, value))}

    @property
    def failed(self) -> Failed | None:
        """The command that keeps the unit from running, where it is one of a drop-in. Source: systemd.service(5)."""
        if self.values.get("ActiveState") in ("active", "reloading"):
            return None
        for setting in ("ExecCondition", "ExecStartPre", "ExecStart", "ExecStartPost"):
            for told in _COMMAND.finditer(self.values.get(setting, "")):
                if setting == "ExecStart" and int(told["status"]) not in _OF_SYSTEMD:
                    continue  # what the daemon itself ends with
                for place in self.places.get(setting, ()):
                    if place.text.partition("=")[2].lstrip("@-:+!").split() == told["argv"].split():
                        return Failed(place, told["code"] != "exited", int(told["status"]))
        return None

    @property
    def killed_by_filter(self) -> bool:
        """True where a command of the unit ended by SIGSYS, 31. Source: systemd.exec(5), SystemCallFilter=."""
        return any(_OF_A_FILTER.search(self.values.get(setting, "")) for setting in ("ExecStartPre", "ExecStart"))

    def hides(self, path: str) -> str:
        """The setting that keeps the unit from seeing the path, or nothing."""
        if self.values.get("ProtectHome") in ("yes", "tmpfs") and _below(path, _HOMES) and not self._writes(path):
            return "ProtectHome"
        return "InaccessiblePaths" if _below(path, self._paths("InaccessiblePaths")) else ""

    def locks(self, path: str) -> str:
        """The setting that keeps the unit from writing there, or nothing. Source: systemd.exec(5)."""
        if self._writes(path):
            return ""
        if self.values.get("ProtectHome") == "read-only" and _below(path, _HOMES):
            return "ProtectHome"
        if _below(path, self._paths("ReadOnlyPaths")):
            return "ReadOnlyPaths"
        system = _SYSTEM.get(self.values.get("ProtectSystem", ""), ())
        return "ProtectSystem" if _below(path, system) and not _below(path, _NEVER_STRICT) else ""

    def _writes(self, path: str) -> bool:
        """What systemd makes for the unit is writable for it."""
        made = (f"{parent}/{name}" for key, parent in _MADE.items() for name in self.values.get(key, "").split())
        return _below(path, (*self._paths("ReadWritePaths"), *made))

    def _paths(self, name: str) -> tuple[str, ...]:
        return tuple(each.lstrip("-+") for each in self.values.get(name, "").split())


_NEEDED = ("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_NET_BIND_SERVICE", "CAP_SETGID", "CAP_SETUID", "CAP_SYS_CHROOT")
_YES = ("yes", "true", "1", "on")
_LEAST = {"TasksMax": (50, "processes"), "LimitNPROC": (50, "processes"), "LimitNOFILE": (256, "open files")}


def _lack(name: str, value: str) -> str:
    """What a daemon lacks that starts as root, becomes each user, binds low ports and changes into a chroot."""
    if not value:
        return ""
    match name:
        case "User":
            return "" if value in ("root", "0") else f"it must start as root, not as {value}"
        case "DynamicUser" | "PrivateUsers":
            return "it cannot become the user whose mail it handles" if value.lower() in _YES else ""
        case "CapabilityBoundingSet":
            words, forbids = set(value.lstrip("~").upper().split()), value.startswith("~")
            lacking = [each for each in _NEEDED if (each in words) is forbids]
            return f"it lacks {', '.join(lacking)}" if lacking else ""
        case "RestrictAddressFamilies":
            words, forbids = set(value.lstrip("~").split()), value.startswith("~")
            lacking = [each for each in ("AF_UNIX", "AF_INET") if (each in words) is forbids]
            return f"it may open no socket of {' and '.join(lacking)}" if lacking else ""
        case "TasksMax" | "LimitNPROC" | "LimitNOFILE":
            least, what = _LEAST[name]
            soft = value.partition(":")[0]
            return f"{soft} {what} are too few for its clients" if soft.isdigit() and int(soft) < least else ""
    return ""


def _below(path: str, places: tuple[str, ...]) -> bool:
    return any(place == "/" or path == place or path.startswith(f"{place.rstrip('/')}/") for place in places)


@dataclass(frozen=True, slots=True)
class Fences:
    """The sandboxes of the units of mail that are loaded."""

    fences: tuple[Fence, ...]


@gatherer
def fences(ask: Ask) -> Fences:
    """Ask systemctl for the settings, and read the drop-ins; a host that systemd did not boot has none."""
    booted = ask.maybe(BOOTED)
    if is_absent(booted):
        return Fences(())
    told = ask(command("systemctl", "show", "--no-pager", f"--property={PROPERTIES}", *UNITS))
    if told.status:
        raise Missing(Gap(GapReason.FAILED, f"systemctl: {told.stderr.strip()[:200]}"))
    found = parse_fences(told)
    paths = list(dict.fromkeys(path for each in found for path in _files(each)))
    texts = dict(zip(paths, ask.all([ReadFile(path) for path in paths]), strict=True))
    return Fences(tuple(_with_absent(ask, _with_places(each, texts)) for each in found))


def _files(fence: Fence) -> tuple[str, ...]:
    return (f"/etc/systemd/system/{fence.unit}", *fence.values.get("DropInPaths", "").split())


def _with_absent(ask: Ask, fence: Fence) -> Fence:
    needs = tuple(fence.needs)
    told = ask.maybe(command("systemctl", "show", "--no-pager", "--property=Id,LoadState", *needs)) if needs else None
    states = (
        [_properties(block) for block in re.split(r"\n\s*\n", told.stdout)] if isinstance(told, CommandResult) else []
    )
    absent = tuple(each.get("Id", "") for each in states if each.get("LoadState") == "not-found")
    return Fence(fence.unit, fence.values, fence.places, absent)


def parse_fences(told: CommandResult) -> tuple[Fence, ...]:
    """`systemctl show` of the units; those that are not loaded are left out."""
    blocks = [_properties(block) for block in re.split(r"\n\s*\n", told.stdout)]
    return tuple(Fence(each["Id"], each) for each in blocks if each.get("LoadState") == "loaded" and "Id" in each)


def _properties(block: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in block.splitlines():
        name, equals, value = line.partition("=")
        if equals:
            found[name] = f"{found[name]}\n{value}" if name in found else value
    return found


def _with_places(fence: Fence, texts: Mapping[str, FileText | Gap]) -> Fence:
    places: dict[str, list[Place]] = {}
    for path in _files(fence):
        file = texts.get(path)
        for number, line in enumerate(file.text.splitlines() if isinstance(file, FileText) else (), 1):
            name, equals, _ = line.partition("=")
            if equals:
                places.setdefault(name.strip(), []).append(Place(path, number, line.strip()))
    return Fence(fence.unit, fence.values, {name: tuple(found) for name, found in places.items()})
