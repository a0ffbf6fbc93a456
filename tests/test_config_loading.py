"""All files of a configuration are good together, or every fault of every one of them is named."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from config.documents import read, validate
from config.faults import ConfigError, Fault, Problem
from config.loading import Loaded, attempt, load
from config.routes import RouteFile
from config.validation import examine
from tests.config_kinds import kinds

GOOD = {
    "huiliu.yaml": "teams: {front: {name: 前台}}\ntemplates: [texts.yaml]\nroutes: [a.yaml, b.yaml]\n",
    "a.yaml": "default: {team: front}\n",
    "b.yaml": "routes: [{name: x, when: {text: x}, set: {team: front, acknowledge: hello}}]\n",
    "texts.yaml": "hello: Hello\n",
}


def configuration(directory: Path, files: dict[str, str]) -> Path:
    """Write *files* and return the path of the configuration."""
    for name, text in files.items():
        (directory / name).write_text(text)
    return directory / "huiliu.yaml"


def test_everything_that_was_read_is_there(tmp_path: Path) -> None:
    """Routes, texts and the digest of every file come with the settings."""
    loaded = load(configuration(tmp_path, GOOD), kinds, environ={})
    digests = {tmp_path / name: hashlib.sha256(text.encode()).hexdigest() for name, text in GOOD.items()}

    assert digests == loaded.files
    assert [len(file.routes) for file in loaded.routes] == [0, 1]
    assert [document.file for document in loaded.documents] == [str(tmp_path / "a.yaml"), str(tmp_path / "b.yaml")]
    assert list(loaded.templates) == ["hello"]


def test_all_faults_of_all_files_are_named_at_once(tmp_path: Path) -> None:
    """One look is enough to mend everything: syntax, shape, names and options, in file order."""
    files = {
        "huiliu.yaml": (
            "locale: xx\nhttp: {port: ${PORT}}\nhttp: {}\nchannels:\n  chat: {kind: webchat, colour: red}\n"
            "teams:\n  front: {name: 前台, members: [nobody]}\ntemplates: [texts.yaml]\nroutes: [a.yaml, none.yaml]\n"
        ),
        "a.yaml": "default: {team: front}\nroutes: [{nam: x}]\n",
        "texts.yaml": "hello: '{{ x }}'\n",
    }
    with pytest.raises(ConfigError) as caught:
        load(configuration(tmp_path, files), kinds, environ={})
    found = [f"{Path(fault.file).name}:{fault.line} {fault.path}" for fault in caught.value.faults]

    assert found == [
        "huiliu.yaml:1 locale",
        "huiliu.yaml:2 http.port",
        "huiliu.yaml:3 http",
        "huiliu.yaml:5 channels.chat.colour",
        "huiliu.yaml:7 teams.front.members[0]",
        "huiliu.yaml:9 routes[1]",
        "a.yaml:2 routes[0].nam",
        "texts.yaml:1 hello",
    ]


def test_proof_is_the_last_word(tmp_path: Path) -> None:
    """A configuration that is well formed is still refused when its proof fails."""
    seen: list[Loaded] = []

    def prove(loaded: Loaded) -> list[Fault]:
        seen.append(loaded)
        return loaded.documents[1].faults([Problem(("routes", 0), "its test fails")])

    result = attempt(configuration(tmp_path, GOOD), kinds, environ={}, prove=prove)

    assert result.loaded is None
    assert [str(fault) for fault in result.faults] == [f"{tmp_path}/b.yaml:1:10: routes[0]: its test fails"]
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("channel", "reason"),
    [
        ("{kind: uninstallable, any: thing}", "ImportError: no module named thing"),
        ("{kind: clumsy, name: secret}", "its options cannot be checked (KeyError)"),
    ],
)
def test_a_broken_connector_takes_its_channel_down(tmp_path: Path, channel: str, reason: str) -> None:
    """Somebody else's code that fails is no fault of the configuration."""
    loaded = load(configuration(tmp_path, {"huiliu.yaml": f"channels: {{it: {channel}}}\n"}), kinds, environ={})

    assert (reason, None) == (loaded.settings.channels["it"].broken, loaded.settings.channels["it"].options)


@pytest.mark.parametrize(
    ("text", "environ", "value"),
    [
        ("${PORT}", {"PORT": "8081"}, 8081),
        ('"${PORT}"', {"PORT": "8081"}, 8081),
        ("${PORT:-8082}", {}, 8082),
        ("80${PORT}", {"PORT": "83"}, 8083),
    ],
)
def test_the_environment_may_give_numbers(tmp_path: Path, text: str, environ: dict[str, str], value: int) -> None:
    """Only what comes from the environment is read as a number though it is text."""
    loaded = load(configuration(tmp_path, {"huiliu.yaml": f"http: {{port: {text}}}\n"}), kinds, environ=environ)

    assert value == loaded.settings.http.port


