"""One person on several channels: linked on proof, merged and split by people, seen as one, on a real hub."""

from __future__ import annotations

import asyncio
import itertools
import json
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from typer.testing import CliRunner

from connectors.base import Message
from connectors.mail_parse import parse
from inbox import contacts
from inbox import log as logbook
from inbox.client import Client
from inbox.partitions import key, parse_id, partition_of, tag
from inbox.work import Actor
from outbox.consent import Word
from outbox.consent_commands import contact
from outbox.contact_commands import with_contacts
from tests.hubs import TOKEN, Stage, configuration, running, until, write

CHANNELS = """
  site-chat: {kind: webchat}
  second-chat: {kind: webchat}
"""
MORE = """
teams:
  frontdesk: {name: 前台, members: [hanmeimei], assign: {strategy: manual}}
  aftersales: {name: 售后组, members: [lilei], assign: {strategy: manual}}
  complaints: {name: 投诉组, members: [hanmeimei], assign: {strategy: manual}, restricted: true}
agents:
  lilei: {name: 李雷, email: lilei@example.com}
  hanmeimei: {name: 韩梅梅, email: hanmeimei@example.com}
consent: {required: [campaign], whole_contact: true}
"""
LILEI = "test-token-of-lilei"
NUMBERS = itertools.count(1)
LEI = Actor("agent", "lilei", "李雷")


@pytest.fixture
async def stage(store_url: str, tmp_path: Path) -> AsyncIterator[Stage]:
    async with running(store_url, write(tmp_path, configuration(CHANNELS, more=MORE))) as made:
        yield made


async def says(stage: Stage, who: str, text: str, *, channel: str = "site-chat", **more: Any) -> dict[str, Any]:
    """Let a visitor write, and return the conversation once it is there."""
    count = next(NUMBERS)
    address = more.pop("address", f"visitor:{who}")
    event = Message(f"{who}-{count}", address, 1_795_000_000_000 + count, text, name=more.pop("name", who), **more)
    await stage.hub.recorder.record(channel, [event])

    async def there() -> Any:
        for one in await stage.conversations(q=quote(address)):
            messages = await stage.messages(one["id"])
            if any(each["text"] == text for each in messages):
                return one
        return None

    found: dict[str, Any] = await until(there)
    return found


async def texts(stage: Stage, contact: str, token: str = LILEI) -> list[str]:
    """Return what was said with a contact, oldest first."""
    found, cursor = [], ""
    while True:
        page = await stage.api("GET", f"/contacts/{contact}/timeline?limit=2&cursor={cursor}", token=token)
        found += [one["text"] for one in page["items"] if one["direction"] != "event"]
        cursor = page["next"]
        if not cursor:
            return found[::-1]


