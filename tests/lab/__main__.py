"""The lab as a tool for people: `python -m tests.lab up`, and then `python -m tests.lab shell mail` in another window."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence

from tests.lab.campaign import SIDE_BY_SIDE, Campaign, double, single
from tests.lab.errors import LabError
from tests.lab.fault_runner import Result, line_of, summary
from tests.lab.faults import catalogue
from tests.lab.golden import golden_layers
from tests.lab.guide import PASSWORDS
from tests.lab.hosts import ALL_HOSTS, command_on
from tests.lab.images import RELEASES, release_named
from tests.lab.installing import install_on, maildiag_layer
from tests.lab.instance import destroy, endable, running, the_running
from tests.lab.lab import Lab
from tests.lab.pairs import pairs, releases_of
from tests.lab.store import lab_dir

_UP = """\
The lab runs {release} (instance {instance}); booted in {seconds:.1f} s.

  python -m tests.lab shell mail          a root shell on mail.example.test (also: app01, app02)
  python -m tests.lab exec mail -- mailq  one command
  python -m tests.lab install             maildiag again, after a change to its source
  python -m tests.lab down                end it (or Ctrl-C here)

Users on mail: {users}
Changes to a host are lost when the lab ends.\
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says and return the exit status."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.do(arguments))
    except LabError as problem:
        print(f"lab: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print()
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    up = commands.add_parser("up", help="boot a lab and keep it until Ctrl-C")
    up.add_argument("--release", choices=RELEASES, default="debian12")
    up.add_argument("--no-maildiag", action="store_true", help="leave the hosts without maildiag")
    up.set_defaults(do=_up)

    shell = commands.add_parser("shell", help="a root shell on a host of the running lab")
    shell.add_argument("host", choices=[spec.name for spec in ALL_HOSTS])
    shell.add_argument("--release", choices=RELEASES, help="which lab, where several run")
    shell.set_defaults(do=_shell)

    execute = commands.add_parser("exec", help="run one command on a host of the running lab")
    execute.add_argument("--release", choices=RELEASES, help="which lab, where several run")
    execute.add_argument("host", choices=[spec.name for spec in ALL_HOSTS])
    execute.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- CMD …")
    execute.set_defaults(do=_exec)

    install = commands.add_parser(
        "install", help="put the maildiag of this checkout, as it is now, on the running hosts"
    )
    install.add_argument("--release", choices=RELEASES, help="which lab, where several run")
    install.set_defaults(do=_install)

    down = commands.add_parser("down", help="end the newest lab that `up` booted")
    down.add_argument(
        "--all",
        action="store_true",
        help="end every lab that `up` of this checkout booted, and what killed programs left behind",
    )
    down.set_defaults(do=_down)

    commands.add_parser("status", help="which labs run").set_defaults(do=_status)

    faults = commands.add_parser("faults", help="break hosts by the catalogue and see what maildiag says")
    faults.add_argument("names", nargs="*", metavar="NAME", help="area/name, or the beginning of it; all by default")
    faults.add_argument("--release", choices=RELEASES, action="append", help="both by default, side by side")
    faults.add_argument("--fix", action="store_true", help="also let maildiag cure what is curable, and undo it again")
    faults.add_argument(
        "--prove", action="store_true", help="also see that the path of mail is broken as the fault says"
    )
    faults.add_argument("--pairs", action="store_true", help="two faults at once, instead: both must be named")
    faults.add_argument(
        "--labs", type=int, default=SIDE_BY_SIDE, help="labs of each release side by side (default: %(default)s)"
    )
    faults.set_defaults(do=_faults)

    build = commands.add_parser("build", help="build what the labs boot from, so that the first one starts quickly")
    build.add_argument("--release", choices=RELEASES, action="append")
    build.set_defaults(do=_build)
    return parser


def _up(arguments: argparse.Namespace) -> int:
    lab = Lab(arguments.release, maildiag=not arguments.no_maildiag, purpose="up")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    started = time.monotonic()
    with lab:
        users = ", ".join(f"{user} (password {password})" for user, password in PASSWORDS.items())
        seconds = time.monotonic() - started
        print(_UP.format(release=arguments.release, instance=lab.instance.id, seconds=seconds, users=users), flush=True)
        while lab.instance.id in running():
            time.sleep(1)
    return 0


def _shell(arguments: argparse.Namespace) -> int:
    _, state = the_running(arguments.release)
    os.execvp(
        "nsenter", command_on(state.leaders[arguments.host], ["bash", "-l"], terminal=os.environ.get("TERM", "dumb"))
    )


def _exec(arguments: argparse.Namespace) -> int:
    _, state = the_running(arguments.release)
    argv = arguments.argv[1:] if arguments.argv[:1] == ["--"] else arguments.argv
    os.execvp("nsenter", command_on(state.leaders[arguments.host], argv, terminal=os.environ.get("TERM", "dumb")))


def _install(arguments: argparse.Namespace) -> int:
    _, state = the_running(arguments.release)
    layer = maildiag_layer(release_named(state.release))
    for leader in state.leaders.values():
        install_on(leader, layer)
    print(f"installed on {', '.join(state.leaders)}")
    return 0


def _down(arguments: argparse.Namespace) -> int:
    for instance in list(endable()) if arguments.all else [the_running()[0]]:
        destroy(instance)
        print(f"ended {instance}")
    return 0


def _status(_: argparse.Namespace) -> int:
    labs = running()
    for instance, state in labs.items():
        print(
            f"{instance}  {state.release}  {state.purpose}  hosts {', '.join(state.leaders) or 'none yet'}  owner pid {state.owner}  {state.checkout}"
        )
    if not labs:
        print(f"no lab runs (below {lab_dir()})")
    return 0


def _faults(arguments: argparse.Namespace) -> int:
    chosen = [fault for fault in catalogue() if not arguments.names or fault.name.startswith(tuple(arguments.names))]
    if not chosen:
        raise LabError(f"no fault is called {' or '.join(arguments.names)}")
    releases = arguments.release or list(RELEASES)
    work = [
        (release, single(fault, fix=arguments.fix, prove=arguments.prove))
        for release in releases
        for fault in chosen
        if release in fault.releases
    ]
    if arguments.pairs:
        work = [(release, double(pair)) for pair in pairs() for release in releases_of(pair) if release in releases]
    results: list[Result] = []
    campaign = Campaign(work, lambda result: results.append(_told(result)), arguments.labs)
    campaign.wait()
    if campaign.problem is not None:
        raise LabError(f"a lab ended early: {campaign.problem}")
    print(summary(results))
    return 1 if any(result.complaints and not result.fault.open for result in results) else 0


def _told(result: Result) -> Result:
    print(line_of(result), flush=True)
    return result


def _build(arguments: argparse.Namespace) -> int:
    for name in arguments.release or RELEASES:
        started = time.monotonic()
        golden_layers(release_named(name))
        print(f"{name}: ready after {time.monotonic() - started:.1f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
