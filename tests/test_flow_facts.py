"""What rules know beyond the message: the contact's record, the order in an existing tool, events, the language."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from connectors.base import Message, Notice
from tests.hubs import TEAMS, Stage, configuration, running, served, until, write

CHANNEL = "  sms: {kind: twilio-sms, account_sid: AC%s, auth_token: t0ken, from_number: '+15005550006'}" % ("0" * 32)
ROUTES = """
default: {team: frontdesk}
routes:
  - name: lost
    when: {order: {status: lost}, text: 到}
    set: {team: complaints, priority: high}
  - name: vip
    when: {contact: {tag: vip, tier: gold}}
    set: {team: complaints, priority: urgent}
  - name: english
    when: {contact: {language: en}}
    set: {tags: [english]}
  - name: angry
    when: {sentiment: negative}
    set: {team: complaints, tags: [angry]}
  - name: unsubscribed
    when: {event: opt_out}
    set: {tags: [opted-out]}
tests:
  - {name: lost, message: {text: 还没到, order: {status: lost}}, expect: {route: lost}}
"""
ADDRESS = "tel:+8613800138000"


class Tool:
    """An order system that answers, or hangs if it is told to."""

    def __init__(self) -> None:
        self.status = "lost"
        self.asked: list[str] = []
        self.hangs = False
        self.released = asyncio.Event()
        self.app = web.Application()
        self.app.router.add_get("/orders", self.orders)

    async def orders(self, request: web.Request) -> web.Response:
        self.asked.append(request.path_qs)
        if self.hangs:
            await self.released.wait()
        return web.json_response({"data": {"status": self.status}})


class Shop:
    """A hub with an order system, and customers who write to it."""

    def __init__(self, stage: Stage, tool: Tool) -> None:
        self.stage, self.tool = stage, tool

    async def write(self, text: str, *, id: str, address: str = ADDRESS) -> dict[str, Any]:
        """Let a customer write, and return the conversation once the message is in it."""
        await self.stage.hub.recorder.record("sms", [Message(id, address, 1_763_763_000_000, text)])
        return await self.placed(address, id)

    async def placed(self, address: str, id: str) -> dict[str, Any]:
        async def found() -> Any:
            for one in await self.stage.conversations(q=address.replace("+", "%2B")):
                if any(each["external_id"] == id for each in await self.stage.messages(one["id"])):
                    return one
            return None

        return dict(await until(found))

    async def trail(self, conversation: str) -> dict[str, Any]:
        """Return the latest decision about a conversation."""
        return dict((await self.stage.api("GET", f"/conversations/{conversation}/trail"))["items"][0])


@pytest.fixture
async def shop(store_url: str, tmp_path: Path) -> AsyncIterator[Shop]:
    async with asking(store_url, tmp_path, "10s") as one:
        yield one


@asynccontextmanager
async def asking(store_url: str, tmp_path: Path, timeout: str) -> AsyncIterator[Shop]:
    """Run a hub that waits for the order system for *timeout* at most."""
    tool = Tool()
    async with served(tool.app) as base:
        facts = (
            f"facts: {{order: {{url: '{base}/orders?phone={{sender.value}}&no={{order_number}}', timeout: {timeout},"
            " cache: null, fields: {status: $.data.status}, fallback: {status: unknown}}}\n"
        )
        config = write(tmp_path, configuration(CHANNEL, more=TEAMS + facts), routes=ROUTES)
        async with running(store_url, config) as stage:
            yield Shop(stage, tool)
            tool.released.set()


async def test_a_route_asks_the_order_system(shop: Shop) -> None:
    """The order decides where the message goes, and the trail tells what was known, for ever."""
    one = await shop.write("订单20261103887还没到", id="SM1")

    assert (one["team"], one["priority"]) == ("complaints", "high")
    assert shop.tool.asked == ["/orders?phone=%2B8613800138000&no=20261103887"]
    shop.tool.status = "found again"
    told = await shop.trail(one["id"])
    assert told["facts"]["order"] == {"outcome": "found", "fields": {"status": "lost"}}
    assert told["explanation"]["decision"]["route"] == "lost"
    parts = told["explanation"]["tried"][0]["condition"]["parts"]
    assert {"name": "order.status", "expected": "lost", "value": "lost", "holds": True, "parts": []} in parts


async def test_nobody_is_asked_when_nothing_hangs_on_it(shop: Shop) -> None:
    """A message that no route about orders can match costs the tool no question."""
    one = await shop.write("你好", id="SM1")

    assert one["team"] == "frontdesk"
    assert shop.tool.asked == []
    assert "order" not in (await shop.trail(one["id"]))["facts"]


async def test_a_hanging_order_system_holds_nothing_up(store_url: str, tmp_path: Path) -> None:
    """Routing goes on with the fallback, and trail and metrics say so."""
    async with asking(store_url, tmp_path, "300ms") as shop:
        shop.tool.hangs = True
        one = await shop.write("还没到", id="SM1")

        assert one["team"] == "frontdesk"
        told = await shop.trail(one["id"])
        assert told["facts"]["order"] == {"outcome": "timeout", "fields": {"status": "unknown"}}
        [condition] = [
            each for each in told["explanation"]["tried"][0]["condition"]["parts"] if each["name"] == "order.status"
        ]
        assert condition["value"] == {"value": "unknown", "lookup": "timeout"}

        async def counted() -> bool:
            async with shop.stage.http.get(f"{shop.stage.base}/metrics") as answer:
                return 'huiliu_lookups_total{channel="sms",outcome="timeout"} 1.0' in await answer.text()

        await until(counted)


async def test_what_is_known_of_a_contact(shop: Shop) -> None:
    """Tags and tier that another program sets decide about the next message; setting them twice is the same."""
    first = await shop.write("你好", id="SM1")
    contact = first["contact"]
    assert (contact["tags"], contact["tier"], contact["language"]) == ([], None, None)

    body = {"tags": ["vip", "vip", "old"], "tier": "gold"}
    put = [await shop.stage.api("PUT", f"/contacts/{contact['id']}", body) for _ in range(2)]
    assert put[0] == put[1]
    assert (put[0]["tags"], put[0]["tier"], put[0]["language"]) == (["vip", "old"], "gold", None)
    assert await shop.stage.api("GET", f"/contacts/{contact['id']}") == put[0]

    await shop.write("在吗", id="SM2")
    told = await shop.trail(first["id"])
    assert (told["route"], told["set"]["priority"]) == ("vip", "urgent")
    assert sorted(told["facts"]["contact_tags"]) == ["old", "vip"]
    assert told["facts"]["contact_tier"] == "gold"
    assert told["explanation"]["decision"]["route"] == "vip"

    gone = await shop.stage.api("PUT", f"/contacts/{contact['id']}", {"tier": None, "language": "en"})
    assert (gone["tags"], gone["tier"], gone["language"]) == (["vip", "old"], None, "en")
    await shop.write("hi", id="SM3")
    assert "english" in (await shop.stage.api("GET", f"/conversations/{first['id']}"))["tags"]


@pytest.mark.parametrize(
    "body",
    [{"tags": ["a,b"]}, {"tags": [" "]}, {"tags": ["x" * 61]}, {"tags": [f"{n}" for n in range(51)]},
     {"tier": "x" * 61}, {"language": "Englisch"}, {"name": 7}, {"tags": "vip"}],
)  # fmt: skip
async def test_a_contact_takes_no_nonsense(shop: Shop, body: dict[str, Any]) -> None:
    """What does not fit is refused with 422 and changes nothing; who is not there is 404; a reader may not set."""
    name = (await shop.write("你好", id="SM1"))["contact"]["id"]
    contact = await shop.stage.api("GET", f"/contacts/{name}")
    await shop.stage.api("PUT", f"/contacts/{contact['id']}", body, status=422)
    await shop.stage.api("PUT", "/contacts/k0-1-0", {"tier": "x"}, status=404)
    await shop.stage.api("PUT", f"/contacts/{contact['id']}", {"tier": "x"}, token="test-token-of-a-reader", status=403)

    assert await shop.stage.api("GET", f"/contacts/{contact['id']}") == contact


async def test_the_language_stays_with_the_conversation(shop: Shop) -> None:
    """A conversation knows its latest language, and does not forget it for a word that tells less."""
    spoken = []
    for number, text in enumerate(["你好", "我想問一下", "好的", "ok", "Where is my order?"]):
        await shop.write(text, id=f"SM{number}")
        [one] = await shop.stage.conversations()
        spoken.append(one["language"])

    assert spoken == ["zh", "zh-TW", "zh-TW", "zh-TW", "en"]


async def test_feelings_are_explained(shop: Shop) -> None:
    """The trail of an angry message names the words that it was judged by."""
    one = await shop.write("客服态度太差了", id="SM1")

    assert (one["team"], one["tags"]) == ("complaints", ["angry"])
    tried = (await shop.trail(one["id"]))["explanation"]["tried"]
    [condition] = [part for each in tried if each["name"] == "angry" for part in each["condition"]["parts"][1:]]
    assert condition["value"]["label"] == "negative"
    assert condition["value"]["because"][0].startswith("太差")


async def test_routes_about_other_events(shop: Shop) -> None:
    """Whoever writes STOP is tagged by the route about it; a stranger's event opens no conversation."""
    one = await shop.write("你好", id="SM1")
    for number, address in enumerate([ADDRESS, "tel:+1999"]):
        await shop.stage.hub.recorder.record("sms", [Notice(f"N{number}", address, 1_763_763_001_000, "opt_out")])

    async def tagged() -> Any:
        now = await shop.stage.api("GET", f"/conversations/{one['id']}")
        return now if now["tags"] else None

    now = await until(tagged)
    assert (now["tags"], now["team"]) == (["opted-out"], "frontdesk")
    assert (await shop.trail(one["id"]))["explanation"]["decision"]["route"] == "unsubscribed"
    assert len(await shop.stage.conversations()) == 1


