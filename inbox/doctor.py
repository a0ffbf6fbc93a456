"""Look whether everything is as it should be: our package names, the store's promises, the hub that runs."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from importlib import import_module
from importlib.metadata import packages_distributions
from pathlib import Path

from config.loading import Loaded
from inbox.client import Client, NoHub, Refused
from inbox.durability import Finding, judge
from inbox.opening import examine
from inbox.store import StoreError, Topology


async def examine_all(loaded: Loaded, *, as_json: bool) -> int:
    """Print what is right and wrong with names, files and store; 1 if something is wrong."""
    running = await asyncio.to_thread(hub_findings, loaded)
    findings = [*own_names(), *await store_findings(loaded), *running]
    if as_json:
        print(json.dumps([dataclasses.asdict(finding) for finding in findings], ensure_ascii=False, indent=2))
    else:
        for finding in findings:
            print(f"{finding.level}: {finding.message}")
        print(f"{loaded.path}: {'fine' if not findings else f'{len(findings)} finding(s)'}")
    return 1 if any(finding.level == "refuse" for finding in findings) else 0


async def store_findings(loaded: Loaded) -> list[Finding]:
    """Return what is weaker about the store than the configuration asks."""
    settings = loaded.settings.store
    url = settings.url.get_secret_value()
    if url == "embedded":
        return []
    try:
        return judge(await examine(Topology(url)), settings.durability)
    except StoreError as error:
        return [Finding("refuse", str(error))]


def hub_findings(loaded: Loaded) -> list[Finding]:
    """Return why the hub that runs with this configuration does not use its files; nothing if none runs."""
    try:
        said = Client.of(loaded.settings).get("/routes/status")
    except (NoHub, Refused):
        return []
    findings = [Finding("refuse", f"the hub does not use the files as they are: {fault}") for fault in said["faults"]]
    findings += [Finding("warn", f"the shadow routes are not watched: {fault}") for fault in said["shadow_faults"]]
    if not said["agree"]:
        findings.append(Finding("warn", "the hub's processes use different rules"))
    return findings


def own_names() -> list[Finding]:
    """Return which of our package names another distribution has taken (they are common words)."""
    here = Path(__file__).parent.parent
    names = ("connectors", "config", "inbox", "outbox", "router")
    strangers = [name for name in names if Path(import_module(name).__file__ or "").parent.parent != here]
    owners = packages_distributions()
    doubled = [name for name in names if len(set(owners.get(name, []))) > 1]
    return [
        *(Finding("refuse", f"package {name} is not ours: another distribution lies over it") for name in strangers),
        *(Finding("warn", f"package {name} belongs to several distributions") for name in doubled),
    ]
