"""What Alibaba Cloud's short message service says no with, and what may be done about it.

Sources: help.aliyun.com, documents 101346 (errors of the API), 101347 (errors in reports) and 2881383 (limits of
sending). The platform's message is read for the kind of limit alone and never passed on: it may name a number.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from connectors.base import BadOptions, Rejected, SendError, Throttled, Uncertain, Unreachable


class Code(NamedTuple):
    """What a code means to us."""

    error: type[SendError]
    meaning: str


MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0

WINDOWS = (("分钟级", MINUTE), ("小时级", HOUR), ("天级", DAY))
"""What the message of a limit names, and for how long the platform counts then, in seconds.

A day is any 24 hours. A wait as long as the window surely ends it; of a day a quarter is tried, for it may end sooner.
"""

CROWDED = 30.0
"""Seconds to wait when too many calls were made."""

LIMIT = "isv.BUSINESS_LIMIT_CONTROL"
DAY_LIMIT = "isv.DAY_LIMIT_CONTROL"
GONE = Code(Rejected, "the recipient has opted out or is on a blacklist")
SIGNATURE = Code(BadOptions, "the signature is not approved")
TEMPLATE = Code(BadOptions, "the template is not approved")
PARAMETERS = Code(Rejected, "the template's variables do not fit it")
WORDS = Code(Rejected, "the text holds what may not be sent")
LINK = Code(Rejected, "a template's variable may not hold a link")
NUMBER = Code(Rejected, "the recipient's number is not valid")
CREDENTIALS = Code(BadOptions, "the credentials are refused")
PERMISSION = Code(BadOptions, "the account may not send")
MONEY = Code(BadOptions, "the balance does not suffice")
SERVICE = Code(BadOptions, "the service is not activated or the account is suspended")
QUOTA = "the account's own limit of messages is reached"
BUSY = Code(Unreachable, "the platform's own fault; it asks to call again")
CLOCK = Code(Unreachable, "the clock of this machine is wrong")
TWICE = Code(Uncertain, "the platform had this very call before")

CODES: Mapping[str, Code] = {
    "InvalidAccessKeyId": CREDENTIALS,
    "InvalidAccessKeyId.NotFound": CREDENTIALS,
    "InvalidAccessKeyId.Inactive": CREDENTIALS,
    "MissingAccessKeyId": CREDENTIALS,
    "SignatureDoesNotMatch": CREDENTIALS,
    "IncompleteSignature": CREDENTIALS,
    "InvalidTimeStamp.Expired": CLOCK,
    "SignatureNonceUsed": TWICE,
    "InvalidVersion": Code(BadOptions, "api_base is not the address of this service"),
    "InvalidAction.NotFound": Code(BadOptions, "api_base is not the address of this service"),
    "InternalError": BUSY,
    "ServiceUnavailable": BUSY,
    "isp.SYSTEM_ERROR": BUSY,
    "isp.GATEWAY_ERROR": BUSY,
    "isp.RAM_PERMISSION_DENY": PERMISSION,
    "isv.RAM_CHECK_FAILED": PERMISSION,
    "isv.DENY_IP_RANGE": Code(BadOptions, "the platform takes no calls from this address"),
    "isv.ACCOUNT_NOT_EXISTS": SERVICE,
    "isv.ACCOUNT_ABNORMAL": SERVICE,
    "isv.SECURITY_FROZEN_ACCOUNT": SERVICE,
    "isv.PRODUCT_UN_SUBSCRIPT": SERVICE,
    "isv.PRODUCT_UNSUBSCRIBE": SERVICE,
    "isv.OUT_OF_SERVICE": MONEY,
    "isv.AMOUNT_NOT_ENOUGH": MONEY,
    DAY_LIMIT: Code(Throttled, QUOTA),
    "isv.MONTH_LIMIT_CONTROL": Code(BadOptions, QUOTA),
    LIMIT: Code(Throttled, "too many messages to this number"),
    "isv.SMS_SIGNATURE_ILLEGAL": SIGNATURE,
    "isv.SMS_SIGN_ILLEGAL": SIGNATURE,
    "isv.SIGN_NAME_ILLEGAL": SIGNATURE,
    "isv.SIGN_STATE_ILLEGAL": SIGNATURE,
    "isv.SMS_SIGNATURE_SCENE_ILLEGAL": Code(BadOptions, "signature and template are of different kinds"),
    "isv.SMS_TEST_SIGN_TEMPLATE_LIMIT": Code(BadOptions, "signature and template are for tests only"),
    "isv.SMS_TEST_NUMBER_LIMIT": Code(BadOptions, "signature and template are for tests only"),
    "isv.SMS_TEMPLATE_ILLEGAL": TEMPLATE,
    "isv.TEMPLATE_MISSING_PARAMETERS": PARAMETERS,
    "isv.TEMPLATE_PARAMS_ILLEGAL": PARAMETERS,
    "isv.INVALID_JSON_PARAM": PARAMETERS,
    "isv.PARAM_LENGTH_LIMIT": Code(Rejected, "a template's variable is too long"),
    "isv.PARAM_NOT_SUPPORT_URL": LINK,
    "isv.SMS_CONTENT_ILLEGAL": WORDS,
    "isv.UNSUPPORTED_CONTENT": Code(Rejected, "the text holds characters that cannot be sent"),
    "isv.SMS_CONTENT_MISMATCH_TEMPLATE_TYPE": WORDS,
    "isv.INVALID_PARAMETERS": Code(Rejected, "a parameter is not valid"),
    "isv.MOBILE_NUMBER_ILLEGAL": NUMBER,
    "isv.MOBILE_COUNT_OVER_LIMIT": NUMBER,
    "isv.DOMESTIC_NUMBER_NOT_SUPPORTED": Code(Rejected, "the template is for numbers abroad only"),
    "isv.BLACK_KEY_CONTROL_LIMIT": GONE,
    "isv.CUSTOMER_REFUSED": GONE,
    "MOBILE_IN_BLACK": GONE,
    "USER_REJECT": GONE,
    "MOBILE_NOT_ON_SERVICE": Code(Rejected, "the handset cannot be reached"),
    "MOBILE_ACCOUNT_ABNORMAL": Code(Rejected, "the handset cannot be reached"),
    "MOBILE_SEND_LIMIT": Code(Rejected, "too many messages to this number"),
    "INVALID_NUMBER": NUMBER,
    "CONTENT_KEYWORD": WORDS,
    "CONTENT_ERROR": WORDS,
    "PORT_NOT_REGISTERED": SIGNATURE,
    "NO_ROUTE": Code(Rejected, "no carrier takes the message"),
    "IS_CLOSE": Code(Rejected, "no carrier takes the message"),
    "SP_UNKNOWN_ERROR": Code(Rejected, "the carrier gives no reason"),
}
"""Codes of answers and of reports; any other answer goes by its HTTP status."""

OF_TEMPLATES = frozenset({"isv.SMS_TEMPLATE_ILLEGAL", "isv.SMS_SIGNATURE_SCENE_ILLEGAL"})

NAME = re.compile(r"[A-Za-z0-9_.:-]{1,60}")


def refusal(code: str, message: str = "") -> SendError | None:
    """Return the error for a *code* that we know, None for others; *message* says which limit of several it is."""
    if code in (LIMIT, DAY_LIMIT):
        wait = next((seconds for word, seconds in WINDOWS if word in message), HOUR)
        return Throttled(f"Aliyun refuses: {CODES[code].meaning}", retry_after=min(wait, DAY / 4), code=code)
    if code.startswith("Throttling"):
        return Throttled("Aliyun asks us to slow down", retry_after=CROWDED, code=code)
    known = CODES.get(code)
    return None if known is None else known.error(f"Aliyun refuses: {known.meaning}", code=code)


def reason(code: str) -> str:
    """Return what a report's *code* says about a message that did not arrive, "" for what is no code."""
    if not NAME.fullmatch(code):
        return ""
    return f"{code}: {CODES[code].meaning}" if code in CODES else code
