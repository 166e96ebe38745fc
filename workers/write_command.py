"""`beyond write`: answers to a task for a file of reviews, without queue or store.

It does not know how they are made.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from shared.cli import command
from shared.errors import InvalidReview, Misconfigured
from shared.inference.prompts import TASKS, Unparsable, parse_issues, parse_text, target
from shared.review import Review
from shared.settings import Settings
from workers.guard import guarded, guarded_reply

_STEP = 64


@click.command()
@click.option("--task", default="issues", show_default=True, type=click.Choice(list(TASKS)))
@click.option(
    "--adapter",
    default="default",
    show_default=True,
    help="an id, a folder, `none` (bare base) or `default`",
)
@click.argument("source", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("target", type=click.Path(dir_okay=False, path_type=Path))
@command
def write(task: str, adapter: str, source: Path, target: Path) -> None:
    """Answer TASK for each review of SOURCE (JSON lines with `text` or `review`, optional `rating`) into TARGET.

    Order and other fields are kept; each line gets `answer` (null if it had not the task's form,
    then `problem` says why) and, for issues, `issues` with offsets.
    """
    from shared.inference.answer import answerer
    from shared.inference.emotions import load_emotions
    from shared.settings import load_settings

    settings = load_settings()
    rows = [
        (n, line)
        for n, line in enumerate(source.read_text(encoding="utf-8-sig").splitlines(), 1)
        if line.strip()
    ]
    records = [_record(source, number, line) for number, line in rows]
    answers = answerer(adapter_folder(adapter, task, settings), task, settings)
    emotions = load_emotions(settings)
    with target.open("w", encoding="utf-8") as out:
        for start in range(0, len(records), _STEP):
            part = records[start : start + _STEP]
            reviews = [review for _, review in part]
            texts, ratings = [r.text for r in reviews], [r.rating for r in reviews]
            felt = [e.present for e in emotions.classify(texts, ratings)]
            for (record, review), raw in zip(part, answers(reviews, felt), strict=True):
                out.write(
                    json.dumps({**record, **_shown(task, raw, review)}, ensure_ascii=False) + "\n"
                )
            click.echo(f"\r{start + len(part)}/{len(records)} written", nl=False, err=True)
    click.echo(f" to {target}", err=True)


def adapter_folder(name: str, task: str, settings: Settings) -> Path | None:
    """The checked folder of an adapter by id, folder, `none` or `default`.

    `default` is the promoted adapter of the task, else the packaged one that the preset serves;
    None means the bare base.

    Raises:
        BadAdapter: missing or corrupt.
        Misconfigured: the adapter did not learn this task.
    """
    from shared.inference.adapters import check, default_for, open_registry, read_manifest

    registry = open_registry(settings)
    found = default_for(registry, task, settings) if name == "default" else name
    if found in (None, "none"):
        return None
    folder = Path(str(found))
    if folder.is_dir():
        manifest = read_manifest(folder)
        check(folder, manifest)
    else:
        folder, manifest = registry.fetch(str(found)), registry.manifest(str(found))
    if task not in {manifest.task, *manifest.also}:
        raise Misconfigured(
            f"adapter {manifest.id} is for {', '.join([manifest.task, *manifest.also])}, not for {task}"
        )
    return folder


def _record(source: Path, number: int, line: str) -> tuple[dict[str, Any], Review]:
    try:
        record = json.loads(line)
        text, rating = (
            record.get("text", record.get("review")),
            record.get("rating", record.get("stars")),
        )
        fields = {"id": f"line-{number}", "source": "file", "text": text, "rating": rating}
        return record, Review(**fields, created_at=datetime.now(UTC))
    except ValidationError as error:
        wrong = error.errors()[0]
        raise InvalidReview(
            f"{source}:{number}: {wrong['loc'][0]}: {wrong['msg']}; expected `text` and an optional `rating`"
        ) from None
    except (ValueError, AttributeError) as error:
        raise InvalidReview(f"{source}:{number}: not a JSON object: {error}") from None


def _shown(task: str, raw: str, review: Review) -> dict[str, Any]:
    try:
        if task != "issues":
            text, reason = guarded_reply(parse_text(raw), review)
            return {"answer": text} if text else {"answer": None, "problem": reason, "raw": raw}
        issues = guarded(parse_issues(raw, review.text), review, free_text=True)
        return {
            "answer": target(issues).strip(),
            "issues": [issue.model_dump() for issue in issues],
        }
    except Unparsable as error:
        return {"answer": None, "problem": str(error), "raw": raw}
