"""The commands of all packages, put together. The daemon does without them and starts the faster for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import typer

from config.loading import Attempt, Loaded, partial_settings
from inbox import backup_commands, people_commands, search_commands, sla_commands
from inbox import commands as inbox_commands
from inbox.commands import Connect
from outbox import campaign_commands, report_commands, survey_commands, webhook_commands
from outbox import commands as outbox_commands
from outbox.consent_commands import contact, guarding
from outbox.contact_commands import with_contacts
from outbox.withholding import Withholding
from router import commands as router_commands
from router import staff_commands

Imagine = Callable[[], tuple[Path, Callable[[Mapping[Path, bytes]], Attempt]]]


def add_groups(
    app: typer.Typer, load: Callable[[], Loaded], connect: Connect, locale: Callable[[], str], imagine: Imagine
) -> None:
    """Add them to *app*. *load* reads the configuration, *connect* finds the hub, *imagine* tries other files."""
    app.add_typer(inbox_commands.commands(connect, locale))
    app.add_typer(outbox_commands.commands(connect, locale))
    kept = backup_commands.commands(
        lambda: partial_settings(imagine()[0], ("store", "attachments")),
        lambda store, now: Withholding(store, locale(), now).withhold(),
        locale,
    )
    app.add_typer(kept)
    app.add_typer(with_contacts(contact(connect, locale), connect, locale), name="contact", help="Contacts. / 客户。")
    app.add_typer(guarding(connect, locale), name="guard", help="What may not leave in words. / 外发文字检查。")
    bulk = campaign_commands.commands(connect, locale)
    app.add_typer(bulk, name="campaign", help="Bulk sends. / 群发。")
    app.add_typer(search_commands.commands(connect, locale), name="search", help="Search. / 搜索。")
    app.add_typer(people_commands.commands(connect, locale), name="people", help="Who may sign in. / 谁可以登录。")
    app.add_typer(
        webhook_commands.commands(connect, locale), name="webhooks", help="Outgoing webhooks. / 外发 webhook。"
    )
    asked = report_commands.with_surveys(survey_commands.survey(connect, locale), connect, locale)
    app.add_typer(asked, name="survey", help="Surveys. / 问卷。")
    app.add_typer(sla_commands.commands(connect, locale), name="sla")
    routes = router_commands.commands(load, connect, locale, imagine)
    app.add_typer(routes, name="routes", help="Routes. / 路由。")
    app.add_typer(staff_commands.agents(connect, locale), name="agents", help="Who is there. / 客服在线状态。")
    reports = report_commands.with_reports(staff_commands.reports(connect, locale), connect, locale)
    app.add_typer(reports, name="report", help="Reports. / 报表。")
