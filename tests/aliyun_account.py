"""The account at Alibaba Cloud that tests use."""

from __future__ import annotations

from typing import Any

from aiohttp import ClientSession

from connectors.aliyun import AliyunSms
from connectors.aliyun_options import AliyunOptions
from connectors.simulators.aliyun import Approved
from connectors.testing import kit

KEY_ID = "LTAI-example-key"
SECRET = "a-secret-of-the-key"
SIGN = "示例商城"
PATH = "p4th-that-nobody-guesses"
REPLY = "SMS_123456789"
NOTICE = "SMS_987654321"
CODE = "SMS_111111111"
APPROVED = {
    REPLY: Approved("您好，客服回复：${content}，如有疑问请直接回复本短信。"),
    NOTICE: Approved("您的订单${order}已发货，单号${tracking}。"),
    CODE: Approved("您的验证码是${content}，五分钟内有效。", "code"),
}
BUYER = "13800138000"
ADDRESS = f"tel:+86{BUYER}"


def options(**changes: Any) -> dict[str, Any]:
    """Return options as in YAML."""
    given = {
        "access_key_id": KEY_ID,
        "access_key_secret": SECRET,
        "sign_name": SIGN,
        "secret_path": PATH,
        "reply_template": {"code": REPLY, "parameter": "content"},
        **changes,
    }
    return {name: value for name, value in given.items() if value is not None}


def connector(http: ClientSession | None = None, **changes: Any) -> AliyunSms:
    """Return a connector of the channel "test"."""
    return AliyunSms(AliyunOptions.model_validate(options(**changes)), kit(http=http))
