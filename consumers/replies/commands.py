"""`beyond reply`: draft, edit, check, approve; and how a business speaks.

It does not post anything.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
from sqlalchemy import Engine

from consumers.record.answers_people import Reply
from consumers.record.database import open_database, writing
from consumers.record.scope import owner_scope
from consumers.replies import drafts
from consumers.replies.courier import Courier
from shared.cli import command, opened
from shared.errors import TemporaryFailure
from shared.replies.compose import TONES, Voice
from shared.replies.guard import Breach
from shared.settings import load_settings
from shared.stream.replies import Replies

_OWNER = owner_scope()
_LOOK_SECONDS = 0.1


@contextmanager
def _record() -> Iterator[Engine]:
    engine = open_database(load_settings())
    try:
        yield engine
    finally:
        engine.dispose()


@click.command()
@click.argument("review_id")
@click.option(
    "--edit",
    "edited",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True),
    help="file with the new text; - reads it",
)
@click.option("--approve", is_flag=True, help="say that it may be published")
@click.option("--copied", is_flag=True, help="say that it was published by hand")
@click.option("--json", "as_json", is_flag=True, help="one JSON object")
@click.option("--wait", default=60.0, show_default=True, help="seconds, for a worker to write")
@command
def reply(
    review_id: str, edited: str | None, approve: bool, copied: bool, as_json: bool, wait: float
) -> None:
    """Have a worker draft a reply to a review of the record, or edit and approve it. Nothing is posted."""
    now = int(time.time())
    with _record() as engine:
        if edited is None:
            kept = _drafted(engine, review_id, wait)
        with writing(engine) as connection:
            if edited is not None:
                text = sys.stdin.read() if edited == "-" else Path(edited).read_text("utf-8")
                kept = drafts.edit(connection, _OWNER, review_id, text, now)
            if approve:
                kept = drafts.approve(connection, _OWNER, review_id, now)
            if copied:
                kept = drafts.mark_copied(connection, _OWNER, review_id, now)
            held = drafts.held_by(connection, _OWNER, review_id)
    _show(kept, held, as_json)


def _drafted(engine: Engine, review_id: str, wait_seconds: float) -> Reply:
    """The reply once a worker has written it; one that a person edited or approved as it is.

    Raises:
        TemporaryFailure: nobody wrote it in that time, or writing it failed.
    """
    _, connection, _ = opened()
    replies, until = Replies(connection), time.monotonic() + wait_seconds
    with engine.connect() as reading:
        found = drafts.ask(reading, _OWNER, replies, review_id)
    if found is not None:
        return found
    while (wanted := replies.wanted(review_id)) is not None:
        if wanted.state == "failed":
            raise TemporaryFailure(f"the draft failed: {wanted.reason}; run this again")
        if time.monotonic() > until:
            raise TemporaryFailure(
                "no worker has come to it yet: start `beyond work`, run this again"
            )
        Courier(engine, replies).bring()
        time.sleep(_LOOK_SECONDS)
    with engine.connect() as reading:
        return drafts.kept(reading, _OWNER, review_id)


def _show(kept: Reply, held: Sequence[Breach], as_json: bool) -> None:
    if as_json:
        click.echo(kept.model_dump_json())
        return
    click.echo(kept.text)
    click.echo(f"({kept.state}, {kept.written_by}, {kept.updated_by})", err=True)
    for breach in held:
        click.secho(f"warning   {breach}", fg="yellow", err=True)


@click.command("voice")
@click.argument("business")
@click.option("--tone", type=click.Choice(TONES))
@click.option("--signature", help=r"last lines of each reply; \n begins a new one")
@command
def voice(business: str, tone: str | None, signature: str | None) -> None:
    """How replies of BUSINESS sound ("": reviews that name none): show it, or set tone and signature."""
    with _record() as engine, writing(engine) as connection:
        kept = drafts.voice_of(connection, business)
        if tone is not None or signature is not None:
            signed = kept.signature if signature is None else signature.replace(r"\n", "\n")
            kept = Voice(tone or kept.tone, signed)  # type: ignore[arg-type]
            drafts.set_voice(connection, _OWNER, business, kept)
    click.echo(json.dumps({"business": business, **kept.__dict__}, ensure_ascii=False))
