"""What a person may ask for by law: everything that is kept of them, and that it goes, on a real hub."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import json
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from connectors.base import Media, Message, Notice
from inbox import log as logbook
from inbox import rewriting
from inbox.fetching import Fetching
from inbox.leases import Held
from inbox.partitions import COUNT, key, parse_id, tag
from inbox.search import forget
from inbox.store import Store
from inbox.work import Actor
from outbox.belongings import Searching
from outbox.consent import Word
from outbox.erasing import Eraser
from outbox.letters import Letter
from tests.dying import Died, Dying
from tests.hubs import TOKEN, Stage, configuration, running, until, write

CHANNELS = """
  site-chat: {kind: webchat}
  second-chat: {kind: webchat}
"""
MORE = """
teams:
  frontdesk: {name: 前台, members: [hanmeimei], assign: {strategy: manual}}
  aftersales: {name: 售后组, members: [lilei], assign: {strategy: manual}}
  complaints: {name: 投诉组, members: [lilei], assign: {strategy: manual}}
agents:
  lilei: {name: 李雷}
  hanmeimei: {name: 韩梅梅}
consent: {required: [campaign]}
"""
SECRETS = (
    "王芳芳",
    "visitor:wangfang",
    "wangfang@example.com",
    "我的身份证",
    "私人备注",
    "亲爱的",
    "问卷来信",
    "13800138000",
)
LEI = Actor("agent", "lilei", "李雷")
FILE, SHARED = b"a photograph of the customer", b"the manual that everybody gets"


@pytest.fixture
async def stage(store_url: str, tmp_path: Path) -> AsyncIterator[Stage]:
    async with running(store_url, write(tmp_path, configuration(CHANNELS, more=MORE))) as made:
        yield made


async def said(stage: Stage, number: int, address: str, text: str, channel: str = "site-chat", **more: Any) -> Any:
    """Let a customer write, and return the conversation once the message is in it."""
    event = Message(f"x{number}", address, 1_795_000_000_000 + number, text, **more)
    await stage.hub.recorder.record(channel, [event])

    async def there() -> Any:
        for one in await stage.conversations(q=quote(address)):
            if any(each["text"] == text for each in await stage.messages(one["id"])):
                return one
        return None

    return await until(there)


async def everything(store: Store, folder: Path) -> str:
    """Return all that the store and the folder of attachments hold, as one text."""
    held: list[str] = []
    commands = {
        "string": ("GET",), "hash": ("HGETALL",), "list": ("LRANGE", 0, -1), "set": ("SMEMBERS",),
        "zset": ("ZRANGE", 0, -1), "stream": ("XRANGE", "-", "+"),
    }  # fmt: skip
    client = await store.topology.admin()
    names = [name.decode() async for name in client.scan_iter(count=1000)]
    await client.aclose()
    for name in names:
        slot = name.partition("{")[2].partition("}")[0]
        kind = await store.do(slot, "TYPE", name)
        if kind != "none":
            verb, *rest = commands[kind]
            held.append(f"{name} {await store.do(slot, verb, name, *rest)!r}")
    return "\n".join([*held, *await asyncio.to_thread(read, folder)])


def read(folder: Path) -> list[str]:
    """Return what all files of a folder hold."""
    return [path.read_bytes().decode(errors="replace") for path in folder.rglob("*") if path.is_file()]


async def settled(stage: Stage, contact: str) -> None:
    """Wait until nothing that was owed to a contact is on its way."""

    async def over() -> bool:
        page = await stage.api("GET", f"/contacts/{contact}/timeline?limit=200")
        states = [one["delivery"]["state"] for one in page["items"] if one["delivery"]]
        return all(state in ("sent", "delivered", "read") for state in states)

    await until(over)


async def somebody(stage: Stage) -> tuple[str, str]:
    """Let a person have had a lot to do with the shop, on two addresses; return the contact, and somebody else's."""
    media = (Media("image/png", "王芳芳.png", data=FILE), Media("application/pdf", "manual.pdf", data=SHARED))
    first = await said(stage, 1, "visitor:wangfang", "我的身份证号", name="王芳芳", media=media)
    second = await said(stage, 2, "mailto:wangfang@example.com", "亲爱的客服", channel="second-chat", name="王芳芳")
    other = await said(
        stage, 3, "visitor:other", "别人的话", name="别人", media=(Media("application/pdf", "m", data=SHARED),)
    )
    contact = first["contact"]["id"]
    await stage.api("POST", f"/contacts/{contact}/merge", {"with": second["contact"]["id"], "reason": "王芳芳 本人"})
    await stage.api("POST", f"/conversations/{first['id']}/notes", {"text": "私人备注"})
    await stage.api("POST", f"/conversations/{first['id']}/assign", {"team": "aftersales", "reason": "王芳芳要求"})
    await stage.api("POST", f"/conversations/{first['id']}/replies", {"text": "亲爱的王芳芳，您好", "client_id": "r1"})
    letter = Letter(
        channel="site-chat", address="visitor:wangfang", key="k", lane="survey", text="问卷来信，13800138000"
    )
    await stage.hub.deliveries.owe_letter(letter, 1_795_000_000_000)
    await stage.hub.consent.record("visitor:wangfang", Word("opted_out", 5, "word", "m1", "王芳芳", "我的身份证"))
    await stage.hub.recorder.record(
        "site-chat", [Notice("n1", "visitor:wangfang", 9, "enter", details={"wo": "王芳芳"})]
    )
    await stage.hub.recorder.shunt("site-chat", b"wangfang@example.com ???", "garbage", {}, 1)
    await settled(stage, contact)
    return contact, other["contact"]["id"]


