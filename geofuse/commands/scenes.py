"""`geofuse inbox`, `batch`, `reprocess` and `clean`: many scenes, unattended."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from geofuse.commands.common import add_switches, print_json, stoppable
from geofuse.commands.parsing import add_command, refuse
from geofuse.commands.running import configured, places, told
from geofuse.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from geofuse.line.batch_cost import BatchPlan
    from geofuse.line.scene_run import Outcome

INBOX_EXAMPLES = """\
  geofuse inbox landsat               take up what has arrived whole
  geofuse inbox --inbox in --catalog archive --look    only look
  geofuse inbox landsat --list        what became of every scene
"""
BATCH_EXAMPLES = """\
  geofuse batch scenes.csv --config landsat --dry-run
  geofuse batch scenes.csv --config landsat --summary done.csv

scenes.csv:
  scene,priority,fuse.method
  LC08_L1TP_020039_20150804,5,auto
  LC09_L1TP_193024_20240512.tar,,gsa
"""
REPROCESS_EXAMPLES = """\
  geofuse reprocess --catalog archive --config new.yaml --dry-run
  geofuse reprocess --catalog archive --own       what other releases or deliveries made
"""
CLEAN_EXAMPLES = """\
  geofuse clean landsat --dry-run
"""


def add(commands: Any) -> None:
    """Add them."""
    inbox = add_command(commands, "inbox", _inbox, examples=INBOX_EXAMPLES)
    inbox.add_argument(
        "config",
        nargs="?",
        metavar="CONFIG.yaml",
        help="what is wanted: a file, or landsat, pair, cluster-gpu",
    )
    inbox.add_argument("--inbox", metavar="DIR", help="watched folder, instead of the file's")
    places(inbox)
    doing = inbox.add_mutually_exclusive_group()
    doing.add_argument("--look", action="store_true", help="look and write down; run nothing")
    doing.add_argument("--list", action="store_true", help="show the ledger of scenes")
    _ends(inbox)
    batch = add_command(commands, "batch", _batch, examples=BATCH_EXAMPLES)
    batch.add_argument("manifest", metavar="MANIFEST.csv", help="scene, or pan and ms; priority; keys")
    batch.add_argument("--config", metavar="CONFIG.yaml", help="what is wanted of all")
    places(batch)
    batch.add_argument("--dry-run", action="store_true", help="what it will cost; run nothing")
    batch.add_argument("--summary", metavar="FILE.csv", help="where the summary goes (MANIFEST.done.csv)")
    _ends(batch)
    again = add_command(
        commands,
        "reprocess",
        _reprocess,
        examples=REPROCESS_EXAMPLES,
    )
    again.add_argument("--config", metavar="CONFIG.yaml", help="what is wanted of them now")
    again.add_argument("--own", action="store_true", help="each by the configuration it was run with")
    again.add_argument("--all", action="store_true", help="also what is not out of date")
    again.add_argument("--sensor", metavar="NAME", help="only that collection")
    places(again)
    again.add_argument("--dry-run", action="store_true", help="only say what and why")
    _ends(again)
    clean = add_command(commands, "clean", _clean, examples=CLEAN_EXAMPLES)
    clean.add_argument("config", nargs="?", metavar="CONFIG.yaml", help="with its section retention")
    places(clean)
    clean.add_argument("--dry-run", action="store_true", help="only say what")
    add_switches(clean, "json")


def _ends(parser: Any) -> None:
    add_switches(parser, "no_progress", "json")


def _inbox(arguments: argparse.Namespace) -> int:
    from geofuse.line.inbox_run import look_and_run
    from geofuse.line.scene_ledger import row_to_json, rows
    from geofuse.line.scene_run import outcome_to_json
    from geofuse.line.sources.inbox import scan, scan_to_json
    from geofuse.pages.terminal import table

    config = configured(arguments.config, arguments, inbox={"folder": arguments.inbox})
    if arguments.list:
        found = rows(config)
        lines = [(row.name, row.state, row.verdict, row.code, _why(row.reason)) for row in found]
        shown = table(lines, ["scene", "state", "verdict", "code", "why"])
        print_json({"scenes": list(map(row_to_json, found))}) if arguments.json else print(shown)
        return 0
    if not (config.inbox.folder or config.stac):
        raise UsageError("no inbox", wanted="inbox.folder, --inbox DIR, or the section stac")
    if arguments.look:
        look = scan(config)
        print_json(scan_to_json(look)) if arguments.json else print(_look_text(scan_to_json(look)))
        return 0
    with told(arguments.no_progress, many=True) as tell, stoppable():
        shift = look_and_run(config, tell=tell)
    if arguments.json:
        ran = list(map(outcome_to_json, shift.outcomes))
        print_json({"scan": scan_to_json(shift.scan), "ran": ran, "faults": list(shift.faults)})
    else:
        print(_outcomes_text(shift.outcomes))
        print(_look_text({name: rows for name, rows in scan_to_json(shift.scan).items() if name != "ready"}))
        print("".join(f"not fetched: {fault}\n" for fault in shift.faults), end="")
    return _status(shift.outcomes) or (4 if shift.faults else 0)


def _look_text(found: Mapping[str, Sequence[Mapping[str, str]]]) -> str:
    lines = []
    for state, rows in found.items():
        lines.append(f"{len(rows)} {state}")
        lines += [f"  {row['name']}: {_plain(row['reason'])}".rstrip(": ") for row in rows]
    return "\n".join(lines)


def _outcomes_text(outcomes: Sequence[Outcome]) -> str:
    from geofuse.pages.terminal import table

    lines = [
        (each.name, each.state, each.verdict, each.code, _why("; ".join(each.reasons) or each.message))
        for each in outcomes
    ]
    return table(lines, ["scene", "state", "verdict", "code", "why"]) if lines else "nothing was ready"


def _why(text: str) -> str:
    """Return a reason short enough for a table, without the path it begins with."""
    return _plain(text)[:90]


def _plain(text: str) -> str:
    """Return a reason without the path it begins with."""
    head, _, rest = text.partition("/")
    return head + rest.partition(": ")[2] if head in ("", "not whole yet: ") and rest else text


def _status(outcomes: Sequence[Outcome]) -> int:
    """Return 0 where every scene has its verdict, 4 where a later run may help, else 2."""
    faults = [each for each in outcomes if each.state == "failed"]
    return 0 if not faults else 4 if any(each.retry for each in faults) else 2


def _batch(arguments: argparse.Namespace) -> int:
    from pathlib import Path

    from geofuse.line.batch import read_manifest, run_batch, summary_rows, write_summary
    from geofuse.line.batch_cost import batch_plan

    manifest = Path(arguments.manifest)
    batch = read_manifest(manifest, configured(arguments.config, arguments))
    plan = batch_plan(batch)
    if arguments.dry_run:
        refuse(arguments, ["summary"], because="with --dry-run", wanted="a run, of which it tells")
        print_json(plan) if arguments.json else print(_plan_text(plan))
        return 2 if plan["scenes_bad"] else 0
    target = Path(arguments.summary) if arguments.summary else manifest.with_suffix(".done.csv")
    with told(arguments.no_progress, many=True) as tell, stoppable():
        done = run_batch(batch, tell=tell)
    write_summary(target, done)
    outcomes = [outcome for _, outcome in done]
    if arguments.json:
        print_json({"summary": str(target), "scenes": summary_rows(done)})
    else:
        print(f"{_outcomes_text(outcomes)}\n{target}")
    return _status(outcomes)


def _plan_text(plan: BatchPlan) -> str:
    from geofuse.pages.terminal import size_text, table

    lines = [
        (
            each["name"],
            f"{each['priority']:g}",
            each["method"],
            f"{each['mpx']:.1f}",
            f"{each['cpu_s']:.0f}",
            size_text(each["output_bytes"]),
            f"[{each['code']}] {_why(each['message'])}" if each["code"] else _last_part(each["out"]),
        )
        for each in plan["scenes"]
    ]
    enough = "enough" if plan["fits"] else "NOT ENOUGH"
    return "\n".join(
        [
            table(lines, ["scene", "priority", "method", "Mpx", "CPU s", "at most", "product"]),
            f"{plan['scenes_ok']} scenes, {plan['mpx']:.1f} Mpx, {plan['cpu_hours']:.2f} CPU hours, "
            f"{size_text(plan['memory_bytes'])} of memory",
            f"disk: {size_text(plan['disk_needed_bytes'])} of {size_text(plan['disk_free_bytes'])} free: {enough}",
        ]
    )


def _last_part(path: str) -> str:
    """Return a path's last part."""
    return path.rsplit("/", 1)[-1]


