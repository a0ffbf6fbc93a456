"""What is installed is what is needed: our packages with their data, nothing of the tests, nothing over us."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import distributions, packages_distributions
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
OURS = {"connectors", "config", "inbox", "outbox", "router", "hub"}
DATA = {
    "connectors": ["pages/*"], "config": ["starter/*", "shop/*"], "inbox": ["scripts/*.lua"],
    "outbox": ["scripts/*.lua"], "router": ["*.lua", "*.txt"],
}  # fmt: skip


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The names in a wheel that is built from a copy of the tree, without asking any index."""
    copy = tmp_path_factory.mktemp("tree")
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    )
    for name in listed.stdout.decode().splitlines():
        source = ROOT / name
        if source.is_file() and not name.startswith(("tests/", "docs/", "bench/")):
            target = copy / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    (copy / "tests").mkdir()
    (copy / "tests" / "test_x.py").write_text("")
    out = tmp_path_factory.mktemp("wheel")
    build = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, str(out)], cwd=copy, capture_output=True, check=True)
    [built] = out.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        return archive.namelist()


def test_the_wheel_holds_our_packages_and_nothing_else(wheel: list[str]) -> None:
    """Top-level names are the fixed ones; no test, bench or document is installed."""
    top = {name.partition("/")[0].removesuffix(".py") for name in wheel if ".dist-info/" not in name}
    assert OURS == top
    assert [] == [name for name in wheel if "test_" in name or name.startswith("tests")]


def test_the_wheel_holds_the_data(wheel: list[str]) -> None:
    """Scripts of the store, pages and starter files are installed with the code that reads them."""
    wanted = {
        str(path.relative_to(ROOT))
        for package, patterns in DATA.items()
        for pattern in patterns
        for path in (ROOT / package).glob(pattern)
        if path.is_file() and path.suffix != ".pyc"
    }
    assert len(wanted) > 15
    assert set() == wanted - set(wheel)


def test_every_module_is_in_the_wheel(wheel: list[str]) -> None:
    """No package was forgotten in the list of packages."""
    modules = {
        str(path.relative_to(ROOT))
        for package in OURS - {"hub"}
        for path in (ROOT / package).rglob("*.py")
        if "__pycache__" not in path.parts
    }
    assert set() == modules - set(wheel)


def test_the_wheel_says_what_it_is(wheel: list[str]) -> None:
    """The command and the licence are part of it."""
    assert any(name.endswith("/entry_points.txt") for name in wheel)
    assert any(name.endswith("/LICENSE") for name in wheel)


def test_no_other_distribution_owns_our_names() -> None:
    """Our packages have common names: whatever else is installed must not lie over them, nor they over it."""
    owners = packages_distributions()
    for name in OURS:
        assert set(owners.get(name, ["huiliu"])) == {"huiliu"}, name
    for one in distributions():
        if one.metadata["Name"] == "huiliu":
            continue
        tops = {file.parts[0].removesuffix(".py") for file in one.files or [] if file.suffix in {".py", ".so"}}
        assert not tops & OURS, f"{one.metadata['Name']} installs {tops & OURS}"


def test_our_modules_take_no_name_of_the_standard_library() -> None:
    """A module of ours never hides one of Python's own."""
    names = {path.stem for package in OURS - {"hub"} for path in (ROOT / package).glob("*.py")} - {"__init__"}
    assert OURS.isdisjoint(sys.stdlib_module_names)
    assert set() == names & sys.stdlib_module_names


def test_every_library_that_we_import_is_declared(project: dict[str, Any]) -> None:
    """What the installed code imports from others is in the dependencies, not there by accident."""
    wanted = project["project"]["dependencies"] + project["project"]["optional-dependencies"]["spss"]
    declared = {re.split(r"[\[<>=!~ ]", one)[0].lower() for one in wanted}
    owners = packages_distributions()
    used: dict[str, str] = {}
    for package in OURS - {"hub"}:
        for path in (ROOT / package).rglob("*.py"):
            if path.name in {"testing.py", "contract.py", "hostile.py", "scripted.py", "props.py"}:
                continue  # for authors of connectors: they have pytest and hypothesis
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    names = [node.module]
                used |= {name.partition(".")[0]: str(path.relative_to(ROOT)) for name in names}
    for name, where in used.items():
        if name in sys.stdlib_module_names or name in OURS or name == "__future__":
            continue
        mine = {one.lower().replace("_", "-") for one in owners.get(name, [name])}
        through = BROUGHT_BY.get(name, "")
        assert mine & declared or through in declared, f"{where} imports {name}, which no dependency declares"


# Libraries that come with one that is declared and belong to its interface.
BROUGHT_BY = {"multidict": "aiohttp", "yarl": "aiohttp", "pydantic_core": "pydantic", "click": "typer"}
