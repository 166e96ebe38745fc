"""`beyond status`, `show`, `insights`, `failed`, `delete`: the reading side on the command line."""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import islice
from typing import Any

import click

from shared.cli import command, opened, table
from shared.errors import Misconfigured
from shared.inert import inert, inert_json
from shared.stream.browse import Browse
from shared.stream.names import BACKFILL, LIVE, TRAINING
from shared.stream.recovery import dead_letters, drop, requeue
from shared.stream.status import status as look

_QUEUES = (LIVE, BACKFILL, TRAINING)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="one JSON object")
@command
def status(as_json: bool) -> None:
    """Queues, work in flight, dead letters, workers, adapter, rate, warnings."""
    from shared.inference.adapters import open_registry

    settings, connection, _ = opened()
    found = look(connection, _QUEUES)
    adapter = open_registry(settings).promoted("issues") or "packaged"
    if as_json:
        facts = asdict(found)
        reviews = {"stored": facts.pop("stored"), "analysed": facts.pop("analysed")}
        click.echo(json.dumps({"reviews": reviews, **facts, "adapter": adapter}))
        return
    click.echo(
        f"reviews   {found.stored} stored, {found.analysed} analysed, "
        f"{found.analysed_per_minute:.1f} a minute"
    )
    for name, queue in found.queues.items():
        click.echo(
            f"{name:<9} {queue.waiting} jobs waiting, {queue.in_flight} in flight, "
            f"{queue.dead_letters} dead letters"
        )
    workers = ", ".join(
        f"{w.host} {w.state}" + (f" ({w.precision})" if w.precision else "") for w in found.workers
    )
    click.echo(f"workers   {workers or 'none; start one: beyond work'}")
    click.echo(f"adapter   {adapter}")
    limit = f" of {_gib(found.memory_limit_bytes)}" if found.memory_limit_bytes else ""
    click.echo(f"memory    {_gib(found.memory_bytes)}{limit}")
    for queue in found.queues.values():
        told = sum(queue.reasons.values())
        newest = f" of the newest {told}" if told < queue.dead_letters else ""
        for reason, count in queue.reasons.items():
            click.echo(f"failed    {count}{newest}: {inert(reason)}  (see: beyond failed list)")
    for kind, text in found.warnings.items():
        click.secho(inert(f"warning   {kind}: {text}"), fg="yellow")


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / 2**30:.2f} GiB"


@click.command()
@click.argument("review_id")
@command
def show(review_id: str) -> None:
    """One review and its analysis, as JSON."""
    from consumers.export import record

    _, _, store = opened()
    found = store.pairs([review_id])[0]
    if found is None:
        raise Misconfigured(f"no review with the id {review_id}")
    told = json.dumps(record(*found), ensure_ascii=False, indent=2)
    click.echo(inert_json(told))


@click.command()
@click.option(
    "--limit", default=50, show_default=True, type=click.IntRange(1), help="newest so many reviews"
)
@command
def insights(limit: int) -> None:
    """A readable table of the newest analysed reviews: emotions, what went wrong, the quote, what to do."""
    _, connection, _ = opened()
    rows = []
    for review, analysis in islice(Browse(connection, analysed=True).newest_first(), limit):
        assert analysis is not None
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
        click.echo(f"{letter.job_id}  {letter.queue}  {letter.failed_at}  {inert(letter.reason)}")
    click.echo(f"{len(letters)} dead letters", err=True)


@failed.command("show")
@click.argument("ids", nargs=-1, required=True)
@command
def failed_show(ids: tuple[str, ...]) -> None:
    """Dead letters in full, with the reviews they carry (IDS: of job or review)."""
    _, _, store = opened()
    for letter in _letters(ids)[1]:
        found = [r.model_dump(mode="json") if r else None for r in store.reviews(letter.review_ids)]
        told = json.dumps({**letter.__dict__, "reviews": found}, ensure_ascii=False, indent=2)
        click.echo(inert_json(told))


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