async def test_a_person_sees_everything(stage: Stage) -> None:
    """The archive has who they are, what was said on all channels, what was sent, and their files."""
    contact, _ = await somebody(stage)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with stage.http.get(f"{stage.base}/api/v1/contacts/{contact}/export", headers=headers) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "application/zip"
        archive = zipfile.ZipFile(io.BytesIO(await response.read()))
    texts = {name: archive.read(name).decode(errors="replace") for name in archive.namelist()}
    assert json.loads(texts["contact.json"])["addresses"] == ["visitor:wangfang", "mailto:wangfang@example.com"]
    assert {one["text"] for one in json.loads(texts["messages.json"])} >= {"我的身份证号", "亲爱的客服", "私人备注"}
    assert json.loads(texts["letters.json"])[0]["text"] == "问卷来信，13800138000"
    assert json.loads(texts["contact.json"])["consent"][0]["state"] == "opted_out"
    assert sorted(archive.read(name) for name in texts if name.startswith("attachments/")) == sorted([FILE, SHARED])
    assert "别人的话" not in "".join(texts.values())


async def test_a_person_is_erased(stage: Stage) -> None:
    """No word, name, address or file of theirs is left anywhere, all counts are; twice is once; opt-outs hold."""
    contact, other = await somebody(stage)
    folder = stage.hub.attachments.root
    before = await everything(stage.hub.store, folder)
    assert all(secret in before for secret in (*SECRETS, FILE.decode()))
    lengths = [await stage.hub.store.do(tag(one), "XLEN", key(one, "log")) for one in range(COUNT)]
    places = await positions(stage.hub.store, contact)

    would = await stage.api("POST", f"/contacts/{contact}/erase", {"dry_run": True, "reason": "asked by mail"})
    assert (would["state"], would["dry_run"]) == ("would", True)
    assert would["goes"]["addresses"] == 2
    assert would["goes"]["files"] == 2
    assert would["goes"]["shunted"] == 1
    assert {one["what"] for one in would["stays"]} >= {"opt_outs", "conversations", "log_entries"}
    still = await everything(stage.hub.store, folder)
    assert all(secret in still for secret in SECRETS)

    done = await stage.api("POST", f"/contacts/{contact}/erase", {"reason": "asked by mail"})
    assert done["state"] == "erased"
    assert done["goes"]["messages"] == would["goes"]["messages"]
    after = await everything(stage.hub.store, folder)
    assert [secret for secret in (*SECRETS, FILE.decode()) if secret in after] == []
    assert SHARED.decode() in after
    assert "别人的话" in after
    assert await positions(stage.hub.store, contact, places)
    grown = [await stage.hub.store.do(tag(one), "XLEN", key(one, "log")) for one in range(COUNT)]
    assert all(now >= then for now, then in zip(grown, lengths, strict=True))

    await stage.api("GET", f"/contacts/{contact}", status=404)
    assert (await stage.api("POST", f"/contacts/{contact}/erase", {}))["state"] == "nothing"
    assert (await stage.api("GET", f"/contacts/{other}"))["name"] == "别人"
    [entry] = [one for one in (await stage.api("GET", "/audit"))["items"] if one["path"].endswith("/erase")][1:]
    assert (entry["parts"], entry["values"]) == ({"id": contact}, {})
    for one in await stage.conversations():
        if one["contact"]["id"] == contact:
            assert (one["contact"]["name"], one["contact"]["addresses"], one["status"]) == (None, [], "resolved")
            assert one["messages"] >= 1
            shown = await stage.messages(one["id"])
            assert {each["text"] for each in shown} == {""}
            assert any(each["type"] == "erased" for each in shown)

    obstacle = await stage.hub.consent.obstacle("visitor:wangfang", "site-chat", "campaign")
    assert obstacle is not None
    assert obstacle.code == "opted_out"
    again = await said(stage, 10, "visitor:wangfang", "我又来了")
    assert again["contact"]["id"] != contact
    assert [one["text"] for one in await stage.messages(again["id"]) if one["text"]] == ["我又来了"]


