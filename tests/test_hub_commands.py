"""Every command of the terminal, as a process of its own, on a hub that runs as one."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from typer.testing import CliRunner

import hub
from tests import stores
from tests.hubs import TEAMS, configuration, write
from tests.processes import HubProcess, wait_for

ENVIRON = {
    **{name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "HUILIU"))},
    "LANG": "en_US.UTF-8",
}
CHANNELS = """  site-chat: {kind: webchat}
  shop-wechat: {kind: wechat, app_id: wxba5fad812f8e6fb9, app_secret: s3cret, token: pushtoken, required: false}
"""
ROUTES = """
default: {team: frontdesk}
routes:
  - name: refund
    when: {text: {any_of: [退款]}}
    set: {team: aftersales, tags: [refund]}
tests:
  - {name: a refund, message: {channel: site-chat, text: 我要退款}, expect: {team: aftersales, route: refund}}
"""
FINE, NO, CANNOT_TELL = 0, 1, 2


@dataclass
class Done:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Shop:
    """A folder with a configuration, the hub that runs on it, and one customer's conversation."""

    folder: Path
    hub: HubProcess
    conversation: str = ""
    message: str = ""

    def run(self, *arguments: str, folder: Path | None = None, typed: str = "", **environ: str) -> Done:
        """Run a command in the shop's folder, within this process."""
        with contextlib.chdir(folder or self.folder), pytest.MonkeyPatch.context() as patch:
            for name in ("HUILIU_API_TOKEN", "HUILIU_CONFIG", "LC_ALL", "LC_MESSAGES", "LANG"):
                patch.delenv(name, raising=False)
            for name, value in {"LANG": "en_US.UTF-8", **environ}.items():
                patch.setenv(name, value)
            done = CliRunner().invoke(hub.command_line(), hub.hoisted(list(arguments)), input=typed)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return Done(done.exit_code, done.stdout, done.stderr)

    def process(self, *arguments: str) -> Done:
        """Run a command in the shop's folder, as a process of its own."""
        command = [sys.executable, "-P", "-m", "hub", *arguments]
        done = subprocess.run(command, cwd=self.folder, env=ENVIRON, capture_output=True, timeout=60, check=False)
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())

    def until(self, *arguments: str, holds: str) -> Done:
        """Run a command until what it prints matches *holds*."""
        last: list[Done] = []

        def matches() -> bool:
            last.append(self.run(*arguments))
            return re.search(holds, last[-1].out) is not None

        try:
            wait_for(matches, f"{arguments} to print {holds}", 30)
        except AssertionError as error:
            raise AssertionError(f"{error}; the last time: {last[-1]}") from None
        return last[-1]


async def visit(base: str, texts: list[str]) -> None:
    """Write to the hub as a visitor of its chat page."""
    async with aiohttp.ClientSession() as http:
        async with http.post(f"{base}/chat/site-chat/hello", json={}) as response:
            token = (await response.json())["token"]
        for number, text in enumerate(texts):
            frame = {"type": "message", "id": f"client-{number}", "text": text}
            headers = {"Authorization": f"Bearer {token}"}
            async with http.post(f"{base}/chat/site-chat/frames", json=frame, headers=headers) as response:
                assert response.status == 200, await response.text()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("shop")
    port = stores.free_port()
    config = write(folder, configuration(CHANNELS, port=port, more=TEAMS), routes=ROUTES)
    shop = Shop(folder, HubProcess(config, port))
    shop.hub.start()
    try:
        wait_for(lambda: "huiliu: http" in shop.hub.log.read_text() or not shop.hub.alive, "the hub", 60)
        assert shop.hub.alive, shop.hub.log.read_text()
        asyncio.run(visit(shop.hub.base, ["我要退款\x1b[31m", "在吗"]))
        found = shop.until("conversations", "--json", holds=r'"messages": 2').json["items"]
        shop.conversation = found[0]["id"]
        shown = shop.run("show", shop.conversation, "--json").json["messages"]
        shop.message = next(one["id"] for one in shown if one["text"].startswith("我要"))
        yield shop
    finally:
        shop.hub.stop()


