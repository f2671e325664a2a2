"""Real hosts: Debian systems that boot in about a second, are broken by a test, and are thrown away."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.lab import control_groups
from tests.lab.errors import LabError
from tests.lab.instance import Instance
from tests.lab.network import Network
from tests.lab.process import execute, wait_for

BOOT_LIMIT = 60.0


@dataclass(frozen=True, slots=True)
class Spec:
    """Which host this is."""

    name: str
    address: str


MAIL = Spec("mail", "10.0.1.10")
APP01 = Spec("app01", "10.0.1.20")
APP02 = Spec("app02", "10.0.1.21")
ALL_HOSTS = (MAIL, APP01, APP02)

# $0 the network namespace, $1 the host, $2 the layers, $3 a directory, $4 the layer to keep or nothing (then a tmpfs is it).
# All of it is mounted in the mount namespace of this one process, so that nothing is left to unmount when it ends.
BOOT_SCRIPT = """\
mkdir -p "$3"
if [ -z "$4" ]; then mount -t tmpfs -o size=1g,mode=755 lab "$3"; mkdir "$3/upper"; set -- "$1" "$2" "$3" "$3/upper"; fi
mkdir -p "$3/work" "$3/root"
mount -t overlay overlay -o "lowerdir=$2,upperdir=$4,workdir=$3/work" "$3/root"
mkdir -p /run/systemd/nspawn
mount -t tmpfs nspawn /run/systemd/nspawn  # by machine name, and every lab has a "mail"
export SYSTEMD_SECCOMP=0
while status=0; systemd-nspawn --quiet --boot --register=no --keep-unit --network-namespace-path="$0" --directory="$3/root" \\
    --machine="$1" --hostname="$1" --resolv-conf=off --timezone=off --link-journal=no --console=pipe \\
    --capability=CAP_NET_ADMIN,CAP_NET_RAW --rlimit=NOFILE=1024:524288 || status=$?; [ "$status" = 133 ]
