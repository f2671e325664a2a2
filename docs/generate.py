"""Writes the documentation that comes from the code: schema, tables, man page, completions; `--check` only compares."""

from __future__ import annotations

import argparse
import ast
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "checks")]

from maildiag import __version__, registry, schema, workflow  # noqa: E402
from maildiag.cli import COMMANDS, Parser, parser  # noqa: E402
from maildiag.model import Role, Step  # noqa: E402
from maildiag.programs import PROGRAMS  # noqa: E402
from maildiag.reading import FILES  # noqa: E402
from maildiag.repair.actions import ACTIONS, GUARDS, Actions  # noqa: E402

BEGIN, END = "<!-- generated: {} -->", "<!-- end of generated text -->"


def main() -> int:
    """Write what is stale, or with `--check` say what is and exit 1."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--check", action="store_true")
    only_compare = arguments.parse_args().check
    stale = {path: text for path, text in files().items() if not path.exists() or path.read_text("utf-8") != text}
    for path, text in stale.items():
        print(f"{'stale' if only_compare else 'written'}: {path.relative_to(ROOT)}")
        if not only_compare:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return int(bool(stale) and only_compare)


def files() -> dict[Path, str]:
    """Every generated file with the text that it should have."""
    completions = ROOT / "packaging" / "completions"
    privileges, fixing, architecture = (
        ROOT / "docs" / f"{name}.md" for name in ("privileges", "fixing", "architecture")
    )
    with_actions = with_generated(fixing.read_text("utf-8"), "actions", actions_table(ACTIONS))
    with_programs = with_generated(privileges.read_text("utf-8"), "programs", programs_table())
    return {
        ROOT / "docs" / "report.schema.json": schema.published(),
        ROOT / "docs" / "checks.md": checks_page(),
        privileges: with_generated(with_programs, "files", files_table()),
        architecture: with_generated(architecture.read_text("utf-8"), "modules", modules_table()),
        fixing: with_generated(with_actions, "guards", actions_table(GUARDS)),
        ROOT / "packaging" / "maildiag.1": man_page(),
        completions / "maildiag.bash": bash_completion(),
        completions / "_maildiag": zsh_completion(),
        completions / "maildiag.fish": fish_completion(),
    }


def with_generated(page: str, name: str, text: str) -> str:
    """The page with the text between its two marks. Raises ValueError where a mark is missing."""
    begin = page.index(BEGIN.format(name)) + len(BEGIN.format(name))
    return f"{page[:begin]}\n\n{text}\n{page[page.index(END, begin) :]}"


def checks_page() -> str:
    """All checks by step, each with its question and a link to its page."""
    checks = registry.builtin()
    lines = ["# What is checked", "", "Every question that `maildiag run` answers, in the order of the workflow."]
    for step in Step:
        lines += ["", f"## {step.number}. {step.value}: {workflow.QUESTIONS[step]}", ""]
        lines += ["| check | question | roles |", "|---|---|---|"]
        for each in checks.select([step]):
            roles = "both" if each.roles == frozenset(Role) else ", ".join(sorted(each.roles))
            page = ROOT / "docs" / "runbook" / f"{each.id}.md"
            name = f"[{each.id}](runbook/{each.id}.md)" if page.exists() else each.id
            lines.append(f"| {name} | {each.asks} | {roles} |")
    return "\n".join(lines) + "\n"


def programs_table() -> str:
    """The whole list of programs that a diagnosis may run."""
    rows = [f"| `{name}` | {why} |" for name, why in sorted(PROGRAMS.items())]
    return "\n".join(["| program | what for |", "|---|---|", *rows]) + "\n"


AREAS = {
    "The words": "model settings workflow events report",
    "Asking a host": "probes hosts asking access programs reading secrets workers",
    "What is learnt": "facts lint dovecot firewall logs queue dialogue_text dns_text loader",
    "Judging and explaining": "registry engine judging causes runbook indicators history state",
    "Curing": "repair edits",
    "Showing": "cli tui render document schema text typed nearest",
    "Recordings": "codec redact pseudonyms resources",
    "The rest": "probing config testing records",
}


def modules_table() -> str:
    """Every module and package at the top of `maildiag`, by area. Raises ValueError for one that is in none."""
    found = {path.parent.name if path.stem == "__init__" else path.stem: path for path in top_modules()}
    left = set(found) - {name for names in AREAS.values() for name in names.split()}
    if left:
        raise ValueError(f"put into AREAS of docs/generate.py: {', '.join(sorted(left))}")
    lines = ["| module | what it is |", "|---|---|"]
    for area, names in AREAS.items():
        lines.append(f"| **{area}** | |")
        lines += [f"| `{place(found[name])}` | {first_sentence(found[name])} |" for name in names.split()]
    return "\n".join(lines) + "\n"


def top_modules() -> list[Path]:
    """The modules that a reader finds in `maildiag`, its packages by their `__init__.py`."""
    top = ROOT / "maildiag"
    return [*top.glob("[a-z]*.py"), *top.glob("*/__init__.py")]


def place(path: Path) -> str:
    """`facts/` for a package, `model.py` for a module."""
    return f"{path.parent.name}/" if path.stem == "__init__" else path.name


def first_sentence(path: Path) -> str:
    """The first paragraph of a module's docstring."""
    told = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    return " ".join(told.split("\n\n")[0].split()).replace("|", r"\|")


