"""`beyond train-emotions`."""

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
@command
def train_emotions(data: Path, out: Path, epochs: int, rate: float, seed: int) -> None:
    """Fine-tune MiniLM on GoEmotions (DATA: train.tsv, dev.tsv) and write what workers load to OUT."""
    from shared.models import resolve
    from shared.settings import load_settings
    from trainer.emotions import train

    base = resolve("wheel:all-minilm-l6-v2", load_settings().cache)
    train(data, base, out, epochs=epochs, rate=rate, seed=seed, say=click.echo)
