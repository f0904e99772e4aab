"""The command line of `funnel explain`: a tree for people, JSON for programs."""

import json
from collections.abc import Mapping
from typing import Any

import click
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from deploy.settings import clickhouse_settings

Row = Mapping[str, Any]


@click.command()
@click.argument("identifier", metavar="ID")
@click.option("--format", "form", type=click.Choice(["tree", "json"]), default="tree", show_default=True)
@click.pass_obj
def explain(values: Mapping[str, Any], identifier: str, form: str) -> None:
    """Say everything that is known of ID (a click, lead, visitor, transaction or event), and why its credit is what it is."""
    from sinks.clickhouse.client import connect
    from sinks.clickhouse.explain import explain as explained
    from sinks.clickhouse.explain import is_empty

    connection = connect(clickhouse_settings(values))
    try:
        found = explained(connection, identifier, values["person_limit"])
    finally:
        connection.close()
    if is_empty(found):
        raise click.ClickException(
            f"{identifier}: the journal knows no click, lead, visitor, transaction or event of this id"
        )
    if form == "json":
        return click.echo(json.dumps(found, default=str))
    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, 160)
    console.print(tree(found))


def tree(found: Row) -> Tree:
    """Return what `sinks.clickhouse.explain` found as a tree."""
    root = _branch(None, found["id"])
    _list(root, "touches with this id", map(_touch, found["touches"]))
    _list(root, "rejects", (f"{row['reason']} {row['detail']} at {_place(row)}" for row in found["rejects"]))
    _list(root, "deduplication", map(_decision, found["deduplication"]))
    for one in found["transactions"]:
        _transaction(root, one)
    if found["transactions_left_out"]:
        _branch(root, f"and {found['transactions_left_out']} more transactions: ask for them by their ids")
    return root


def _decision(row: Row) -> str:
    aside = ", ".join(_place(one) for one in row["conflicts"])
    conflicts = f"conflicts kept aside: {aside}" if aside else "no conflict"
    dropped = f"at most {row['duplicates_at_most']} duplicates dropped"
    return f"{row['event_id']} kept {_place(row['kept'])}; {conflicts}; {dropped}"


def _transaction(root: Tree, one: Row) -> None:
    state = one["state"] or {}
    title = f"transaction {one['partner']} {one['transaction_id']}"
    flag = f", flagged {state['flag']}" if state.get("flag") else ""
    branch = _branch(root, f"{title}: {state.get('status', 'not counted')}, {_money(state)}{flag}")
    _list(branch, "reports, in order of their own time", map(_report, one["conversions"]))
    if one["identity"]:
        known = one["identity"]
        found = f"visitor {known['visitor_id'] or 'unknown'}, found by {known['by'].replace('_', ' ')}"
        _branch(branch, f"{found}, on route {known['route']}")
        _list(branch, "identity links", map(_link, known["links"]))
    _list(branch, "journey", map(_touch, one["journey"]))
    for model in one["credits"]:
        _list(branch, _model(model), map(_share, model["credits"]))
    _list(branch, "ledger", map(_entry, one["ledger"]))


def _link(row: Row) -> str:
    said = {
        "alias": f"{row['touch_kind']} id {row['identity_key']} leads to visitor {row['visitor_id']}",
        "pair": f"visitor {row['visitor_id']} belongs to {row['winner']}",
    }
    return f"{said[row['purpose']]}  {_at(row['known_at'])}  {_place(row)}"


def _report(row: Row) -> str:
    return f"{_at(row['status_at'])} {row['status']}, {_money(row)}  {row['event_id']}  {_place(row)}"


def _model(model: Row) -> str:
    """Name, version, rule, and the settings that are not their defaults."""
    plain = ("rule", "purpose")
    said = [
        f"{name} {value}"
        for name, value in model["settings"].items()
        if value and name not in plain and value != "counted"
    ]
    rule = model["settings"].get("rule", "")
    return f"{model['model']} {model['model_version']}: {rule} ({', '.join(said)})"


def _share(share: Row) -> str:
    return f"{share['weight'] / 1e7:6.2f} %  {_money(share)}  {_earner(share)}"


def _entry(row: Row) -> str:
    issued = f"{_at(row['known_at'])} {'+' if row['sign'] > 0 else '−'} {row['model']} {row['model_version']}"
    return f"{issued}  {row['weight'] / 1e7:.2f} %  {_money(row)}  {row['touch_id']}  {_place(row)}"


def _list(parent: Tree, title: str, lines: Any) -> None:
    shown = list(lines)
    if shown:
        branch = _branch(parent, title)
        for line in shown:
            _branch(branch, line)


def _branch(parent: Tree | None, text: str) -> Tree:
    """Text of others is never markup."""
    return Tree(Text(text)) if parent is None else parent.add(Text(text))


def _touch(row: Row) -> str:
    dimensions = " ".join(
        f"{name}={row[name]}"
        for name in ("channel", "campaign", "affiliate", "offer", "country", "device")
        if row[name]
    )
    return f"{_at(row['occurred_at'])} {row['kind']}  {dimensions}  {row['event_id']}  {_place(row)}"


def _earner(share: Row) -> str:
    if not share["touch_kind"]:
        return "nobody"
    return f"{share['touch_kind']} of {_at(share['touch_at'])}  {share['channel']} {share['campaign']} {share['affiliate']}  {share['touch_id']}"


def _place(row: Row) -> str:
    return f"[{row['source']}/{row['offset']}]"


def _at(time: Any) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S.%f}"[:-3]


def _money(row: Row) -> str:
    amounts = [f"{name} {row[name] / 1e6:,.6f}" for name in ("value", "payout") if row.get(name) is not None]
    return " ".join([*amounts, str(row.get("currency", ""))]).strip()