async def test_two_contacts_become_one_and_two_again(stage: Stage) -> None:
    """Merged, a person has all addresses, tags and conversations; split, each has what it had, and got since."""
    first = await says(stage, "wang", "我的订单呢", name="王芳")
    second = await says(stage, "fang", "在吗", name="芳芳", channel="second-chat")
    a, b = first["contact"]["id"], second["contact"]["id"]
    await stage.api("PUT", f"/contacts/{a}", {"tags": ["vip"]})
    await stage.api("PUT", f"/contacts/{b}", {"tags": ["vip", "loud"], "tier": "gold", "channel": "second-chat"})
    before = [await stage.api("GET", f"/contacts/{one}") for one in (a, b)]

    done = await stage.api("POST", f"/contacts/{a}/merge", {"with": b, "reason": "same phone"}, token=LILEI)
    whole = done["contact"]
    assert whole["id"] == a
    assert whole["addresses"] == ["visitor:wang", "visitor:fang"]
    assert (whole["name"], whole["tags"], whole["tier"], whole["channel"]) == (
        "王芳", ["vip", "loud"], "gold", "second-chat",
    )  # fmt: skip
    [merge] = whole["merges"]
    assert merge == done["merge"]
    assert (merge["contact"], merge["how"], merge["reason"], merge["by"]["id"]) == (b, "person", "same phone", "lilei")
    assert merge["conflicts"] == [{"field": "name", "kept": "王芳", "left": "芳芳"}]
    assert (await stage.api("GET", f"/contacts/{b}"))["id"] == a
    assert {one["contact"]["id"] for one in await stage.conversations()} == {a}
    assert await texts(stage, b) == ["我的订单呢", "在吗"]

    await says(stage, "fang", "还在吗", name="芳芳", channel="second-chat")
    await stage.api("PUT", f"/contacts/{b}", {"tags": ["vip", "loud", "new"], "tier": "silver"})
    assert await texts(stage, a) == ["我的订单呢", "在吗", "还在吗"]
    listed = await stage.api("GET", f"/contacts/{a}/conversations?limit=1")
    rest = await stage.api("GET", f"/contacts/{a}/conversations?limit=1&cursor={listed['next']}")
    assert [one["id"] for one in (*listed["items"], *rest["items"])] == [second["id"], first["id"]]
    assert rest["next"] is None
    assert [one["id"] for one in (await stage.api("GET", "/contacts"))["items"]] == [a]

    parted = await stage.api("POST", f"/contacts/{a}/split", {"merge": merge["id"], "reason": "sisters"}, token=LILEI)
    assert parted["split"] == before[1]
    assert parted["contact"] == {**before[0], "tags": ["vip", "new"], "tier": "silver"}
    assert await texts(stage, a) == ["我的订单呢"]
    assert await texts(stage, b) == ["在吗", "还在吗"]
    [past] = (await stage.api("GET", f"/contacts/{a}/merges"))["items"]
    assert (past["id"], past["undone"]["reason"], past["undone"]["by"]["id"]) == (merge["id"], "sisters", "lilei")
    await stage.api("POST", f"/contacts/{a}/split", {"merge": merge["id"]}, status=409)
    await stage.api("POST", f"/contacts/{b}/split", {"merge": merge["id"]}, status=404)
    await stage.api("POST", f"/contacts/{a}/merge", {"with": a}, status=409)
    await stage.api("POST", f"/contacts/{a}/merge", {"with": "k1-1-1"}, status=404)


async def test_a_part_of_a_part_can_be_taken_out(stage: Stage) -> None:
    """Of three that became one in two merges, the innermost leaves alone: the others stay one, and keep their own."""
    ids = [(await says(stage, who, f"我是{who}"))["contact"]["id"] for who in ("one", "two", "three")]
    for name, tag_ in zip(ids, ("a", "b", "c"), strict=True):
        await stage.api("PUT", f"/contacts/{name}", {"tags": [tag_]})
    inner = (await stage.api("POST", f"/contacts/{ids[1]}/merge", {"with": ids[2]}))["merge"]
    await stage.api("POST", f"/contacts/{ids[0]}/merge", {"with": ids[1]})
    whole = await stage.api("GET", f"/contacts/{ids[2]}")
    assert (whole["id"], whole["tags"], len(whole["merges"])) == (ids[0], ["a", "b", "c"], 2)
    parted = await stage.api("POST", f"/contacts/{ids[0]}/split", {"merge": inner["id"]})
    assert (parted["contact"]["id"], parted["contact"]["tags"]) == (ids[0], ["a", "b"])
    assert parted["contact"]["addresses"] == ["visitor:one", "visitor:two"]
    assert (parted["split"]["id"], parted["split"]["tags"]) == (ids[2], ["c"])
    outer = parted["contact"]["merges"][0]["id"]
    parted = await stage.api("POST", f"/contacts/{ids[0]}/split", {"merge": outer})
    assert [parted[one]["tags"] for one in ("contact", "split")] == [["a"], ["b"]]
    assert parted["split"]["addresses"] == ["visitor:two"]