do nsenter --net="$0" nft flush ruleset  # 133: it wants to reboot, and a kernel that restarts has no firewall rules
done
exit "$status"
"""

_AS_USER = 'exec setpriv --reuid "$0" --regid "$(id -g "$0")" --init-groups --reset-env -- "$@"'

_WRITE = """\
mkdir -p "$(dirname "$0")"; cat > "$0"
[ -z "$1" ] || chown "$1" "$0"
[ -z "$2" ] || chmod "$2" "$0"
"""

_ENVIRONMENT = (
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG=C.UTF-8",
    "HOME=/root",
    "USER=root",
    "TERM=dumb",
)


class Host:
    """One host of a lab. Everything here happens on that host, as root unless said otherwise."""

    def __init__(self, spec: Spec, instance: Instance, network: Network, layers: Sequence[Path]) -> None:
        self.name, self.address = spec.name, spec.address
        self._instance, self._network = instance, network
        self._layers = tuple(layers)
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._leader: int | None = None
        self.used = False
        """True where anything was run or copied here since the boot."""

    def boot(self, *, keep: Path | None = None) -> None:
        """Boot from the layers and return when every unit is up. With `keep`, what the host writes stays in that directory.

        Raises LabError, with the failed units, when the host does not come up healthy within a minute.
        """
        namespace = self._network.attach(self.name, self.address)
        place = keep.with_name(f"{keep.name}.work") if keep else self._instance.directory / self.name
        arguments = (namespace, self.name, ":".join(map(str, self._layers)), place, keep or "")
        self._nspawn = self._instance.spawn(self.name, ["sh", "-euc", BOOT_SCRIPT, *map(str, arguments)])
        state = self._come_up()
        if state != "running":
            raise LabError(f"{self.name} booted {state}:\n{self._why_degraded()}")

    def stop(self) -> None:
        """End the host at once, as a power cut would; what it wrote is lost unless it was booted with `keep`."""
        self._leader = None
        self._instance.end(self.name)

    def power_off(self, *, timeout: float = 30) -> None:
        """Shut the host down in good order, within `timeout` seconds."""
        leader = self.leader
        self.run(["systemctl", "--no-block", "poweroff"])
        wait_for(f"{self.name} to power off", lambda: not Path(f"/proc/{leader}/root").exists(), timeout=timeout)
        self.stop()

    def reset(self) -> None:
        """Put the host back to how the lab booted it: new disk, new network namespace, new boot; about 1.5 seconds."""
        self.stop()
        self.boot()
        self.used = False

    def reboot(self) -> str:
        """Restart the host in good order; its disk stays, and what lives in the kernel only (firewall rules, say) goes.

        Returns "running", or "degraded" when units failed: that may be just what the test is about. Raises LabError when it
        does not come up at all.
        """
        old = self.leader
        self._leader = None
        execute(command_on(old, ["systemctl", "--no-block", "reboot"]))
        wait_for(f"{self.name} to go down", lambda: not Path(f"/proc/{old}/root").exists(), timeout=BOOT_LIMIT)
        return self._come_up()

    def add_layer(self, layer: Path) -> None:
        """Lay `layer` over the others from the next boot on."""
        self._layers = (layer, *self._layers)

    @property
    def leader(self) -> int:
        """The pid of the host's init, as this machine numbers it; raises LabError while the host is down."""
        if self._leader is None:
            raise LabError(f"{self.name} is not running")
        return self._leader

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout: float = 30.0,
        user: str | None = None,
        input: str | None = None,
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Run `argv` on the host, as `user` (root by default), with `input` as its standard input.

        Raises LabError after `timeout` seconds, and, with `check` (the default), when the command fails.
        """
        self.used = True
        return execute(command_on(self.leader, argv, user=user), input=input, timeout=timeout, check=check)

    def sh(self, script: str, *, timeout: float = 30.0, check: bool = True) -> str:
        """Run `script` with `bash -euo pipefail` on the host and return what it printed; errors as in `run`."""
        return self.run(["bash", "-euo", "pipefail", "-c", script], timeout=timeout, check=check).stdout

    def write(self, path: str, text: str, *, mode: int | None = None, owner: str | None = None) -> None:
        """Write `text` to `path`, making its directories; `owner` as for chown ("alice:alice")."""
        self.run(["sh", "-euc", _WRITE, path, owner or "", "" if mode is None else f"{mode:o}"], input=text)

    def read(self, path: str) -> str:
        """The text of the file `path`; raises LabError where it cannot be read."""
        return self.run(["cat", path]).stdout

    def copy_in(self, tree: Path, path: str) -> None:
        """Copy what is in the directory `tree` of this machine to `path` on the host, owners and modes included."""
        self.used = True
        copy_tree(self.leader, tree, path)

    def maildiag(self, *arguments: str, timeout: float = 120.0) -> subprocess.CompletedProcess[str]:
        """Run the installed maildiag with `arguments`; its exit status is an answer, so none of them raises."""
        return self.run(["/usr/local/bin/maildiag", *arguments], timeout=timeout, check=False)

    def _come_up(self) -> str:
        self._leader = wait_for(f"{self.name} to start", self._find_leader, timeout=BOOT_LIMIT)
        self._instance.set_leader(self.name, self._leader)
        return wait_for(f"{self.name} to boot", self._boot_state, timeout=BOOT_LIMIT)

    def _find_leader(self) -> int | None:
        nspawn = self._nspawn
        if nspawn is None or nspawn.poll() is not None:
            raise LabError(f"{self.name} did not boot:\n{self._instance.console(self.name).read_text()[-2000:]}")
        return next((pid for pid in _descendants(nspawn.pid) if _is_init(pid)), None)

    def _boot_state(self) -> str | None:
        argv = command_on(self.leader, ["systemctl", "is-system-running", "--wait"])
        state = execute(argv, timeout=BOOT_LIMIT, check=False).stdout.strip()
        return state if state in ("running", "degraded") else None

    def _why_degraded(self) -> str:
        return (
            self.run(["systemctl", "--failed", "--no-legend"]).stdout
            + self.run(["journalctl", "-p", "warning", "-n", "30"]).stdout
        )


def copy_tree(leader: int, tree: Path, path: str) -> None:
    """Copy what is in the directory `tree` to `path` on the host whose init is `leader`."""
    with tempfile.TemporaryFile() as archive:
        subprocess.run(["tar", "-C", str(tree), "-c", "."], stdout=archive, check=True, timeout=60)
        archive.seek(0)
        subprocess.run(command_on(leader, ["tar", "-C", path, "-x"]), stdin=archive, check=True, timeout=60)


def command_on(leader: int, argv: Sequence[str], *, user: str | None = None, terminal: str | None = None) -> list[str]:
    """The command that runs `argv` on the host whose init is `leader`; with `terminal`, that is its $TERM."""
    as_user = ["sh", "-c", _AS_USER, user] if user else []
    environment = [*_ENVIRONMENT, *([f"TERM={terminal}"] if terminal else [])]
    return ["nsenter", "--all", f"--target={leader}", "env", "-i", *environment, *as_user, *argv]


def why_unavailable() -> str | None:
    """Why no host can boot on this machine, or None where it can."""
    if os.geteuid() != 0:
        return "the lab needs root"
    missing = [program for program in _PROGRAMS if shutil.which(program) is None]
    if missing:
        return f"the lab needs {', '.join(missing)} (packages: {_PACKAGE_LIST})"
    probe = execute(control_groups.inside("maildiag-lab/probe", ["unshare", "--net", "true"]), check=False)
    return f"the lab may not make namespaces here: {probe.stderr.strip()}" if probe.returncode else None


_PACKAGE_LIST = "tests/lab/requirements-apt.txt"
_PROGRAMS = (
    "mmdebstrap",
    "systemd-nspawn",
    "nsenter",
    "unshare",
    "ip",
    "nft",
    "openssl",
    "ssh-keygen",
    "tar",
    "apt-get",
)


def _descendants(pid: int) -> Iterator[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in children:
        yield int(child)
        yield from _descendants(int(child))


def _is_init(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        program = Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return False
    numbers = next(line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:"))
    return len(numbers) > 1 and numbers[-1] == "1" and program == "systemd"
