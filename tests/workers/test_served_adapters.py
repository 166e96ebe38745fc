"""Adapters and grammars on a server that loads and obeys them as vLLM does, or does not."""

from __future__ import annotations

import pytest

from shared.backoff import asked_seconds
from shared.errors import Misconfigured, TemporaryFailure
from shared.inference.adapters import open_registry
from shared.inference.prompts import fence, parse_issues, shorten
from shared.inference.served import ServedModel
from shared.inference.served_grammar import DIALECTS
from shared.review import Insight
from tests.conftest import make_review
from tests.fakes import ANGRY
from tests.random_speech import RandomSpeech
from tests.served_stand_in import StandIn
from workers.hotswap import Serving
from workers.served import ServedWriter

TEXTS = [
    "We waited an hour and the soup came cold.",
    "x",
    'She said "no" and \\d left; {}[] %s <b>bold</b> 50% of it.',
    "El café estaba frío y la camarera fue grosera.",
    "食物很冷，服务员态度很差。" * 20,
    "The waiter was rude. The bill was wrong. The room was dirty. The soup was cold. " * 40,
]


@pytest.fixture
def stand_in():  # type: ignore[no-untyped-def]
    found = StandIn()
    yield found
    found.stop()


@pytest.fixture(scope="module")
def speech():  # type: ignore[no-untyped-def]
    return RandomSpeech()


@pytest.fixture
def served(settings, stand_in, tmp_path):  # type: ignore[no-untyped-def]
    change = {
        "openai_url": stand_in.url,
        "openai_model": "base",
        "openai_adapters": str(tmp_path / "home" / "adapters"),
        "insight_model": "hub:microsoft/phi-2",
        "cache": tmp_path,
    }
    return settings.model_copy(update=change)


def publish(settings, tmp_path, text, files=("adapter_config.json",)):  # type: ignore[no-untyped-def]
    folder = tmp_path / "trained"
    folder.mkdir(exist_ok=True)
    for name in (*files, "adapter_model.safetensors"):
        (folder / name).write_text(text)
    registry = open_registry(settings)
    facts = {"task": "issues", "prompt_version": "issues-1", "base": "phi-2"}
    name = registry.publish(folder, **facts).id
    for path in folder.iterdir():
        path.unlink()
    registry.promote(name)
    return name


def writer_of(served, warnings):  # type: ignore[no-untyped-def]
    now = [0.0]

    def warn(cause, text):  # type: ignore[no-untyped-def]
        warnings.pop(cause, None) if text is None else warnings.update({cause: text})

    serving = Serving(served, warn, clock=lambda: now[0], jitter=lambda: 1.0)
    writer = ServedWriter(served, serving)

    def later(seconds=5.0):  # type: ignore[no-untyped-def]
        now[0] += seconds
        writer.refresh()

    return writer, later


def write(writer, text="We waited an hour and the soup came cold."):  # type: ignore[no-untyped-def]
    found = writer.write([(make_review(0, text, 1), ANGRY)])[0]
    assert isinstance(found, Insight), found
    return found.adapter


@pytest.mark.parametrize("dialect", DIALECTS[:2], ids=lambda d: d.name)
def test_whatever_a_grammar_allows_can_be_read_and_quotes_verbatim(dialect, speech):
    issues = 0
    for text in TEXTS:
        grammar = dialect.issues(fence(shorten(text)))
        for seed in range(3):
            said, ended = speech.say(grammar, 400, seed)
            last = said.rfind("evidence: ")
            for issue in parse_issues(said if ended or last <= 0 else said[:last], text):
                assert text[issue.start : issue.end] == issue.evidence
                issues += 1
    assert issues > 10


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda d: d.name)
def test_how_a_server_takes_grammars_is_found_by_asking(dialect, settings, stand_in):
    """The Lark ones are found first where both are taken."""
    stand_in.grammar = next(iter(dialect.body("")))
    change = {"openai_url": stand_in.url, "openai_route": "completions"}
    model = ServedModel(settings.model_copy(update=change))
    model.learn_grammar()
    assert model.dialect == dialect.name.replace("vllm-gbnf", "vllm-lark")
    said = model.ask("Issues:", model="base", most_tokens=200, fenced="The soup was cold again.")
    parse_issues(said, "The soup was cold again.")