def test_conversations(shop: Shop) -> None:
    """Lists line up in columns, filters narrow them, and a list of nothing is fine."""
    done = shop.run("conversations")
    assert FINE == done.code
    head, row = done.out.splitlines()
    assert head.split()[:3] == ["id", "status", "channel"]
    assert row.split()[:3] == [shop.conversation, "open", "site-chat"]
    assert "aftersales" in row
    assert [] == shop.run("conversations", "--team", "frontdesk", "--json").json["items"]


def test_showing_a_conversation(shop: Shop) -> None:
    """Everything that was said stands there oldest first, and nothing that a terminal would obey."""
    done = shop.run("show", shop.conversation)
    assert FINE == done.code
    assert "\x1b" not in done.out
    assert done.out.index("我要退款") < done.out.index("在吗")
    assert shop.conversation in done.out.splitlines()[0]


def test_a_reply_goes_out(shop: Shop) -> None:
    """The command prints the delivery, and with a client id the same one again."""
    done = shop.run("reply", shop.conversation, "好的", "--client-id", "a1")
    assert FINE == done.code
    delivery = done.out.split()[0]
    again = shop.run("reply", shop.conversation, "好的", "--client-id", "a1", "--json")
    assert delivery == again.json["delivery"]["id"]
    shop.until("outbox", "show", delivery, holds=r'"state": "(sent|delivered)"')
    assert f"[{'sent'}]" in shop.run("show", shop.conversation).out.replace("delivered", "sent")


def test_channels(shop: Shop) -> None:
    """Every channel with its state and what came by it."""
    done = shop.until("channels", "--json", holds=r'"recorded": 2')
    assert FINE == done.code
    chat = next(one for one in done.json["items"] if one["id"] == "site-chat")
    assert ("up", 2) == (chat["state"], chat["counts"]["received"])
    assert "site-chat" in shop.run("channels").out


PROCESSES = [
    (("conversations",), FINE, "site-chat"),
    (("show", "{conversation}"), FINE, "在吗"),
    (("reply", "{conversation}", "您好"), FINE, "queued"),
    (("channels",), FINE, "site-chat"),
    (("outbox", "list"), FINE, "attempts"),
    (("dead", "list"), FINE, "attempts"),
    (("shunted", "list"), FINE, "bytes"),
    (("shunted", "show", "s1-abc"), NO, "no such shunted payload"),
    (("routes", "show"), FINE, "refund"),
    (("routes", "test", "-c", "huiliu.yaml"), FINE, ""),
    (("routes", "explain", "--channel", "site-chat", "--text", "我要退款"), FINE, "aftersales"),
    (("routes", "explain", "--message", "{message}"), FINE, "refund"),
    (("routes", "history"), FINE, "start"),
    (("routes", "replay", "routes.yaml"), FINE, "0 moved"),
    (("routes", "shadow"), FINE, "shadow:"),
    (("routes", "diff", "ffff0000"), NO, "no such rule set"),
    (("routes", "rollback", "ffff0000"), NO, "no such rule set"),
    (("check",), FINE, "huiliu.yaml"),
    (("schema",), FINE, "$defs"),
    (("doctor",), FINE, "fine"),
    (("-c", "nothing.yaml", "channels"), CANNOT_TELL, "nothing.yaml:1:1"),
    (("nonsense",), CANNOT_TELL, "No such command"),
]


@pytest.fixture(scope="module")
def processes(shop: Shop) -> list[Done]:
    """How every one of `PROCESSES` ended; they run side by side, as starting Python is what takes the time."""
    names = {"conversation": shop.conversation, "message": shop.message}
    commands = [[word.format(**names) for word in arguments] for arguments, _, _ in PROCESSES]
    with ThreadPoolExecutor(3) as pool:
        return list(pool.map(lambda command: shop.process(*command), commands))


@pytest.mark.parametrize("number", range(len(PROCESSES)), ids=[" ".join(one[0][:2]) for one in PROCESSES])
def test_every_command_as_a_process(processes: list[Done], number: int) -> None:
    """What an admin types ends with the right code and says what it is about, without a traceback."""
    _, code, words = PROCESSES[number]
    done = processes[number]
    assert (code, True) == (done.code, words in done.out + done.err), done
    assert "Traceback" not in done.err


