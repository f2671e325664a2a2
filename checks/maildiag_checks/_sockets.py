"""What is wrong with a socket between Postfix and Dovecot, and the edits of Dovecot's files that cure it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from maildiag.access import READ, WRITE, allows, shown
from maildiag.dovecot import edits as editing
from maildiag.dovecot.edits import Edit
from maildiag.dovecot.tree import Section, Setting
from maildiag.facts.dovecot import DovecotConfig
from maildiag.facts.dovecot_daemon import DovecotDaemon
from maildiag.facts.sasl import Endpoint, MailSockets, Purpose
from maildiag.model import Evidence, Fix, Gap, GapReason, Verdict, critical, ok, unknown
from maildiag.probes import Connect, Connection, FileInfo, Transcript
from maildiag.records import dataclass

DEAD = ("services.dovecot-config", "services.dovecot")
GUARDS = (("doveconf", "-n"),)
RESTART = ("systemctl", "restart", "dovecot")
RESTART_POSTFIX = ("systemctl", "restart", "postfix")
RELOAD = ("doveadm", "reload")
_SERVICE = {Purpose.SASL: "auth", Purpose.LMTP: "lmtp"}
_ROLE = {Purpose.SASL: "authentication", Purpose.LMTP: "LMTP"}
_MODE = {Purpose.SASL: "0660", Purpose.LMTP: "0600"}
_OTHER_TYPES = ("-master", "-userdb", "/login", "/tokenlogin")


def take_out(setting: Setting, check: str, verb: str, title: str, *, automatic: bool = True) -> Fix:
    """Comment the setting's line out of Dovecot's files, and have it read them again."""
    return Fix(
        id=f"{check}/{verb}",
        title=title,
        commands=(*editing.commands((Edit(setting.place),)), RELOAD),
        automatic=automatic,
        changes=(setting.place.file,),
        verify=(check,),
        guards=GUARDS,
    )


@dataclass(frozen=True, slots=True)
class Scene:
    """What a socket is judged with."""

    id: str
    sockets: MailSockets
    config: DovecotConfig
    daemon: DovecotDaemon | None

    @property
    def running(self) -> bool:
        """False only where it is known that Dovecot does not run."""
        return self.daemon is None or self.daemon.running


def outcome(endpoint: Endpoint) -> tuple[Connect | None, str]:
    """How the connection ended, with the system's words; None where it could not be tried."""
    match endpoint.answer:
        case Connection(outcome=result, error=error):
            return result, error
        case Transcript(connect=result, error=error):
            return result, error
        case Gap() as gap:
            return None, str(gap)


def judge(scene: Scene, endpoint: Endpoint) -> Verdict:
    """The first thing that is wrong with the socket, in the order in which Postfix would meet it."""
    result, error = outcome(endpoint)
    if isinstance(endpoint.info, Gap) and endpoint.info.reason is GapReason.DENIED:
        return unknown(f"Could not look at {endpoint.shown}", detail=str(endpoint.info), subject=endpoint.shown)
    if endpoint.hidden:
        return _hidden(scene, endpoint)
    if isinstance(endpoint.info, Gap):
        return _absent(scene, endpoint)
    if result is Connect.REFUSED or (result is not None and result not in (Connect.CONNECTED, Connect.DENIED)):
        return _refused(scene, endpoint, error)
    if endpoint.path and endpoint.path.endswith(_OTHER_TYPES) and endpoint.purpose is Purpose.SASL:
        return _wrong_kind(scene, endpoint)
    if isinstance(endpoint.info, FileInfo) and not _usable(scene.sockets, endpoint.info):
        return _closed(scene, endpoint, endpoint.info)
    refused = refusal(endpoint)
    if refused:
        return _recipient_refused(scene, endpoint, refused)
    if isinstance(endpoint.answer, Transcript) and endpoint.answer.failed:
        return _broken_off(scene, endpoint, endpoint.answer)
    if result is None:
        return unknown(f"Could not connect to {endpoint.shown}", detail=error, subject=endpoint.shown)
    return ok(
        f"Postfix can reach Dovecot's {_ROLE[endpoint.purpose]} socket {endpoint.shown}",
        subject=endpoint.shown,
        evidence=_evidence(scene, endpoint),
    )


_COMMANDS = {"banner": "before it greets", "ehlo": "at LHLO", "mail": "at MAIL", "rcpt": "at RCPT"}