def test_a_server_without_grammar_is_asked_without_and_may_be_refused(settings, stand_in):
    stand_in.grammar = ""
    change = {"openai_url": stand_in.url}
    model = ServedModel(settings.model_copy(update=change))
    model.learn_grammar()
    assert model.dialect == "none"
    with pytest.raises(Misconfigured, match="BEYOND_OPENAI_GRAMMAR=vllm-lark"):
        ServedModel(
            settings.model_copy(update={**change, "openai_grammar": "vllm-lark"})
        ).learn_grammar()
    answer = ServedWriter(settings.model_copy(update=change)).write(
        [(make_review(0, "Cold soup.", 1), ANGRY)]
    )
    assert answer[0].startswith("unparsable"), "free talk is no insight"  # type: ignore[union-attr]


def test_a_promoted_adapter_is_loaded_probed_asked_and_the_oldest_dropped(
    served, stand_in, tmp_path
):
    first, warnings = publish(served, tmp_path, "one"), {}
    writer, later = writer_of(served, warnings)
    later()
    assert write(writer) == first
    second = publish(served, tmp_path, "two")
    later()
    assert write(writer) == second and set(stand_in.adapters) == {first, second}
    third = publish(served, tmp_path, "three")
    later()
    assert write(writer) == third and set(stand_in.adapters) == {second, third}
    open_registry(served).rollback("issues")
    later()
    assert write(writer) == second and not warnings


def test_a_server_that_forbids_loading_serves_its_own_model_and_says_which_setting(
    served, stand_in, tmp_path
):
    stand_in.adapters, warnings = None, {}
    publish(served, tmp_path, "one")
    writer, later = writer_of(served, warnings)
    later()
    assert write(writer) == "base"
    assert "VLLM_ALLOW_RUNTIME_LORA_UPDATING" in warnings["adapter"]


def test_an_adapter_that_the_server_will_not_load_leaves_the_old_one_in_force(
    served, stand_in, tmp_path
):
    first, warnings = publish(served, tmp_path, "one"), {}
    writer, later = writer_of(served, warnings)
    bad = publish(served, tmp_path, "bad", files=())
    later()
    assert write(writer) == first
    assert bad in warnings["adapter"] and "No adapter found" in warnings["adapter"]


def test_a_restarted_server_gets_its_adapter_again(served, stand_in, tmp_path):
    first, warnings = publish(served, tmp_path, "one"), {}
    writer, later = writer_of(served, warnings)
    later()
    stand_in.adapters.clear()
    with pytest.raises(TemporaryFailure):
        write(writer)
    later()
    assert write(writer) == first and not warnings


def test_a_wait_may_be_given_in_seconds_or_as_a_date():
    assert asked_seconds("7", 1e9) == 7 and asked_seconds(" 0.5", 1e9) == 0.5
    assert asked_seconds("", 1e9) is None and asked_seconds("soon", 1e9) is None
    assert asked_seconds("Wed, 21 Oct 2015 07:28:00 GMT", 1445412480 + 60) == 0
    assert asked_seconds("Wed, 21 Oct 2015 07:28:00 GMT", 1445412480 - 60) == 60


def test_a_wait_that_says_nothing_is_ours_to_choose(settings, stand_in):
    stand_in.busy, stand_in.retry_after = 2, "soon"
    now, waits = [0.0], []

    def pause(seconds: float) -> None:
        waits.append(seconds)
        now[0] += seconds

    chosen = settings.model_copy(update={"openai_url": stand_in.url})
    model = ServedModel(chosen, pause=pause, clock=lambda: now[0])
    model.ask("Hello", model="base", most_tokens=1)
    assert waits == [0.5, 1.0]


def test_a_server_that_wants_more_than_a_minute_is_away(settings, stand_in):
    stand_in.busy, stand_in.retry_after = 1, "3600"
    model = ServedModel(settings.model_copy(update={"openai_url": stand_in.url}))
    with pytest.raises(TemporaryFailure, match="again in 3600 s"):
        model.ask("Hello", model="base", most_tokens=1)