def files_table() -> str:
    """The whole list of files that a diagnosis may read."""
    rows = []
    for each in FILES:
        paths = ", ".join(f"`{path}`" for path in each.paths)
        rows.append(f"| {paths}{f'; {each.named}' if each.named else ''} | {each.why} |")
    return "\n".join(["| files | what for |", "|---|---|", *rows]) + "\n"


def actions_table(actions: Actions) -> str:
    """The whole list of programs that a fix may run."""
    rows = [f"| `{name}` | {each.why} | {', '.join(sorted(each.verbs))} |" for name, each in sorted(actions.items())]
    return "\n".join(["| program | what for | only with |", "|---|---|---|", *rows]) + "\n"


def commands() -> Iterator[tuple[str, str, Parser]]:
    """Name, summary and parser of every command that is there."""
    for name, summary in COMMANDS.items():
        if importlib.util.find_spec(f"maildiag.cli.{name.replace('-', '_')}"):
            top = parser(name)
            assert top._subparsers is not None
            (group,) = top._subparsers._group_actions
            assert isinstance(group.choices, dict)
            yield name, summary, group.choices[name]


def options(of: argparse.ArgumentParser) -> list[argparse.Action]:
    """The options of a parser that are shown, `--help` last."""
    shown = [each for each in of._actions if each.option_strings and each.help != argparse.SUPPRESS]
    return sorted(shown, key=lambda each: "--help" in each.option_strings)


def man_page() -> str:
    """The page for man(1), in the man(7) macros."""
    lines = [
        f'.TH MAILDIAG 1 "" "maildiag {__version__}" "User Commands"',
        ".SH NAME",
        r"maildiag \- what is broken on a Postfix + Dovecot host, why, and what to type",
        ".SH SYNOPSIS",
        r"\fBmaildiag\fR [\fB\-\-allow\-fix\fR]",
        ".br",
        r"\fBmaildiag\fR \fICOMMAND\fR [\fIOPTION\fR ...]",
        ".SH DESCRIPTION",
        "Without a command, maildiag shows its interactive screen: read-only until it is unlocked. "
        "The commands answer the same questions for scripts and monitoring. Diagnosing changes nothing on the host.",
        ".SH COMMANDS",
    ]
    for name, summary, of in commands():
        lines += [f".SS {name}", f"{roff(summary[0].upper() + summary[1:])}."]
        for each in of._actions:
            if not each.option_strings and each.help != argparse.SUPPRESS:
                lines += [".TP", rf"\fI{roff(str(each.metavar or each.dest))}\fR", roff(each.help or "")]
        for each in options(of):
            lines += [".TP", option_words(each), roff(words(each))]
    return "\n".join([*lines, *MAN_END]) + "\n"