LISTS = [("outbox", "list"), ("dead", "list"), ("shunted", "list")]


@pytest.mark.parametrize("arguments", LISTS, ids=" ".join)
def test_lists_of_what_needs_somebody(shop: Shop, arguments: tuple[str, ...]) -> None:
    """What is owed, dead or shunted: a table with a head, or JSON."""
    done = shop.run(*arguments, LANG="en")
    assert (FINE, "id") == (done.code, done.out.split()[0])
    assert {"items", "next"} == set(shop.run(*arguments, "--json").json)


IN_CHINESE = [
    ("outbox", "list"), ("dead", "list"), ("contact", "list"), ("survey", "list"), ("templates", "list"),
    ("campaign", "list"), ("webhooks", "list"), ("routes", "history"),
]  # fmt: skip


@pytest.mark.parametrize("arguments", IN_CHINESE, ids=" ".join)
def test_heads_of_tables_are_in_chinese(shop: Shop, arguments: tuple[str, ...]) -> None:
    """Who reads Chinese has every head of a table in Chinese, who reads English in English."""
    head, english = [shop.run(*arguments, LANG=one).out.splitlines()[0] for one in ("zh_CN.UTF-8", "en_US.UTF-8")]
    assert re.fullmatch(r"[\u4e00-\u9fff ]+", head), head
    assert english.isascii()
    assert len(head.split()) <= len(english.split())


MISTAKES = [
    (("routes", "explain", "--channel", "site-chat", "--text", "x", "--at", "sometime"), "--at: 'sometime' 不是时间；"),
    (("routes", "explain", "--channel", "site-chta"), "没有渠道 'site-chta'；现有渠道：site-chat, shop-wechat"),
    (("routes", "explain"), "请指明渠道："),
    (("routes", "replay", "routes.yaml", "--since", "soon"), "--since: soon 不是时长；应为 "),
    (("routes", "replay", "missing.yaml"), "missing.yaml:1:1: 无法读取文件（文件不存在）\n"),
    (("reply", "c1-1-1", "x", "--at", "soon"), "--at soon：应为 2026-11-21T09:30 这样的时间\n"),
    (("reply", "c1-1-1", "x", "--var", "a"), "--var a：应为 名称=值\n"),
    (("campaign", "preview", "missing.yaml"), "missing.yaml:1:1: 无法读取文件（文件不存在）\n"),
    (("contact", "import", "missing.csv"), "无法读取 missing.csv：文件不存在\n"),
    (("survey", "send", "csat", "--list", "missing.csv"), "missing.csv：无法读取\n"),
]


@pytest.mark.parametrize(("arguments", "words"), MISTAKES, ids=[" ".join(one[-2:]) for one, _ in MISTAKES])
def test_mistakes_at_the_terminal_are_told_in_chinese(shop: Shop, arguments: tuple[str, ...], words: str) -> None:
    """What cannot be understood or read ends with 2, in the one language of whoever typed it."""
    done = shop.run(*arguments, LANG="zh_CN.UTF-8")
    assert (CANNOT_TELL, "") == (done.code, done.out)
    assert done.err.startswith(words)


def test_an_action_is_told_to_scripts(shop: Shop) -> None:
    """After an action `--json` prints the hub's answer, and `show` takes the option although it prints nothing else."""
    tomorrow = (dt.datetime.now(dt.UTC) + dt.timedelta(days=1)).isoformat()
    delivery = shop.run("reply", shop.conversation, "以后再说", "--at", tomorrow, "--json").json["delivery"]["id"]
    assert delivery == shop.run("outbox", "show", delivery, "--json").json["id"]
    called_back = shop.run("outbox", "cancel", delivery, "--json")
    assert (FINE, delivery) == (called_back.code, called_back.json["id"])
    for arguments in (("outbox", "retry"), ("outbox", "confirm"), ("dead", "retry"), ("dead", "drop")):
        refused = shop.run(*arguments, "d1-abc", "--json")
        assert (NO, "") == (refused.code, refused.out), arguments
    assert shop.run("webhooks", "secret", "--json").json["secret"].startswith("whsec_")