async def positions(store: Store, contact: str, before: list[str] | None = None) -> list[str]:
    """Return the positions of a contact's log; those of *before* are still the first of them."""
    partition = parse_id(contact, "k").partition
    found = [entry.id for entry in await logbook.read(store, partition, "0-0", 10_000)]
    assert before is None or found[: len(before)] == before
    return found


async def test_an_erasure_that_dies_is_finished(stage: Stage) -> None:
    """At whichever step the process dies, the owner of the partition goes on, and nothing of the person is left."""
    hub = stage.hub
    contact, _ = await somebody(stage)
    for at in (4, 30, 60, 90, 120, 150):
        dying = Dying(hub.store, at, heard=True)
        searching = Searching(dying, hub.merging, hub.deliveries, hub.means.invitations, hub.campaigns)
        parts = (hub.deliveries, hub.desk, hub.recorder, hub.attachments, hub.channels, hub.forgotten)
        with contextlib.suppress(Died):
            await Eraser(dying, searching, *parts, hub.now).erase(contact, LEI, "asked by mail")
    searching = Searching(hub.store, hub.merging, hub.deliveries, hub.means.invitations, hub.campaigns)
    later = Eraser(hub.store, searching, *parts, lambda: hub.now() + 120_000)
    await later.turn(Held(parse_id(contact, "k").partition, "1"))
    await stage.api("GET", f"/contacts/{contact}", status=404)
    after = await everything(hub.store, hub.attachments.root)
    assert [secret for secret in (*SECRETS, FILE.decode()) if secret in after] == []
    obstacle = await hub.consent.obstacle("visitor:wangfang", "site-chat", "campaign")
    assert obstacle is not None


async def test_who_writes_while_they_are_erased_is_erased_with_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes in after the logs were read does not survive an erasure that says it is done."""
    contact = (await said(stage, 1, "visitor:wangfang", "我的身份证号", name="王芳芳"))["contact"]["id"]
    rewrite = rewriting.rewrite

    async def meanwhile(*parts: Any) -> None:
        await rewrite(*parts)
        monkeypatch.setattr(rewriting, "rewrite", rewrite)
        await said(stage, 2, "visitor:wangfang", "亲爱的，再见", name="王芳芳")

    monkeypatch.setattr(rewriting, "rewrite", meanwhile)
    await stage.api("POST", f"/contacts/{contact}/erase", {"reason": "asked"})

    after = await everything(stage.hub.store, stage.hub.attachments.root)
    assert [secret for secret in SECRETS if secret in after] == []


async def add(stage: Stage, number: int, text: str, conversation: str) -> None:
    """Let the person write on in a conversation that does not name their address any more."""
    event = Message(f"x{number}", "visitor:wangfang", 1_795_000_000_000 + number, text, name="王芳芳")
    await stage.hub.recorder.record("site-chat", [event])

    async def there() -> bool:
        return any(one["text"] == text for one in await stage.messages(conversation))

    await until(there)


async def test_who_writes_after_their_conversations_were_blanked_is_erased_with_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The conversation that they opened again has no name and no words once more, and nobody waits in it."""
    one = await said(stage, 1, "visitor:wangfang", "我的身份证号", name="王芳芳")

    async def meanwhile(*parts: Any) -> None:
        monkeypatch.setattr("outbox.erasing.forget", forget)
        await add(stage, 2, "亲爱的，再见", one["id"])
        await forget(*parts)

    monkeypatch.setattr("outbox.erasing.forget", meanwhile)
    done = await stage.api("POST", f"/contacts/{one['contact']['id']}/erase", {"reason": "asked"})

    assert ("erased", 1) == (done["state"], done["goes"]["conversations"])
    after = await everything(stage.hub.store, stage.hub.attachments.root)
    assert [secret for secret in SECRETS if secret in after] == []
    assert ["resolved"] == [each["status"] for each in await stage.conversations()]


