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
from sqlalchemy import Connection

from consumers.record.answers_people import Reply
from consumers.record.database import open_database, writing
from consumers.record.scope import owner_scope
from consumers.replies import drafts
from consumers.replies.compose import TONES, Voice
from consumers.replies.guard import Breach
from shared.cli import command
from shared.settings import load_settings

_OWNER = owner_scope()


@contextmanager
def _record() -> Iterator[Connection]:
    engine = open_database(load_settings())
    try:
        with writing(engine) as connection:
            yield connection
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
@command
def reply(review_id: str, edited: str | None, approve: bool, copied: bool, as_json: bool) -> None:
    """Draft a reply to a review of the record, or edit and approve it. Nothing is posted."""
    now = int(time.time())
    with _record() as connection:
        if edited is not None:
            text = sys.stdin.read() if edited == "-" else Path(edited).read_text("utf-8")
            kept = drafts.edit(connection, _OWNER, review_id, text, now)
        else:
            kept = drafts.draft(connection, _OWNER, review_id, now)
        if approve:
            kept = drafts.approve(connection, _OWNER, review_id, now)
        if copied:
            kept = drafts.mark_copied(connection, _OWNER, review_id, now)
        held = drafts.held_by(connection, _OWNER, review_id)
    _show(kept, held, as_json)


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
    with _record() as connection:
        kept = drafts.voice_of(connection, business)
        if tone is not None or signature is not None:
            signed = kept.signature if signature is None else signature.replace(r"\n", "\n")
            kept = Voice(tone or kept.tone, signed)  # type: ignore[arg-type]
            drafts.set_voice(connection, _OWNER, business, kept)
    click.echo(json.dumps({"business": business, **kept.__dict__}, ensure_ascii=False))