async def test_many_merge_at_once(stage: Stage) -> None:
    """Whoever merges at the same moment, in whatever direction: one contact comes of it, and split it is as before."""
    names = [f"v{number}" for number in range(6)]
    ids = [(await says(stage, who, f"我是{who}"))["contact"]["id"] for who in names]
    pairs = [(one, other) for one in ids for other in ids if one != other]

    async def merge(one: str, other: str) -> int:
        headers = {"Authorization": f"Bearer {LILEI}"}
        path = f"{stage.base}/api/v1/contacts/{one}/merge"
        async with stage.http.post(path, json={"with": other}, headers=headers) as response:
            return response.status

    answers = await asyncio.gather(*(merge(*pair) for pair in pairs))
    assert set(answers) <= {200, 409}
    for one, other in pairs:  # whoever gave up can try again
        await merge(one, other)
    [root] = {(await stage.api("GET", f"/contacts/{one}"))["id"] for one in ids}
    whole = await stage.api("GET", f"/contacts/{root}")
    assert sorted(whole["addresses"]) == [f"visitor:{who}" for who in names]
    assert len(whole["merges"]) == len(ids) - 1
    for one in ids:  # what is part of a part goes with it
        while (found := await stage.api("GET", f"/contacts/{one}"))["merges"]:
            await stage.api("POST", f"/contacts/{found['id']}/split", {"merge": found["merges"][0]["id"]})
    for who, one in zip(names, ids, strict=True):
        found = await stage.api("GET", f"/contacts/{one}")
        assert (found["id"], found["addresses"], found["merges"]) == (one, [f"visitor:{who}"], [])


async def test_proof_links_and_a_text_only_suggests(stage: Stage) -> None:
    """An address that the shop has signed links two contacts; the same one written in a text never does."""
    mail = await says(stage, "mail", "我的邮件", address="mailto:wang@example.com", name="王芳")
    typed = await says(stage, "typed", "我的邮箱是 WANG@example.com，电话 138 0013 8000")
    await says(stage, "sms", "短信", address="tel:+8613800138000", name="短信客户")
    names = {one["contact"]["addresses"][0]: one["contact"]["id"] for one in await stage.conversations()}
    found = (await stage.api("GET", f"/contacts/{typed['contact']['id']}/suggestions"))["items"]
    assert {one["contact"]["id"]: one["because"][0]["kind"] for one in found} == {
        names["mailto:wang@example.com"]: "email",
        names["tel:+8613800138000"]: "phone",
    }
    assert found[0]["because"][0]["conversation"] == typed["id"]
    await stage.api("POST", f"/contacts/{typed['contact']['id']}/apart", {"with": names["tel:+8613800138000"]})
    left = (await stage.api("GET", f"/contacts/{typed['contact']['id']}/suggestions"))["items"]
    assert [one["contact"]["id"] for one in left] == [mail["contact"]["id"]]

    signed = await says(stage, "u-7", "登录后的问题", proven=("mailto:wang@example.com",))

    async def linked() -> Any:
        whole = await stage.api("GET", f"/contacts/{signed['contact']['id']}")
        return whole if whole["merges"] else None

    whole = await until(linked)
    assert whole["id"] == mail["contact"]["id"]
    [merge] = whole["merges"]
    assert (merge["how"], merge["by"]["kind"], merge["evidence"][0]) == ("proof", "hub", "mailto:wang@example.com")
    assert merge["evidence"][2] == "site-chat"
    assert typed["contact"]["id"] not in {one["contact"] for one in whole["merges"]}

    await stage.api("POST", f"/contacts/{whole['id']}/split", {"merge": merge["id"]})
    await says(stage, "u-7", "我又来了", proven=("mailto:wang@example.com",))
    await asyncio.gather(*(says(stage, f"other-{number}", "别人") for number in range(3)))
    again = await stage.api("GET", f"/contacts/{signed['contact']['id']}")
    assert again["id"] == signed["contact"]["id"]
    assert again["addresses"] == ["visitor:u-7"]


