"""The recipes in env/ say the same as the package list, and the package can be built from a clean checkout."""

from __future__ import annotations

import importlib.util
import runpy
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[1]
GENERATE = runpy.run_path(str(TOP / "env" / "generate.py"), run_name="generate")


@pytest.mark.parametrize("name", ["Dockerfile", "apptainer.def", "environment.yml"])
def test_recipe_is_that_of_the_list(name: str) -> None:
    assert (TOP / "env" / name).read_text() == GENERATE["recipes"]()[name], "run: python3 env/generate.py"


def test_list_is_read_alike_by_the_wrapper() -> None:
    command = f'checkout={TOP}; . "$checkout/env/root.sh"; package_list'
    found = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True).stdout.split()
    packages = GENERATE["read_packages"]()
    assert found == [package.debian for package in packages]
    assert len(found) == len(set(found)) > 20
    assert all(package.reason for package in packages)


def test_list_is_read_alike_by_the_line_of_the_documentation() -> None:
    """The apt-get line of docs/install.md, for Debian 13 without a root of its own."""
    line = next(
        line
        for line in (TOP / "docs" / "install.md").read_text().splitlines()
        if "apt-get install --no-" in line
    )
    echoed = line.strip().replace("apt-get install --no-install-recommends", "echo", 1)
    found = subprocess.run(
        ["bash", "-c", echoed], cwd=TOP, capture_output=True, text=True, check=True
    ).stdout.split()
    assert found == [package.debian for package in GENERATE["read_packages"]()]


def build_wheel(folder: Path, *options: str) -> set[str]:
    """The names of the files in the wheel that `pip install .` makes."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", *options]
    done = subprocess.run([*command, "--wheel-dir", folder, TOP], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = folder.glob("dfx_homog-*.whl")
    return set(zipfile.ZipFile(wheel).namelist())


def test_wheel_has_every_module(tmp_path: Path) -> None:
    names = build_wheel(tmp_path, "--config-settings=wheel.cmake=false")
    assert {str(path.relative_to(TOP)) for path in (TOP / "dfx_homog").rglob("*.py")} <= names
    assert not any(name.endswith((".cpp", ".hpp")) for name in names)
    assert any(name.endswith("/LICENSE") for name in names)


def test_native_part_is_installed() -> None:
    assert importlib.util.find_spec("dfx_homog._native") is not None


@pytest.mark.slow
def test_wheel_has_the_native_part(tmp_path: Path) -> None:
    assert any(name.startswith("dfx_homog/_native.") for name in build_wheel(tmp_path))