def _reprocess(arguments: argparse.Namespace) -> int:
    from geofuse.line.inbox_run import run_or_tell
    from geofuse.line.reprocess import stale_items, start_anew
    from geofuse.line.scene_run import outcome_to_json
    from geofuse.pages.terminal import table

    config = configured(arguments.config, arguments)
    stale = stale_items(config, everything=arguments.all, own=arguments.own, sensor=arguments.sensor)
    if arguments.dry_run:
        told_rows = [(each.item, each.because) for each in stale]
        if arguments.json:
            print_json({"items": [{"item": item, "because": why} for item, why in told_rows]})
        else:
            print(table(told_rows, ["item", "why"]) if told_rows else "nothing is out of date")
        return 0
    outcomes = []
    with told(arguments.no_progress, many=True) as tell, stoppable():
        for each in stale:
            if each.ref is not None:
                if arguments.all:
                    start_anew(each.config, each.ref)
                outcomes.append(run_or_tell(each.config, each.ref, tell=tell))
    gone = [each.item for each in stale if each.ref is None]
    if arguments.json:
        print_json({"ran": list(map(outcome_to_json, outcomes)), "inputs_gone": gone})
    else:
        print(_outcomes_text(outcomes))
        print("\n".join(f"{item}: its inputs are gone" for item in gone), end="\n" if gone else "")
    return _status(outcomes)


def _clean(arguments: argparse.Namespace) -> None:
    from geofuse.line.cleaning import clean
    from geofuse.pages.terminal import size_text

    found = clean(configured(arguments.config, arguments), dry_run=arguments.dry_run)
    if arguments.json:
        print_json(found)
        return
    for kind in ("parts", "records", "downloads", "products"):
        print(f"{len(found[kind])} {kind}")
        if arguments.dry_run:
            print("".join(f"  {path}\n" for path in found[kind]), end="")
    word = "would be removed" if arguments.dry_run else "removed"
    print(f"{found['superseded_versions']} superseded versions\n{size_text(found['bytes'])} {word}")