async def test_one_address_on_two_channels_is_one_contact(stage: Stage) -> None:
    """The same number by another channel is the same person without anybody's doing."""
    first = await says(stage, "a", "第一", address="tel:+8613800138001")
    second = await says(stage, "b", "第二", address="tel:+8613800138001", channel="second-chat")
    assert first["id"] != second["id"]
    assert first["contact"]["id"] == second["contact"]["id"]
    assert await texts(stage, first["contact"]["id"]) == ["第一", "第二"]


async def test_a_mail_address_that_was_typed_is_the_one_that_writes(stage: Stage) -> None:
    """Whoever is given an address in capital letters is known by the mail that comes from it."""
    known = (await says(stage, "wang", "你好"))["contact"]["id"]
    given = {"addresses": ["mailto:Fang@Example.COM", "mailto:fang@example.com"]}
    shown = await stage.api("PUT", f"/contacts/{known}", given)
    assert shown["addresses"] == ["visitor:wang", "mailto:fang@example.com"]
    refused = {"addresses": ["mailto:.."]}
    await stage.api("PUT", f"/contacts/{known}", refused, status=422)

    read = parse(b"From: FANG@example.com\r\n\r\n...", received=1, own="shop@example.com")
    assert isinstance(read, Message)
    mail = await says(stage, "fang", "我来邮件了", address=read.address, channel="second-chat")
    assert mail["contact"]["id"] == known


async def test_consent_and_quiet_follow_the_merge(stage: Stage) -> None:
    """Who has opted out on one address is not written to on another of the same person, until they are split."""
    first = await says(stage, "wang", "你好")
    second = await says(stage, "fang", "你好")
    a, b = first["contact"]["id"], second["contact"]["id"]
    await stage.hub.consent.record("visitor:wang", Word("consented", 1, "person"))
    await stage.hub.consent.record("visitor:fang", Word("opted_out", 2, "word"))
    done = await stage.api("POST", f"/contacts/{a}/merge", {"with": b})
    obstacle = await stage.hub.consent.obstacle("visitor:wang", "site-chat", "campaign")
    assert obstacle is not None
    assert obstacle.code == "opted_out"
    told = (await stage.api("GET", f"/contacts/{b}/consent"))["items"]
    assert {one["address"] for one in told} == {"visitor:wang", "visitor:fang"}
    held = stage.hub.means.reservations
    assert await held.leave_alone(a, "visitor:wang", "i1-one", 1000, 500)
    assert not await held.leave_alone(b, "visitor:fang", "i1-two", 1100, 500)
    await stage.api("POST", f"/contacts/{a}/split", {"merge": done["merge"]["id"]})
    assert await stage.hub.consent.obstacle("visitor:wang", "site-chat", "campaign") is None


async def test_a_restricted_teams_part_stays_hidden(stage: Stage) -> None:
    """The timeline and the conversations of a contact leave out what the caller may not see."""
    open_one = await says(stage, "wang", "我要退款")
    secret = await says(stage, "fang", "我要投诉")
    a, b = open_one["contact"]["id"], secret["contact"]["id"]
    await stage.api("POST", f"/contacts/{a}/merge", {"with": b})
    assert (await texts(stage, a, TOKEN))[:2] == ["我要退款", "我要投诉"]
    assert await texts(stage, a) == ["我要退款"]
    shown = (await stage.api("GET", f"/contacts/{a}/conversations", token=LILEI))["items"]
    assert [one["id"] for one in shown] == [open_one["id"]]