def _broken_off(scene: Scene, endpoint: Endpoint, transcript: Transcript) -> Verdict:
    """The socket is there and taken by the service, whose process dies or hangs: lmtp(8) defers the mail."""
    service = _SERVICE[endpoint.purpose]
    place = _COMMANDS.get(transcript.failed, f"at {transcript.failed.upper()}")
    return critical(
        f"Dovecot's {_ROLE[endpoint.purpose]} at {endpoint.shown} {'falls silent' if transcript.silent else 'hangs up'} {place}",
        detail=f"{transcript.error}. Dovecot's log has the reason. " + _without_it(endpoint.purpose),
        subject=endpoint.shown,
        evidence=_evidence(scene, endpoint, transcript.error),
        explained_by=(
            *DEAD,
            "services.programs",
            "services.sandbox",
            "services.dovecot-limits",
            "authentication.passdb",
            f"logs.crashes@{service}",
            "logs.problems",
        ),
    )


def refusal(endpoint: Endpoint) -> str:
    """What LMTP answered to a recipient that Dovecot knows, where it refused it; else ""."""
    if not isinstance(endpoint.answer, Transcript):
        return ""
    exchange = endpoint.answer.exchange("rcpt")
    return exchange.reply if exchange and exchange.code[:1] in ("4", "5") else ""


def _recipient_refused(scene: Scene, endpoint: Endpoint, reply: str) -> Verdict:
    """A userdb of system accounts knows `alice`, and LMTP asks it for `alice@example.test`: valid mail bounces."""
    whole = reply.startswith("5") and "doesn't exist" in reply
    cutting = _cuts_domain(scene.config) if whole else None
    if cutting is not None:
        return _domain_cut(scene, endpoint, reply, cutting)
    fixes: tuple[Fix, ...] = ()
    section = _lmtp_section(scene.config)
    if whole and section is not None:
        value = "%{user | username | lower}" if scene.config.modern else "%Ln"
        line = scene.config.source_line(section.place)
        edit = Edit(section.place, (line, f"  auth_username_format = {value}"))
        fixes = (
            Fix(
                id=f"{scene.id}/username",
                title="Let LMTP look users up by the part before the @",
                commands=(*editing.commands((edit,)), RELOAD),
                automatic=True,
                changes=(section.place.file,),
                verify=(scene.id,),
                guards=GUARDS,
                why="Only where each user's name is unique over all domains of this host, as it is with system accounts.",
            ),
        )
    return critical(
        f"Dovecot's LMTP refuses mail for {scene.sockets.recipient}, a user that it knows: {reply}",
        detail=(
            "It looks the user up by the whole address, and the user database knows the name alone: mail bounces and is "
            "lost. auth_username_format makes the one of the other."
            if whole
            else "Mail for the mailboxes waits or bounces."
        ),
        subject=scene.sockets.recipient,
        evidence=(*_evidence(scene, endpoint), Evidence(f"LMTP, RCPT TO:<{scene.sockets.recipient}>", reply)),
        fixes=fixes,
    )


def _cuts_domain(config: DovecotConfig) -> Setting | None:
    """The setting that has LMTP look users up by the part before the @ (`%n`, `%{user | username}`)."""
    found = [
        each
        for each in config.source.settings
        if each.name == "auth_username_format"
        and (not each.within or (each.within[-1].kind, each.within[-1].name) == ("protocol", "lmtp"))
    ]
    inner = [each for each in found if each.within] or found
    return inner[-1] if inner and re.search(r"%L?n\b|\busername\b", inner[-1].value) else None


def _domain_cut(scene: Scene, endpoint: Endpoint, reply: str, setting: Setting) -> Verdict:
    """A userdb of whole addresses is asked for the part before the @ alone, as is right for system accounts."""
    title = "Take the line out, so that LMTP looks users up by the whole address"
    fix = take_out(setting, scene.id, "whole-address", title, automatic=bool(setting.within))
    return critical(
        f"{setting.place}: auth_username_format = {setting.value} makes LMTP ask for a name without its domain, and refuse "
        f"{scene.sockets.recipient}, a user that Dovecot knows",
        detail="The user database knows whole addresses: valid mail bounces.",
        subject=scene.sockets.recipient,
        evidence=(
            Evidence(setting.place.file, f"{setting.place.line}: {setting.raw}"),
            *_evidence(scene, endpoint),
            Evidence(f"LMTP, RCPT TO:<{scene.sockets.recipient}>", reply),
        ),
        fixes=(fix,),
    )


