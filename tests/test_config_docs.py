"""The page about the configuration is complete, and its examples work."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from pydantic import BaseModel

from config import shapes
from config.documents import read, validate
from config.loading import attempt
from config.settings import Settings
from config.surveys import Survey
from config.templates import VARIABLES, TemplateFile
from tests.config_kinds import kinds

PAGE = (Path(__file__).parent.parent / "docs" / "configuration.md").read_text()
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
NOT_WRITTEN = {"options", "broken"}


class Everything(Mapping[str, str]):
    """An environment in which every variable is set."""

    def __getitem__(self, name: str) -> str:
        if name.endswith("WEBHOOK_SECRET"):
            return "whsec_" + "c2VjcmV0" * 6
        return f"{name}-of-some-length".ljust(43, "x")[:43]

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 1


def models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """Yield *model* and those inside it."""
    yield model
    for info in model.model_fields.values():
        for inner in shapes.inner_models(info.annotation):
            if inner is not BaseModel:
                yield from models(inner)


def test_every_key_is_on_the_page() -> None:
    """An admin finds every key of every section."""
    keys = {key for model in models(Settings) for key in shapes.keys(model)} - NOT_WRITTEN
    missing = [key for key in sorted(keys) if not re.search(rf"[`.]{key}[`.]", PAGE)]

    assert missing == []


@pytest.mark.parametrize("name", ["surveys.md", "surveys.zh-CN.md"])
def test_every_key_of_surveys_is_on_their_page(name: str) -> None:
    """An admin finds every key of a survey, in both languages."""
    page = (Path(__file__).parent.parent / "docs" / name).read_text()
    keys = {key for model in models(Survey) for key in shapes.keys(model)}

    assert [key for key in sorted(keys) if not re.search(rf"[`{{ .,]{key}[`:]", page)] == []


def test_every_variable_is_on_the_page() -> None:
    """An admin finds every variable of texts."""
    assert [name for name in VARIABLES if f"`{{{{ {name} }}}}`" not in PAGE] == []


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_examples_work(tmp_path: Path, block: str) -> None:
    """Whoever copies an example gets no fault."""
    for name in ("imap.secret", "smtp.secret"):
        (tmp_path / name).touch(mode=0o600)
        (tmp_path / name).write_text("secret")
    (tmp_path / "routes.yaml").write_text("default: {team: duty}\n")
    (tmp_path / "templates.yaml").write_text("hello: Hello\n")
    (tmp_path / "surveys.yaml").write_text("csat: {title: T, purpose: P, owner: O, trigger: {on: manual}}\n")
    name = "templates.yaml" if block.startswith("# templates.yaml") else "huiliu.yaml"
    (tmp_path / name).write_text(block)
    if name == "templates.yaml":
        validate(read(tmp_path / name), TemplateFile)
    else:
        assert [str(fault) for fault in attempt(tmp_path / name, kinds, environ=Everything()).faults] == []
