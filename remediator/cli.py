"""
The command line. Exit codes: 0 good, 1 a finding (or a service that said no), 2 wrong use.

Each command imports what it needs when it runs, so that `--help` and `check` start fast.
"""

from __future__ import annotations

import asyncio
import getpass
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from remediator import __version__
from remediator.commands.audit import audit
from remediator.commands.options import output
from remediator.commands.options import print_rows as _print
from remediator.commands.options import service_options as _service_options
from remediator.model.errors import ConfigError, RemediatorError

SHIPPED_RULES = "rules"
WITHOUT_THE_API = "To freeze without the API: make the file FREEZE in state_directory, or send the process SIGUSR1."


def main() -> None:
    """The entry point: every error of ours ends in a sentence, never in a traceback."""
    try:
        # Without standalone mode click answers the code of its Exit instead of leaving with it.
        code = cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except click.Abort:
        sys.exit(130)
    except ConfigError as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    except RemediatorError as error:
        click.echo(f"{type(error).__name__}: {error}", err=True)
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def cli() -> None:
    """Prove what an alert is about, plan the fix, guard it, carry it out, verify the cure."""


@cli.command()
@click.option("--config", type=click.Path(path_type=Path, exists=True, dir_okay=False), required=True)
def serve(config: Path) -> None:
    """Run the service until it is told to stop (SIGTERM); SIGHUP reloads the rules."""
    from remediator import app, logs, settings

    loaded = settings.load(config, os.environ)
    logs.configure(loaded.log.format, loaded.log.level)
    asyncio.run(app.serve(loaded))


@cli.group()
def journal() -> None:
    """Look after the journal's file, with the service stopped."""


@journal.command("accept")
@click.option("--config", type=click.Path(path_type=Path, exists=True, dir_okay=False), required=True)
@click.option("--why", required=True, help="kept in the audit trail")
@click.option("--by", default=getpass.getuser, help="who you are; your login name by default")
def journal_accept(config: Path, why: str, by: str) -> None:
    """Answer for the journal as it is: one that was restored from a backup, or an empty one."""
    from remediator import app, settings

    accepted = asyncio.run(app.accept(settings.load(config, os.environ), by=by, why=why))
    knew = f"record {accepted.witnessed.seq}" if accepted.witnessed else "nothing that can be read"
    click.echo(f"{accepted.path} is accepted at record {accepted.mark.seq}; its witness knew {knew}")


@cli.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.option("--schema", is_flag=True, help="print the JSON Schema of a rule file instead")
def check(paths: tuple[Path, ...], schema: bool) -> None:
    """Validate rule files: every problem at once, with its place; exit 1 on any."""
    from remediator import rulebook, systems
    from remediator.settings import ALWAYS_PROTECTED

    if schema:
        click.echo(json.dumps(rulebook.json_schema(), indent=2))
        return
    if not paths:
        raise click.UsageError("Missing argument 'PATHS...': which rule files or folders?")
    book = rulebook.load(paths, systems.discover(), protected=ALWAYS_PROTECTED)
    for problem in book.problems:
        click.echo(str(problem), err=True)
    if book.problems:
        raise click.exceptions.Exit(1)
    click.echo(f"{len(book.rules)} rules are good: {', '.join(rule.name for rule in book.rules)}")


@cli.command()
@click.argument("scenario", required=False)
@click.option("--list", "list_only", is_flag=True, help="name the scenarios")
@click.option("--fast", is_flag=True, help="do not wait for the reader")
@click.option(
    "--etcd",
    type=click.Choice(["simulated", "real"]),
    default="simulated",
    help="what runs in the practice pods; real needs etcd on the PATH",
)
@output
def demo(scenario: str | None, list_only: bool, fast: bool, etcd: str, output: str) -> None:
    """The whole loop on a practice cluster inside this process: a broken system, a real alert, the cure."""
    from remediator import demo as rehearsal

    if list_only:
        rows = [{"name": s.name, "system": s.system, "what": s.what} for s in rehearsal.scenarios() if s.demo]
        _print(rows, output, ["name", "system", "what"])
        return
    chosen = rehearsal.find(scenario or rehearsal.FIRST)
    outcome = asyncio.run(rehearsal.rehearse(chosen, fast=fast, etcd=etcd, quiet=output != "table"))
    if output != "table":
        _print(outcome, output, [])
    if not outcome["cured"]:
        raise click.exceptions.Exit(1)


# --- the operator's view -----------------------------------------------------------------------------------


def _why_and_who(command: Any) -> Any:
    why = click.option("--why", required=True, help="kept with the record")
    by = click.option("--by", default=getpass.getuser, help="who you are; your login name by default")
    return why(by(command))


def _ask(url: str, token_file: Path, path: str, query: Sequence[tuple[str, str]] = ()) -> Any:
    """The service's answer; what a reader must know of it first is said on standard error."""
    from remediator.terminal.operator import Operator, caveat

    answer = asyncio.run(Operator(url, token_file).get(path, query))
    if words := caveat(answer):
        click.echo(words, err=True)
    return answer


@cli.group()
def runs() -> None:
    """Look at runs and answer them, through the service's API."""


@runs.command("list")
@click.option("--state", multiple=True, help="only runs in this state; may be given again")
@click.option("--rule", default="", help="only runs of this rule")
@click.option("--limit", default=50, show_default=True)
@_service_options
@output
def runs_list(state: tuple[str, ...], rule: str, limit: int, url: str, token_file: Path, output: str) -> None:
    """Runs, newest first."""

    query = [("limit", str(limit)), *(("state", s) for s in state), *([("rule", rule)] if rule else [])]
    answer = _ask(url, token_file, "/api/v1/runs", query)
    _print(answer["runs"], output, ["id", "state", "reason", "rule", "target", "created_at"])