def _lmtp_section(config: DovecotConfig) -> Section | None:
    found = [each for each in config.source.of_kind("protocol") if each.name == "lmtp"]
    return found[-1] if found else None


def _usable(sockets: MailSockets, info: FileInfo) -> bool:
    return allows(info, READ | WRITE, sockets.owner, sockets.groups)


def _evidence(scene: Scene, endpoint: Endpoint, error: str = "") -> tuple[Evidence, ...]:
    found = [Evidence("postconf -x", f"{endpoint.setting} = {endpoint.value} ({', '.join(endpoint.services)})")]
    if isinstance(endpoint.info, FileInfo):
        found.append(Evidence(f"stat {endpoint.path}", shown(endpoint.info)))
    elif isinstance(endpoint.info, Gap):
        found.append(Evidence(f"stat {endpoint.path}", "No such file or directory"))
    if error:
        found.append(Evidence(f"connect {endpoint.shown}", error))
    section = _listener(scene.config, endpoint.path)
    if section and section.place.file:
        found.append(Evidence(section.place.file, f"{section.place.line}: {scene.config.source_line(section.place)}"))
    return tuple(found)


def _listener(config: DovecotConfig, path: str) -> Section | None:
    """The unix_listener of that path in the files, else in the effective settings."""
    for tree in (config.source, config.effective):
        found = [each for each in tree.of_kind("unix_listener") if _full(config, each.name) == path]
        if found:
            return found[-1]
    return None


def _full(config: DovecotConfig, name: str) -> str:
    return name if name.startswith("/") else f"{config.value('base_dir', '/run/dovecot')}/{name}"


def _then(purpose: Purpose) -> tuple[tuple[str, ...], ...]:
    """What ends the throttling of smtpd that died for want of the socket: master(8) waits a minute, reload does not help."""
    return (RESTART_POSTFIX,) if purpose is Purpose.SASL else ()


def _without_it(purpose: Purpose) -> str:
    if purpose is Purpose.SASL:
        return (
            'smtpd ends with "fatal: no SASL authentication mechanisms" and is throttled: every port that offers AUTH '
            "greets nobody, port 25 included."
        )
    return "Mail for the mailboxes stays in the queue."


def _hidden(scene: Scene, endpoint: Endpoint) -> Verdict:
    services = ", ".join(endpoint.hidden)
    queue = scene.sockets.queue_directory
    inside = _inside_queue(scene, endpoint.purpose)
    fixes: tuple[Fix, ...] = ()
    if endpoint.path.startswith(queue + "/"):
        fixes = (_point_postfix(scene, endpoint, endpoint.path.removeprefix(queue + "/")),)
    elif len(inside) == 1:
        fixes = (_point_postfix(scene, endpoint, inside[0]),)
    return critical(
        f"{endpoint.setting} = {endpoint.value} is an absolute path, and {services} runs chrooted in {queue}",
        detail="It looks for it below its root and finds nothing. " + _without_it(endpoint.purpose),
        subject=endpoint.shown,
        evidence=_evidence(scene, endpoint),
        fixes=fixes,
        explained_by=(),
    )


def _absent(scene: Scene, endpoint: Endpoint) -> Verdict:
    listener = _listener(scene.config, endpoint.path)
    what = f"There is no {_ROLE[endpoint.purpose]} socket {endpoint.path}"
    evidence = _evidence(scene, endpoint)
    if listener and not scene.running:
        return critical(
            f"{what}: Dovecot does not run",
            detail=_without_it(endpoint.purpose),
            subject=endpoint.shown,
            evidence=evidence,
            explained_by=DEAD,
        )
    if listener:
        return critical(
            f"{what}, though Dovecot is configured to listen there",
            detail="Dovecot made no such socket since it was started, or somebody removed it. "
            + _without_it(endpoint.purpose),
            subject=endpoint.shown,
            evidence=evidence,
            fixes=(_restart(scene, endpoint),),
            explained_by=DEAD,
        )
    return critical(
        f"{what}, and Dovecot is not configured to listen there",
        detail=_listening(scene, endpoint.purpose) + _without_it(endpoint.purpose),
        subject=endpoint.shown,
        evidence=evidence,
        fixes=tuple(_ways_to_meet(scene, endpoint)),
        explained_by=("services.dovecot-config",),
    )


