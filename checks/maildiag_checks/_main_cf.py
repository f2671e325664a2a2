"""What the checks of relaying share: a setting as evidence, and a fix that sets it."""

from __future__ import annotations

from maildiag.facts.postfix_config import PostfixConfig
from maildiag.facts.postfix_process import PostfixProcess
from maildiag.lint.cure import CHECKED
from maildiag.model import Evidence, Fix, Risk


def shown(config: PostfixConfig, *names: str) -> tuple[Evidence, ...]:
    """Each parameter with file and line where main.cf sets it, and as postconf tells it otherwise."""
    return tuple(_one(config, name) for name in names)


def _one(config: PostfixConfig, name: str) -> Evidence:
    entry = config.main.entry(name)
    if entry is None:
        return Evidence("postconf -x", f"{name} = {config.get(name)}")
    return Evidence(config.main.where(name), entry.logical.shown())


def setting(
    check: str,
    verb: str,
    title: str,
    config: PostfixConfig,
    process: PostfixProcess | None,
    *values: tuple[str, str],
    automatic: bool = False,
    risk: Risk = Risk.LOW,
    why: str = "",
) -> Fix:
    """Set parameters of main.cf (an empty name of a value drops it: see postconf -X) and make them count."""
    effect = (process or PostfixProcess(False, False)).reload
    return Fix(
        id=f"{check}/{verb}",
        title=title,
        commands=(*(("postconf", "-e", f"{name}={value}") for name, value in values), effect),
        automatic=automatic,
        risk=risk,
        why=why,
        undo=(effect,),
        verify=(check,),
        changes=(config.main.path,),
        guards=CHECKED,
    )
