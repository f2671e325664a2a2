"""The whole list of programs that a fix may run, and why; a fix that asks for any other, or for these in a harmful way, is refused."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from maildiag.records import dataclass

Argv = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Action:
    """A program that a fix may run.

    `verbs` are the subcommands it may be given (none listed: no subcommand is looked for); `loads` those of them that
    make a service read its configuration, so that guards must pass before.
    """

    why: str
    verbs: frozenset[str] = frozenset()
    loads: frozenset[str] = frozenset()


Actions = Mapping[str, Action]

_UNIT_LOADS = frozenset({"start", "restart", "reload", "reload-or-restart", "try-restart", "try-reload-or-restart"})
_UNIT_VERBS = _UNIT_LOADS | {"stop", "enable", "disable", "mask", "unmask", "reset-failed", "daemon-reload", "kill"}

ACTIONS: dict[str, Action] = {
    "postconf": Action("edits main.cf (-e, -X, -#) and master.cf (-M, -P, -F) the way Postfix itself does"),
    "postmap": Action("builds lookup tables"),
    "postalias": Action("builds alias tables"),
    "newaliases": Action("builds the alias tables of the configuration"),
    "postfix": Action(
        "starts, stops and reloads Postfix where there is no unit, and mends its directories",
        frozenset({"start", "stop", "reload", "check", "set-permissions", "upgrade-configuration"}),
        frozenset({"start", "reload"}),
    ),
    "postqueue": Action("tries delivery again (-f, -s, -i); never needed to read here"),
    "postsuper": Action("releases, requeues and mends queued mail (-H, -r, -s); deleting (-d) only when typed by hand"),
    "systemctl": Action(
        "starts, stops, reloads and enables units, lets stopped processes go on", _UNIT_VERBS, _UNIT_LOADS
    ),
    "service": Action("the same where there is no systemd"),
    "doveadm": Action(
        "reloads Dovecot, flushes its caches, mends indexes",
        frozenset({"reload", "auth", "force-resync", "quota", "index", "mailbox", "kick"}),
        frozenset({"reload"}),
    ),
    "firewall-cmd": Action("opens and closes services and ports in firewalld"),
    "ufw": Action("adds and deletes rules in ufw"),
    "nft": Action("adds and deletes nftables rules"),
    "iptables": Action("adds and deletes iptables rules"),
    "ip6tables": Action("adds and deletes ip6tables rules"),
    "iptables-legacy": Action("adds and deletes rules of the older kernel interface"),
    "fail2ban-client": Action("lifts a ban, reloads jails"),
    "sed": Action("edits single lines of a configuration file that has no program of its own"),
    "chown": Action("gives a file its right owner"),
    "chgrp": Action("gives a file its right group"),
    "setfacl": Action("adds a group that may read a file that has an ACL"),
    "chmod": Action("gives a file its right mode; never writable by everybody"),
    "mkdir": Action("makes a directory that is missing"),
    "install": Action("makes a directory or an empty file with owner and mode in one step"),
    "touch": Action("makes an empty file that must exist"),
    "ln": Action("makes a symbolic link that is missing"),
    "cp": Action("copies a file to where a chroot or a service needs it"),
    "mv": Action("puts a file out of the way without losing it"),
    "rm": Action("removes one stale file (a socket, a lock); it is saved first; never directories"),
    "rmdir": Action("removes an empty directory that a fix made"),
    "usermod": Action("locks or unlocks an account, never its password", frozenset({"--lock", "--unlock"})),
    "chage": Action("ends or lifts an account's expiry", frozenset({"--expiredate"})),
    "apt-get": Action("puts back missing files of an installed package", frozenset({"install"})),
    "dnf": Action("the same on RHEL", frozenset({"reinstall"})),
    "restorecon": Action("gives files back their SELinux label"),
    "setsebool": Action("switches the SELinux boolean that is made for the purpose"),
    "semanage": Action("labels a port or path for the mail services", frozenset({"port", "fcontext"})),
    "ip": Action(
        "sets an address, link, route, policy rule or neighbour",
        frozenset({"link", "address", "addr", "route", "rule", "neigh", "-4", "-6"}),
    ),
    "timedatectl": Action("switches time synchronisation on", frozenset({"set-ntp"})),
    "chronyc": Action("steps the clock", frozenset({"makestep", "online"})),
    "hostnamectl": Action("sets the host's name", frozenset({"set-hostname", "hostname"})),
    "resolvectl": Action("sets the name servers of a link", frozenset({"dns", "domain", "flush-caches", "revert"})),
    "update-ca-certificates": Action("rebuilds the list of trusted authorities (Debian)"),
    "update-ca-trust": Action("rebuilds the list of trusted authorities (RHEL)"),
    "journalctl": Action("flushes and rotates the journal, shrinks it", frozenset({"--flush", "--rotate", "--sync"})),
    "systemd-tmpfiles": Action("makes the runtime directories that a package declares", frozenset({"--create"})),
}

GUARDS: dict[str, Action] = {
    "postfix": Action("must accept the configuration before Postfix reads it", frozenset({"check"})),
    "postconf": Action("must be able to read the configuration"),
    "doveconf": Action("must accept the configuration before Dovecot reads it; its output is not kept"),
    "dovecot": Action("must accept the configuration", frozenset({"-n", "-a"})),
    "nft": Action("must accept the rules", frozenset({"-c", "--check"})),
    "firewall-cmd": Action("must accept the rules", frozenset({"--check-config", "--state"})),
    "sshd": Action("must accept its configuration", frozenset({"-t"})),
}

_SED_SCRIPT = re.compile(
    r"""
    (\d+|\$)(,(\d+|\$))?          # one line or a range of lines
    (
        d                         # delete it
      | s/([^\\/\n]|\\.)*/([^\\/\n]|\\.)*/   # or substitute, without the flags e and w, which run and write
    )
    """,
    re.VERBOSE,
)
_FILE_PROGRAMS = frozenset(
    {"chown", "chgrp", "chmod", "setfacl", "mkdir", "install", "touch", "ln", "cp", "mv", "rm", "restorecon"}
)
_NUMERIC_MODE = re.compile(r"[0-7]{3,4}")
_WRITABLE_MODE = re.compile(r"(^|,)[ug]*[oa][augo]*[+=][rxXst]*w|(^|,)[+=][rxXst]*w")
_EVERYBODY = re.compile(r"(^|[\s,=])(0\.0\.0\.0/0|::/0|\[::\]/0|0/0)([\s,]|$)")


def refusal(argv: Sequence[str], actions: Actions = ACTIONS) -> str:
    """Why this command must not be run, in words; empty where it may be."""
    if not argv or argv[0] not in actions:
        return f"{argv[0] if argv else 'an empty command'} is not in the list of programs that a fix may run"
    if any("\0" in each or "\n" in each for each in argv):
        return "an argument holds a line break"
    wrong_verb = _wrong_verb(argv, actions[argv[0]])
    return wrong_verb or _harm(argv)


def automatic_refusal(argv: Sequence[str]) -> str:
    """Why this command is never run without a person's yes; empty where it may be (contract, Fixes)."""
    match argv[0], argv[1:]:
        case "postsuper", rest if any(each.startswith("-d") for each in rest):
            return "it deletes mail"
        case "ufw", rest if "disable" in rest or "reset" in rest:
            return "it switches the firewall off"
        case (("nft" | "iptables" | "ip6tables" | "iptables-legacy"), rest) if {"flush", "-F", "--flush"} & set(rest):
            return "it empties the firewall"
        case (("usermod" | "chage"), _):
            return "it changes who may log in"
        case (("apt-get" | "dnf"), _):
            return "it installs packages"
        case "systemctl", rest if "stop" in rest and {"firewalld", "ufw", "nftables"} & {_unit(each) for each in rest}:
            return "it switches the firewall off"
    return ""


