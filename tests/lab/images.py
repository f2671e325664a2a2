"""The Debian roots that every host boots from, and the read-only layers that lie on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.lab.errors import LabError
from tests.lab.process import execute
from tests.lab.store import cached, digest

PACKAGES = (
    # the machine
    "systemd", "systemd-sysv", "dbus", "rsyslog", "cron", "logrotate", "procps", "iproute2", "iputils-ping", "kmod", "less", "lsof",
    # the mail system of the guide
    "postfix", "postfix-pcre", "libsasl2-modules", "dovecot-imapd", "dovecot-pop3d", "dovecot-lmtpd",
    # firewalls and remote access
    "firewalld", "ufw", "nftables", "iptables", "fail2ban", "openssh-server", "openssh-client",
    # what the guide and the fault catalogue use by hand
    "acl", "libfaketime", "s-nail", "swaks", "openssl", "ssl-cert", "ca-certificates", "bind9-host", "bind9-dnsutils", "netcat-openbsd",
    # what maildiag itself is installed with
    "python3", "python3-venv",
)  # fmt: skip

MASKED_UNITS = (
    "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "e2scrub_reap.service",
    "fstrim.timer", "logrotate.timer", "man-db.timer", "systemd-tmpfiles-clean.timer", "systemd-pstore.service",
    "fail2ban.service", "getty@.service", "console-getty.service", "container-getty@.service", "getty.target", "systemd-networkd-wait-online.service",
)  # fmt: skip

DPKG_EXCLUDED = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*")


@dataclass(frozen=True, slots=True)
class Release:
    """A Debian release as the lab knows it."""

    name: str
    codename: str


RELEASES = {release.name: release for release in (Release("debian12", "bookworm"), Release("debian13", "trixie"))}


def release_named(name: str) -> Release:
    """The release called `name` ("debian12", "debian13"); raises LabError for any other name."""
    if name not in RELEASES:
        raise LabError(f"no release {name!r}: the lab knows {', '.join(RELEASES)}")
    return RELEASES[name]


def root_image(release: Release) -> Path:
    """The root directory of `release`, built with mmdebstrap (about 40 s) where this recipe has not been built before."""
    return cached(root_name(release), lambda target: _debootstrap(release, target))


def root_name(release: Release) -> str:
    """The cache name of the root of `release`; it changes with the recipe."""
    return f"root-{release.name}-{digest(*_recipe(release, Path('/target')), *MASKED_UNITS, _FINISH)}"


def build_layer(
    lower: Sequence[Path], upper: Path, script: str, *, bind: Path | None = None, timeout: float = 300
) -> None:
    """Run `script` (sh) as root inside the layers `lower` (topmost first), leaving what it writes in `upper`.

    `bind` appears read-only as /mnt inside. Mounts live in a mount namespace of their own and end with the script. Raises
    LabError with the output of the script when it fails.
    """
    work = upper.with_name(f"{upper.name}.work")
    work.mkdir(exist_ok=True)
    mounts = _LAYER_MOUNTS + ('mount --bind "$5" "$3/mnt"\n' if bind else "")
    argv = [
        "unshare",
        "-m",
        "--propagation",
        "private",
        "sh",
        "-euc",
        f'{mounts}exec chroot "$3" sh -euc "$4"',
        "layer",
    ]
    try:
        execute([*argv, ":".join(map(str, lower)), str(upper), str(work), script, str(bind)], timeout=timeout)
    finally:
        execute(["rm", "-rf", str(work)])


# The merged tree is mounted over the work directory's parent-less twin: overlayfs needs work and upper on one filesystem.
_LAYER_MOUNTS = """\
mkdir -p "$3/work" "$3/merged"
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2,workdir=$3/work" "$3/merged"
set -- "$1" "$2" "$3/merged" "$4" "$5"
mount -t proc proc "$3/proc"
mount -t tmpfs tmpfs "$3/tmp"
mount --rbind /dev "$3/dev"
"""

_PRESEED = 'printf "%s\\n" "postfix postfix/main_mailer_type select Internet Site" "postfix postfix/mailname string example.test" | chroot "$1" debconf-set-selections'

# imklog cannot read the kernel log of a container and says so at every boot. Debian's Postfix copies each trusted certificate
# into its chroot and compares them one by one at every start, which takes longer than all else together: a few do here.
_FINISH = """\
set -eu
sed -i '/^mozilla/{/ISRG_Root\\|DigiCert_Global\\|GlobalSign/!s/^/!/}' etc/ca-certificates.conf
chroot . update-ca-certificates --fresh >/dev/null 2>&1
for unit in "$@"; do ln -sf /dev/null "etc/systemd/system/$unit"; done
sed -i 's/^module(load="imklog".*/#&/' etc/rsyslog.conf
rm -f etc/machine-id var/log/*.log var/log/apt/*
rm -rf var/cache/apt/* var/lib/apt/lists/* var/cache/debconf/*-old
: > etc/machine-id
"""


def _debootstrap(release: Release, target: Path) -> None:
    execute(_recipe(release, target), timeout=900)
    execute(["sh", "-c", f"cd '{target}' && {_FINISH}", "finish", *MASKED_UNITS])


def _recipe(release: Release, target: Path) -> list[str]:
    sources = [f"deb {uri} {suite} main" for uri, suite in _apt_sources(release)]
    excluded = [f"--dpkgopt=path-exclude={pattern}" for pattern in DPKG_EXCLUDED]
    return [
        "mmdebstrap", "--variant=minbase", "--dpkgopt=force-unsafe-io", *excluded,
        "--aptopt=Acquire::Languages \"none\"", "--aptopt=APT::Install-Recommends \"false\"",
        f"--essential-hook={_PRESEED}", f"--include={','.join(PACKAGES)}", release.codename, str(target), *sources,
    ]  # fmt: skip


def _apt_sources(release: Release) -> list[tuple[str, str]]:
    """Where this machine gets Debian from, said for `release`: (address, suite) for the archive, its updates, security."""
    listed = execute(
        ["apt-get", "indextargets", "--format", "$(RELEASE) $(COMPONENT) $(REPO_URI)", "Identifier: Packages"]
    )
    ours = _host_codename()
    sources: dict[tuple[str, str], None] = {}
    for line in listed.stdout.splitlines():
        suite, component, uri = line.split(" ", 2)
        base, _, pocket = suite.partition("-")
        if component == "main" and base == ours and pocket in ("", "updates", "security"):
            sources[uri, release.codename + (f"-{pocket}" if pocket else "")] = None
    if not any(suite == release.codename for _, suite in sources):
        raise LabError(
            f"apt on this machine has no source for {ours} main; the lab takes its Debian from the same place"
        )
    return list(sources)


def _host_codename() -> str:
    lines = Path("/etc/os-release").read_text().splitlines()
    values = dict(line.split("=", 1) for line in lines if "=" in line)
    return values.get("VERSION_CODENAME", "").strip('"')
