"""`beyond score`: the serving models beside a file of labelled reviews.

It does not know how scores are made.
"""

from __future__ import annotations

import json
from pathlib import Path

import click

from shared.cli import command, table


@click.command()
@click.option(
    "--labels",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON lines {key, stars, text, issues: [{q, theme, problem}], emotions}",
)
@click.option("--dev", is_flag=True, help="only the tenth that no training saw, by each key's hash")
@click.option("--known-trade", is_flag=True, help="tell the models each review's trade")
@click.option("--json", "as_json", is_flag=True, help="one JSON object instead of the table")
@click.option(
    "--picture",
    type=click.Path(dir_okay=False, path_type=Path),
    help="also draw scores by kind and the reliability of confidence (PNG)",
)
@command
def score(labels: Path, dev: bool, known_trade: bool, as_json: bool, picture: Path | None) -> None:
    """How the models that serve agree with a careful reader, by kind of review (a key's part before `:`)."""
    from shared.inference.emotions import load_emotions
    from shared.settings import load_settings
    from trainer import readings
    from trainer.matcher import PLAYBOOK
    from trainer.metrics.labels_score import MEANING
    from trainer.score import score as scored
    from trainer.score import table as rows
    from trainer.serving import serving

    settings = load_settings()
    lines, finder = readings.read_playbook(PLAYBOOK)
    places = {line.problem: index for index, line in enumerate(lines)}
    found = readings.read_readings(labels, finder)
    if dev:
        found = [one for one in found if readings.in_dev(one.key)]
    out = scored(
        found,
        *serving(settings),
        load_emotions(settings),
        places,
        known_trade=known_trade,
        say=lambda line: click.echo(f"\r{line}", nl=False, err=True),
    )
    click.echo("", err=True)
    if picture:
        from trainer.score_picture import draw

        draw(out, picture)
    facts = out.as_json()
    if as_json:
        click.echo(json.dumps(facts, indent=1))
        return
    table(f"Scores of {out.name}", ["kind", "reviews", *MEANING], rows(out))
    for name, meaning in MEANING.items():
        click.echo(f"{name:<15} {meaning}")
    click.echo(f"calibration error of confidence (ECE, ten bins): {facts['calibration_error']}")
