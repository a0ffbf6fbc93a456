"""A hub whose route files become unusable while it runs: the rules in use stay, and the fault says where and what."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.simulators.wechat import WeChatPlatform
from tests.hubs import ROUTES, configuration, running, served, until, write

CHANNEL = (
    "  shop-wechat: {{kind: wechat, app_id: wxba5fad812f8e6fb9, app_secret: s3cret-of-the-app, token: pushtoken, "
    "encoding_aes_key: abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG, api_base: '{}'}}"
)
MOVED = ROUTES.replace("set: {team: aftersales,", "set: {team: complaints,")

# what is done to the rules, and the fault that is named
BROKEN: dict[str, tuple[str, str, str]] = {
    "broken": (
        MOVED.replace("set: {ignore: spam}", "set: {ignore: spam"),
        "routes.yaml:13:1: this is not YAML",
        ": did not find expected ',' or '}'",
    ),
    "missing team": (
        MOVED.replace("{team: complaints, stage: complaint,", "{team: complaint, stage: complaint,"),
        'routes.yaml:6:17: routes[0].set.team: there is no team "complaint"',
        "; expected frontdesk, aftersales or complaints; did you mean complaints?",
    ),
    "failing test": (
        MOVED + "tests:\n  - {name: a refund, message: {text: 退款}, expect: {team: aftersales}}\n",
        'routes.yaml:14:58: tests[0].expect.team: test "a refund" fails: team is complaints by route refund',
        "; expected aftersales",
    ),
    "duplicate key": (
        MOVED + "default: {team: complaints}\n",
        "routes.yaml:13:1: default: this key is given twice, first in line 2",
        "; expected each key once",
    ),
    "contradiction": (
        MOVED.replace("{any_of: [退款, 退货]}", "{any_of: [退款, 退货], none_of: [退]}"),
        "routes.yaml:8:37: routes[1].when.text.none_of: this never holds together with routes[1].when.text.any_of",
        "; expected conditions that can hold at once [never-holds]",
    ),
}


@pytest.mark.store
@pytest.mark.parametrize("fault", BROKEN)
async def test_a_bad_file_never_replaces_a_good_one(store_url: str, tmp_path: Path, fault: str) -> None:
    """While the file is bad the old rules route; as soon as it is mended the new ones do, without a restart."""
    platform = WeChatPlatform(
        "wxba5fad812f8e6fb9", "s3cret-of-the-app", "pushtoken", aes_key="abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
    )
    text, what, expected = BROKEN[fault]
    async with served(platform.app) as api_base:
        config = write(tmp_path, configuration(CHANNEL.format(api_base)))
        async with running(store_url, config) as stage:
            platform.hub_url = f"{stage.base}/hooks/shop-wechat"
            live = stage.hub.live

            async def refused() -> bool:
                return bool(live.last_error)

            async def in_use() -> str:
                return str((await stage.api("GET", "/routes"))["hash"])

            before = await in_use()

            async def mended() -> bool:
                return not live.last_error and await in_use() != before

            (tmp_path / "routes.yaml").write_text(text, encoding="utf-8")
            await until(refused)
            assert [f"{tmp_path}/{what}{expected}"] == [str(each) for each in live.last_error]
            assert (await platform.write("o-first", "我要退款")).taken
            await until(lambda: stage.conversations(team="aftersales"))

            (tmp_path / "routes.yaml").write_text(MOVED, encoding="utf-8")
            await until(mended)
            assert (await platform.write("o-second", "我要退款")).taken
            await until(lambda: stage.conversations(team="complaints"))
            assert len(await stage.conversations(team="aftersales")) == 1
