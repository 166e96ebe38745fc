"""Puts the pipeline together from settings: which classifier, which writer, where warnings go."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

import redis

from shared.errors import BeyondError, ModelUnavailable
from shared.inference.device import take_device
from shared.inference.emotions import load_emotions
from shared.language import MATCHER_LANGUAGES
from shared.settings import Settings
from shared.stream.replies import Replies
from shared.stream.store import Store, store_of
from workers.alarms import LASTS_SECONDS
from workers.insights import InsightWriter, MatchedWriter, TransformersWriter
from workers.pipeline import Pipeline
from workers.replies import Replier, ReplyModel
from workers.reply_models import LocalReplies, ServedReplies
from workers.served import ServedWriter


def build_pipeline(
    settings: Settings, connection: redis.Redis, tick: Callable[[], None] = lambda: None
) -> Pipeline:
    """The pipeline that a worker runs, on the device that the settings name.

    Raises:
        ModelUnavailable: no such device, or models that cannot be loaded for whatever reason.
    """
    store = store_of(settings, connection)
    try:
        take_device(settings)
        emotions, writer = load_emotions(settings, tick), build_writer(settings, store, tick)
    except (BeyondError, redis.RedisError):
        raise
    except Exception as error:  # torch, transformers and damaged files raise whatever they like
        raise ModelUnavailable(
            f"the models cannot be loaded on {settings.device}: {type(error).__name__}: {error}; "
            "see `beyond settings` for what was asked for, `beyond models list` for what is here"
        ) from error
    # A language model reads what it was taught, and nobody knows what that is; the matcher's encoder
    # and its playbook are English, and a foreign review would get a line at random.
    read = MATCHER_LANGUAGES if isinstance(writer, MatchedWriter) else ()
    return Pipeline(store, emotions, writer, emotions_read=emotions.languages, insights_read=read)


def build_replier(
    settings: Settings, connection: redis.Redis, tick: Callable[[], None] = lambda: None
) -> Replier:
    """What writes replies; it holds a language model only where BEYOND_REPLY_WRITER=generated.

    Raises:
        ModelUnavailable, BadAdapter: that model or its adapter cannot be loaded.
    """
    model: ReplyModel | None = None
    if settings.reply_writer == "generated":
        model = (
            ServedReplies(settings, tick) if settings.openai_url else LocalReplies(settings, tick)
        )
    return Replier(store_of(settings, connection), Replies(connection), model)


def build_writer(
    settings: Settings, store: Store, tick: Callable[[], None]
) -> InsightWriter | None:
    """The insight writer that the settings ask for; None with BEYOND_INSIGHT_MODEL=none."""
    if settings.openai_url and not settings.openai_adapters:
        return ServedWriter(settings, tick=tick)
    if settings.insight_model == "none" and not settings.openai_url:
        return None
    from workers.hotswap import Serving

    worker = (
        f"{socket.gethostname()}.{os.getpid()}"  # each warns for itself, and lifts only its own
    )

    def warn(cause: str, text: str | None) -> None:
        store.warn(f"{cause} {worker}", text, lasts_seconds=LASTS_SECONDS)

    serving = Serving(settings, warn=warn, tick=tick)
    if settings.openai_url:
        return ServedWriter(settings, serving, tick)
    return (
        MatchedWriter(serving)
        if settings.insight_writer == "matched"
        else TransformersWriter(serving)
    )
