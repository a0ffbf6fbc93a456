"""A running hub proves its routing: old decisions are explained, candidates are compared, earlier rules come back."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.backroom import message
from tests.hubs import ROUTES, TEAMS, Stage, configuration, running, until, write

CHANNELS = "  site-chat: {kind: webchat}\n"
CHANGED = ROUTES.replace("[退款, 退货]", "[退货]")
FAILING = (
    ROUTES
    + """
tests:
  - {name: hello is a refund, message: {text: 你好}, expect: {route: refund}}
"""
)
ADDRESS = "tel:+8613800138000"


@pytest.fixture
async def stage(store_url: str, tmp_path: Path) -> AsyncIterator[Stage]:
    async with running(store_url, write(tmp_path, configuration(CHANNELS))) as made:
        yield made


async def wrote(stage: Stage, text: str, address: str = ADDRESS) -> str:
    """Let a customer write; return the message's id once it is decided."""
    [recorded] = await stage.hub.recorder.record("site-chat", [message(text, address, now=1_790_000_000_000)])
    assert recorded is not None
    name = f"m{recorded.partition}-{recorded.position}"

    async def decided() -> bool:
        headers = {"Authorization": "Bearer test-token-of-an-admin"}
        async with stage.http.get(f"{stage.base}/api/v1/messages/{name}/trail", headers=headers) as response:
            return response.status == 200

    await until(decided)
    return name


async def verdict(stage: Stage, name: str) -> dict[str, Any]:
    """Return the decision about a message."""
    [one] = (await stage.api("GET", f"/messages/{name}/trail"))["items"]
    return dict(one)


async def status(stage: Stage) -> dict[str, Any]:
    """Return where the rules stand."""
    return dict(await stage.api("GET", "/routes/status"))


async def changed(stage: Stage, routes: str, name: str = "routes.yaml") -> str:
    """Write another route file and wait until it is in use; return the hash of the rules."""
    before = (await stage.api("GET", "/routes"))["hash"]
    (stage.folder / name).write_text(routes, encoding="utf-8")

    async def used() -> str:
        now: str = (await stage.api("GET", "/routes"))["hash"]
        return now if now != before else ""

    return await until(used)


async def test_a_decision_is_explained_by_the_rules_that_made_it(stage: Stage) -> None:
    """After a change of the rules an old decision is still told with every route, condition and verdict of then."""
    name = await wrote(stage, "我要退款")
    before = await verdict(stage, name)
    new = await changed(stage, CHANGED)
    after = await verdict(stage, name)

    assert before == after
    assert (None, "refund", "aftersales") == (after["unexplained"], after["route"], after["set"]["team"])
    told = after["explanation"]
    assert after["hash"] == told["rules"][:16] != new[:16]
    assert [("complaint", False), ("refund", True)] == [(one["name"], one["matched"]) for one in told["tried"]]
    assert ["投诉", "差评"] == told["tried"][0]["condition"]["parts"][1]["expected"]
    assert "default" == (await verdict(stage, await wrote(stage, "退款吧", "tel:+8613900139000")))["route"]


async def test_the_trail_holds_what_changed_nothing_too(stage: Stage) -> None:
    """Every message of a customer has its decision in the trail, with what was known when it came."""
    await wrote(stage, "我要退款")
    await wrote(stage, "好的")
    ignored = await wrote(stage, "加微信刷单", "tel:+8613900139000")
    [one] = await stage.conversations()
    quiet, first = (await stage.api("GET", f"/conversations/{one['id']}/trail"))["items"]

    assert [("refund", "new"), ("default", None)] == [(each["route"], each["opened"]) for each in (first, quiet)]
    assert ({}, [], "default") == (quiet["set"], quiet["routes"], quiet["explanation"]["decision"]["route"])
    spam = await verdict(stage, ignored)
    assert ("spam", None, True) == (spam["ignored"], spam["conversation"], spam["explanation"]["tried"][-1]["matched"])


