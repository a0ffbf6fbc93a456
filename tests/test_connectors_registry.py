"""The registry: built-ins by a table, others by their distributions, broken ones named and left out."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from connectors.base import Options
from connectors.registry import BUILT_IN, Broken, KindError, UnknownKind, find, known

ROOT = Path(__file__).parent.parent
PLUGIN = ROOT / "tests" / "plugin"

SOUND = """
from connectors.base import Capabilities, Options

class Carrier:
    kind = "carrier"
    Options = type("CarrierOptions", (Options,), {})
    capabilities = Capabilities()
    async def send(self, message): ...
"""


@pytest.mark.parametrize("kind", sorted(BUILT_IN))
def test_built_ins_are_found(kind: str) -> None:
    """Each kind of the table gives a class that calls itself so."""
    found = find(kind)

    assert found.kind == kind
    assert issubclass(found.Options, Options)


def test_known_names_the_built_ins() -> None:
    """The list is sorted and holds at least ours."""
    assert set(BUILT_IN) <= set(known())
    assert known() == sorted(known())


def test_unknown_kind_names_the_nearest() -> None:
    """A slip of the pen is told from what there is."""
    with pytest.raises(
        UnknownKind, match=r"no connector of kind 'wechatt'; kinds are .*email.*did you mean wechat\?"
    ) as lost:
        find("wechatt")

    assert lost.value.known == known()
    assert isinstance(lost.value, KindError)


Publish = Callable[..., str]


@pytest.fixture
def publish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Publish:
    """Put a distribution on the path: a module with *code*, offered as *kind*; return the module's name."""
    monkeypatch.syspath_prepend(tmp_path)

    def put(
        distribution: str, code: str, kind: str = "carrier", name: str = "Carrier", group: str = "huiliu.connectors"
    ) -> str:
        module = f"{distribution.replace('-', '_')}_{abs(hash(tmp_path))}"
        (tmp_path / f"{module}.py").write_text(code)
        info = tmp_path / f"{distribution.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{group}]\n{kind} = {module}:{name}\n")
        return module

    return put


def test_third_party_is_loaded_only_when_asked_for(publish: Publish) -> None:
    """Listing kinds imports nothing; asking for one imports that one."""
    module = publish("acme-carrier", SOUND)
    listed = known()
    early = module in sys.modules
    found = find("carrier")

    assert "carrier" in listed
    assert not early
    assert (found.kind, found.__module__) == ("carrier", module)


@pytest.mark.parametrize(
    ("code", "name", "reason"),
    [
        ("import nowhere_to_be_found", "Carrier", r"cannot be imported: ModuleNotFoundError: No module named 'nowhere"),
        ("def f(:", "Carrier", r"cannot be imported: SyntaxError: "),
        ("raise RuntimeError('line one\\nline two')", "Carrier", r"cannot be imported: RuntimeError: line one$"),
        ("raise RuntimeError", "Carrier", r"cannot be imported: RuntimeError: no message$"),
        ("import sys; sys.exit('bye')", "Carrier", r"cannot be imported: SystemExit: bye$"),
        (SOUND, "Courier", r"cannot be imported: AttributeError: .*Courier"),
        ("Carrier = 1", "Carrier", r"is not a class$"),
        (SOUND.replace('"carrier"', '"courier"'), "Carrier", r"calls itself 'courier'; .* must be equal$"),
        (SOUND.replace("kind =", "sort ="), "Carrier", r"calls itself None; .* must be equal$"),
        (
            SOUND.replace("    Options =", "    Opts ="),
            "Carrier",
            r"\.Options must be a subclass of connectors\.base\.Options$",
        ),
        (SOUND.replace("(Options,)", "()"), "Carrier", r"\.Options must be a subclass of connectors\.base\.Options$"),
        (SOUND.replace("Capabilities()", "{}"), "Carrier", r"\.capabilities must be a connectors\.base\.Capabilities$"),
        (SOUND.replace("send", "post"), "Carrier", r"has no send\(\)$"),
    ],
)
def test_broken_third_party_is_named_with_its_reason(publish: Publish, code: str, name: str, reason: str) -> None:
    """Whatever is wrong with it, one line says what; the other kinds stay usable."""
    module = publish("acme-carrier", code, name=name)
    with pytest.raises(Broken) as broken:
        find("carrier")

    assert re.search(reason, broken.value.reason), broken.value.reason
    assert f"{module}:{name}" in broken.value.reason
    assert "\n" not in str(broken.value)
    assert find("twilio-sms").kind == "twilio-sms"


def test_the_short_group_does_as_well(publish: Publish) -> None:
    """A distribution may offer its connector in the entry-point group that is called like the hub."""
    publish("acme-carrier", SOUND, group="huiliu")

    assert "carrier" in known()
    assert find("carrier").kind == "carrier"


def test_two_distributions_with_one_kind_are_both_named(publish: Publish) -> None:
    """Neither is taken at random."""
    publish("acme-carrier", SOUND)
    publish("zeta-carrier", SOUND)
    with pytest.raises(Broken, match="offered by both acme-carrier and zeta-carrier; uninstall one"):
        find("carrier")


def test_a_built_in_cannot_be_replaced(publish: Publish) -> None:
    """A distribution that offers a kind of ours is an error that names both, not a quiet replacement."""
    publish("evil-sms", SOUND, kind="twilio-sms")
    with pytest.raises(Broken, match="offered by both huiliu and evil-sms"):
        find("twilio-sms")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A separate distribution, built and installed by pip into a directory of its own beside its tests."""
    work = tmp_path_factory.mktemp("plugin")
    shutil.copytree(
        PLUGIN, work / "source", ignore=shutil.ignore_patterns("conftest.py", "build", "*.egg-info", "__pycache__")
    )
    # setuptools builds wheels by itself since 70.1; with an older one pip has to fetch a newer for the build.
    modern = tuple(map(int, version("setuptools").split(".")[:2])) >= (70, 1)
    how = ["--no-build-isolation", "--no-index"] if modern else []
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check"]
    run([*pip, *how, "--target", str(work / "site"), str(work / "source")], cwd=work, path=[])
    return work


def run(command: list[str], *, cwd: Path, path: list[Path]) -> str:
    """Run *command* with *path* to import from; return what it printed, or fail with it."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path)), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


ASK = """
import sys
from connectors import registry
assert "line" in registry.known() and "huiliu_line" not in sys.modules
line = registry.find("line")
print(line.kind, line.__module__, "connectors.wechat" in sys.modules)
"""


def test_installed_distribution_is_found_by_its_entry_point(installed: Path) -> None:
    """A connector that pip installed is known by name and loaded when asked for; nothing else is."""
    printed = run([sys.executable, "-c", ASK], cwd=installed, path=[installed / "site", ROOT])

    assert printed.split() == ["line", "huiliu_line", "False"]


def test_installed_distribution_passes_the_contract_suite(installed: Path) -> None:
    """The third party's own tests, which are our suite, pass in a process of their own."""
    command = [sys.executable, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    printed = run(command, cwd=installed / "source", path=[installed / "site", ROOT])

    assert re.search(r"\b(2\d|3\d) passed", printed), printed