MAN_END = (
    ".SH EXIT STATUS",
    "Of run, and of fix for the state it leaves:",
    *(
        line
        for status, meaning in (
            ("0", "nothing worse than a notice"),
            ("1", "warning"),
            ("2", "critical"),
            ("3", "nothing worse than unknown; with --format nagios also every error"),
            ("64", "bad usage or a mistake in the configuration"),
            ("70", "internal error, or the result could not be written"),
            ("130", "interrupted"),
        )
        for line in (".TP", rf"\fB{status}\fR", meaning.replace("-", r"\-"))
    ),
    ".SH FILES",
    ".TP",
    r"\fI/etc/maildiag/config.toml\fR, \fI$XDG_CONFIG_HOME/maildiag/config.toml\fR",
    "Settings, later ones win; \\fBmaildiag config\\fR shows the effective ones.",
    ".TP",
    r"\fI/etc/maildiag/checks.d/*.py\fR",
    "Checks of your own.",
    ".TP",
    r"\fI/var/lib/maildiag/\fR, \fI$XDG_STATE_HOME/maildiag/\fR",
    "The history of runs, and what fixes changed.",
    ".SH ENVIRONMENT",
    ".TP",
    r"\fBNO_COLOR\fR, \fBFORCE_COLOR\fR",
    "Never, or always, use colours.",
    ".TP",
    r"\fBMAILDIAG_PLAIN\fR, \fBACCESSIBLE\fR",
    "Only append text, for screen readers.",
    ".TP",
    r"\fBMAILDIAG_DEBUG\fR",
    "Show where an internal error happened.",
    ".SH SEE ALSO",
    ".BR postconf (1),",
    ".BR postqueue (1),",
    ".BR doveconf (1),",
    ".BR doveadm (1)",
)


def roff(text: str) -> str:
    """Text that troff shows as it is."""
    told = text.replace("\\", r"\e").replace("-", r"\-")
    return rf"\&{told}" if told.startswith((".", "'")) else told


def words(action: argparse.Action) -> str:
    """The help of an option."""
    return (action.help or "").replace("%(default)s", str(action.default)).replace("%%", "%")


def option_words(action: argparse.Action) -> str:
    """`-o, --output FILE` in bold and italics."""
    names = ", ".join(rf"\fB{roff(each)}\fR" for each in action.option_strings)
    value = action.metavar or ("|".join(map(str, action.choices)) if action.choices else action.dest.upper())
    return names if action.nargs == 0 else rf"{names} \fI{roff(str(value))}\fR"


def values(action: argparse.Action) -> list[str]:
    """The words that an option or argument takes, where they are known."""
    from maildiag.render import Format
    from maildiag.resources import incidents

    checks = registry.builtin().checks
    named = {
        "STEP": Step,
        "ROLE": Role,
        "FORMAT": Format,
        "STATUS": ("notice", "warning", "critical"),
        **dict.fromkeys(("ID", "FINDING", "GLOB"), checks),
        "INCIDENT": incidents(),
    }
    found = named.get(str(action.metavar), action.choices or ())
    return [str(each) for each in found]


def arguments(of: argparse.ArgumentParser) -> list[argparse.Action]:
    """The arguments of a parser that are no options and that a shell can complete."""
    return [each for each in of._actions if not each.option_strings and (values(each) or each.metavar == "FILE")]