def test_a_reply_that_cannot_go_is_told_in_one_language(shop: Shop) -> None:
    """What stands in the way is said in the language of the terminal, whichever the hub's is."""
    for language, words in (("en_US.UTF-8", "The reply would not go: "), ("zh_CN.UTF-8", "回复发不出去：")):
        done = shop.run("reply", shop.conversation, " \u200b ", LANG=language)
        assert (NO, "") == (done.code, done.out), done
        assert done.err.startswith(words), done
        assert ("en" in language) == done.err.isascii(), done


def test_dead_letters_from_end_to_end(shop: Shop) -> None:
    """A reply that the channel will not take is dead with its reason; it is retried, and dropped for good."""
    text = "x" * 60_000  # cut into pieces by the outbox: none is refused
    done = shop.run("reply", shop.conversation, text, "--json")
    assert FINE == done.code
    delivery = done.json["delivery"]["id"]
    shop.until("outbox", "show", delivery, holds=r'"state": "(sent|delivered)"')
    for arguments in (("dead", "retry", delivery), ("dead", "drop", delivery), ("outbox", "cancel", delivery)):
        refused = shop.run(*arguments)
        assert NO == refused.code
        assert "That makes no sense now" in refused.err


def test_shunted_payloads_from_end_to_end(shop: Shop) -> None:
    """What came as rubbish is listed, shown, refused when replayed, and dropped."""
    asyncio.run(rubbish(shop.hub.base))
    [one] = shop.until("shunted", "list", "--json", holds=r'"id"').json["items"]
    assert "shop-wechat" == one["channel"]
    assert "<xml>rubbish" in shop.run("shunted", "show", one["id"]).json["raw"]
    replayed = shop.run("shunted", "replay", one["id"])
    assert (NO, "") == (replayed.code, replayed.out)
    assert "still cannot be understood" in replayed.err
    assert NO == shop.run("shunted", "replay", one["id"], "--json").code
    assert one["id"] == shop.run("shunted", "show", one["id"], "--json").json["id"]
    assert {"id": one["id"], "state": "dropped"} == shop.run("shunted", "drop", one["id"], "--json").json
    assert NO == shop.run("shunted", "drop", one["id"]).code


def test_people_from_end_to_end(shop: Shop) -> None:
    """Somebody is added with a link or a password that is typed, changed, locked out, let in, and forgotten."""
    made = shop.run("people", "add", "boss", "--role", "admin", "--name", "老板", "--login", "boss@example.com")
    assert FINE == made.code
    assert re.search(r"/console/#welcome=[\w-]{43}\n", made.out)
    assert (NO, "") == (shop.run("people", "add", "boss").code, shop.run("people", "add", "boss").out)
    assert "no password yet" in shop.run("people", "list", LANG="en").out
    assert "尚未设置密码" in shop.run("people", "list", LANG="zh_CN.UTF-8").out
    weak = shop.run("people", "password", "boss", "--type", typed="boss\n")
    assert (NO, True) == (weak.code, "That is no good password" in weak.err)
    done = shop.run("people", "password", "boss", "--type", typed="correct horse battery staple\n", LANG="en")
    assert (FINE, "boss: ready\n") == (done.code, done.out)
    assert asyncio.run(enter(shop.hub.base, "boss")) == 200
    assert 1 == len(shop.run("people", "sessions", "boss", "--json").json["items"])
    assert "1 sessions ended\n" == shop.run("people", "revoke", "boss", LANG="en").out
    assert "supervisor" == shop.run("people", "change", "boss", "--role", "supervisor", "--forget-totp").json["role"]
    assert "boss: disabled\n" == shop.run("people", "disable", "boss", LANG="en").out
    assert asyncio.run(enter(shop.hub.base, "boss")) == 401
    assert "boss: ready\n" == shop.run("people", "disable", "boss", "--undo", LANG="en").out
    assert asyncio.run(enter(shop.hub.base, "boss")) == 200
    assert shop.run("people", "disable", "boss", "--json").json["disabled"]
    assert shop.run("people", "revoke", "boss", "--json").json["ended"] >= 0
    assert {"state": "dropped"}.items() <= shop.run("people", "remove", "boss", "--json").json.items()
    assert NO == shop.run("people", "remove", "boss").code


