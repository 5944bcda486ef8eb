"""
What many commands have in common: how a service is reached, and how rows are printed.

In: a command, or rows. Out: the command with its options, or text on standard output. It asks nobody.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

output = click.option(
    "-o", "--output", type=click.Choice(["table", "json", "yaml"]), default="table", help="how to print it"
)


def service_options(command: Any, *, needed: bool = True) -> Any:
    """`needed`: the command can do nothing without a service."""
    url = click.option(
        "--url",
        envvar="REMEDIATOR_URL",
        default="http://127.0.0.1:9095",
        show_default=True,
        help="the service (or $REMEDIATOR_URL)",
    )
    token = click.option(
        "--token-file",
        envvar="REMEDIATOR_TOKEN_FILE",
        type=click.Path(path_type=Path),
        required=needed,
        help="the operator's token (or $REMEDIATOR_TOKEN_FILE)",
    )
    return url(token(command))


def print_rows(rows: Any, form: str, columns: Sequence[str]) -> None:
    from remediator.terminal.tables import table

    if form == "json":
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    elif form == "yaml":
        import yaml

        click.echo(yaml.safe_dump(rows, sort_keys=False, allow_unicode=True), nl=False)
    else:
        click.echo(table(rows, columns))