def loads(argv: Sequence[str], actions: Actions = ACTIONS) -> bool:
    """True for a command that makes a service read its configuration."""
    if argv[0] == "service":
        return len(argv) > 2 and argv[2] in _UNIT_LOADS
    action = actions.get(argv[0])
    return action is not None and verb(argv) in action.loads


def verb(argv: Sequence[str]) -> str:
    """The first argument that is no option: `check` in `postfix -c /etc/postfix-out check`."""
    words = list(argv[1:])
    if words[:1] == ["-c"]:
        words = words[2:]
    return next((each for each in words if not each.startswith("-")), "")


def units(argv: Sequence[str]) -> tuple[str, ...]:
    """The units or services that a service command is about."""
    words = [each for each in argv[1:] if not each.startswith("-")]
    match argv[0]:
        case "systemctl":
            return tuple(words[1:])
        case "service":
            return tuple(words[:1])
        case "postfix":
            return ("postfix",)
        case "doveadm":
            return ("dovecot",)
    return ()


def _unit(name: str) -> str:
    return name.removesuffix(".service")


def _wrong_verb(argv: Sequence[str], action: Action) -> str:
    if not action.verbs:
        return ""
    given = verb(argv) or next(iter(argv[1:]), "")
    if given in action.verbs or (len(argv) > 1 and argv[1].partition("=")[0] in action.verbs):
        return ""
    return f"{argv[0]} {given} is not among what a fix may do with {argv[0]}"