async def test_a_candidate_that_asks_for_more_is_not_guessed_at(shop: Shop) -> None:
    """A replay of rules that would have asked for an order which nobody asked for calls that undecidable."""
    await shop.write("你好", id="SM1")
    await shop.write("还没到", id="SM2", address="tel:+1999")
    text = "default: {team: frontdesk}\nroutes: [{name: lost, when: {order: {status: lost}}, set: {team: complaints}}]"
    asked = {"files": [{"name": "candidate.yaml", "text": text}], "since": "3650d"}
    ordered = await shop.stage.api("POST", "/routes/replays", asked, status=202)

    async def done() -> Any:
        state = await shop.stage.api("GET", f"/routes/replays/{ordered['id']}")
        return state if state["state"] == "done" else None

    report = (await until(done))["report"]
    assert report["undecidable"] == 1
    assert report["total"] == 2


async def test_lists_are_a_part_of_what_is_kept(shop: Shop) -> None:
    """A rollback puts a list back too, and a candidate that is posted may use the lists in use and no other file."""
    folder, words = shop.stage.folder, "# ours\n投诉\n"
    listed = ROUTES.replace("{sentiment: negative}", "{text: {any_of: {file: words/bad.txt}}}")
    (folder / "words").mkdir()
    (folder / "words" / "bad.txt").write_text(words, encoding="utf-8")
    (folder / "routes.yaml").write_text(listed, encoding="utf-8")

    async def hash_after(before: str) -> str | None:
        now = str((await shop.stage.api("GET", "/routes"))["hash"])
        return now if now != before else None

    begun = shop.stage.hub.rules.tree.hash
    first = str(await until(lambda: hash_after(begun)))
    (folder / "words" / "bad.txt").write_text("差评\n", encoding="utf-8")
    second = str(await until(lambda: hash_after(first)))
    lines = (await shop.stage.api("GET", f"/routes/diff?from={first}&to={second}"))["lines"]
    assert {"-投诉", "+差评"} <= set(lines)

    files = [{"name": "candidate.yaml", "text": listed}]
    await shop.stage.api("POST", "/routes/replays", {"files": files}, status=202)
    files[0]["text"] = listed.replace("words/bad.txt", "huiliu.yaml")
    refused = await shop.stage.api("POST", "/routes/replays", {"files": files}, status=422)
    assert "this file of words is not in use" in refused["detail"]

    await shop.stage.api("POST", "/routes/rollback", {"hash": first})
    assert (folder / "words" / "bad.txt").read_text(encoding="utf-8") == words
    assert await until(lambda: hash_after(second)) == first
    assert (await shop.write("我要投诉", id="SM1"))["team"] == "complaints"


async def test_explaining_takes_what_tools_know(shop: Shop) -> None:
    """An imagined message has an order, a contact and an event, if they are given."""
    body = {"channel": "sms", "text": "还没到", "order": {"status": "lost"}}
    assert (await shop.stage.api("POST", "/routes/explain", body))["decision"]["route"] == "lost"
    body = {"channel": "sms", "text": "还没到", "contact": {"tags": ["vip"], "tier": "gold"}}
    assert (await shop.stage.api("POST", "/routes/explain", body))["decision"]["route"] == "vip"
    body = {"channel": "sms", "event": "opt_out"}
    assert (await shop.stage.api("POST", "/routes/explain", body))["decision"]["route"] == "unsubscribed"
    assert shop.tool.asked == []
