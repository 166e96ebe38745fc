"""The `beyond` command: one group that lends each folder's commands lazily, so that `beyond --help` imports no torch."""

from __future__ import annotations

import importlib

import click

# name -> (module, attribute, one line for --help)
COMMANDS = {
    "backfill": (
        "producers.commands",
        "backfill",
        "Read historical reviews from files into the queue.",
    ),
    "webhook": ("producers.commands", "webhook", "Serve POST /reviews for review platforms."),
    "platforms": (
        "producers.platform_commands",
        "platforms",
        "List and test review platforms; their addresses.",
    ),
    "poll": (
        "producers.poll_commands",
        "poll",
        "Fetch reviews from platforms that do not push; list and test sources.",
    ),
    "work": ("workers.commands", "work", "Analyse queued reviews."),
    "classify": ("workers.commands", "classify", "Run the emotion model alone on a file."),
    "write": ("workers.write_command", "write", "Write issues, feedback or replies for a file."),
    "status": ("consumers.commands", "status", "Queues, workers, adapter, rate, warnings."),
    "insights": ("consumers.commands", "insights", "A readable table of the newest insights."),
    "show": ("consumers.commands", "show", "One review and its analysis."),
    "reply": ("consumers.replies.commands", "reply", "Draft, edit, approve a public answer."),
    "voice": ("consumers.replies.commands", "voice", "Tone and signature of a business's replies."),
    "export": (
        "consumers.export_command",
        "export",
        "Analysed reviews as JSON lines, CSV, Parquet.",
    ),
    "feed": ("consumers.feed_command", "feed", "Print what changes, as JSON lines."),
    "record": (
        "consumers.record.commands",
        "record",
        "Keep the SQL database for reading; rebuild it.",
    ),
    "alerts": ("consumers.alerts.commands", "alerts", "Tell people when something happens."),
    "delete": ("consumers.commands", "delete", "Remove reviews for good."),
    "erase": ("consumers.erase_command", "erase_command", "Remove a person's reviews everywhere."),
    "topics": (
        "consumers.topics.commands",
        "topics",
        "Recurring pain points beyond the list of themes.",
    ),
    "report": ("consumers.report.commands", "report", "A page to print: what hurts, what to do."),
    "failed": ("consumers.commands", "failed", "List, show, retry or drop dead letters."),
    "acl": ("shared.stream.commands", "acl", "Users of the server, each with its role's rights."),
    "dashboard": ("consumers.dashboard.commands", "dashboard", "Serve the dashboard and its API."),
    "tokens": ("consumers.dashboard.commands", "tokens", "Make, list, revoke access tokens."),
    "settings": ("shared.inference.commands", "settings", "Effective settings, secrets masked."),
    "models": ("shared.inference.commands", "models", "List, fetch or verify packaged weights."),
    "train": ("trainer.commands", "train", "One training cycle: the five steps below."),
    "sample": ("trainer.commands", "sample", "Step 1: choose stored reviews for the teacher."),
    "label": ("trainer.commands", "label", "Step 2: let the teacher label them."),
    "finetune": ("trainer.commands", "finetune", "Step 3: train an adapter."),
    "evaluate": ("trainer.commands", "evaluate", "Step 4: compare base, champion and challenger."),
    "score": ("trainer.score_command", "score", "The serving models beside labelled reviews."),
    "promote": ("trainer.commands", "promote", "Step 5: promote the adapter if it is better."),
    "schedule": ("trainer.commands", "schedule", "Run cycles periodically."),
    "adapters": (
        "trainer.adapter_commands",
        "adapters",
        "List, show, promote, roll back or prune adapters.",
    ),
    "publish": ("trainer.adapter_commands", "publish", "Upload an adapter to a model hub."),
    "train-emotions": ("trainer.emotion_command", "train_emotions", "Fine-tune the emotion model."),
}


class Lazy(click.Group):
    """Imports a command's module only when that command runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of a review's way."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """The command itself."""
        if name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[name]
        found: click.Command = getattr(importlib.import_module(module), attribute)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in COMMANDS.items()])


@click.command(cls=Lazy)
@click.version_option(package_name="beyond-sentiment")
def main() -> None:
    """Turn a stream of reviews into records a business can act on."""


if __name__ == "__main__":
    main()
