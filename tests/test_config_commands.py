"""`huiliu init`, `huiliu check` and `huiliu schema`: what they print and how they end."""

from __future__ import annotations

import contextlib
import json
import stat
from pathlib import Path

import pytest
from pydantic import BaseModel
from typer.testing import CliRunner

import hub
from config import channels, chinese, commands, starting
from config.faults import Fault, Problem
from config.loading import Loaded, load
from config.routes import routes
from config.values import DURATIONS
from connectors import registry
from router.lint import lint
from router.trial import prove
from tests.config_kinds import KINDS, kinds
from tests.routing import WEDNESDAY

CONFIGS = Path(__file__).parent / "configs"


def built_in(kind: str) -> type[BaseModel]:
    """Return the options of a built-in connector, as the hub does."""
    try:
        return registry.find(kind).Options
    except registry.UnknownKind as error:
        raise channels.UnknownKind(kind, error.known) from None


def written(directory: Path, name: str, text: str) -> str:
    """Write a file and return its name."""
    (directory / name).write_text(text)
    return str(directory / name)


@pytest.mark.parametrize("locale", ["en", "zh-CN"])
def test_init_writes_what_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str], locale: str) -> None:
    """The starter files pass `check` as they are: real connectors, their own tests, no environment."""
    target = tmp_path / "shop"

    assert commands.init(str(target / "huiliu.yaml"), locale=locale) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("huiliu.yaml", "routes.yaml", "templates.yaml", "ops.token"))
    assert commands.check([str(target / "huiliu.yaml")], built_in, prove=prove, locale=locale, environ={}) == 0

    loaded = load(target / "huiliu.yaml", built_in, environ={})
    assert set(loaded.settings.teams) == {"frontdesk", "aftersales", "complaints"}
    assert loaded.settings.channels["site-chat"].options is not None
    assert loaded.routes[0].tests


