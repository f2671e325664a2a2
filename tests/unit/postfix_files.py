"""Recorded Postfix installations to lint: the stock files of Debian 12 and 13, with lines changed as a test needs."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from maildiag.facts.postfix_config import PostfixConfig, pairs
from maildiag.lint.main_cf import parse_main_cf
from maildiag.lint.master_cf import parse_master_cf

DATA = Path(__file__).parents[1] / "data" / "postfix"
RELEASES = ("debian12", "debian13")
DAEMONS = frozenset(
    [
        "anvil",
        "bounce",
        "cleanup",
        "discard",
        "dnsblog",
        "error",
        "flush",
        "lmtp",
        "local",
        "master",
        "pickup",
        "pipe",
        "postlogd",
        "postscreen",
        "proxymap",
        "qmgr",
        "qmqpd",
        "scache",
        "showq",
        "smtp",
        "smtpd",
        "spawn",
        "tlsmgr",
        "tlsproxy",
        "trivial-rewrite",
        "verify",
        "virtual",
    ]
)


def recorded(name: str, release: str) -> str:
    """A recorded text of a release."""
    return (DATA / release / name).read_text()


def config(
    *lines: str,
    release: str = "debian12",
    master: str | None = None,
    said: tuple[str, ...] = (),
    without: tuple[str, ...] = (),
    settings: dict[str, str] | None = None,
    **changes: object,
) -> PostfixConfig:
    """The stock configuration with `lines` at the end of main.cf, in place of the entries of the same name."""
    names = {line.partition("=")[0].strip() for line in lines} | set(without)
    stock = recorded("main.cf", release).splitlines()
    kept = [line for line in stock if line.partition("=")[0].strip() not in names or line.startswith("#")]
    main = parse_main_cf("/etc/postfix/main.cf", "\n".join([*kept, *lines, ""]))
    effective = pairs(recorded("postconf-x.txt", release))
    for entry in main.entries:
        if entry.name in names:
            effective[entry.name] = (
                entry.value
                if "?" in entry.value
                else re.sub(r"\$\{?(\w+)\}?", lambda m: effective.get(m[1], ""), entry.value)
            )
    made = PostfixConfig(
        directory="/etc/postfix",
        main=main,
        master=parse_master_cf("/etc/postfix/master.cf", master or recorded("master.cf", release)),
        defaults=pairs(recorded("postconf-dx.txt", release)),
        settings=effective if settings is None else settings,
        said=said,
        table_types=frozenset(recorded("postconf-m.txt", release).split()),
        daemons=DAEMONS,
        addresses=frozenset({"127.0.0.1", "10.0.1.10", "::1"}),
    )
    return replace(made, **changes) if changes else made  # type: ignore[arg-type]