async def enter(base: str, name: str) -> int:
    """Sign somebody in; return the status."""
    body = {"name": name, "password": "correct horse battery staple"}
    async with aiohttp.ClientSession() as http, http.post(f"{base}/api/v1/session", json=body) as response:
        return response.status


async def rubbish(base: str) -> None:
    """Push what has the right signature and is no message."""
    stamp, nonce = str(int(time.time())), "n"
    signature = hashlib.sha1("".join(sorted(("pushtoken", stamp, nonce))).encode()).hexdigest()
    url = f"{base}/hooks/shop-wechat?signature={signature}&timestamp={stamp}&nonce={nonce}"
    async with aiohttp.ClientSession() as http, http.post(url, data=b"<xml>rubbish") as response:
        assert response.status == 200


def test_the_routes_as_they_are(shop: Shop) -> None:
    """The tree is drawn, its tests are run, and a message that nobody sent is explained, without a hub."""
    assert "refund" in shop.run("routes", "show").out
    assert shop.run("routes", "show", "--json").json
    tested = shop.run("routes", "test")
    assert FINE == tested.code
    assert "a refund" in tested.out or "1" in tested.out
    explained = shop.run("routes", "explain", "--channel", "site-chat", "--text", "我要退款", "--json")
    assert (FINE, "aftersales") == (explained.code, explained.json["decision"]["team"])
    unknown = shop.run("routes", "explain", "--channel", "site-chta", "--text", "x", LANG="en")
    assert CANNOT_TELL == unknown.code
    assert "did you mean site-chat?" in unknown.err


def test_why_a_stored_message_went_where_it_went(shop: Shop) -> None:
    """A message's id gives the decision about it, from the running hub."""
    told = shop.run("routes", "explain", "--message", shop.message)
    assert (FINE, True) == (told.code, "refund" in told.out)
    [decision] = shop.run("routes", "explain", "--message", shop.message, "--json").json["items"]
    assert ("refund", shop.message) == (decision["route"], decision["message"])
    assert NO == shop.run("routes", "explain", "--message", "m1-1-1").code


CANDIDATE = ROUTES.replace("[退款]", "[退货]").partition("tests:")[0]


def test_stored_messages_through_other_routes(shop: Shop, tmp_path: Path) -> None:
    """Replay counts what would change, shows how far it is on the other stream, and quotes only where it is asked."""
    (tmp_path / "new.yaml").write_text(CANDIDATE, encoding="utf-8")
    done = shop.run("routes", "replay", str(tmp_path / "new.yaml"), "--quotes", LANG="en")
    assert FINE == done.code, done
    assert "2 messages: 0 moved, 1 unchanged, 1 unrouted, 0 undecidable" in done.out
    assert "refund (aftersales) → default (frontdesk): team, tags" in done.out
    assert f"{shop.message}  “我要退款 [31m”" in done.out
    assert "replay: 100 %, 2 messages" in done.err
    assert "我要退款" not in shop.run("routes", "replay", str(tmp_path / "new.yaml"), LANG="en").out
    told = shop.run("routes", "replay", str(tmp_path / "new.yaml"), "--since", "1d", "--json").json
    assert (2, 1, 2) == (told["total"], told["newly_unrouted"], told["reproduced"])
    assert [shop.message] == told["moves"][0]["examples"]
    chinese = shop.run("routes", "replay", str(tmp_path / "new.yaml"), LANG="zh_CN.UTF-8")
    assert "共 2 条消息：0 条改变，1 条不变，1 条没有规则，0 条无法判断" in chinese.out


