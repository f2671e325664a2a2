"""Options of master.cf's services that cannot work together: ports and their TLS, logins that are asked for and not offered.

Source: master(5), postconf(5), RFC 8314 section 3.3, SASL_README.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from maildiag.lint import restrictions
from maildiag.lint.context import Context, words
from maildiag.lint.master_cf import Service
from maildiag.lint.problem import DropOverride, Edit, Problem, Repair, SetOverride, SetParameter
from maildiag.model import Status

_STARTTLS = frozenset({"submission", "587", "smtp", "25"})
_IMPLICIT = frozenset({"smtps", "submissions", "465"})


def service_problems(context: Context) -> Iterator[Problem]:
    """What the options of each smtpd service contradict."""
    for service in context.master.running("smtpd"):
        if service.type == "inet":
            yield from _wrapping(context, service)
            yield from _no_login(context, service)
            yield from _login_without_tls(context, service)
            yield from _login_maps(context, service)


def _value(context: Context, service: Service, name: str) -> str:
    own = service.override(name)
    return context.value(name) if own is None else own


def _yes(context: Context, service: Service, name: str) -> bool:
    return _value(context, service, name).strip().lower() == "yes"


def _problem(
    context: Context, service: Service, name: str, title: str, detail: str, repairs: tuple[Repair, ...]
) -> Problem:
    line = next((each.line for each in service.overrides if each.name == name), service.line)
    return Problem(
        kind="service-option",
        subject=f"{service.key}/{name}",
        status=Status.CRITICAL,
        title=f"master.cf line {line}: {title}",
        detail=detail,
        place=replace(service.logical.at(context.master.path), line=line),
        repairs=repairs,
    )


def _wrapping(context: Context, service: Service) -> Iterator[Problem]:
    """587 and 25 begin with a greeting, 465 begins with TLS: clients do what the port says."""
    name = "smtpd_tls_wrappermode"
    port = service.name.rpartition(":")[2]
    wrapped = _yes(context, service, name)
    if wrapped and port in _STARTTLS:
        edit: Edit = (
            DropOverride(service.name, service.type, name) if service.override(name) else SetParameter(name, "no")
        )
        yield _problem(
            context, service, name,
            f"{service.key} has {name} = yes, and begins with TLS at once: clients of port {port} wait for a greeting",
            "Implicit TLS belongs to port 465 (submissions); on 587 and 25 clients use STARTTLS.",
            (Repair(f"take {name} out", (edit,), certain=True),),
        )  # fmt: skip
    elif not wrapped and port in _IMPLICIT:
        yield _problem(
            context, service, name,
            f"{service.key} lacks {name} = yes: clients of port 465 begin with TLS at once, and get plain text",
            "RFC 8314: port 465 is for implicit TLS.",
            (Repair(f"set {name}=yes for it", (SetOverride(service.name, service.type, name, "yes"),), certain=True),),
        )  # fmt: skip


def _no_login(context: Context, service: Service) -> Iterator[Problem]:
    """A service that lets logins only pass, and offers no login."""
    if _yes(context, service, "smtpd_sasl_auth_enable"):
        return
    for name in restrictions.LISTS:
        parsed = restrictions.parse(words(_value(context, service, name)))
        names = [each.name for each in parsed]
        if "reject" not in names or "permit_sasl_authenticated" not in names:
            continue
        before = names[: names.index("reject")]
        if set(before) != {"permit_sasl_authenticated"}:
            continue
        option = "smtpd_sasl_auth_enable"
        yield _problem(
            context, service, option,
            f"{service.key} lets only logins through ({name}), and offers none: {option} = no",
            "AUTH is not offered, and every message is refused: Relay access denied, or Access denied.",
            (Repair(f"set {option}=yes for it", (SetOverride(service.name, service.type, option, "yes"),), certain=True),),
        )  # fmt: skip
        return


def _login_without_tls(context: Context, service: Service) -> Iterator[Problem]:
    """postconf(5) smtpd_tls_auth_only: no AUTH without TLS; where TLS is off, that is no AUTH at all."""
    name = "smtpd_tls_security_level"
    old = any(_yes(context, service, each) for each in ("smtpd_use_tls", "smtpd_enforce_tls", "smtpd_tls_wrappermode"))
    asked = _yes(context, service, "smtpd_sasl_auth_enable") and _yes(context, service, "smtpd_tls_auth_only")
    if not asked or old or (_value(context, service, name).strip() or "none") != "none":
        return
    if service.override(name) is None and not _submits(context, service):
        return  # main.cf has no TLS: a port for servers need not offer logins
    yield _problem(
        context, service, name,
        f"nobody can log in on {service.key}: smtpd_tls_auth_only = yes wants TLS first, and {name} = none there",
        "AUTH is never announced; mail programs say that the server does not support authentication.",
        (Repair(f"demand TLS on {service.key}", (SetOverride(service.name, service.type, name, "encrypt"),), certain=True),),
    )  # fmt: skip


def _submits(context: Context, service: Service) -> bool:
    """True for the services that mail programs use (RFC 6409, RFC 8314), by port or by a login that is asked for here alone."""
    port = service.name.rpartition(":")[2]
    return port in ("submission", "587", *_IMPLICIT) or service.override("smtpd_sasl_auth_enable") is not None


def _login_maps(context: Context, service: Service) -> Iterator[Problem]:
    """Without a table no login owns any address, and each sender is refused."""
    if not _yes(context, service, "smtpd_sasl_auth_enable"):
        return  # nobody logs in there, so that nobody is compared
    pattern = r"reject_(authenticated_|known_)?sender_login_mismatch"
    for name in restrictions.LISTS:
        value = _value(context, service, name)
        match = re.search(rf"\b{pattern}\b", value)
        if match is None or _value(context, service, "smtpd_sender_login_maps").strip():
            continue
        if match[1] == "known_":
            continue  # refuses nobody without a table
        rest = ",".join(word for word in words(value) if not re.fullmatch(pattern, word))
        own = service.override(name) is not None
        edit: Edit
        if not own:
            edit = SetParameter(name, rest)
        elif rest:
            edit = SetOverride(service.name, service.type, name, rest)
        else:
            edit = DropOverride(service.name, service.type, name)
        yield _problem(
            context, service, name,
            f"{service.key} has {match[0]} in {name}, but smtpd_sender_login_maps is empty: no login may use any sender",
            "smtpd answers 553 5.7.1 Sender address rejected: not owned by user. The table says which login owns which address.",
            (
                Repair(
                    f"take {match[0]} out until there is a table", (edit,),
                    why="Logins may then use any sender address. Better: set smtpd_sender_login_maps.",
                ),
            ),
        )  # fmt: skip
