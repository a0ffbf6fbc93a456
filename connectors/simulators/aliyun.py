"""Alibaba Cloud's side of SMS: SendSms and QuerySendDetails, limits, reports, and what people write.

It checks what the platform checks (signature, time, nonce, approved signatures and templates, variables, numbers,
limits of a number, balance), and shares nothing with the connector. `AliyunPlatform.app` is the API; people write with
`AliyunPlatform.write`, `AliyunPlatform.report` tells what became of messages, and what the hub sent is in `messages`.

Sources: help.aliyun.com, documents 2593177 (signature V3), 55284 (SendSms), 419277 (QuerySendDetails), 101346 (errors),
2881383 (limits), 44357 (templates), 101867 (SmsReport), 101847 (SmsUp).
"""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import hmac
import itertools
import json
import re
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import aiohttp
from aiohttp import web

PARAMETERS = {
    "SendSms": {"PhoneNumbers", "SignName", "TemplateCode", "TemplateParam", "SmsUpExtendCode", "OutId"},
    "QuerySendDetails": {"PhoneNumber", "BizId", "SendDate", "PageSize", "CurrentPage"},
}
SIGNED = {"host", "x-acs-action", "x-acs-content-sha256", "x-acs-date", "x-acs-signature-nonce", "x-acs-version"}
UNRESERVED = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~"
AUTHORIZATION = re.compile(r"ACS3-HMAC-SHA256 Credential=([^,]+),SignedHeaders=([^,]+),Signature=([0-9a-f]{64})")

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
LIMITS = {
    "code": ((MINUTE, 1, "分钟级"), (HOUR, 5, "小时级"), (DAY, 10, "天级")),
    "notice": ((DAY, 50, "天级"),),
}
"""How many messages of a kind of template one number gets in any time of that length (milliseconds)."""

AGAIN = (60.0, 300.0, 600.0)
"""Seconds after which a push is made again that was not answered with 200."""

LONGEST = 35
SKEW = 15 * MINUTE
BEIJING = dt.timezone(dt.timedelta(hours=8))


class Refused(Exception):
    """The API's answer to a request that it does not accept."""

    def __init__(self, code: str, message: str = "", status: int = 200) -> None:
        super().__init__(message or code)
        self.code, self.status = code, status

    def answer(self) -> web.Response:
        """Return it as the API sends it."""
        return web.json_response(
            {"Code": self.code, "Message": str(self), "RequestId": "F655A8D5-B967"}, status=self.status
        )


@dataclass(frozen=True, slots=True)
class Approved:
    """A template that was approved: its text with ${variables}, and whether it is a "notice" or a "code"."""

    text: str
    kind: str = "notice"