async def test_who_writes_after_an_erasure_died_is_erased_with_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process died once the conversations were blanked: who goes on finds what was written in them since."""
    hub = stage.hub
    one = await said(stage, 1, "visitor:wangfang", "我的身份证号", name="王芳芳")

    async def dies(*_: Any) -> None:
        raise Died

    searching = Searching(hub.store, hub.merging, hub.deliveries, hub.means.invitations, hub.campaigns)
    parts = (searching, hub.deliveries, hub.desk, hub.recorder, hub.attachments, hub.channels, hub.forgotten)
    monkeypatch.setattr("outbox.erasing.forget", dies)
    with pytest.raises(Died):
        await Eraser(hub.store, *parts, hub.now).erase(one["contact"]["id"], LEI, "asked by mail")
    monkeypatch.setattr("outbox.erasing.forget", forget)
    await add(stage, 2, "亲爱的，再见", one["id"])
    held = Held(parse_id(one["contact"]["id"], "k").partition, "1")
    await Eraser(hub.store, *parts, lambda: hub.now() + 120_000).turn(held)

    after = await everything(hub.store, hub.attachments.root)
    assert [secret for secret in SECRETS if secret in after] == []
    assert ["resolved"] == [each["status"] for each in await stage.conversations()]


async def test_who_writes_while_connectors_forget_them_is_erased_with_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes in when all else is gone does not stay behind in a conversation of nobody."""
    contact = (await said(stage, 1, "visitor:wangfang", "我的身份证号", name="王芳芳"))["contact"]["id"]
    connector = stage.hub.channels.by_name["site-chat"].connector
    forget = connector.forget  # type: ignore[union-attr]  # the web chat has one

    async def meanwhile(address: str) -> None:
        monkeypatch.setattr(connector, "forget", forget)
        await said(stage, 2, "visitor:wangfang", "亲爱的，再见", name="王芳芳")
        await forget(address)

    monkeypatch.setattr(connector, "forget", meanwhile)
    await stage.api("POST", f"/contacts/{contact}/erase", {"reason": "asked"})

    after = await everything(stage.hub.store, stage.hub.attachments.root)
    assert [secret for secret in SECRETS if secret in after] == []
    assert ["resolved"] == [one["status"] for one in await stage.conversations()]