def test_a_replay_that_makes_no_sense(shop: Shop, tmp_path: Path) -> None:
    """Faults of the candidate are told like any other, exit 1; a duration that is none, no file or no store: 2."""
    (tmp_path / "new.yaml").write_text(CANDIDATE.replace("aftersales", "aftersale"), encoding="utf-8")
    done = shop.run("routes", "replay", str(tmp_path / "new.yaml"), LANG="en")
    assert NO == done.code
    assert re.search(r"new\.yaml:\d+:\d+: .*did you mean aftersales\?", done.err)
    assert CANNOT_TELL == shop.run("routes", "replay", "routes.yaml", "--since", "soon", LANG="en").code
    done = shop.run("routes", "replay", "missing.yaml", LANG="en")
    assert (CANNOT_TELL, True) == (done.code, "missing.yaml:1:1: the file cannot be read" in done.err)
    write(tmp_path, configuration(CHANNELS), routes=ROUTES)
    done = shop.run("routes", "replay", "routes.yaml", folder=tmp_path, LANG="en")
    assert (CANNOT_TELL, True) == (done.code, "no hub runs its store" in done.err)
    chinese = shop.run("routes", "replay", "routes.yaml", folder=tmp_path, LANG="zh_CN.UTF-8")
    assert re.fullmatch("无法读取存储：.* 里没有正在运行的汇流存储\n", chinese.err)


def test_back_to_earlier_routes(shop: Shop) -> None:
    """History, difference and rollback: the file is as it was, in use, and what it was is beside it."""
    [first] = shop.run("routes", "history", "--json").json["items"]
    routes = shop.folder / "routes.yaml"
    routes.write_text(CANDIDATE, encoding="utf-8")
    shop.until("routes", "history", holds=r"reload .*in use")
    assert "-    when: {text: {any_of: [退款]}}" in shop.run("routes", "diff", first["hash"][:8]).out.splitlines()
    assert FINE == shop.run("routes", "diff", first["hash"], first["hash"], "--json").code

    done = shop.run("routes", "rollback", first["hash"][:8], LANG="en")
    assert FINE == done.code, done
    assert f"in use: {first['hash'][:12]}" in done.out
    assert ROUTES == routes.read_text(encoding="utf-8")
    [copy] = shop.folder.glob("routes.yaml.*.bak")
    assert CANDIDATE == copy.read_text(encoding="utf-8")
    newest = shop.run("routes", "history", "--json").json["items"][0]
    assert ("rollback", "cli") == (newest["how"], newest["by"])
    again = shop.run("routes", "rollback", first["hash"], LANG="en")
    assert (FINE, True) == (again.code, "say that already" in again.out)


def test_a_broken_file_is_told_everywhere(shop: Shop) -> None:
    """Routes whose own test fails are told by channels and doctor; the earlier set brings the file back."""
    [first, *_] = shop.run("routes", "history", "--json").json["items"]
    routes = shop.folder / "routes.yaml"
    routes.write_text(ROUTES.replace("text: 我要退款}", "text: 你好}"), encoding="utf-8")
    shop.until("channels", "--json", holds=r'"faults": \[\s*"')
    told = shop.run("channels")
    assert FINE == told.code
    assert re.search(r'routes\.yaml:\d+:\d+: .*test "a refund" fails', told.err)
    done = shop.run("doctor")
    assert (NO, True) == (done.code, "the hub does not use the files as they are" in done.out)
    assert FINE == shop.run("routes", "rollback", first["hash"], LANG="en").code
    assert ROUTES == routes.read_text(encoding="utf-8")
    shop.until("channels", "--json", holds=r'"faults": \[\]')


def test_routes_that_break_their_own_tests(shop: Shop, tmp_path: Path) -> None:
    """A route file whose examples do not hold ends with 1 and shows what was expected and what came."""
    write(tmp_path, configuration(CHANNELS), routes=ROUTES.replace("team: aftersales, route", "team: frontdesk, route"))
    done = shop.run("routes", "test", folder=tmp_path)
    assert NO == done.code
    assert "frontdesk" in done.out
    assert "aftersales" in done.out