_SETFACL = re.compile(r"setfacl -m g:[\w.-]+:(r|x|rx)")


def _harm(argv: Sequence[str]) -> str:
    if argv[0] == "sed":
        return _sed_harm(argv)
    if argv[0] == "setfacl" and not _SETFACL.fullmatch(" ".join(argv[:3])):
        return "it may only let a group read or pass"
    if argv[0] in _FILE_PROGRAMS:
        return _file_harm(argv)
    if argv[0] == "apt-get" and "--reinstall" not in argv:
        return "it may only put back what is installed"
    if argv[0] == "systemctl" and verb(argv) == "kill" and tuple(argv[1:3]) != ("kill", "--signal=CONT"):
        return "it may only let processes go on"
    if argv[0] == "postconf" and any("mynetworks" in each and _EVERYBODY.search(each) for each in argv[1:]):
        return "it would let everybody relay"
    return ""


def _sed_harm(argv: Sequence[str]) -> str:
    """Only the edits of `maildiag.edits`: GNU sed scripts can run programs (`e`) and write other files (`w`)."""
    match tuple(argv):
        case ("sed", "-i", "--follow-symlinks", script, path) if path.startswith("/"):
            return "" if _SED_SCRIPT.fullmatch(script) else f"{script!r} is more than the edit of a line"
    return "sed may only be used as `sed -i --follow-symlinks SCRIPT /FILE`"


def _file_harm(argv: Sequence[str]) -> str:
    for each in argv[1:]:
        if ".." in PurePosixPath(each).parts:
            return f"{each} is not a plain path"
    if argv[0] == "rm" and any(each.startswith("-") and each not in ("-f", "--") for each in argv[1:]):
        return "rm may only be used on single files"
    if any(_world_writable(each) for each in _modes(argv)):
        return "it would let everybody write"
    return ""


def _modes(argv: Sequence[str]) -> list[str]:
    found = [each.removeprefix("--mode=") for each in argv if each.startswith("--mode=")]
    found += [after for flag, after in itertools.pairwise(argv) if flag in ("-m", "--mode")]
    if argv[0] == "chmod":
        found += [each for each in argv[1:] if not each.startswith("-")][:1]
    return found


def _world_writable(mode: str) -> bool:
    """A sticky directory (1777) is meant to be written by everybody."""
    if _NUMERIC_MODE.fullmatch(mode):
        return int(mode, 8) & 0o1002 == 0o002
    return bool(_WRITABLE_MODE.search(mode))
