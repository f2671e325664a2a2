"""Control groups: how the lab finds and ends exactly the processes that it started."""

from __future__ import annotations

from collections.abc import Sequence

from tests.lab.process import execute

# Debian 13's systemd wants a unified hierarchy; a machine with the old layout gets one in this mount namespace only.
_FRESH = "mount -t cgroup2 none /sys/fs/cgroup\n"
_JOIN = _FRESH + 'mkdir -p "/sys/fs/cgroup/$0"\necho $$ > "/sys/fs/cgroup/$0/cgroup.procs"\nexec "$@"'
_KILL = (
    _FRESH
    + """\
cd "/sys/fs/cgroup/$0" 2>/dev/null || exit 0
echo 1 > cgroup.kill
until grep -q 'populated 0' cgroup.events; do sleep 0.01; done
cd /
find "/sys/fs/cgroup/$0" -depth -type d -exec rmdir {} \\;
"""
)


def inside(group: str, argv: Sequence[str]) -> list[str]:
    """The command that runs `argv` in the control group `group` and in a mount namespace of its own, under the same pid."""
    return [*_private(), _JOIN, group, *argv]


def kill(group: str, *, timeout: float = 20) -> None:
    """End every process in `group` and below it, wait until they are gone, and remove the group. A missing group is fine."""
    execute([*_private(), _KILL, group], timeout=timeout)


def _private() -> list[str]:
    return ["unshare", "--mount", "--propagation", "private", "sh", "-euc"]