def test_a_fresh_start(shop: Shop, tmp_path: Path) -> None:
    """Init writes files that check and doctor find fine; a second init overwrites nothing; check names a fault."""
    assert FINE == shop.run("init", folder=tmp_path).code
    assert FINE == shop.run("check", folder=tmp_path).code
    assert NO == shop.run("init", folder=tmp_path).code
    doctor = shop.run("doctor", "--json", folder=tmp_path)
    assert FINE == doctor.code, doctor
    assert [] == [one for one in doctor.json if one["level"] == "refuse"]
    config = tmp_path / "huiliu.yaml"
    config.write_text(config.read_text(encoding="utf-8") + "\nsurprise: 1\n", encoding="utf-8")
    for command in ("check", "doctor"):
        done = shop.run(command, folder=tmp_path)
        assert NO == done.code, (command, done)
        assert re.search(r"huiliu\.yaml:\d+:\d+: surprise", done.out + done.err), (command, done)


def test_a_start_under_another_name(shop: Shop, tmp_path: Path) -> None:
    """Init writes the configuration that -c names, here or in a directory, and what it needs beside it."""
    made = shop.run("-c", "my.yaml", "init", folder=tmp_path)
    assert (FINE, True) == (made.code, "Next: huiliu -c my.yaml check, then huiliu -c my.yaml run" in made.out)
    assert {"my.yaml", "routes.yaml", "templates.yaml", "surveys.yaml", "ops.token"} == {
        one.name for one in tmp_path.iterdir()
    }
    assert FINE == shop.run("-c", "my.yaml", "check", folder=tmp_path).code
    assert FINE == shop.run("-c", "my.yaml", "init", "deep", folder=tmp_path).code
    assert (tmp_path / "deep" / "my.yaml").exists()


def test_a_start_for_a_script(shop: Shop, tmp_path: Path) -> None:
    """With --json, init prints what it wrote, or why it wrote nothing; the exit codes are the same."""
    made = shop.run("init", "--json", folder=tmp_path)
    assert (FINE, "huiliu.yaml") == (made.code, made.json["written"][0])
    again = shop.run("init", "--json", folder=tmp_path)
    assert (NO, "exists") == (again.code, again.json["fault"])
    assert again.json["message"] in again.err


def test_schemas(shop: Shop) -> None:
    """A JSON Schema for each sort of file, with or without --json; an unknown sort is told."""
    assert "channels" in shop.run("schema").json["properties"]
    assert shop.run("schema", "--json").out == shop.run("schema").out
    assert shop.run("schema", "routes").json
    assert CANNOT_TELL == shop.run("schema", "nothing").code


NOBODY = [
    ("conversations",), ("show", "c1-1-1"), ("reply", "c1-1-1", "x"), ("channels",), ("outbox", "list"),
    ("dead", "list"), ("shunted", "list"), ("routes", "explain", "--message", "m1-1-1"), ("routes", "history"),
    ("routes", "diff", "ffff"), ("routes", "rollback", "ffff"), ("routes", "shadow"),
]  # fmt: skip


def test_without_a_hub_commands_cannot_tell(shop: Shop, tmp_path: Path) -> None:
    """No hub, or one that does not know us: exit 2 with a sentence and no traceback."""
    write(tmp_path, configuration(CHANNELS, port=9), routes=ROUTES)
    for arguments in NOBODY:
        done = shop.run(*arguments, folder=tmp_path)
        assert (CANNOT_TELL, "") == (done.code, done.out), (arguments, done)
        assert done.err.startswith("no hub has run with this configuration")
    done = shop.run("conversations", folder=tmp_path, HUILIU_API_TOKEN="x")
    assert (CANNOT_TELL, True) == (done.code, "no hub answers" in done.err)
    done = shop.run("conversations", HUILIU_API_TOKEN="wrong")
    assert (CANNOT_TELL, True) == (done.code, "does not know this token" in done.err)


REFUSED = [
    (("show", "c1-1-1"), "no such conversation"),
    (("show", "nonsense"), "no such thing"),
    (("reply", "c1-1-1", "x"), "no such conversation"),
    (("outbox", "show", "d1-abc"), "no such delivery"),
    (("outbox", "retry", "d1-abc"), "no such delivery"),
    (("conversations", "--status", "new"), "status must be one of"),
    (("conversations", "--limit", "1000"), "limit must be"),
]


def test_what_the_hub_refuses_is_told(shop: Shop) -> None:
    """Exit 1 with the hub's own reason."""
    for arguments, reason in REFUSED:
        done = shop.run(*arguments)
        assert (NO, "") == (done.code, done.out), (arguments, done)
        assert reason in done.err, (arguments, done)