def _listening(scene: Scene, purpose: Purpose) -> str:
    found = _inside_queue(scene, purpose)
    return f"Dovecot listens on {', '.join(found)} in Postfix's queue directory. " if found else ""


def _inside_queue(scene: Scene, purpose: Purpose) -> list[str]:
    """Sockets of the right service that Dovecot has in Postfix's queue directory, relative to it."""
    prefix = scene.sockets.queue_directory + "/"
    return [
        each.name.removeprefix(prefix)
        for each in scene.config.effective.of_kind("unix_listener")
        if each.name.startswith(prefix)
        and any(outer.kind == "service" and outer.name == _SERVICE[purpose] for outer in each.within)
    ]


def _ways_to_meet(scene: Scene, endpoint: Endpoint) -> Iterator[Fix]:
    inside = _inside_queue(scene, endpoint.purpose)
    if len(inside) == 1:
        yield _point_postfix(scene, endpoint, inside[0])
    add = _add_listener(scene, endpoint)
    if add and len(inside) != 1:
        yield add


def _point_postfix(scene: Scene, endpoint: Endpoint, relative: str) -> Fix:
    value = relative if endpoint.purpose is Purpose.SASL else f"lmtp:unix:{relative}"
    overridden = [
        each for each in endpoint.services if endpoint.purpose is Purpose.SASL and each in scene.sockets.sasl_types
    ]
    return Fix(
        id=f"{scene.id}/point-postfix",
        title=f"Let Postfix use {relative}, where Dovecot listens",
        commands=(
            ("postconf", "-e", f"{endpoint.setting} = {value}"),
            *(_then(endpoint.purpose) or (("postfix", "reload"),)),
        ),
        automatic=bool(overridden) or endpoint.purpose is Purpose.LMTP,
        changes=("/etc/postfix/main.cf",),
        verify=(scene.id,),
        guards=(("postfix", "check"),),
    )


def _add_listener(scene: Scene, endpoint: Endpoint) -> Fix | None:
    """Lines for the socket, behind the first line of the service's section in the files."""
    service = _SERVICE[endpoint.purpose]
    section = next((each for each in scene.config.source.of_kind("service") if each.name == service), None)
    if section is None or not section.place.file:
        return None
    owner = scene.sockets.owner
    lines = (
        scene.config.source_line(section.place),
        f"  unix_listener {endpoint.path} {{",
        f"    mode = {_MODE[endpoint.purpose]}",
        f"    user = {owner}",
        f"    group = {owner}",
        "  }",
    )
    edit = Edit(section.place, lines)
    return Fix(
        id=f"{scene.id}/add-listener",
        title=f"Let Dovecot listen on {endpoint.path} for Postfix",
        commands=(*editing.commands((edit,)), RELOAD if scene.running else RESTART, *_then(endpoint.purpose)),
        automatic=endpoint.path.startswith(scene.sockets.queue_directory + "/"),
        changes=(section.place.file,),
        verify=(scene.id,),
        guards=GUARDS,
    )


def _restart(scene: Scene, endpoint: Endpoint) -> Fix:
    return Fix(
        id=f"{scene.id}/restart",
        title="Restart Dovecot, which makes its sockets anew",
        commands=(RESTART, *_then(endpoint.purpose)),
        automatic=True,
        verify=(scene.id,),
        guards=GUARDS,
        disrupts="logged-in mail clients are disconnected and come back by themselves",
    )


_TCP = re.compile(r"(?:lmtp:)?inet:\[?(?P<host>[^\]]*?)\]?:(?P<port>\w+)$")


def _not_configured(scene: Scene, endpoint: Endpoint, error: str) -> Verdict | None:
    """A port of this host that no inet_listener of the service has: starting Dovecot again would not open it."""
    found = _TCP.search(endpoint.value)
    here = found is not None and (found["host"].startswith("127.") or found["host"] in ("localhost", "::1"))
    if found is None or not here or not scene.running or found["port"] in _ports(scene, endpoint.purpose):
        return None
    return critical(
        f"{endpoint.setting} = {endpoint.value}, and Dovecot is not configured to listen there",
        detail=f"{error}. " + _listening(scene, endpoint.purpose) + _without_it(endpoint.purpose),
        subject=endpoint.shown,
        evidence=_evidence(scene, endpoint, error),
        fixes=tuple(_ways_to_meet(scene, endpoint))
        if _inside_queue(scene, endpoint.purpose)
        else (_open_port(scene, endpoint, found["port"]),),
        explained_by=("services.dovecot-config",),
    )


