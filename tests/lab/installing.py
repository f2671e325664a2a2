"""Puts maildiag on the hosts as its users do: a wheel in a virtual environment of its own, with its dependencies."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sys
import threading
import tomllib
from functools import cache
from pathlib import Path

from tests.lab.errors import LabError
from tests.lab.hosts import command_on, copy_tree
from tests.lab.images import Release, build_layer, root_image, root_name
from tests.lab.process import execute
from tests.lab.store import cached, digest, lab_dir, locked

CHECKOUT = Path(__file__).resolve().parents[2]
VENV = "/opt/maildiag"

_MAKE_VENV = f"""\
python3 -m venv {VENV}
{VENV}/bin/pip install --quiet --no-index --find-links /mnt --disable-pip-version-check $REQUIREMENTS
ln -s {VENV}/bin/maildiag /usr/local/bin/maildiag
"""

_INSTALL_WHEEL = f"{VENV}/bin/pip install --quiet --no-index --no-deps --disable-pip-version-check /mnt/*.whl\n"

_one_build = threading.Lock()


def requirements() -> tuple[str, ...]:
    """What pyproject.toml says maildiag needs at run time, the TUI included."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    return (*project["dependencies"], *project["optional-dependencies"]["tui"])


def dependencies_name(release: Release) -> str:
    """The cache name of the layer with the dependencies; it changes with them and with the root below."""
    return f"venv-{release.name}-{digest(root_name(release), _MAKE_VENV, *requirements())}"


def dependencies_layer(release: Release) -> Path:
    """The layer with a virtual environment that holds all that maildiag needs, but not maildiag."""
    root = root_image(release)

    def build(target: Path) -> None:
        needed = " ".join(f"'{requirement}'" for requirement in requirements())
        script = _MAKE_VENV.replace("$REQUIREMENTS", needed)
        build_layer([root], target, script, bind=_wheelhouse(_python_version(root)))

    return cached(dependencies_name(release), build)


def maildiag_layer(release: Release) -> Path:
    """The layer with the maildiag of this checkout, as it was when this process first asked."""
    wheel = built_wheel()
    dependencies, root = dependencies_layer(release), root_image(release)
    key = digest(wheel.read_bytes().hex(), dependencies.name)
    return cached(
        f"maildiag-{release.name}-{key}",
        lambda target: build_layer([dependencies, root], target, _INSTALL_WHEEL, bind=wheel.parent),
    )


def install_on(leader: int, layer: Path) -> None:
    """Put the maildiag of `layer` on the running host whose init is `leader`, in the place of the one that it has."""
    execute(command_on(leader, ["sh", "-c", f"rm -rf {VENV}/lib/python3*/site-packages/maildiag*"]))
    copy_tree(leader, layer, "/")


def built_wheel() -> Path:
    """The wheel of this checkout, alone in its directory; built once in the life of this process."""
    with _one_build:
        return _build_wheel()


@cache
def _build_wheel() -> Path:
    with locked("wheel"):
        scratch = lab_dir() / "wheels" / f"part-{os.getpid()}"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        isolation = ["--no-build-isolation"] if importlib.util.find_spec("hatchling") else []
        pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", *isolation]
        execute([*pip, "--wheel-dir", str(scratch), str(CHECKOUT)], timeout=300)
        wheel = next(scratch.glob("*.whl"))
        place = scratch.with_name(digest(wheel.read_bytes().hex()))
        if place.exists():
            shutil.rmtree(scratch)
        else:
            scratch.rename(place)
        return place / wheel.name


def _wheelhouse(python: str) -> Path:
    """Wheels of the dependencies for the hosts' Python, which need not be the Python of this machine."""
    machine = os.uname().machine
    platforms = [f"--platform=manylinux_2_{glibc}_{machine}" for glibc in (28, 17)] + [
        f"--platform=manylinux2014_{machine}"
    ]
    pip = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--only-binary=:all:",
        f"--python-version={python}",
        *platforms,
    ]
    return cached(
        f"wheelhouse-{python}-{digest(machine, *requirements())}",
        lambda target: _download([*pip, "--dest", str(target), *requirements()]),
    )


def _download(argv: list[str]) -> None:
    execute(argv, timeout=600)


def _python_version(root: Path) -> str:
    found = re.fullmatch(r"python(3\.\d+)", (root / "usr/bin/python3").readlink().name)
    if not found:
        raise LabError(f"cannot tell the Python of {root}")
    return found[1]
