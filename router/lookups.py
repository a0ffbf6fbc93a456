"""Asks an existing tool about a customer's order, within limits: routing goes on whatever the tool does.

A question costs one HTTP GET, at most the configured time, and at most `BODY` bytes. Answers are kept for a while.
A tool that fails again and again is left in peace for some seconds, and what the configuration falls back to holds.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

import aiohttp
import msgspec
from yarl import URL

from config.lookups import Lookup
from router.facts import Facts, OrderFacts
from router.orders import address, fields, variables

log = logging.getLogger(__name__)

BODY = 256 << 10
MOST_ANSWERS = 10_000
AT_ONCE = 32
FAILURES = 5  # in a row, until the tool is left in peace
PAUSE = 10.0  # seconds of peace; then one question tries it again


class BadAnswer(Exception):
    """The tool answered something that cannot be used; the message says what and quotes nothing of it."""


@dataclass(slots=True)
class _Tool:
    """A tool as it is configured now, and how it has been lately."""

    lookup: Lookup
    answers: OrderedDict[str, tuple[float, OrderFacts]] = field(default_factory=OrderedDict)
    free: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    failures: int = 0
    closed_until: float = 0.0
    trying: bool = False


class Orders:
    """What is known of orders. *lookup* returns the configuration in use, *http* the session to ask by."""

    def __init__(
        self,
        lookup: Callable[[], Lookup | None],
        http: Callable[[], aiohttp.ClientSession],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lookup = lookup
        self._http = http
        self._clock = clock
        self._tool: _Tool | None = None
        self.counts: Counter[tuple[str, str]] = Counter()

    async def find(self, facts: Facts, contact: str) -> OrderFacts:
        """Return what the tool knows of the order that a message is about; never raises and never waits long.

        *contact* is the id of the contact, "" for a new one.
        """
        found = await self._find(facts, contact)
        self.counts[facts.channel, found.outcome] += 1
        return found

    async def _find(self, facts: Facts, contact: str) -> OrderFacts:
        lookup = self._lookup()
        if lookup is None:
            return OrderFacts(outcome="unasked")
        if self._tool is None or self._tool.lookup is not lookup:
            self._tool = _Tool(lookup)  # what another configuration has been told is none of this one's answers
        tool = self._tool
        url = address(lookup.url, variables(lookup, facts, contact))
        if url is None:
            return OrderFacts(outcome="unasked")
        known = tool.answers.get(url)
        if known is not None and known[0] > self._clock():
            tool.answers.move_to_end(url)
            return OrderFacts(known[1].fields, "cached") if known[1].known else known[1]
        if self._left_in_peace(tool):
            return OrderFacts(lookup.fallback, "refused")
        return await self._ask(tool, url)

    def _left_in_peace(self, tool: _Tool) -> bool:
        """Tell whether the tool has failed too often; when its time is over, one question at a time tries it."""
        if tool.failures < FAILURES:
            return False
        return self._clock() < tool.closed_until or tool.trying

    async def _ask(self, tool: _Tool, url: str) -> OrderFacts:
        tool.trying = tool.failures >= FAILURES
        try:
            async with asyncio.timeout(tool.lookup.timeout / 1000), tool.free:
                found = await self._get(tool.lookup, url)
        except TimeoutError:
            return self._failed(tool, "timeout", "no answer in time")
        except BadAnswer as error:
            return self._failed(tool, "failed", str(error))
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # The words of these errors may quote the address, which holds what identifies a customer.
            return self._failed(tool, "failed", type(error).__name__)
        finally:
            tool.trying = False
        if tool.failures >= FAILURES:
            log.warning("the tool that knows orders (%s) answers again", URL(tool.lookup.url).host)
        tool.failures = 0
        self._keep(tool, url, found)
        return found

    def _failed(self, tool: _Tool, outcome: str, reason: str) -> OrderFacts:
        tool.failures += 1
        tool.closed_until = self._clock() + PAUSE
        if tool.failures in (1, FAILURES):
            log.warning("the tool that knows orders (%s) failed: %s", URL(tool.lookup.url).host, reason)
        return OrderFacts(tool.lookup.fallback, outcome)

    def _keep(self, tool: _Tool, url: str, found: OrderFacts) -> None:
        if tool.lookup.cache is None:
            return
        tool.answers[url] = (self._clock() + tool.lookup.cache / 1000, found)
        tool.answers.move_to_end(url)
        if len(tool.answers) > MOST_ANSWERS:
            tool.answers.popitem(last=False)

    async def _get(self, lookup: Lookup, url: str) -> OrderFacts:
        """Ask. Raises `BadAnswer`, and what aiohttp raises."""
        headers = {name: value.get_secret_value() for name, value in lookup.headers.items()}
        # Compressed, a small answer can be a huge one.
        headers |= {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "huiliu"}
        if lookup.token is not None:
            headers["Authorization"] = f"Bearer {lookup.token.get_secret_value()}"
        # A redirect would carry the token to wherever it points.
        async with self._http().get(URL(url, encoded=True), headers=headers, allow_redirects=False) as response:
            if response.status in (204, 404):
                return OrderFacts(outcome="none")
            if response.status != 200:
                raise BadAnswer(f"it answered {response.status}")
            if response.headers.get("Content-Encoding", "identity") != "identity":
                raise BadAnswer("the answer is compressed although nobody asked for that")
            if not response.content_type.endswith(("/json", "+json")):
                raise BadAnswer("the answer is no JSON")
            try:
                answer = msgspec.json.decode(await _body(response))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                raise BadAnswer("the answer is no JSON") from None
        found = fields(lookup.fields, answer)
        return OrderFacts(found, "found") if found else OrderFacts(outcome="none")


async def _body(response: aiohttp.ClientResponse) -> bytes:
    """Read the body up to the limit. Raises `BadAnswer`."""
    data = bytearray()
    async for chunk in response.content.iter_any():
        data += chunk
        if len(data) > BODY:
            raise BadAnswer(f"the answer is larger than {BODY >> 10} KB")
    return bytes(data)
