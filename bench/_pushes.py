"""Webhook calls as the platforms make them, signed and unique, and wrk to send them."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import itertools
import json
import random
import re
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

LENGTH = re.compile(rb"(?i)\r\nContent-Length: *([0-9]+)")
TOKEN = "token-of-the-bench"
APP_KEY, APP_SECRET = "benchkey", "secret-of-the-bench"
CHANNELS = f"""\
  shop-wechat: {{kind: wechat, app_id: wxba5fad812f8e6fb9, app_secret: s3cret-of-the-app, token: {TOKEN}}}
  shop-tiktok: {{kind: tiktok-shop, app_key: {APP_KEY}, app_secret: {APP_SECRET}, shop_cipher: cipher, access_token: t}}
"""
ROUTES = """
default: {team: frontdesk}
routes:
  - name: refund
    when: {text: {any_of: [退款, 退货]}}
    set: {team: aftersales, stage: aftersale, tags: [refund]}
  - name: delivery
    when: {text: {any_of: [发货, 物流]}}
    set: {team: orders, stage: order}
"""
TEAMS = """
teams:
  frontdesk: {name: 前台, members: [hanmeimei], assign: {strategy: manual}}
  aftersales: {name: 售后组, members: [lilei, hanmeimei], assign: {strategy: least-busy, capacity: 1000}}
  orders: {name: 订单组, members: [lilei], assign: {strategy: round-robin, capacity: 1000}}
agents:
  lilei: {name: 李雷, email: lilei@example.com}
  hanmeimei: {name: 韩梅梅, email: hanmeimei@example.com}