async def test_who_writes_before_an_erasure_is_over_leaves_no_other_contact(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process died when the address was gone and the contact was not: the new one that the address got goes too."""
    hub = stage.hub
    contact = (await said(stage, 1, "visitor:wangfang", "我的身份证号", name="王芳芳"))["contact"]["id"]

    def dies(*_: Any) -> None:
        raise Died

    searching = Searching(hub.store, hub.merging, hub.deliveries, hub.means.invitations, hub.campaigns)
    parts = (searching, hub.deliveries, hub.desk, hub.recorder, hub.attachments, hub.channels, hub.forgotten)
    with monkeypatch.context() as patch:
        patch.setattr("inbox.contacts.told", dies)
        with pytest.raises(Died):
            await Eraser(hub.store, *parts, hub.now).erase(contact, LEI, "asked by mail")
    second = (await said(stage, 2, "visitor:wangfang", "亲爱的，再见", name="王芳芳"))["contact"]["id"]
    assert second != contact
    await Eraser(hub.store, *parts, lambda: hub.now() + 120_000).turn(Held(parse_id(contact, "k").partition, "1"))

    after = await everything(hub.store, hub.attachments.root)
    assert [secret for secret in SECRETS if secret in after] == []
    await stage.api("GET", f"/contacts/{second}", status=404)


async def test_a_file_that_comes_again_while_it_is_erased_stays(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else sends the same bytes after it was seen that nobody needs them: their message keeps its file."""
    media = Media("image/png", "logo.png", data=FILE)
    contact = (await said(stage, 1, "visitor:wangfang", "我的身份证号", media=(media,)))["contact"]["id"]
    mentioned = rewriting.mentioned

    async def meanwhile(*parts: Any) -> set[str]:
        found = await mentioned(*parts)
        monkeypatch.setattr(rewriting, "mentioned", mentioned)
        await said(stage, 2, "visitor:other", "别人的话", media=(media,))
        return found

    monkeypatch.setattr(rewriting, "mentioned", meanwhile)
    await stage.api("POST", f"/contacts/{contact}/erase", {"reason": "asked"})

    assert FILE == await stage.hub.attachments.read(hashlib.sha256(FILE).hexdigest())


async def test_a_file_that_was_kept_before_and_is_told_of_later_stays(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else's same bytes lie there, their message is not in the log yet: afterwards it has its file."""
    media = Media("image/png", "logo.png", data=FILE)
    contact = (await said(stage, 1, "visitor:wangfang", "我的身份证号", media=(media,)))["contact"]["id"]
    write, saved, erased = stage.hub.recorder._write, asyncio.Event(), asyncio.Event()

    async def later(partition: int, mark: str, fields: Any) -> Any:
        saved.set()
        await erased.wait()
        return await write(partition, mark, fields)

    monkeypatch.setattr(stage.hub.recorder, "_write", later)
    other = asyncio.create_task(said(stage, 2, "visitor:other", "别人的话", media=(media,)))
    await saved.wait()
    await stage.api("POST", f"/contacts/{contact}/erase", {"reason": "asked"})
    assert 0 == await stage.hub.attachments.kept_at(hashlib.sha256(FILE).hexdigest())
    erased.set()
    await other

    assert FILE == await stage.hub.attachments.read(hashlib.sha256(FILE).hexdigest())


class Slow:
    """A platform that takes its time with a file; what the hub does with that is *over* some time later."""

    def __init__(self, name: str) -> None:
        self.name, self.asked, self.ready, self.over = name, asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def fetch(self, _: Media) -> Media:
        """Give the file once it is *ready*."""
        self.asked.set()
        await self.ready.wait()
        return Media("image/png", self.name, data=FILE)


REFERENCE = Media("image/png", ref="media-1")


async def asked(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> tuple[Slow, str]:
    """Let somebody send a file that their platform is being asked for; return the platform and the contact."""
    slow = Slow("王芳芳.png")
    connector = stage.hub.channels.by_name["site-chat"].connector
    monkeypatch.setattr(connector, "fetch", slow.fetch, raising=False)
    done = Fetching._done

    async def heard(self: Fetching, *parts: Any) -> None:
        await done(self, *parts)
        slow.over.set()

    monkeypatch.setattr(Fetching, "_done", heard)
    one = await said(stage, 1, "visitor:wangfang", "我的身份证号", media=(REFERENCE,))
    await asyncio.wait_for(slow.asked.wait(), 30)
    return slow, one["contact"]["id"]


async def test_a_file_that_comes_after_its_sender_was_erased_goes(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was on its way while they were erased: neither it nor its name is kept, and nobody asks for it again."""
    slow, contact = await asked(stage, monkeypatch)
    await stage.api("POST", f"/contacts/{contact}/erase", {"reason": "asked"})
    here = parse_id(contact, "k").partition
    assert [] == await stage.hub.store.do(tag(here), "ZRANGE", key(here, "fetch"), 0, -1)
    slow.ready.set()
    await asyncio.wait_for(slow.over.wait(), 30)

    after = await everything(stage.hub.store, stage.hub.attachments.root)
    assert [secret for secret in (*SECRETS, FILE.decode()) if secret in after] == []


async def test_a_file_that_comes_late_and_is_somebody_elses_too_stays(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same bytes are in a message of somebody who was not erased: they keep them."""
    slow, contact = await asked(stage, monkeypatch)
    await said(stage, 2, "visitor:other", "别人的话", media=(Media("image/png", "logo.png", data=FILE),))
    await stage.api("POST", f"/contacts/{contact}/erase", {"reason": "asked"})
    slow.ready.set()
    await asyncio.wait_for(slow.over.wait(), 30)

    assert FILE == await stage.hub.attachments.read(hashlib.sha256(FILE).hexdigest())


async def test_a_file_that_comes_while_its_sender_is_erased_goes(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes after the person's files were noted and before the log is blanked: it goes with the others."""
    slow, contact = await asked(stage, monkeypatch)
    rewrite = rewriting.rewrite

    async def meanwhile(*parts: Any) -> None:
        monkeypatch.setattr(rewriting, "rewrite", rewrite)
        slow.ready.set()
        await asyncio.wait_for(slow.over.wait(), 30)
        await rewrite(*parts)

    monkeypatch.setattr(rewriting, "rewrite", meanwhile)
    await stage.api("POST", f"/contacts/{contact}/erase", {"reason": "asked"})

    after = await everything(stage.hub.store, stage.hub.attachments.root)
    assert [secret for secret in (*SECRETS, FILE.decode()) if secret in after] == []