@dataclass(slots=True)
class Outgoing:
    """A message that the hub sent; *status* is 1 (no report yet), 2 (failed) or 3 (arrived)."""

    biz_id: str
    phone: str
    sign: str
    template: str
    content: str
    out_id: str
    at: int
    status: int = 1
    code: str = ""

    @property
    def size(self) -> int:
        """As how many messages the carrier counts it: 70 characters, or 67 in each of several."""
        length = len(self.content.encode("utf-16-le")) // 2
        return 1 if length <= 70 else -(-length // 67)


@dataclass(slots=True)
class Faults:
    """What shall go wrong. *api* are answers to the next requests, whatever they ask."""

    api: deque[Refused] = field(default_factory=deque)
    copies: int = 1
    """How often every push is made."""
    silent: int = 0
    """So many of the next messages are accepted, and the connection is cut instead of an answer."""
    unlisted: bool = False
    """The list of messages is empty, whatever was sent."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Fields that the platform adds to pushes without notice."""


class AliyunPlatform:
    """One account. *now* tells milliseconds since 1970 UTC; *callback* is the address that pushes go to.

    *sleep* is awaited, with seconds, before a push is made again.
    """

    def __init__(
        self,
        key_id: str,
        secret: str,
        callback: str = "",
        *,
        signs: Sequence[str] = ("示例商城",),
        templates: Mapping[str, Approved] | None = None,
        now: Callable[[], int] = lambda: int(time.time() * 1000),
        balance: int = 1_000_000,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
    ) -> None:
        self.callback = callback
        self.balance = balance
        self.faults = Faults()
        self.messages: list[Outgoing] = []
        self.pushed: list[tuple[bytes, int]] = []
        """Bodies of pushes with what the hub answered; status 0 means no answer."""
        self.refused: list[str] = []
        """Codes of what was not accepted."""
        self.blacklist: set[str] = set()
        self._key_id, self._secret = key_id, secret
        self._signs, self._templates = set(signs), dict(templates or {})
        self._now, self._sleep = now, sleep
        self._nonces: set[str] = set()
        self._sequence = itertools.count(1_234_567_890)
        self.app = web.Application()
        self.app.router.add_post("/", self._answer)

    async def write(self, phone: str, text: str, *, sequence: int | None = None) -> int:
        """Let *phone* write to us; return the status of the last push."""
        element = {
            "phone_number": phone,
            "content": text,
            "send_time": self._beijing(self._now()),
            "dest_code": "1234",
            "sign_name": next(iter(self._signs)),
            "sequence_id": next(self._sequence) if sequence is None else sequence,
        }
        return await self.push([element])

    async def report(self, *messages: Outgoing, code: str = "DELIVERED") -> int:
        """Tell, in one push, that *messages* arrived, or why they did not; return the status of the last push."""
        for message in messages:
            message.status, message.code = (3 if code == "DELIVERED" else 2), code
        return await self.push([self._reported(message) for message in messages])

    def _reported(self, message: Outgoing) -> dict[str, Any]:
        return {
            "phone_number": message.phone,
            "send_time": self._beijing(message.at),
            "report_time": self._beijing(self._now()),
            "success": message.status == 3,
            "err_code": message.code,
            "err_msg": "用户接收成功" if message.status == 3 else "失败",
            "sms_size": str(message.size),
            "biz_id": message.biz_id,
            "out_id": message.out_id,
        }

    async def push(self, elements: Sequence[Mapping[str, Any]]) -> int:
        """Push *elements* as often as the faults say, and again until it is taken; return the last status."""
        body = json.dumps([{**element, **self.faults.extra} for element in elements], ensure_ascii=False).encode()
        status = 0
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as http:
            for _ in range(self.faults.copies):
                for wait in (0.0, *AGAIN):
                    if wait:
                        await self._sleep(wait)
                    status = await self._try(http, body)
                    if status == 200:
                        break
        return status

    async def _try(self, http: aiohttp.ClientSession, body: bytes) -> int:
        headers = {"Content-Type": "application/json;charset=utf-8"}
        try:
            async with http.post(self.callback, data=body, headers=headers) as response:
                status, answer = response.status, await response.read()
        except (aiohttp.ClientError, OSError):
            status, answer = 0, b""
        if status == 200 and not _takes(answer):
            status = 0  # to the platform this is no answer
        self.pushed.append((body, status))
        return status

    async def _answer(self, request: web.Request) -> web.Response:
        try:
            if self.faults.api:
                raise self.faults.api.popleft()
            self._check_signature(request, await request.read())
            action = request.headers["x-acs-action"]
            fields = dict(self._pairs(request))
            if unknown := set(fields) - PARAMETERS[action]:
                raise Refused("InvalidParameter", f"unknown parameters {sorted(unknown)}", 400)
            answer = self._send(fields) if action == "SendSms" else self._details(fields)
        except Refused as refused:
            self.refused.append(refused.code)
            return refused.answer()
        if action == "SendSms" and self.faults.silent:
            self.faults.silent -= 1
            assert request.transport is not None
            request.transport.abort()
        return web.json_response({"Code": "OK", "Message": "OK", "RequestId": "F655A8D5-B967", **answer})

    def _check_signature(self, request: web.Request, body: bytes) -> None:
        """Check who calls, as "V3版本请求体&签名机制" describes it."""
        headers = request.headers
        given = AUTHORIZATION.fullmatch(headers.get("Authorization", ""))
        if given is None or headers.get("x-acs-action") not in PARAMETERS:
            raise Refused("IncompleteSignature" if given is None else "InvalidAction.NotFound", status=400)
        key_id, names, signature = given.groups()
        if key_id != self._key_id:
            raise Refused("InvalidAccessKeyId.NotFound", "Specified access key is not found.", 404)
        if headers.get("x-acs-version") != "2017-05-25":
            raise Refused("InvalidVersion", status=400)
        signed = names.split(";")
        if not set(signed) >= SIGNED or signed != sorted(signed):
            raise Refused("IncompleteSignature", status=400)
        self._check_freshness(headers)
        digest = hashlib.sha256(body).hexdigest()
        pairs = sorted((_escaped(name), _escaped(value)) for name, value in self._pairs(request))
        canonical = "\n".join(
            [
                request.method,
                request.path,
                "&".join(f"{name}={value}" for name, value in pairs),
                *(f"{name}:{headers[name].strip()}" for name in signed),
                "",
                names,
                digest,
            ]
        )
        text = "ACS3-HMAC-SHA256\n" + hashlib.sha256(canonical.encode()).hexdigest()
        expected = hmac.new(self._secret.encode(), text.encode(), hashlib.sha256).hexdigest()
        if headers["x-acs-content-sha256"] != digest or expected != signature:
            raise Refused("SignatureDoesNotMatch", "Specified signature is not matched with our calculation.", 400)
        if headers["x-acs-signature-nonce"] in self._nonces:
            raise Refused("SignatureNonceUsed", "Specified signature nonce was used already.", 400)
        self._nonces.add(headers["x-acs-signature-nonce"])

    def _check_freshness(self, headers: Mapping[str, str]) -> None:
        try:
            at = dt.datetime.strptime(headers["x-acs-date"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=dt.UTC)
        except ValueError:
            raise Refused("InvalidTimeStamp.Format", status=400) from None
        if abs(at.timestamp() * 1000 - self._now()) > SKEW:
            raise Refused("InvalidTimeStamp.Expired", "Specified time stamp or date value is expired.", 400)

    @staticmethod
    def _pairs(request: web.Request) -> list[tuple[str, str]]:
        pairs = [part.partition("=") for part in request.rel_url.raw_query_string.split("&")]
        return [(unquote(name), unquote(value)) for name, _, value in pairs]

    def _send(self, fields: Mapping[str, str]) -> dict[str, Any]:
        now, sign, code = self._now(), fields.get("SignName", ""), fields.get("TemplateCode", "")
        phone = self._phone(fields.get("PhoneNumbers", ""))
        if sign not in self._signs:
            raise Refused("isv.SMS_SIGNATURE_ILLEGAL", "该账号下找不到对应签名")
        template = self._templates.get(code)
        if template is None:
            raise Refused("isv.SMS_TEMPLATE_ILLEGAL", "模板不合法(不存在或被拉黑)")
        content = f"【{sign}】{self._filled(template, fields.get('TemplateParam', ''))}"
        if phone in self.blacklist:
            raise Refused("isv.BLACK_KEY_CONTROL_LIMIT", "手机号在免打扰名单中")
        self._check_limits(phone, sign, code, template.kind, now)
        message = Outgoing(f"{now}^{len(self.messages)}", phone, sign, code, content, fields.get("OutId", ""), now)
        if self.balance < message.size:
            raise Refused("isv.AMOUNT_NOT_ENOUGH", "账户余额不足")
        self.balance -= message.size
        self.messages.append(message)
        return {"BizId": message.biz_id}

    @staticmethod
    def _phone(given: str) -> str:
        """Return a mainland number bare, any other with its country: as reports name it."""
        bare = re.sub(r"^(\+86|0086|86|\+)?(?=1\d{10}$)", "", given)
        if re.fullmatch(r"1[3-9]\d{9}", bare):
            return bare
        if re.fullmatch(r"(00)?[1-9]\d{6,14}", given) and not given.startswith("86"):
            return given.removeprefix("00")
        raise Refused("isv.MOBILE_NUMBER_ILLEGAL", f"{given}非法手机号")

    @staticmethod
    def _filled(template: Approved, given: str) -> str:
        names = re.findall(r"\$\{(\w+)\}", template.text)
        try:
            values = json.loads(given or "{}")
        except ValueError:
            raise Refused("isv.INVALID_JSON_PARAM", "JSON参数不合法") from None
        if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
            raise Refused("isv.INVALID_JSON_PARAM", "JSON参数不合法")
        if missing := set(names) - set(values):
            raise Refused("isv.TEMPLATE_MISSING_PARAMETERS", f"模板缺少变量{sorted(missing)}")
        for name in names:
            _check_value(values[name])
        return re.sub(r"\$\{(\w+)\}", lambda found: str(values[found[1]]), template.text)

    def _check_limits(self, phone: str, sign: str, code: str, kind: str, now: int) -> None:
        """Count what went to a number: by signature for codes, by signature and template for notices."""
        same = [
            one.at
            for one in self.messages
            if (one.phone, one.sign) == (phone, sign)
            and (one.template == code if kind == "notice" else self._templates[one.template].kind == "code")
        ]
        for window, most, name in LIMITS[kind]:
            if sum(at > now - window for at in same) >= most:
                raise Refused("isv.BUSINESS_LIMIT_CONTROL", f"触发{name}流控Permits:{most}")

    def _details(self, fields: Mapping[str, str]) -> dict[str, Any]:
        size, page = int(fields["PageSize"]), int(fields["CurrentPage"])
        if not 1 <= size <= 50 or page < 1:
            raise Refused("isv.INVALID_PARAMETERS", "参数异常")
        found = [
            {
                "PhoneNum": one.phone,
                "OutId": one.out_id,
                "SendStatus": one.status,
                "ErrCode": one.code,
                "Content": one.content,
                "TemplateCode": one.template,
                "SendDate": self._beijing(one.at),
            }
            for one in reversed(self.messages)
            if one.phone == self._phone(fields["PhoneNumber"])
            and self._beijing(one.at).replace("-", "")[:8] == fields["SendDate"]
            and not self.faults.unlisted
        ]
        shown = found[size * (page - 1) : size * page]
        return {"TotalCount": str(len(found)), "SmsSendDetailDTOs": {"SmsSendDetailDTO": shown}}

    @staticmethod
    def _beijing(at: int) -> str:
        return dt.datetime.fromtimestamp(at / 1000, BEIJING).strftime("%Y-%m-%d %H:%M:%S")


def _takes(answer: bytes) -> bool:
    """Tell whether the platform takes an answer to a push: its code must be a number, of whatever value."""
    try:
        return isinstance(json.loads(answer)["code"], int)
    except (ValueError, KeyError, TypeError):
        return False


def _check_value(value: str) -> None:
    """Check what stands for a variable. Raises `Refused`."""
    if not value:
        raise Refused("isv.TEMPLATE_MISSING_PARAMETERS", "模板变量中存在未赋值变量")
    if len(value.encode("utf-16-le")) // 2 > LONGEST:
        raise Refused("isv.PARAM_LENGTH_LIMIT", "参数超出长度限制")
    if re.search(r"https?://|www\.|\b[\w-]+\.(cn|com|net)\b", value, re.IGNORECASE):
        raise Refused("isv.PARAM_NOT_SUPPORT_URL", "不支持URL")
    if any(ord(char) > 0xFFFF for char in value):
        raise Refused("isv.UNSUPPORTED_CONTENT", "短信内容包含不支持的字符")


def _escaped(text: str) -> str:
    return "".join(chr(byte) if byte in UNRESERVED else f"%{byte:02X}" for byte in text.encode())