async def test_what_a_dead_process_left_is_finished(stage: Stage) -> None:
    """A merge of which only the first lock was written is done by the owner of that partition."""
    ids = [(await says(stage, who, "你好"))["contact"]["id"] for who in ("wang", "fang")]
    merging = stage.hub.merging
    written = contacts.write
    calls = 0

    async def dies(*arguments: Any, **more: Any) -> bool:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise asyncio.CancelledError
        return await written(*arguments, **more)

    with pytest.MonkeyPatch.context() as change:
        change.setattr(contacts, "write", dies)
        with pytest.raises(asyncio.CancelledError):
            await merging.merge(ids[0], ids[1], LEI)

    async def whole() -> Any:
        found = await stage.api("GET", f"/contacts/{ids[1]}")
        return found["id"] == ids[0] and found["merges"]

    await until(whole)
    for one in ids:
        place = parse_id(one, "k")
        name = key(place.partition, f"k:{place.key}")

        async def free(slot: str = tag(place.partition), name: str = name) -> bool:
            return not await stage.hub.store.do(slot, "HEXISTS", name, "busy")

        await until(free)
    assert partition_of("visitor:wang") == parse_id(ids[0], "k").partition


async def upload(stage: Stage, text: str | bytes, *, preview: bool = False, status: int = 200) -> Any:
    """Send a file of contacts."""
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "text/csv"}
    url = f"{stage.base}/api/v1/contacts/import" + ("?preview=true" if preview else "")
    data = text if isinstance(text, bytes) else text.encode()
    async with stage.http.post(url, data=data, headers=headers) as response:
        answer = await response.json()
        assert response.status == status, answer
        return answer


async def test_a_file_of_contacts_comes_in_and_goes_out(stage: Stage) -> None:
    """A preview changes nothing, a second import neither; what was exported can be imported again, and runs nowhere."""
    known = await says(stage, "sms", "你好", address="tel:+8613800138000", name="王芳")
    other = await says(stage, "fang", "你好", address="mailto:fang@example.com")
    text = (
        "姓名,手机号,邮箱,标签,等级,首选渠道\n"
        "王芳,13800138000,wang@example.com,vip;大客户,gold,site-chat\n"
        "=HYPERLINK(1),13800138001,,,,\n"
        "谁,13800138000,fang@example.com,,,\n"
        "谁,13800138000 12,,,,\n"
        "谁,13800138003,,,,no-such-channel\n"
    )
    seen = await upload(stage, text.encode("gbk"), preview=True)
    assert seen["counts"] == {"created": 1, "changed": 1, "unchanged": 0, "refused": 3}
    assert [one["line"] for one in seen["faults"]] == [4, 5, 6]
    assert (await stage.api("GET", f"/contacts/{known['contact']['id']}"))["tier"] is None
    done = await upload(stage, text.encode("gbk"))
    assert {**done, "preview": True, "items": []} == {**seen, "items": []}
    again = await upload(stage, text)
    assert again["counts"] == {"created": 0, "changed": 0, "unchanged": 2, "refused": 3}
    whole = await stage.api("GET", f"/contacts/{known['contact']['id']}")
    assert (whole["tags"], whole["tier"], whole["channel"]) == (["vip", "大客户"], "gold", "site-chat")
    assert whole["addresses"] == ["tel:+8613800138000", "mailto:wang@example.com"]
    mail = await says(stage, "mail", "我来邮件了", address="mailto:wang@example.com")
    assert mail["contact"]["id"] == whole["id"]

    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with stage.http.get(f"{stage.base}/api/v1/contacts/export", headers=headers) as response:
        assert response.headers["Content-Type"].startswith("text/csv")
        exported = await response.read()
    assert exported.startswith("\ufeffid,".encode())
    assert "'=HYPERLINK(1)" in exported.decode()
    assert ",=HYPERLINK" not in exported.decode()
    assert (await upload(stage, exported))["counts"] == {"created": 0, "changed": 0, "unchanged": 3, "refused": 0}
    await upload(stage, b"a,b\n1,2\n", status=422)
    listed = (await stage.api("GET", "/contacts?tag=vip"))["items"]
    assert [one["id"] for one in listed] == [whole["id"]]
    first = await stage.api("GET", "/contacts?limit=2")
    rest = await stage.api("GET", f"/contacts?limit=2&cursor={first['next']}")
    ids = [one["id"] for one in (*first["items"], *rest["items"])]
    assert len(ids) == len(set(ids)) == 3
    assert {whole["id"], other["contact"]["id"]} < set(ids)


