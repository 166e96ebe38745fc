"""`python -m workers.run live backfill`: one worker, connected as every other part is (broker.connect).

The stock `rq worker` does the same for redis://, rediss:// and unix:// URLs, but knows no Sentinel
and no embedded server. It does not know jobs or models.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

import click

from shared.errors import Misconfigured, TemporaryFailure
from shared.settings import load_settings
from shared.stream.broker import connect
from shared.stream.launch import QUEUES
from shared.stream.queues import ReliableQueue, queue_of
from shared.telemetry import log
from workers.batch_worker import EX_CONFIG

_EX_TEMPFAIL = 75  # sysexits.h


@click.command()
@click.argument("queues", nargs=-1)
@click.option(
    "--worker-class", default="workers.batch_worker.BatchWorker", show_default=True, metavar="NAME"
)
def main(queues: Sequence[str], worker_class: str) -> None:
    """One worker of QUEUES, most urgent first; stops warmly on SIGTERM or Ctrl-C."""
    module, _, name = worker_class.rpartition(".")
    try:
        connection = connect(load_settings())
        found = [queue_of(queue, connection) for queue in queues or QUEUES]
        worker = getattr(import_module(module), name)(
            found,
            connection=connection,
            serializer=found[0].serializer,
            queue_class=ReliableQueue,
        )
    except Misconfigured as error:
        log("worker").error("cannot_start", reason=str(error))
        sys.exit(EX_CONFIG)
    except TemporaryFailure as error:
        log("worker").error("cannot_start_yet", reason=str(error))
        sys.exit(_EX_TEMPFAIL)
    worker.work(logging_level="WARNING")


if __name__ == "__main__":
    main()