def test_init_writes_a_shop(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The preset passes `check --strict` as it is, with every stage and a rich set of examples."""
    assert commands.init(str(tmp_path / "huiliu.yaml"), preset="shop") == 0
    file = tmp_path / "huiliu.yaml"
    capsys.readouterr()
    code = commands.check(
        [str(file)], built_in, prove=prove, lint=lambda loaded: lint(loaded, WEDNESDAY), strict=True, environ={}
    )
    assert (0, f"{file}: fine\n") == (code, capsys.readouterr().out)

    loaded = load(file, built_in, environ={})
    [page] = loaded.routes
    stages = {fields.stage for fields in (page.default, *(route.set for _, route in routes(page))) if fields}
    assert {"presale", "order", "aftersale", "complaint", "feedback"} == stages - {None}
    promise = loaded.settings.sla["standard"]
    assert (30 * DURATIONS["m"], 24 * DURATIONS["h"]) == (promise.first_reply, promise.resolution)
    assert loaded.settings.store.url.get_secret_value() == "embedded"
    assert len(page.tests) >= 25


def test_a_marketplace_is_ready_to_be_switched_on(tmp_path: Path) -> None:
    """Without the "#" before them, the lines about a marketplace hold with the rest: three minutes to a reply."""
    starting.init(tmp_path / "huiliu.yaml", "shop")
    switches = {
        "huiliu.yaml": ("  # shop-tiktok:", "  # rated:", "  # marketplace:"),
        "routes.yaml": ("  # - name: marketplace", "  # - name: 平台店铺三分钟"),
    }
    for name, begins in switches.items():
        (tmp_path / name).write_text(switched_on((tmp_path / name).read_text(), begins))
    environ = {
        f"TIKTOK_{name}": "x" for name in ("APP_KEY", "APP_SECRET", "SHOP_CIPHER", "ACCESS_TOKEN", "REFRESH_TOKEN")
    }

    loaded = load(tmp_path / "huiliu.yaml", built_in, environ=environ, prove=prove)
    assert loaded.settings.sla["marketplace"].first_reply == 3 * DURATIONS["m"]
    assert [each.rule for each in lint(loaded, WEDNESDAY)] == []


def switched_on(text: str, begins: tuple[str, ...]) -> str:
    """Return *text* without the "#" before the blocks that begin so; a block ends with its last commented line."""
    lines, on, missing = [], False, set(begins)
    for line in text.splitlines():
        found = [begin for begin in begins if line.startswith(begin)]
        missing -= set(found)
        on = bool(found) or (on and line.startswith("  # "))
        lines.append(line.replace("# ", "", 1) if on else line)
    assert not missing
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(("locale", "said"), [("en", "presets are starter, shop"), ("zh-CN", "可用：starter、shop")])
def test_init_knows_its_presets(tmp_path: Path, capsys: pytest.CaptureFixture[str], locale: str, said: str) -> None:
    """Another name is exit 2, with the right ones, and nothing is written."""
    assert commands.init(str(tmp_path / "huiliu.yaml"), preset="shopp", locale=locale) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_init_makes_a_token_of_its_own(tmp_path: Path) -> None:
    """Each installation has a random token that nobody else can read."""
    for name in ("a", "b"):
        starting.init(tmp_path / name / "huiliu.yaml")
    one, two = ((tmp_path / name / "ops.token") for name in ("a", "b"))

    assert one.read_text() != two.read_text()
    assert len(one.read_text()) > 40
    assert stat.S_IMODE(one.stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["huiliu.yaml", "ops.token"])
def test_init_overwrites_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    """If one of the files is there, none is written."""
    written(tmp_path, name, "mine")

    assert commands.init(str(tmp_path / "huiliu.yaml")) == 1
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"
    assert name in capsys.readouterr().err


def test_init_under_the_name_of_another_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A configuration that is called like the routes beside it is refused before anything is written."""
    assert commands.init(str(tmp_path / "routes.yaml")) == 1
    assert list(tmp_path.iterdir()) == []
    assert "routes.yaml" in capsys.readouterr().err


def test_init_follows_no_dangling_link(tmp_path: Path) -> None:
    """A link that was planted in the place of a file is a file in the way."""
    (tmp_path / "ops.token").symlink_to(tmp_path / "elsewhere")

    assert commands.init(str(tmp_path / "huiliu.yaml")) == 1


def test_init_says_when_it_cannot_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A directory that cannot be made is exit 2, in words."""
    written(tmp_path, "file", "")

    assert commands.init(str(tmp_path / "file" / "inside" / "huiliu.yaml")) == 2
    assert "cannot write: Not a directory" in capsys.readouterr().err
    assert commands.init(".") == 2
    assert "cannot write: Is a directory" in capsys.readouterr().err


def test_check_prints_each_fault_on_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    """File, line, column, path, what, expected, nearest; exit 1."""
    file = str(CONFIGS / "bad-role.yaml")

    assert commands.check([file], kinds, environ={}) == 1
    assert capsys.readouterr().out == (
        f'{file}:3:32: api_tokens.ops.role: "superviser" is not known; '
        "expected admin, supervisor, agent or readonly; did you mean supervisor?\n"
    )


def test_check_speaks_chinese(capsys: pytest.CaptureFixture[str]) -> None:
    """The same in the locale of the shop."""
    file = str(CONFIGS / "unknown-team.yaml")

    assert commands.check([file], kinds, locale="zh-CN", environ={}) == 1
    printed = capsys.readouterr()
    assert printed.out == (
        f"{CONFIGS}/parts/unknown-team.routes.yaml:5:17: routes[0].set.team: "
        '没有团队 "biling"；应为 billing、frontdesk；是不是 billing？\n'
    )
    assert printed.err == "共 1 处错误\n"


FAULTS = [
    Fault("a.yaml", 3, 32, "api_tokens.ops.role", '"x" is not known', "admin or agent", "agent", "some-rule"),
    Fault("a.yaml", 1, 1, "", "the file cannot be read (no such file or directory)"),
    Fault("a: b.yaml", 5, 17, "routes[0].set.team", 'there is no team "biling"', "billing"),
    Fault("a.yaml", 2, 1, "surprise", "unknown key"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.what)
def test_a_printed_fault_is_told_again_in_chinese(fault: Fault) -> None:
    """A line of the hub's answer reads as if the fault itself had been at hand."""
    assert chinese.said(fault) == chinese.retold(str(fault))


def test_what_is_no_fault_is_not_told_again() -> None:
    """Any other line stays as it is."""
    assert "no file: nowhere" == chinese.retold("no file: nowhere")


def test_check_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Programs get a list of objects, empty when all is well."""
    file = str(CONFIGS / "unknown-nested-key.yaml")

    assert commands.check([file], kinds, as_json=True, environ={}) == 1
    assert json.loads(capsys.readouterr().out) == [
        {
            "file": file,
            "line": 4,
            "column": 3,
            "path": "store.durabilty",
            "what": "unknown key",
            "expected": "url, path or durability",
            "nearest": "durability",
            "rule": "",
            "severity": "error",
        }
    ]


def test_check_of_a_good_file_prints_an_empty_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """JSON stays JSON when there is nothing to say."""
    assert commands.check([written(tmp_path, "h.yaml", "locale: en\n")], kinds, as_json=True, environ={}) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_check_takes_the_configuration_by_default(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a file it is the one that `run` would use."""
    file = written(tmp_path, "huiliu.yaml", "locale: en\n")

    assert commands.check([], kinds, config=file, environ={}) == 0
    assert capsys.readouterr().out == f"{file}: fine\n"


@pytest.mark.parametrize(
    ("here", "arguments", "used"),
    [
        (True, [], "huiliu.yaml"),
        (False, [], "elsewhere/shop.yaml"),
        (True, ["-c", "elsewhere/shop.yaml"], "elsewhere/shop.yaml"),
    ],
    ids=["here", "by the environment", "by the option"],
)
def test_which_file_is_the_configuration(tmp_path: Path, *, here: bool, arguments: list[str], used: str) -> None:
    """That is `huiliu.yaml` where one commands, else what `$HUILIU_CONFIG` names; `-c` comes before both."""
    (tmp_path / "elsewhere").mkdir()
    other = written(tmp_path / "elsewhere", "shop.yaml", "locale: en\nnonsense: 1\n")
    if here:
        written(tmp_path, "huiliu.yaml", "locale: en\nnonsense: 1\n")
    with contextlib.chdir(tmp_path), pytest.MonkeyPatch.context() as patch:
        patch.setenv("HUILIU_CONFIG", other)
        done = CliRunner().invoke(hub.command_line(), [*arguments, "check"])

    assert 1 == done.exit_code
    assert f"{used}:2:1: nonsense" in done.output


def test_check_cannot_tell_without_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is not there is neither good nor bad: exit 2."""
    assert commands.check([str(tmp_path / "none.yaml")], kinds, environ={}) == 2
    assert "none.yaml:1:1: the file cannot be read (no such file or directory)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "code", "path"),
    [
        ("default: {team: a}\n", 0, ""),
        ("routes: [{name: x, set: {team: a}}]\n", 0, ""),
        ("routes: [{nam: x, set: {team: a}}]\n", 1, "routes[0].nam"),
        ("hello: {zh: 您好, en: Hello}\n", 0, ""),
        ("hello: '{{ nobody }}'\n", 1, "hello"),
        ("locael: en\n", 1, "locael"),
        ("stroe: {url: embedded}\n", 1, "stroe"),
    ],
)
def test_check_knows_files_by_their_keys(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, code: int, path: str
) -> None:
    """Routes and texts can be checked alone."""
    file = written(tmp_path, "some.yaml", text)

    assert code == commands.check([file], kinds, config=str(tmp_path / "huiliu.yaml"), environ={})
    assert path in capsys.readouterr().out


def test_check_of_a_part_knows_the_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A route file that the configuration names is checked against its teams, and only its faults are printed."""
    config = written(tmp_path, "huiliu.yaml", "teams: {front: {name: a}}\nroutes: [a.yaml, b.yaml]\n")
    written(tmp_path, "a.yaml", "default: {team: front}\n")
    part = written(tmp_path, "b.yaml", "routes: [{name: x, set: {team: frnt}}]\n")

    assert commands.check([part], kinds, config=config, environ={}) == 1
    assert [line.partition(": ")[0] for line in capsys.readouterr().out.splitlines()] == [f"{part}:1:32"]


def test_check_proves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the proof finds is a fault like any other."""

    def fail(loaded: Loaded) -> list[Fault]:
        return loaded.documents[0].faults([Problem(("default",), "no test")])

    file = written(tmp_path, "huiliu.yaml", "teams: {front: {name: a}}\nroutes: a.yaml\n")
    written(tmp_path, "a.yaml", "default: {team: front}\n")

    assert commands.check([file], kinds, prove=fail, environ={}) == 1
    assert "a.yaml:1:1: default: no test" in capsys.readouterr().out


def test_check_names_broken_connectors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The hub would run without the channel, but an admin who asks is told."""
    file = written(tmp_path, "huiliu.yaml", "channels: {c: {kind: uninstallable}}\n")

    assert commands.check([file], kinds, environ={}) == 1
    assert "channels.c.kind: the connector cannot be used: ImportError" in capsys.readouterr().out


@pytest.mark.parametrize("which", ["huiliu", "routes", "templates"])
def test_schema_prints_a_schema(capsys: pytest.CaptureFixture[str], which: str) -> None:
    """One for each sort of file."""
    assert commands.print_schema(KINDS, which) == 0
    assert json.loads(capsys.readouterr().out)["title"] == f"{which}.yaml"


def test_schema_knows_its_sorts(capsys: pytest.CaptureFixture[str]) -> None:
    """Another word is exit 2, with the right ones."""
    assert commands.print_schema(KINDS, "nothing") == 2
    assert "huiliu, routes, templates" in capsys.readouterr().err


def test_a_candidate_is_held_against_the_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A route file that the configuration does not name yet is checked with its names, and with its own tests."""
    config = written(tmp_path, "huiliu.yaml", "teams: {front: {name: one}}\nroutes: routes.yaml\n")
    written(tmp_path, "routes.yaml", "default: {team: front}\n")
    good = written(tmp_path, "good.yaml", "default: {team: front}\n")
    unknown = written(tmp_path, "unknown.yaml", "default: {team: frnt}\n")
    tests = "tests: [{name: hello, message: {text: x}, expect: {team: front, priority: high}}]\n"
    failing = written(tmp_path, "failing.yaml", f"default: {{team: front}}\n{tests}")

    assert 0 == commands.check([good], kinds, config=config, prove=prove, environ={})
    assert 1 == commands.check([unknown], kinds, config=config, prove=prove, environ={})
    assert "unknown.yaml:1:17: default.team: there is no team" in capsys.readouterr().out
    assert 1 == commands.check([failing], kinds, config=config, prove=prove, environ={})
    assert 'test "hello" fails' in capsys.readouterr().out


def test_routes_in_the_shadow_are_checked_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is wrong with them is told, by name or as a part of the configuration, and refuses nothing."""
    config = written(tmp_path, "huiliu.yaml", "teams: {front: {name: one}}\nroutes: routes.yaml\nshadow: new.yaml\n")
    written(tmp_path, "routes.yaml", "default: {team: front}\n")
    for text, said in ((None, "huiliu.yaml:3:9: shadow"), ("default: {team: frnt}\n", "new.yaml:1:17: default.team")):
        if text is not None:
            written(tmp_path, "new.yaml", text)
        assert 1 == commands.check([config], kinds, prove=prove, environ={})
        assert said in capsys.readouterr().out
    assert 1 == commands.check([str(tmp_path / "new.yaml")], kinds, config=config, prove=prove, environ={})
    assert "new.yaml:1:17: default.team" in capsys.readouterr().out

    loaded = load(config, kinds, environ={}, prove=prove)
    assert loaded.shadow is not None
    assert (None, 1) == (loaded.shadow.loaded, len(loaded.shadow.faults))


def test_check_prints_warnings_and_fails_only_if_strict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What lint finds is printed like a fault; it is one only where the admin asks for that."""
    file = written(tmp_path, "huiliu.yaml", "locale: en\n")

    def lint(_: Loaded) -> list[Fault]:
        return [Fault(file, 1, 1, "locale", "this is doubtful", "doubt", rule="doubtful", severity="warning")]

    assert commands.check([file], kinds, lint=lint, environ={}) == 0
    assert commands.check([file], kinds, lint=lint, strict=True, environ={}) == 1
    assert commands.check([file], kinds, lint=lint, as_json=True, environ={}) == 0
    printed = capsys.readouterr()
    line = f"{file}:1:1: locale: this is doubtful; expected doubt [doubtful]\n"
    assert printed.out.startswith(line * 2)
    assert json.loads(printed.out.removeprefix(line * 2))[0]["severity"] == "warning"
    assert printed.err == "1 warning(s)\n" * 2


def test_lint_looks_at_the_files_that_are_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A part of a configuration is shown what lint finds in it, and not what it finds elsewhere."""
    main = written(tmp_path, "huiliu.yaml", f"teams: {{a: {{name: A}}}}\nroutes: {tmp_path}/routes.yaml\n")
    part = written(tmp_path, "routes.yaml", "default: {team: a}\n")

    def lint(loaded: Loaded) -> list[Fault]:
        return [Fault(str(file), 1, 1, "", "doubtful", severity="warning") for file in (main, loaded.documents[0].file)]

    assert commands.check([part], kinds, config=main, lint=lint, environ={}) == 0
    assert capsys.readouterr().out == f"{part}:1:1: doubtful\n"
