"""The guided repairs, and what was changed on this host, as rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from maildiag.model import Fix
from maildiag.repair.journal import State, Transaction
from maildiag.text import safe
from maildiag.tui.rows import Part, Row, Tone, caption, row, wrapped
from maildiag.typed import typed

GUIDED = {
    "verbose": ("Verbose logging", "for one peer or domain, which switches itself off"),
    "emergency": ("Emergency procedure", "stop, mend, start for loopback only, open again"),
    "backup": ("Save the configuration", "both, in one archive that only its owner can read"),
}
_TONES = {State.APPLIED: Tone.PLAIN, State.UNDONE: Tone.DIM, State.NOTHING_DONE: Tone.DIM}


def plan(fix: Fix, why: str, width: int) -> list[Row]:
    """What would be done: its title, why, and the commands in their order."""
    found = [row("title", Part(f" {safe(fix.title)}", Tone.STRONG)), *wrapped("why", why, width)]
    found.append(caption("commands, in this order"))
    found += [row(f"command:{n}", Part(f"   # {typed(argv)}", Tone.CODE)) for n, argv in enumerate(fix.commands)]
    found += wrapped(
        "disrupts", f"Disrupts: {safe(fix.disrupts) or 'nothing'}. Saved before, and undone as a whole.", width
    )
    return found


def menu(done: Sequence[Transaction] | None, width: int) -> list[Row]:
    """The guided repairs, then the changes of this host, newest first; None while they are read."""
    found = [caption("guided repairs")]
    for key, (name, what) in GUIDED.items():
        found.append(row(f"guided:{key}", Part(f" {name:<24}", Tone.STRONG), what))
    found.append(caption("changed on this host, newest first"))
    if done is None:
        found.append(row("reading", Part(" reading …", Tone.DIM)))
    elif not done:
        found.append(row("none", Part(" Nothing was changed by this user.", Tone.DIM)))
    return [*found, *map(deed, done or ())]


def deed(each: Transaction) -> Row:
    """One change: when, how it stands, what it was."""
    title = safe(each.began.fix.title or each.began.title or each.began.fix.id)
    tone = Tone.WARN if each.half_way else _TONES.get(each.state, Tone.PLAIN)
    until = f" until {each.began.until:%H:%M}Z" if each.began.until and each.state is State.APPLIED else ""
    when = f" {each.began.at:%b %d %H:%MZ}  "
    return row(f"deed:{each.id}", Part(when, Tone.DIM), Part(f"{each.state.value:<12}", tone), f" {title}{until}")


def story(each: Transaction, width: int) -> list[Row]:
    """A change as its journal tells it."""
    return list(_story(each, width))


def _story(each: Transaction, width: int) -> Iterator[Row]:
    yield row("title", Part(f" {safe(each.began.fix.title or each.began.title)}", Tone.STRONG))
    yield row("when", Part(f" {each.began.at:%Y-%m-%d %H:%M:%S}Z   {each.id}", Tone.DIM))
    if each.began.finding:
        yield row("finding", f" for {safe(each.began.finding)}")
    why = f": {each.ended.why}" if each.ended and each.ended.why else ""
    ended = f" ({each.ended.outcome}{why})" if each.ended else ""
    yield from wrapped("state", f"{each.state.value}{ended}", width, Tone.WARN if each.half_way else Tone.PLAIN)
    if each.began.until:
        yield row("until", f" switches itself off at {each.began.until:%H:%M:%S}Z")
    yield caption("commands that were run")
    for each_intent in each.intents:
        yield row(f"command:{each_intent.number}", Part(f"   # {typed(each_intent.argv)}", Tone.CODE))
    yield caption("saved before, and put back by an undo")
    for saved in each.saved:
        yield row(f"saved:{saved.path}", f"   {safe(saved.path)}")
    for unit in each.units:
        yield row(f"unit:{unit.unit}", f"   {safe(unit.unit)} ({safe(unit.active)}, {safe(unit.enabled)})")
    for left in each.undo_ended.left if each.undo_ended else ():
        yield from wrapped(f"left:{left}", f"could not be put back: {left}", width, Tone.WARN)