def test_the_environment_may_give_truth_values(tmp_path: Path) -> None:
    """`true` and `false` are the words for it there too."""
    file = configuration(tmp_path, {"huiliu.yaml": "channels: {c: {kind: webchat, required: '${R}'}}\n"})

    assert not load(file, kinds, environ={"R": "false"}).settings.channels["c"].required
    assert attempt(file, kinds, environ={"R": "no"}).faults


HEN = "kind, hen or eggs"
FARM = "animal, several, loose, words, mixed, numbers, flag, default or tree"


class Fox(BaseModel):
    """One of two animals."""

    model_config = ConfigDict(extra="forbid")
    kind: Literal["fox"]
    tail: int = 0


class Hen(BaseModel):
    """The other."""

    model_config = ConfigDict(extra="forbid")
    kind: Literal["hen"]
    hen: int
    eggs: tuple[int, ...] = ()


class Farm(BaseModel):
    """Everything that makes pydantic's places differ from the data's."""

    model_config = ConfigDict(extra="forbid")
    animal: Annotated[Fox | Hen, Field(discriminator="kind")] | None = None
    several: dict[str, Annotated[Fox | Hen, Field(discriminator="kind")]] = {}
    loose: Fox | Hen | None = None
    words: str | list[str] = ""
    mixed: Annotated[tuple[int, ...], BeforeValidator(lambda value: [value] if isinstance(value, int) else value)] = ()
    numbers: dict[Annotated[str, Field(pattern="^[a-z]+$")], float] = {}
    flag: bool | Literal["auto"] = False
    default: int = 0
    tree: list[Farm] = []


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("animal: {kind: hen, hen: 1, eggs: [1, 2]}", []),
        ("mixed: 5", []),
        ("mixed: [5]", []),
        ("animal: {kind: hen, hen: x}", ['animal.hen: "x" is text; expected a whole number']),
        ("animal: {kind: hne}", ['animal.kind: "hne" is not known; expected fox or hen; did you mean hen?']),
        ("animal: {tail: 1}", ["animal.kind: this key is missing"]),
        ("animal: 5", ["animal: 5 is a number; expected a mapping (key: value)"]),
        ("several: {hen: {kind: hen}}", ["several.hen.hen: this key is missing"]),
        ("several: {hen: {kind: hen, hen: '1'}}", ['several.hen.hen: "1" is text; expected a whole number']),
        ("loose: {kind: hen, hen: 1, egs: []}", [f"loose.egs: unknown key; expected {HEN}; did you mean eggs?"]),
        ("words: 5", ["words: 5 is a number; expected text or a list"]),
        ("words: [a, 5]", ["words[1]: 5 is a number; expected text"]),
        ("mixed: [a]", ['mixed[0]: "a" is text; expected a whole number']),
        ("numbers: {A: 1}", ['numbers.A: "A" is not allowed; expected text that matches ^[a-z]+$']),
        ("numbers: {a: '1'}", ['numbers.a: "1" is text; expected a number']),
        ("numbers: {a: true}", ["numbers.a: true is true or false; expected a number"]),
        ("flag: yes", ['flag: "yes" is not known; expected auto, or true or false']),
        ("default: '1'", ['default: "1" is text; expected a whole number']),
        ("default: 1.5", ["default: 1.5 is a number; expected a whole number"]),
        ("tree: [{tree: [{default: x}]}]", ['tree[0].tree[0].default: "x" is text; expected a whole number']),
        ("a: 1\nb: 2\n", [f"{key}: unknown key; expected {FARM}" for key in "ab"]),
    ],
)  # fmt: skip
def test_models_of_any_shape_give_plain_faults(tmp_path: Path, text: str, faults: list[str]) -> None:
    """Union tags, key markers and validators are not seen in messages, and text is no number anywhere."""
    file = tmp_path / "f.yaml"
    file.write_text(text)
    found = examine(read(file), Farm)

    assert (found.value is not None) is (not faults)
    assert faults == [str(fault).split(": ", 1)[1] for fault in read(file).faults(found.problems)]


def test_thousands_of_routes_load_quickly(tmp_path: Path) -> None:
    """Five thousand routes are read, checked and turned into values in a few seconds of CPU time."""
    route = "  - {{name: r{}, when: {{text: {{any_of: [投诉, w{}]}}}}, set: {{team: front, tags: [a, b]}}}}\n"
    file = tmp_path / "routes.yaml"
    file.write_text("default: {team: front}\nroutes:\n" + "".join(route.format(n, n) for n in range(5000)))
    begun = time.process_time()
    found: Any = validate(read(file), RouteFile)

    assert len(found.routes) == 5000
    assert time.process_time() - begun < 8