def _open_port(scene: Scene, endpoint: Endpoint, port: str) -> Fix:
    service, address = _SERVICE[endpoint.purpose], "listen" if scene.config.modern else "address"
    return Fix(
        id=f"{scene.id}/open-port",
        title=f"Let Dovecot's {service} listen there, or better in Postfix's queue directory, which is for Postfix alone",
        verify=(scene.id,),
        ask=f"service {service} {{\n  inet_listener postfix {{\n    {address} = 127.0.0.1\n    port = {port}\n  }}\n}}\n"
        "then: doveadm reload",
    )


def _ports(scene: Scene, purpose: Purpose) -> set[str]:
    """The TCP ports that the service has."""
    tree = scene.config.effective
    return {
        setting.value
        for each in tree.of_kind("inet_listener")
        if any(outer.kind == "service" and outer.name == _SERVICE[purpose] for outer in each.within)
        for setting in tree.inside(each)
        if setting.name == "port"
    }


def _refused(scene: Scene, endpoint: Endpoint, error: str) -> Verdict:
    elsewhere = _not_configured(scene, endpoint, error)
    if elsewhere is not None:
        return elsewhere
    why = "nobody listens there any more" if scene.running else "Dovecot does not run"
    return critical(
        f"Postfix cannot reach Dovecot's {_ROLE[endpoint.purpose]} socket {endpoint.shown}: {error} ({why})",
        detail=_without_it(endpoint.purpose),
        subject=endpoint.shown,
        evidence=_evidence(scene, endpoint, error),
        fixes=(_restart(scene, endpoint),) if scene.running else (),
        explained_by=DEAD,
    )


def _wrong_kind(scene: Scene, endpoint: Endpoint) -> Verdict:
    return critical(
        f"{endpoint.path} is not the socket that Postfix needs: Dovecot tells its kind by the end of its name",
        detail='Postfix says "Connected to wrong auth socket". A name ending in auth, or type = auth, makes it the right one.',
        subject=endpoint.shown,
        evidence=_evidence(scene, endpoint),
        explained_by=(),
    )


def _closed(scene: Scene, endpoint: Endpoint, info: FileInfo) -> Verdict:
    owner = scene.sockets.owner
    return critical(
        f"{endpoint.path} is closed to Postfix: mode {info.mode:04o}, {info.owner}:{info.group}, and Postfix is {owner}",
        detail='Postfix logs "Permission denied". ' + _without_it(endpoint.purpose),
        subject=endpoint.shown,
        evidence=_evidence(scene, endpoint),
        fixes=tuple(_open_up(scene, endpoint)),
        explained_by=("services.dovecot-config",),
    )


def _open_up(scene: Scene, endpoint: Endpoint) -> Iterator[Fix]:
    """Owner, group and mode of the listener in the files; never 0666, which lets every account try passwords."""
    section = _listener(scene.config, endpoint.path)
    if section is None or not section.place.file:
        yield _restart(scene, endpoint)
        return
    owner, mode = scene.sockets.owner, _MODE[endpoint.purpose]
    wanted = {"mode": mode, "user": owner, "group": owner}
    edits, missing = [], dict(wanted)
    for each in scene.config.source.inside(section):
        if each.name in wanted:
            missing.pop(each.name, None)
            if each.value != wanted[each.name]:
                indent = each.raw[: len(each.raw) - len(each.raw.lstrip())]
                edits.append(Edit(each.place, (f"{indent}{each.name} = {wanted[each.name]}",)))
    if missing:
        line = scene.config.source_line(section.place)
        edits.append(Edit(section.place, (line, *(f"    {name} = {value}" for name, value in missing.items()))))
    if not edits:
        yield _restart(scene, endpoint)
        return
    yield Fix(
        id=f"{scene.id}/open-to-postfix",
        title=f"Give the socket to {owner}, mode {mode}",
        commands=(*editing.commands(edits), RELOAD, *_then(endpoint.purpose)),
        automatic=True,
        changes=editing.files(edits),
        verify=(scene.id,),
        guards=GUARDS,
        why="Never mode 0666: it would let every account of this host try passwords.",
    )