CHINESE = [
    (("conversations",), "编号"),
    (("channels",), "最近事件"),
    (("shunted", "list"), "字节"),
    (("doctor",), "没有问题"),
    (("show", "c1-1-1"), "没有这个会话：c1-1-1"),
    (("show", "nonsense"), "没有这个编号：'nonsense' 不是会话编号"),
    (("conversations", "--limit", "1000"), "参数不对：limit 应为 1 到 200 的数字"),
    (("-c", "nope.yaml", "run"), "nope.yaml:1:1: 无法读取文件（文件不存在）"),
    (("-c", "nope.yaml", "channels"), "nope.yaml:1:1: 无法读取文件（文件不存在）"),
    (("check", "--ignore", "hidden-rout"), "没有检查项 'hidden-rout'（是不是 hidden-route？）"),
]


@pytest.mark.parametrize(("arguments", "words"), CHINESE, ids=[" ".join(one) for one, _ in CHINESE])
def test_messages_in_chinese(shop: Shop, arguments: tuple[str, ...], words: str) -> None:
    """Tables, refusals of the hub, and what is wrong with a file are told in the language of the terminal."""
    done = shop.run(*arguments, LANG="zh_CN.UTF-8")
    assert words in done.out + done.err


def test_no_hub_in_chinese(shop: Shop, tmp_path: Path) -> None:
    """That no hub has run or answers here is told in the language of the terminal."""
    write(tmp_path, configuration(CHANNELS, port=9), routes=ROUTES)
    told = shop.run("channels", folder=tmp_path, LANG="zh_CN.UTF-8")
    assert (CANNOT_TELL, "本机没有以此配置运行过汇流\n") == (told.code, told.err)
    told = shop.run("channels", folder=tmp_path, LANG="zh_CN.UTF-8", HUILIU_API_TOKEN="x")
    assert (CANNOT_TELL, "http://127.0.0.1:9 没有汇流应答\n") == (told.code, told.err)


@pytest.mark.parametrize(
    "arguments", [("channels",), ("run",), ("doctor",), ("routes", "show"), ("check",)], ids=" ".join
)
def test_a_configuration_that_cannot_be_read(shop: Shop, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """It is neither good nor bad: every command ends with 2; one that has faults ends with 1."""
    assert CANNOT_TELL == shop.run("-c", "nope.yaml", *arguments, folder=tmp_path).code
    (tmp_path / "bad.yaml").write_text("http: 5\n", encoding="utf-8")
    assert NO == shop.run("-c", "bad.yaml", *arguments, folder=tmp_path).code


def test_an_id_cannot_lead_elsewhere(shop: Shop) -> None:
    """What is given as an id stays a part of the path that it belongs to."""
    for name in ("../teams", "x?limit=1", "a/b", "#", "%2e%2e"):
        assert NO == shop.run("show", name).code, name


LATER = {
    "aioimaplib", "aiosmtplib", "connectors.aliyun", "connectors.mail", "connectors.simulators", "connectors.tiktok",
    "connectors.twilio", "connectors.webchat", "connectors.wechat", "nh3", "phonenumbers", "pytest", "structlog",
    "wechatpy",
}  # fmt: skip


def test_commands_start_without_what_they_do_not_need(shop: Shop) -> None:
    """No connector, no platform's library and no logging is loaded before something asks for it."""
    code = "import sys, hub; hub.command_line(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env=ENVIRON, capture_output=True, check=True, cwd=shop.folder)
    assert set() == LATER & set(done.stdout.decode().split())


def test_help_is_in_two_languages(shop: Shop) -> None:
    """Every command is told in English and Chinese."""
    text = shop.process("--help").out
    for name in ("run", "init", "check", "schema", "doctor", "conversations", "show", "reply", "channels", "routes"):
        assert re.search(rf"│ {name} .*[\u4e00-\u9fff]", text), name


def test_the_daemon_ends_in_order(shop: Shop) -> None:
    """At the end of all commands the hub's log holds no error and no traceback, but for the file that was bad."""
    assert [] == shop.hub.faults("the configuration is not taken into use")
