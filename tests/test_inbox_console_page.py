"""The console as it is served, and what its files may not hold."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from inbox.console_page import FOLDER, POLICY, ConsolePage

MODULES = sorted(FOLDER.rglob("*.js"))
BUNDLES = sorted({path.name.partition(".")[0] for path in (FOLDER / "words").iterdir()})
FIRST_VIEW = 100_000
"""Bytes, compressed, of our own until the list of conversations stands."""

# What turns text into markup or code, or loads from elsewhere. Names, not calls: an alias would do the same.
FORBIDDEN = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|srcdoc|\beval\b"
    r"|new Function|setTimeout\(\s*[\"'`]|setInterval\(\s*[\"'`]|javascript:|importScripts|https?://(?!www\.w3\.org/2000/svg|[a-z.]*example\b)"
)
USES = re.compile(r"""(?<![\w.])(?:t|said|known)\(\s*"([a-z_]+\.[\w.*-]*[a-zA-Z0-9*])"(?!\s*\+)\s*[,)]""")
IMPORTS = re.compile(r"""(?:from|import\()\s*"(\.[^"]+)\"""")


def code(module: Path) -> str:
    """Return a module without the lines that are comments."""
    return re.sub(r"^\s*(?://|/?\*).*$", "", module.read_text(encoding="utf-8"), flags=re.MULTILINE)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.relative_to(FOLDER).as_posix())
def test_no_module_parses_markup_or_names_a_host(module: Path) -> None:
    """Text stays text: no module uses what parses HTML or runs strings, and none knows another host."""
    assert [] == FORBIDDEN.findall(code(module))


@pytest.mark.parametrize("bundle", BUNDLES)
def test_both_languages_say_the_same(bundle: str) -> None:
    """Chinese and English have the same keys with the same values to put in, and nothing is left empty."""
    chinese, english = (
        json.loads((FOLDER / "words" / f"{bundle}.{locale}.json").read_text(encoding="utf-8"))
        for locale in ("zh-CN", "en")
    )

    assert sorted(chinese) == sorted(english)
    assert [] == [key for key in chinese if not chinese[key].strip() or not english[key].strip()]
    for key in chinese:
        given = [set(re.findall(r"\{(\w+)", words[key])) for words in (chinese, english)]
        assert given[0] == given[1], key


def test_every_word_that_is_used_is_there() -> None:
    """Each key that a module names exists in some bundle."""
    words: set[str] = set()
    for path in (FOLDER / "words").glob("*.en.json"):
        words |= set(json.loads(path.read_text(encoding="utf-8")))
    used = {key for module in MODULES for key in USES.findall(module.read_text(encoding="utf-8"))}

    assert set() == used - words


def test_every_import_is_a_file() -> None:
    """Modules import modules that there are."""
    missing = [
        f"{module.name}: {name}"
        for module in MODULES
        for name in IMPORTS.findall(code(module))
        if not (module.parent / name).resolve().is_file()
    ]

    assert [] == missing


def reached(start: Path) -> set[Path]:
    """Return a module and what it imports at once, directly and through others."""
    found: set[Path] = set()
    waiting = [start]
    while waiting:
        one = waiting.pop()
        if one in found:
            continue
        found.add(one)
        names = re.findall(r"""from\s*"(\.[^"]+)\"""", one.read_text(encoding="utf-8"))
        waiting += [(one.parent / name).resolve() for name in names]
    return found


def test_the_first_view_is_small() -> None:
    """Page, frame, the list of conversations, their styles and words in one language are below 100 kB compressed."""
    modules = set().union(*(reached(FOLDER / name) for name in ("app.js", "frame.js", "views/conversations.js")))
    styles = [FOLDER / "style" / name for name in ("tokens.css", "parts.css", "frame.css", "desk.css")]
    words = [FOLDER / "words" / f"{name}.zh-CN.json" for name in ("core", "desk")]
    files = [FOLDER / "index.html", FOLDER / "icon.svg", *styles, *words, *modules]

    assert sum(len(gzip.compress(path.read_bytes(), 9)) for path in files) < FIRST_VIEW


async def test_it_is_kept_for_good_and_never_stale() -> None:
    """The page is asked for anew each time; its files are below a name of their content and are kept."""
    page = ConsolePage()
    app = web.Application()
    app.add_routes(page.routes())
    async with TestClient(TestServer(app), auto_decompress=False) as client:
        async with client.get("/console/", headers={"Accept-Encoding": "gzip"}) as answer:
            html = gzip.decompress(await answer.read()).decode()
            assert (200, "no-cache", "gzip") == (
                answer.status,
                answer.headers["Cache-Control"],
                answer.headers["Content-Encoding"],
            )
            tag = answer.headers["ETag"]
        assert f'src="{page.version}/app.js"' in html
        assert "{version}" not in html
        async with client.get("/console/", headers={"If-None-Match": tag}) as answer:
            assert 304 == answer.status
        async with client.get(f"/console/{page.version}/app.js", headers={"Accept-Encoding": "identity"}) as answer:
            assert (200, None) == (answer.status, answer.headers.get("Content-Encoding"))
            assert "immutable" in answer.headers["Cache-Control"]
            assert (FOLDER / "app.js").read_bytes() == await answer.read()
        async with client.get("/console/older/app.js") as answer:
            assert (200, "no-cache") == (answer.status, answer.headers["Cache-Control"])


@pytest.mark.parametrize(
    "path",
    ["../console_page.py", "..%2Fconsole_page.py", "core/../../api.py", "none.js", "words", "", "index.html"],
)
async def test_it_serves_its_files_only(path: str) -> None:
    """No path leads out of the folder."""
    page = ConsolePage()
    app = web.Application()
    app.add_routes(page.routes())
    async with (
        TestClient(TestServer(app)) as client,
        client.get(f"/console/{page.version}/{path}", allow_redirects=False) as answer,
    ):
        assert 404 == answer.status


async def test_one_looks_for_it_at_the_front() -> None:
    """The hub's own address leads to the console."""
    app = web.Application()
    app.add_routes(ConsolePage().routes())
    async with TestClient(TestServer(app)) as client:
        for path in ("/", "/console"):
            async with client.get(path, allow_redirects=False) as answer:
                assert (302, "/console/") == (answer.status, answer.headers["Location"])


def test_its_policy_lets_nothing_inline_run() -> None:
    """Scripts and styles come from the hub's own files alone, and nothing of the page is framed elsewhere."""
    assert "unsafe" not in POLICY
    assert "script-src 'self'" in POLICY
    assert "frame-ancestors 'none'" in POLICY
    assert "require-trusted-types-for 'script'" in POLICY
