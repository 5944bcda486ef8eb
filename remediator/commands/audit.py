"""
The audit trail's own command: is it, and is the journal, what was written?

In: a running service, or a journal's file, and heads that were told elsewhere. Out: every flaw, a line each; exit 1 on
any. It changes nothing, and good is only what was read to its end.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from remediator.commands.options import output, print_rows, service_options

if TYPE_CHECKING:
    from remediator.model.ledger import Head
    from remediator.store.verifying import Trail

NO_HEAD = "no head told elsewhere is in it: give --heads or --head, for a trail that was cut off or written anew"
PARTS = ("at", "kind", "body", "hash")
"""Of a record, beside its number."""


@click.group()
def audit() -> None:
    """The audit trail."""


@audit.command()
@click.option(
    "--journal",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="this journal's file, with the service running or not; without it the service is asked",
)
@click.option("--head", "written", multiple=True, metavar="SEQ:HASH", help="a head told elsewhere; may be given again")
@click.option(
    "--heads", "log", type=click.File(errors="replace"), help="a log of the service, for the heads in it; - for stdin"
)
@partial(service_options, needed=False)
@output
def verify(
    journal: Path | None, written: tuple[str, ...], log: TextIO | None, url: str, token_file: Path | None, output: str
) -> None:
    """Find any record that was changed, removed, added or moved, and any row of the journal that differs from it."""
    from remediator.store.verifying import Trail

    if journal is None and token_file is None:
        raise click.UsageError("Missing option '--journal' or '--token-file': which trail?")
    findings = Findings(Trail(_heads(written, log)), quiet=output != "table")
    if journal is not None:
        _verify_file(findings, journal)
    elif token_file is not None:
        asyncio.run(_verify_service(findings, url, token_file))
    if output != "table":
        print_rows(findings.as_json(), output, [])
    else:
        click.echo(findings.summary())
    if findings.flaws:
        raise click.exceptions.Exit(1)


@dataclass
class Findings:
    """What is wrong, told as it is found."""

    trail: Trail
    quiet: bool
    flaws: list[str] = field(default_factory=list)
    compared: Mapping[str, int] = field(default_factory=dict)

    def take(self, flaws: Iterator[str]) -> None:
        """A flaw may quote what somebody wrote into the journal: nothing of it reaches the terminal but print."""
        for flaw in map(_printable, flaws):
            self.flaws.append(flaw)
            if not self.quiet:
                click.echo(flaw)

    def as_json(self) -> dict[str, Any]:
        last = self.trail.last
        return {
            "good": not self.flaws,
            "journal": self.trail.journal,
            "records": self.trail.count,
            "head": {"seq": last.seq, "hash": last.hash} if last else None,
            "heads_met": self.trail.heads_met,
            "compared": dict(self.compared),
            "flaws": self.flaws,
        }

    def summary(self) -> str:
        trail, last = self.trail, self.trail.last
        said = [f"{'good' if not self.flaws else f'{len(self.flaws)} flaws'}: {trail.count} records"]
        if last:
            said += [f"head: {last.seq}:{last.hash} of {last.at[:19]}"]
        met = f"{trail.heads_met} heads told elsewhere are in it" if trail.heads_met else NO_HEAD
        rows = ", ".join(f"{count} {name}" for name, count in self.compared.items())
        return "\n".join(map(_printable, [*said, met, *([f"compared: {rows}"] if rows else [])]))


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _heads(written: Sequence[str], log: TextIO | None) -> list[Head]:
    from remediator.terminal import heads

    found = []
    for text in written:
        head = heads.written(text)
        if head is None:
            raise click.BadParameter(f"{text[:80]!r} is not SEQ:HASH with 64 hexadecimal digits", param_hint="--head")
        found.append(head)
    told = list(heads.heads_in(log)) if log else []
    if log and not told:
        raise click.BadParameter("no head was told there; give a log of the service", param_hint="--heads")
    return found + told


def _verify_file(findings: Findings, path: Path) -> None:
    from remediator.store.account import Account
    from remediator.store.sqlite.inspecting import inspection

    told = Account()
    with inspection(path) as journal:
        show = _progress(journal.newest)
        for page in journal.pages():
            findings.take(findings.trail.hear(page))
            findings.take(flaw for record in page for flaw in told.hear(record))
            show(findings.trail.count)
        show(None)
        findings.take(findings.trail.end())
        findings.take(journal.differences(told))
        findings.compared = journal.compared


async def _verify_service(findings: Findings, url: str, token_file: Path) -> None:
    from remediator.model.ledger import AuditRecord
    from remediator.store.account import Account
    from remediator.terminal.operator import Operator, OperatorError

    operator, told, after, show = Operator(url, token_file), Account(), 0, _progress(None)
    while True:
        answer = await operator.get("/api/v1/audit", [("after", str(after))])
        try:
            page = [AuditRecord(int(r["seq"]), *(str(r[part]) for part in PARTS)) for r in answer["records"]]
        except (LookupError, TypeError, ValueError) as error:
            raise OperatorError(f"{url} does not answer as Remediator does: {error}") from error
        findings.take(findings.trail.hear(page))
        findings.take(flaw for record in page for flaw in told.hear(record))
        show(findings.trail.count)
        if not page or page[-1].seq <= after:
            break
        after = page[-1].seq
    show(None)
    findings.take(findings.trail.end())


def _progress(total: int | None) -> Callable[[int | None], None]:
    """Shows, on a terminal, how many records were read; None ends it."""
    of = f" of {total}" if total else ""

    def show(count: int | None) -> None:
        if sys.stderr.isatty():
            click.echo("\r\x1b[K" if count is None else f"\r{count}{of} records", nl=False, err=True)

    return show
