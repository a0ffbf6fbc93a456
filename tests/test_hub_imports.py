"""What import-linter cannot say by name: who may know what of the connectors."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ELSEWHERE = sorted(
    path for package in ("inbox", "outbox", "router", "config") for path in (ROOT / package).glob("*.py")
)
SDKS = {"wechatpy", "aioimaplib", "aiosmtplib"}


def imported(path: Path) -> set[str]:
    """Return the modules that a file imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


@pytest.mark.parametrize("path", ELSEWHERE, ids=lambda path: str(path.relative_to(ROOT)))
def test_other_packages_know_the_contract_only(path: Path) -> None:
    """Of the connectors, the other packages import connectors.base and nothing else."""
    modules = {name for name in imported(path) if name.startswith("connectors.") and name.count(".") == 1}

    assert modules <= {"connectors.base"}


def test_the_composition_root_imports_no_platform_library() -> None:
    """Platform libraries are the connectors' own business."""
    assert not {name.partition(".")[0] for name in imported(ROOT / "hub.py")} & SDKS