"""
BEGAN = 1_794_999_000
PACE = 0.001
"""Seconds between two looks at what is due to be sent."""

SENTENCES = (
    "你好，请问我上周三买的那件羽绒服什么时候可以发货？订单页面一直显示待发货，已经等了五天了，家里人急着穿，麻烦帮我看一下。",
    "收到的杯子有一个裂开了，外面的纸箱也压扁了，我拍了照片，请问是可以退款还是给我补寄一个新的？地址和电话都没有变，谢谢你们。",
    "这个型号的充电器可以给旧款的手机用吗？包装上写的是二十瓦，我的手机说明书写的是十八瓦，会不会把电池充坏，想先问清楚再下单。",
    "优惠券显示已经过期了，但是活动页面写的是到今天晚上十二点，能不能帮我恢复一下？我购物车里的东西已经选好了，就等着付款呢。",
    "好的，知道了，谢谢。那我就再等两天，如果到星期五还没有物流信息的话我再来找你们，希望到时候不用再把前面的情况重新说一遍了。",
    "尺码好像偏小，我平时穿四十码的，这双感觉要四十一码才合适，鞋子只在家里试过，没有穿出去，可以换一个大一码的吗，运费谁出？",
)
LUA = """
local calls, at = {}, 0
function init(args)
  local file = assert(io.open(args[1], 'rb'))
  while true do
    local size = file:read(8)
    if not size then break end
    calls[#calls + 1] = file:read(tonumber(size))
  end
  file:close()
end
function request()
  at = at + 1
  if at > #calls then wrk.thread:stop() end
  return calls[math.min(at, #calls)]
end
function done(summary, latency, requests)
  local errors = summary.errors
  local broken = errors.connect + errors.read + errors.write + errors.timeout
  print(string.format('{"answered": %d, "seconds": %f, "refused": %d, "broken": %d, "p50": %f, "p99": %f}',
    summary.requests, summary.duration / 1e6, errors.status, broken,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
"""


@dataclass(frozen=True, slots=True)
class Push:
    """One call: the message's id on the platform, and the whole HTTP request."""

    external_id: str
    request: bytes


@dataclass
class Shop:
    """Customers who write. Every push has a new id; *senders* customers take turns at random, and have names."""

    seed: int = 1
    senders: int = 5000
    _serial: int = 0
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def text(self) -> str:
        """Return words of a customer: 180 to 230 bytes of UTF-8."""
        return self._random.choice(SENTENCES)

    def wechat(self, customer: int | None = None, text: str = "") -> Push:
        """Return an Official Account's push in plain mode (XML; the signature lies over token, time and nonce)."""
        self._serial += 1
        serial = f"{self.seed:03}{self._serial:020}"
        who = self._random.randrange(self.senders) if customer is None else customer
        body = (
            f"<xml><ToUserName><![CDATA[gh_97417a04a28d]]></ToUserName><FromUserName><![CDATA[o9AgO5Kd5ggOC-bX{who:012}]]>"
            f"</FromUserName><CreateTime>{BEGAN + self._serial // 100}</CreateTime><MsgType><![CDATA[text]]></MsgType>"
            f"<Content><![CDATA[{text or self.text()}]]></Content><MsgId>{serial}</MsgId></xml>"
        ).encode()
        stamp, nonce = str(BEGAN + self._serial // 100), str(self._serial)
        signature = hashlib.sha1("".join(sorted((TOKEN, stamp, nonce))).encode(), usedforsecurity=False).hexdigest()
        path = (
            f"/hooks/shop-wechat?signature={signature}&timestamp={stamp}&nonce={nonce}&openid=o9AgO5Kd5ggOC-bX{who:012}"
        )
        return Push(serial, http(path, body, "text/xml"))

    def tiktok(self, customer: int | None = None, text: str = "") -> Push:
        """Return a TikTok Shop push (JSON; HMAC-SHA256 over app key and body)."""
        self._serial += 1
        serial = f"7{self.seed:03}{self._serial:015}"
        who = self._random.randrange(self.senders) if customer is None else customer
        written = BEGAN + self._serial // 100
        data = {
            "message_id": serial, "index": f"{written}{self._serial % 1000:03}", "conversation_id": f"5764{who:014}",
            "type": "TEXT", "content": json.dumps({"content": text or self.text()}, ensure_ascii=False),
            "create_time": written, "is_visible": True,
            "sender": {"im_user_id": f"7494{who:014}", "nickname": f"顾客{who:05}", "role": "BUYER"},
        }  # fmt: skip
        push = {
            "type": 14,
            "tts_notification_id": serial,
            "shop_id": "7494049642642441621",
            "timestamp": written,
            "data": data,
        }
        body = json.dumps(push, ensure_ascii=False).encode()
        signature = hmac.new(APP_SECRET.encode(), APP_KEY.encode() + body, "sha256").hexdigest()
        return Push(serial, http("/hooks/shop-tiktok", body, "application/json", f"Authorization: {signature}\r\n"))


def http(path: str, body: bytes, content_type: str, more: str = "") -> bytes:
    """Return a POST as it goes over the wire."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {content_type}\r\n{more}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


@dataclass(frozen=True, slots=True)
class Round:
    """What wrk saw: *answered* calls, of which *refused* without 200; *broken* connections; latency in ms."""

    answered: int
    seconds: float
    refused: int
    broken: int
    p50: float
    p99: float

    @property
    def taken(self) -> int:
        return self.answered - self.refused

    @property
    def rate(self) -> float:
        return self.answered / self.seconds


def fire(port: int, calls: Iterator[Push], folder: Path, *, seconds: float, connections: int, most: int) -> Round:
    """Send *calls*, of which at most *most* are prepared, over *connections* in a closed loop for *seconds*.

    Raises RuntimeError when wrk fails; when it ran out of calls the round is shorter.
    """
    lua, pool = folder / "pushes.lua", folder / "pushes"
    lua.write_text(LUA)
    with pool.open("wb") as file:
        for call in itertools.islice(calls, most):
            file.write(f"{len(call.request):08}".encode() + call.request)
    command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "10s", "-s", str(lua)]
    done = subprocess.run(
        [*command, f"http://127.0.0.1:{port}", "--", str(pool)], capture_output=True, text=True, check=False
    )
    told = [line for line in done.stdout.splitlines() if line.startswith('{"answered"')]
    if not told:
        raise RuntimeError(f"wrk failed: {done.stdout}{done.stderr}")
    return Round(**json.loads(told[0]))


class Connection(asyncio.Protocol):
    """A keep-alive connection that carries one call at a time; *free* hears that it can take the next."""

    def __init__(self, free: Callable[[Connection], None]) -> None:
        self._free = free
        self._transport: asyncio.Transport | None = None
        self._answered: Callable[[int], None] | None = None
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, _exc: Exception | None) -> None:
        """Count the call in flight as refused."""
        self._finish(0)

    def data_received(self, data: bytes) -> None:
        """Finish the call once head and body are there."""
        self._read += data
        head, end, body = self._read.partition(b"\r\n\r\n")
        length = LENGTH.search(head)
        if end and length and len(body) >= int(length[1]):
            self._read = b""
            self._finish(int(head[9:12]))

    def send(self, request: bytes, answered: Callable[[int], None]) -> None:
        """Send *request*; *answered* gets the status, 0 if the connection is lost."""
        assert self._transport is not None
        self._answered = answered
        if self._transport.is_closing():
            self._finish(0)
        else:
            self._transport.write(request)

    def _finish(self, status: int) -> None:
        answered, self._answered = self._answered, None
        if answered is not None:
            answered(status)
            self._free(self)


class Sender:
    """Sends calls over a fixed number of connections and remembers when each was answered with 200.

    It does without a task for each call: it shares a core with what is measured.
    """

    def __init__(self, port: int, connections: int) -> None:
        self._port = port
        self._connections = connections
        self._free: list[Connection] = []
        self._waiting: deque[tuple[Push, Callable[[float | None], None]]] = deque()
        self.taken: dict[str, float] = {}
        self.refused = 0

    async def open(self) -> None:
        """Connect. Raises OSError."""
        for _ in range(self._connections):
            _, one = await asyncio.get_running_loop().create_connection(
                lambda: Connection(self._next), "127.0.0.1", self._port
            )
            self._free.append(one)

    async def send(self, push: Push) -> float | None:
        """Send one call; return when it was answered with 200 (milliseconds since 1970), None if it was not."""
        answer: asyncio.Future[float | None] = asyncio.get_running_loop().create_future()
        self._send(push, answer.set_result)
        return await answer

    async def send_all(self, pushes: Iterable[Push], told: Callable[[int], None]) -> None:
        """Send *pushes* as fast as the connections carry them; *told* hears after each how many are answered."""
        source = iter(pushes)
        done = 0

        async def lane() -> None:
            nonlocal done
            for push in source:
                await self.send(push)
                done += 1
                told(done)

        await asyncio.gather(*(lane() for _ in range(self._connections)))

    async def send_paced(self, pushes: Sequence[Push], rate: float) -> None:
        """Send *rate* calls a second, whether or not earlier ones are answered (an open loop)."""
        loop = asyncio.get_running_loop()
        began, sent, left = loop.time(), 0, len(pushes)
        over = asyncio.Event()

        def answered(_at: float | None) -> None:
            nonlocal left
            left -= 1
            if not left:
                over.set()

        while sent < len(pushes):
            due = min(len(pushes), int((loop.time() - began) * rate) + 1)
            for push in pushes[sent:due]:
                self._send(push, answered)
            sent = max(sent, due)
            await asyncio.sleep(PACE)
        await over.wait()

    def _send(self, push: Push, told: Callable[[float | None], None]) -> None:
        if not self._free:
            self._waiting.append((push, told))
            return

        def answered(status: int) -> None:
            if status == 200:
                self.taken[push.external_id] = now = time.time() * 1000
                told(now)
            else:
                self.refused += 1
                told(None)

        self._free.pop().send(push.request, answered)

    def _next(self, connection: Connection) -> None:
        self._free.append(connection)
        if self._waiting:
            self._send(*self._waiting.popleft())