def bash_completion() -> str:
    """For bash-completion: /usr/share/bash-completion/completions/maildiag."""
    lines = [
        "# bash completion for maildiag; generated by docs/generate.py",
        "_maildiag() {",
        "    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]}",
        "    COMPREPLY=()",
        '    if [ "$COMP_CWORD" -eq 1 ]; then',
        f"        COMPREPLY=($(compgen -W '{' '.join(COMMANDS)} --version --help --allow-fix --ascii' -- \"$current\"))",
        "        return",
        "    fi",
        '    case "$command $previous" in',
    ]
    for name, _, of in commands():
        for each in options(of):
            if values(each):
                pattern = " | ".join(f"'{name} {option}'" for option in each.option_strings)
                lines.append(
                    f"        {pattern}) COMPREPLY=($(compgen -W '{' '.join(values(each))}' -- \"$current\")) ;;"
                )
            elif each.metavar == "FILE":
                pattern = " | ".join(f"'{name} {option}'" for option in each.option_strings)
                lines.append(f'        {pattern}) COMPREPLY=($(compgen -f -- "$current")) ;;')
    lines += ["    esac", "    [ ${#COMPREPLY[@]} -eq 0 ] || return 0", '    case "$command" in']
    for name, _, of in commands():
        known = [option for each in options(of) for option in each.option_strings]
        known += [word for each in arguments(of) for word in values(each)]
        files = " -f" if any(each.metavar == "FILE" for each in arguments(of)) else ""
        lines.append(f"        {name}) COMPREPLY=($(compgen{files} -W '{' '.join(known)}' -- \"$current\")) ;;")
    return "\n".join([*lines, "    esac", "}", "complete -F _maildiag maildiag"]) + "\n"


def zsh_completion() -> str:
    """For zsh: /usr/share/zsh/site-functions/_maildiag."""
    lines = ["#compdef maildiag", "# generated by docs/generate.py", "local -a commands", "commands=("]
    lines += [f"  {quoted(f'{name}:{summary}')}" for name, summary in COMMANDS.items()]
    lines += [")", "if (( CURRENT == 2 )); then", "  _describe command commands", "  return", "fi", "case $words[2] in"]
    for name, _, of in commands():
        lines.append(f"  {name})")
        lines.append("    _arguments \\")
        for each in options(of):
            for option in each.option_strings:
                text = words(each).replace("[", "(").replace("]", ")").replace(":", " -")
                lines.append(f"      {quoted(f'{option}[{text}]{zsh_value(each)}')} \\")
        found = [word for each in arguments(of) for word in values(each)]
        rest = f"({' '.join(found)})" if found else "_files" if arguments(of) else ""
        lines += [f"      '*:{name}:{rest}'", "    ;;"]
    return "\n".join([*lines, "esac"]) + "\n"


def zsh_value(action: argparse.Action) -> str:
    if action.nargs == 0:
        return ""
    found = values(action)
    return (
        f":{action.dest}:({' '.join(found)})"
        if found
        else f":{action.dest}:" + ("_files" if action.metavar == "FILE" else "")
    )


def quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def fish_completion() -> str:
    """For fish: /usr/share/fish/vendor_completions.d/maildiag.fish."""
    lines = ["# generated by docs/generate.py", "complete -c maildiag -f"]
    for name, summary in COMMANDS.items():
        lines.append(f"complete -c maildiag -n __fish_use_subcommand -a {name} -d {fish(summary)}")
    for name, _, of in commands():
        for each in options(of):
            flags = [
                f"-l {option[2:]}" if option.startswith("--") else f"-s {option[1:]}" for option in each.option_strings
            ]
            line = f"complete -c maildiag -n '__fish_seen_subcommand_from {name}' {' '.join(flags)}"
            if each.nargs != 0:
                found = values(each)
                line += (
                    f" -x -a {fish(' '.join(found))}" if found else " -r" + (" -F" if each.metavar == "FILE" else "")
                )
            lines.append(f"{line} -d {fish(words(each))}")
        for each in arguments(of):
            which = f"-a {fish(' '.join(values(each)))}" if values(each) else "-F"
            lines.append(f"complete -c maildiag -n '__fish_seen_subcommand_from {name}' {which}")
    return "\n".join(lines) + "\n"


def fish(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


if __name__ == "__main__":
    sys.exit(main())