@pytest.mark.parametrize("routes", ["routes: [", FAILING, ROUTES.replace("team: complaints", "team: complaint")])
async def test_a_bad_file_keeps_the_old_rules_and_says_why(stage: Stage, routes: str) -> None:
    """No YAML, a test that fails, a team that is missing: the old set decides, and everybody can read what is wrong."""
    before = (await stage.api("GET", "/routes"))["hash"]
    (stage.folder / "routes.yaml").write_text(routes, encoding="utf-8")

    async def refused() -> list[str]:
        return list((await status(stage))["faults"])

    faults = await until(refused)
    assert re.match(r".*routes\.yaml:\d+:\d+: ", faults[0])
    assert before == (await stage.api("GET", "/routes"))["hash"]
    assert "refund" == (await verdict(stage, await wrote(stage, "我要退款")))["route"]
    async with stage.http.get(f"{stage.base}/metrics") as response:
        assert re.search(r"^huiliu_config_faults [1-9]", await response.text(), re.MULTILINE)
    (stage.folder / "routes.yaml").write_text(ROUTES, encoding="utf-8")

    async def mended() -> bool:
        return bool((await status(stage))["ok"])

    await until(mended)
    assert [(before, [])] == [(one["hash"], one["faults"]) for one in (await status(stage))["workers"]]


async def test_every_rule_set_is_in_the_history(stage: Stage) -> None:
    """Start and changes are listed newest first, each set can be read, and two of them compared."""
    first = (await stage.api("GET", "/routes"))["hash"]
    second = await changed(stage, CHANGED)
    listed = (await stage.api("GET", "/routes/history"))["items"]

    assert [(second, "reload", True), (first, "start", False)] == [
        (one["hash"], one["how"], one["in_use"]) for one in listed
    ]
    assert {"routes.yaml": ROUTES} == (await stage.api("GET", f"/routes/history/{first[:12]}"))["files"]
    lines = (await stage.api("GET", f"/routes/diff?from={first}"))["lines"]
    assert {"-    when: {text: {any_of: [退款, 退货]}}", "+    when: {text: {any_of: [退货]}}"} <= set(lines)
    await stage.api("GET", "/routes/history/ffff0000", status=404)
    await stage.api("GET", "/routes/diff?from=ffff0000", status=404)


async def test_rollback_puts_the_files_back(stage: Stage) -> None:
    """The text of then is in the file again and in use; what stood there is kept beside it; history says who asked."""
    first = (await stage.api("GET", "/routes"))["hash"]
    await changed(stage, CHANGED)
    done = await stage.api("POST", "/routes/rollback", {"hash": first[:10]})

    async def back() -> bool:
        return bool((await stage.api("GET", "/routes"))["hash"] == first)

    await until(back)
    assert (first, first) == (done["hash"], done["wanted"])
    [one] = done["changed"]
    assert (ROUTES, CHANGED) == tuple((stage.folder / one[name]).read_text() for name in ("file", "copy"))
    newest = (await stage.api("GET", "/routes/history"))["items"][0]
    assert (first, "rollback", "ops") == (newest["hash"], newest["how"], newest["by"])
    await stage.api("POST", "/routes/rollback", {"hash": first}, token="test-token-of-a-reader", status=403)


async def test_rollback_is_refused_if_something_it_needs_is_gone(stage: Stage) -> None:
    """A set that names a team that no longer exists is not put back, and the answer says where and what."""
    first = (await stage.api("GET", "/routes"))["hash"]
    await changed(stage, ROUTES.replace("team: complaints", "team: aftersales"))
    config = stage.folder / "huiliu.yaml"
    loaded_at = stage.hub.live.last_loaded_at
    config.write_text(re.sub(r"  complaints: .*\n", "", config.read_text(encoding="utf-8")), encoding="utf-8")

    async def reloaded() -> bool:
        return stage.hub.live.last_loaded_at > loaded_at

    await until(reloaded)
    before = (stage.folder / "routes.yaml").read_text(encoding="utf-8")
    refused = await stage.api("POST", "/routes/rollback", {"hash": first}, status=409)

    assert re.search(r'routes\.yaml:\d+:\d+: .*there is no team "complaints"', refused["reasons"][0])
    assert before == (stage.folder / "routes.yaml").read_text(encoding="utf-8")


async def test_rollback_is_refused_if_other_files_are_named(stage: Stage) -> None:
    """A set of other route files than those that huiliu.yaml names now is not put back."""
    first = (await stage.api("GET", "/routes"))["hash"]
    config = stage.folder / "huiliu.yaml"
    (stage.folder / "other.yaml").write_text(CHANGED, encoding="utf-8")
    config.write_text(config.read_text(encoding="utf-8").replace("routes.yaml", "other.yaml"), encoding="utf-8")

    async def used() -> bool:
        return bool((await stage.api("GET", "/routes"))["hash"] != first)

    await until(used)
    refused = await stage.api("POST", "/routes/rollback", {"hash": first}, status=409)
    assert "huiliu.yaml names the route files other.yaml; the rule set was made of routes.yaml" == refused["detail"]