async def test_what_becomes_of_contacts_is_told(stage: Stage) -> None:
    """Merges and splits are events, with the contact as it is now, and stand in the audit log without words."""
    ids = [(await says(stage, who, "你好"))["contact"]["id"] for who in ("wang", "fang")]
    done = await stage.api("POST", f"/contacts/{ids[0]}/merge", {"with": ids[1], "reason": "王芳说的"})
    await stage.api("POST", f"/contacts/{ids[0]}/split", {"merge": done["merge"]["id"]})
    partition = parse_id(ids[0], "k").partition
    entries = await logbook.read(stage.hub.store, partition, "0-0", 1000)
    told = await stage.hub.press.bulletins(entries, lambda name: name.startswith("contact."))
    made = [one for each in told for one in each]
    assert [one.type for one in made] == ["contact.merged", "contact.split"]
    assert made[0].data["contact"]["id"] == ids[0]
    assert made[0].data["change"]["with"] == ids[1]
    assert made[0].cloud_event("https://hub.example.com", thin=True)["data"]["contact"] == {"id": ids[0]}
    written = (await stage.api("GET", "/audit"))["items"]
    about = [one for one in written if one["path"].endswith(("/merge", "/split"))]
    assert len(about) == 2
    assert "王芳" not in str(about)


async def test_an_admin_at_a_terminal_does_the_same(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`huiliu contact` lists, shows, merges, splits, takes files in and out, and erases only when it is sure."""
    a, b = [(await says(stage, who, "你好", name=who))["contact"]["id"] for who in ("wang", "fang")]
    app = with_contacts(
        contact(lambda: Client(stage.base, TOKEN), lambda: "zh-CN"), lambda: Client(stage.base, TOKEN), lambda: "zh-CN"
    )
    monkeypatch.chdir(tmp_path)

    async def run(*words: str, code: int = 0) -> str:
        done = await asyncio.to_thread(CliRunner().invoke, app, list(words))
        assert code == done.exit_code, done.output
        return done.output

    assert a in await run("list", "wang")
    assert "已并入" in await run("merge", a, b, "--reason", "同一手机号")
    assert b in await run("show", a)
    assert json.loads(await run("show", b, "--json"))["id"] == a
    assert "独立客户" in await run("split", a)
    merged = json.loads(await run("merge", a, b, "--json"))
    assert a == merged["contact"]["id"]
    assert a == json.loads(await run("split", a, merged["merge"]["id"], "--json"))["contact"]["id"]
    await run("split", a, code=1)
    file = tmp_path / "new.csv"
    await asyncio.to_thread(file.write_bytes, "姓名,手机号\n李雷,13800138000\n谁,12\n".encode("gbk"))
    told = await run("import", str(file), code=1)
    assert "新增 1" in told
    assert f"{file}:3 phone:" in told
    await run("import", str(file), "--apply", code=1)
    assert "13800138000" in await run("list", "李雷")
    await run("export")
    assert (await asyncio.to_thread((tmp_path / "contacts.csv").read_bytes)).startswith(b"\xef\xbb\xbfid,")
    await run("export", code=2)
    assert {"written": ["wang.zip"]} == json.loads(await run("export", a, "-o", "wang.zip", "--json"))
    assert zipfile.is_zipfile(tmp_path / "wang.zip")
    assert "请加 --yes" in await run("erase", a, code=1)
    assert "未作任何改动" in await run("erase", a, "--dry-run")
    assert "opt_outs" not in await run("erase", a, "--yes")
    await run("show", a, code=1)
    assert "没有这个客户" in await run("erase", a, "--yes")
