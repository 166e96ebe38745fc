"""`beyond status`, `show`, `insights`, `failed`, `export`, `delete`: the reading side on the command line."""

from __future__ import annotations

import json
import sys
from collections import deque
from pathlib import Path
from typing import Any

import click

from shared.cli import command, opened, table
from shared.errors import Misconfigured
from shared.stream.names import BACKFILL, LIVE, TRAINING
from shared.stream.queues import workers
from shared.stream.recovery import dead_letters, drop, load, requeue

_QUEUES = (LIVE, BACKFILL, TRAINING)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="one JSON object")
@command
def status(as_json: bool) -> None:
    """Queues, work in flight, dead letters, workers, adapter, rate, warnings."""
    from shared.inference.adapters import open_registry

    settings, connection, store = opened()
    counts, queues = store.counts(), load(connection, _QUEUES)
    disk = connection.info("persistence")
    warnings = dict(store.warnings())
    if disk.get("aof_enabled") and disk.get("aof_last_write_status") != "ok":
        warnings["disk"] = (
            "the server cannot write its AOF; is the disk full? Reviews are refused until it can"
        )
    facts: dict[str, Any] = {
        "reviews": {"stored": counts["stored"], "analysed": counts["analysed"]},
        "queues": {
            q: {"waiting": w, "in_flight": f, "dead_letters": d} for q, (w, f, d) in queues.items()
        },
        "workers": [{"name": n, "state": s, "host": h} for n, s, h in workers(connection)],
        "adapter": open_registry(settings).promoted("issues") or "packaged",
        "analysed_per_minute": round(store.per_minute(), 1),
        "warnings": warnings,
    }
    if as_json:
        click.echo(json.dumps(facts))
        return
    click.echo(
        f"reviews   {counts['stored']} stored, {counts['analysed']} analysed, {facts['analysed_per_minute']} a minute"
    )
    for queue, numbers in facts["queues"].items():
        click.echo(
            f"{queue:<9} {numbers['waiting']} jobs waiting, {numbers['in_flight']} in flight, "
            f"{numbers['dead_letters']} dead letters"
        )
    click.echo(
        f"workers   {', '.join(w['host'] + ' ' + w['state'] for w in facts['workers']) or 'none; start one: beyond work'}"
    )
    click.echo(f"adapter   {facts['adapter']}")
    letters = dead_letters(connection, _QUEUES)
    for reason in sorted({letter.reason for letter in letters}):
        click.echo(
            f"failed    {sum(x.reason == reason for x in letters)}: {reason}  (see: beyond failed list)"
        )
    for kind, text in warnings.items():
        click.secho(f"warning   {kind}: {text}", fg="yellow")


@click.command()
@click.argument("review_id")
@command
def show(review_id: str) -> None:
    """One review and its analysis, as JSON."""
    from consumers.export import record

    _, _, store = opened()
    review, analysis = store.reviews([review_id])[0], store.analyses([review_id])[0]
    if review is None:
        raise Misconfigured(f"no review with the id {review_id}")
    click.echo(json.dumps(record(review, analysis), ensure_ascii=False, indent=2))


@click.command()
@click.option(
    "--limit", default=50, show_default=True, type=click.IntRange(1), help="newest so many reviews"
)
@command
def insights(limit: int) -> None:
    """A readable table of the newest analysed reviews: emotions, what went wrong, the quote, what to do."""
    _, _, store = opened()
    rows = []
    for review, analysis in deque(((r, a) for r, a in store.all() if a is not None), maxlen=limit):
        stars = f"{review.rating:g}/5" if review.rating else "unrated"
        head = f"{review.business or review.source}\n{review.created_at:%Y-%m-%d}  {stars}\n{review.id}"
        felt = ", ".join(analysis.emotions.present[:3])
        if analysis.insight is None:
            rows.append([head, felt, "", f"no insight: {analysis.insight_reason}", ""])
            continue
        for index, issue in enumerate(analysis.insight.issues or (None,)):  # type: ignore[arg-type]
            first = index == 0
            told = f"{issue.told}\n“{issue.evidence}”" if issue else "nothing to act on"
            act = (
                (issue.action or "") + (f"\n! {', '.join(issue.flags)}" if issue.flags else "")
                if issue
                else ""
            )
            urgent = f"{analysis.insight.urgency}" if first else ""
            rows.append(
                [
                    head if first else "",
                    f"{felt}\n{urgent}" if first else "",
                    issue.theme if issue else "",
                    told,
                    act,
                ]
            )
    table(
        "Insights",
        ["review", "emotions, urgency", "theme", "what went wrong, and the quote", "what to do"],
        rows,
    )


@click.command()
@click.option(
    "--format", "form", type=click.Choice(["jsonl", "csv"]), default="jsonl", show_default=True
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="file  [default: standard output]",
)
@click.option("--pending", is_flag=True, help="also reviews that wait for their analysis (jsonl)")
@command
def export(form: str, out: Path | None, pending: bool) -> None:
    """All analysed reviews, oldest first."""
    from consumers.export import export as write

    _, _, store = opened()
    if out is None:
        count = write(store, sys.stdout, form, pending)
    else:
        with out.open("w", encoding="utf-8", newline="") as stream:
            count = write(store, stream, form, pending)
    click.echo(f"{count} reviews exported", err=True)


@click.command()
@click.argument("review_ids", nargs=-1, required=True)
@command
def delete(review_ids: tuple[str, ...]) -> None:
    """Remove reviews for good: text, analysis and index entries."""
    _, _, store = opened()
    click.echo(f"{store.delete(review_ids)} of {len(review_ids)} deleted")


@click.group()
def failed() -> None:
    """Jobs that are out of retries (dead letters)."""


def _letters(ids: tuple[str, ...]) -> tuple[Any, list[Any]]:
    _, connection, _ = opened()
    letters = dead_letters(connection, _QUEUES)
    chosen = [x for x in letters if not ids or x.job_id in ids or set(ids) & set(x.review_ids)]
    if ids and not chosen:
        raise Misconfigured(f"no dead letter with the id {ids[0]}; see `beyond failed list`")
    return connection, chosen


@failed.command("list")
@command
def failed_list() -> None:
    """Which reviews could not be analysed, and why."""
    _, letters = _letters(())
    for letter in letters:
        click.echo(f"{letter.job_id}  {letter.queue}  {letter.failed_at}  {letter.reason}")
    click.echo(f"{len(letters)} dead letters", err=True)


@failed.command("show")
@click.argument("ids", nargs=-1, required=True)
@command
def failed_show(ids: tuple[str, ...]) -> None:
    """Dead letters in full, with the reviews they carry (IDS: of job or review)."""
    _, _, store = opened()
    for letter in _letters(ids)[1]:
        found = [r.model_dump(mode="json") if r else None for r in store.reviews(letter.review_ids)]
        click.echo(json.dumps({**letter.__dict__, "reviews": found}, ensure_ascii=False, indent=2))


@failed.command("retry")
@click.argument("ids", nargs=-1)
@command
def failed_retry(ids: tuple[str, ...]) -> None:
    """Queue dead letters again (IDS; default: all)."""
    connection, letters = _letters(ids)
    for letter in letters:
        requeue(connection, letter)
    click.echo(f"{len(letters)} queued again")


@failed.command("drop")
@click.argument("ids", nargs=-1, required=True)
@command
def failed_drop(ids: tuple[str, ...]) -> None:
    """Forget dead letters (IDS); their reviews stay, without analysis."""
    connection, letters = _letters(ids)
    for letter in letters:
        drop(connection, letter)
    click.echo(f"{len(letters)} dropped")