@runs.command("show")
@click.argument("run_id")
@_service_options
@output
def runs_show(run_id: str, url: str, token_file: Path, output: str) -> None:
    """One run: evidence, plan, journal, what it came to and why."""
    from remediator.terminal.page import whole_run

    answer = _ask(url, token_file, _run_path(run_id))
    if output == "table":
        click.echo(whole_run(answer))
    else:
        _print(answer, output, [])


@runs.command("cancel")
@click.argument("run_id")
@_why_and_who
@_service_options
def runs_cancel(run_id: str, url: str, token_file: Path, why: str, by: str) -> None:
    """End a run before its next step; what was sent already is answered and written down."""
    from remediator.terminal.operator import Operator

    told = asyncio.run(Operator(url, token_file).post(f"{_run_path(run_id)}/cancel", {"by": by, "why": why}))
    click.echo(f"{run_id}: {'cancelled' if told['is_yours'] else 'was already cancelled by ' + told['by']}")


def _plan_option(command: Any) -> Any:
    return click.option("--plan", default="", help="the digest of the plan you have read; without it you are asked")(
        command
    )


@runs.command("approve")
@click.argument("run_id")
@_plan_option
@_why_and_who
@_service_options
def runs_approve(run_id: str, plan: str, url: str, token_file: Path, why: str, by: str) -> None:
    """Say yes to the plan of a run that waits for an answer."""
    _answer(run_id, "approve", plan, url, token_file, why, by)


@runs.command("deny")
@click.argument("run_id")
@_plan_option
@_why_and_who
@_service_options
def runs_deny(run_id: str, plan: str, url: str, token_file: Path, why: str, by: str) -> None:
    """Say no to the plan of a run that waits for an answer."""
    _answer(run_id, "deny", plan, url, token_file, why, by)


def _answer(run_id: str, name: str, plan: str, url: str, token_file: Path, why: str, by: str) -> None:
    """An answer is bound to the plan that was read: the one named, or the one shown now."""
    from remediator.terminal.operator import Operator
    from remediator.terminal.page import whole_run

    operator = Operator(url, token_file)
    run = asyncio.run(operator.get(_run_path(run_id), []))
    digest = (run.get("plan") or {}).get("digest", "")
    if plan and not (len(plan) >= 8 and digest.startswith(plan)):
        raise click.ClickException(
            f"the plan of {run_id} is {digest[:16] or 'not made'}, not {plan[:16]}; read it again"
        )
    if not plan:
        click.echo(whole_run(run))
        click.confirm(f"\n{name} this plan?", abort=True)
    told = asyncio.run(operator.post(f"{_run_path(run_id)}/{name}", {"by": by, "why": why, "plan": digest}))
    done = {"approve": "approved", "deny": "denied"}[name]
    click.echo(f"{run_id}: {done if told['is_yours'] else f'was already {done} by ' + told['by']}")


def _run_path(run_id: str) -> str:
    return f"/api/v1/runs/{quote(run_id, safe='')}"


def _switch(path: str, url: str, token_file: Path, why: str, by: str, said: str) -> None:
    """Throw a switch, and say so with the revision that the record has, if it has one."""
    from remediator.terminal.operator import Operator

    record = asyncio.run(Operator(url, token_file).post(path, {"by": by, "why": why}))
    click.echo(f"{said} (revision {record['revision'][:12]})" if "revision" in record else said)


@cli.command()
@_why_and_who
@_service_options
def freeze(url: str, token_file: Path, why: str, by: str) -> None:
    """Stop every write until `unfreeze`."""
    from remediator.terminal.operator import OperatorError

    try:
        _switch("/api/v1/freeze", url, token_file, why, by, "frozen: nothing is written until `remediator unfreeze`")
    except OperatorError as error:
        raise OperatorError(f"{error}\ndo not rely on this freeze. {WITHOUT_THE_API}") from error


@cli.command()
@_why_and_who
@_service_options
def unfreeze(url: str, token_file: Path, why: str, by: str) -> None:
    """Let armed rules act again."""
    _switch("/api/v1/unfreeze", url, token_file, why, by, "unfrozen: armed rules act again")


@cli.command()
@_service_options
@output
def switches(url: str, token_file: Path, output: str) -> None:
    """What is frozen and what is armed, by whom and why."""
    from remediator.terminal.switches import switch_rows

    answer = _ask(url, token_file, "/api/v1/switches")
    rows = switch_rows(answer) if output == "table" else answer
    _print(rows, output, ["what", "stands", "by", "why", "at"])


@cli.command()
@click.argument("rule")
@_why_and_who
@_service_options
def arm(rule: str, url: str, token_file: Path, why: str, by: str) -> None:
    """Let a rule act as its mode says, until its file says something else."""
    said = f"{rule} is armed as it is now"
    _switch(f"/api/v1/rules/{quote(rule, safe='')}/arm", url, token_file, why, by, said)


@cli.command()
@click.argument("rule")
@_why_and_who
@_service_options
def disarm(rule: str, url: str, token_file: Path, why: str, by: str) -> None:
    """Make a rule observe only, whatever its mode says."""
    _switch(
        f"/api/v1/rules/{quote(rule, safe='')}/disarm", url, token_file, why, by, f"{rule} is disarmed: it observes"
    )


cli.add_command(audit)
