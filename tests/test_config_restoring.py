"""Files are put back whole or not at all, and what they were is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.restoring import restore


def test_files_come_back_with_a_copy_of_what_they_were(tmp_path: Path) -> None:
    """The text is what was asked for, the mode stays, the copy holds what was there; equal files are left alone."""
    one, other = tmp_path / "one.yaml", tmp_path / "other.yaml"
    one.write_text("now")
    one.chmod(0o640)
    other.write_text("same")
    untouched = other.stat().st_ino

    copies = restore({one: "then", other: "same"}, "stamp")

    assert {one: tmp_path / "one.yaml.stamp.bak"} == copies
    assert ("then", "now") == (one.read_text(), copies[one].read_text())
    assert 0o640 == one.stat().st_mode & 0o777
    assert untouched == other.stat().st_ino
    assert {"one.yaml", "one.yaml.stamp.bak", "other.yaml"} == {path.name for path in tmp_path.iterdir()}


def test_a_link_leads_where_it_led(tmp_path: Path) -> None:
    """What a linked file leads to is replaced, not the link."""
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "routes.yaml").write_text("now")
    link = tmp_path / "routes.yaml"
    link.symlink_to("real/routes.yaml")

    restore({link: "then"}, "stamp")

    assert link.is_symlink()
    assert "then" == (tmp_path / "real" / "routes.yaml").read_text()


def test_nothing_changes_if_one_file_cannot_be_written(tmp_path: Path) -> None:
    """A directory that is gone: the other file stays as it is, and nothing is left lying about."""
    one = tmp_path / "one.yaml"
    one.write_text("now")
    with pytest.raises(OSError, match="No such file"):
        restore({one: "then", tmp_path / "gone" / "other.yaml": "x"}, "stamp")

    assert "now" == one.read_text()
    assert [] == [path.name for path in tmp_path.iterdir() if path.name.endswith(".new")]


def test_the_same_moment_twice(tmp_path: Path) -> None:
    """Two who restore under one stamp do not write into each other's file."""
    one = tmp_path / "one.yaml"
    one.write_text("now")
    (tmp_path / ".one.yaml.stamp.new").write_text("half")
    with pytest.raises(FileExistsError):
        restore({one: "then"}, "stamp")

    assert "now" == one.read_text()