async def shadowed(store_url: str, tmp_path: Path, candidate: str) -> Path:
    """Return a configuration with a candidate in the shadow."""
    config = write(tmp_path, configuration(CHANNELS, more=TEAMS + "shadow: candidate.yaml\n"))
    (tmp_path / "candidate.yaml").write_text(candidate, encoding="utf-8")
    return config


async def test_the_shadow_and_a_replay_say_the_same(store_url: str, tmp_path: Path) -> None:
    """What was counted beside the live rules is what a replay of the same messages through the same file counts."""
    async with running(store_url, await shadowed(store_url, tmp_path, CHANGED)) as stage:
        texts = ["我要退款", "退货", "你好", "好的", "投诉", "加微信刷单"]
        for number, text in enumerate(texts):
            await wrote(stage, text, f"tel:+861380013800{number % 3}")
        watched = await stage.api("GET", "/routes/shadow")
        order = {"files": [{"name": "candidate.yaml", "text": CHANGED}], "since": "1h"}
        asked = await stage.api("POST", "/routes/replays", order, status=202)

        async def done() -> Any:
            found = await stage.api("GET", f"/routes/replays/{asked['id']}")
            return found["report"] if found["state"] != "running" else None

        replayed = await until(done)
        watched["report"]["reproduced"] = replayed["reproduced"]

        assert ("watching", watched["report"]) == (watched["state"], replayed)
        assert (6, 1) == (replayed["total"], replayed["newly_unrouted"])
        [move] = replayed["moves"]
        assert ({"route": "refund", "team": "aftersales"}, {"route": "default", "team": "frontdesk"}) == (
            move["from"],
            move["to"],
        )
        await stage.hub.status.share()
        async with stage.http.get(f"{stage.base}/metrics") as response:
            text = await response.text()
        assert re.search(r'^huiliu_shadow_total\{channel="",outcome="unrouted"\} [1-9]', text, re.MULTILINE)


FAULTY = ["routes: [", CHANGED.replace("team: aftersales", "team: nobody"), FAILING, None]


@pytest.mark.parametrize("candidate", FAULTY, ids=["no YAML", "an unknown team", "a test fails", "no file"])
async def test_a_faulty_candidate_harms_nobody(store_url: str, tmp_path: Path, candidate: str | None) -> None:
    """The hub starts, the live rules decide, and the fault is told; a mended candidate is watched at once."""
    config = await shadowed(store_url, tmp_path, candidate or "")
    if candidate is None:
        (tmp_path / "candidate.yaml").unlink()
    async with running(store_url, config) as stage:
        assert "refund" == (await verdict(stage, await wrote(stage, "我要退款")))["route"]
        told = await stage.api("GET", "/routes/shadow")
        assert ("faulty", None) == (told["state"], told["candidate"])
        assert re.search(r"\.yaml:\d+:\d+", told["faults"][0])

        async def said() -> bool:
            now = await status(stage)
            return bool(now["ok"] and now["shadow_faults"] == told["faults"])

        await until(said)
        async with stage.http.get(f"{stage.base}/metrics") as response:
            assert re.search(r"^huiliu_shadow_faults [1-9]", await response.text(), re.MULTILINE)
        (tmp_path / "candidate.yaml").write_text(CHANGED, encoding="utf-8")

        async def watched() -> bool:
            return bool((await stage.api("GET", "/routes/shadow"))["state"] == "watching")

        await until(watched)


async def test_a_replay_that_cannot_be_run(stage: Stage) -> None:
    """A candidate with faults is refused with them, a bad duration with what is expected, an unknown one is 404."""
    bad = {"files": [{"name": "new.yaml", "text": ROUTES.replace("team: complaints", "team: complaint")}]}
    refused = await stage.api("POST", "/routes/replays", bad, status=422)
    assert re.match(r"new\.yaml:\d+:\d+: .*did you mean complaints\?", refused["faults"][0])
    await stage.api("POST", "/routes/replays", {"files": []}, status=422)
    await stage.api("POST", "/routes/replays", {"files": bad["files"], "since": "yesterday"}, status=422)
    await stage.api("GET", "/routes/replays/nothing", status=404)
