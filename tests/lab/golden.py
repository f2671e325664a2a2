"""The golden layers: what the hosts of the guide look like, configured and healthy, before anything is broken."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from tests.lab import guide
from tests.lab.dns import Dns
from tests.lab.hosts import ALL_HOSTS, BOOT_SCRIPT, Host
from tests.lab.images import Release, root_image
from tests.lab.installing import dependencies_layer, dependencies_name
from tests.lab.instance import Instance
from tests.lab.network import Network
from tests.lab.pki import lab_pki, pki_key
from tests.lab.store import cached, digest

T = TypeVar("T")

# A day's worth of logs of making the host is not part of a healthy host.
_LOGS = ("var/log/journal", "var/log/mail.log", "var/log/syslog", "var/log/auth.log", "var/log/cron.log", "var/log/user.log",
         "var/log/kern.log", "var/log/firewalld", "var/log/wtmp", "var/log/ufw.log")  # fmt: skip


def golden_layers(release: Release) -> Mapping[str, tuple[Path, ...]]:
    """For each host the layers that it boots from, topmost first; whatever is missing is built (about a minute from nothing)."""
    below = (dependencies_layer(release), root_image(release))
    key = digest(dependencies_name(release), pki_key(), Path(guide.__file__).read_text(), BOOT_SCRIPT, *_LOGS)
    golden = cached(f"golden-{release.name}-{key}", lambda target: _build(release, below, target))
    return {spec.name: (golden / spec.name, *below) for spec in ALL_HOSTS}


def on_all(action: Callable[[Host], T], hosts: Iterable[Host]) -> list[T]:
    """Do `action` on each host at the same time; the first error is raised when all have ended."""
    chosen = list(hosts)
    with ThreadPoolExecutor(max_workers=max(1, len(chosen))) as pool:
        return list(pool.map(action, chosen))


def _build(release: Release, below: tuple[Path, ...], target: Path) -> None:
    pki = lab_pki()
    instance = Instance(release.name, purpose="golden")
    try:
        network = Network(instance)
        network.start()
        Dns(instance, network).start()

        def make(host: Host) -> None:
            layer = target / host.name
            layer.mkdir()
            host.boot(keep=layer)
            guide.configure(host, release, pki)
            host.power_off()
            shutil.rmtree(target / f"{host.name}.work", ignore_errors=True)
            _forget_logs(layer)

        on_all(make, [Host(spec, instance, network, below) for spec in ALL_HOSTS])
    finally:
        instance.destroy()


def _forget_logs(layer: Path) -> None:
    for name in _LOGS:
        path = layer / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
