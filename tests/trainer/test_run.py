from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from shared.errors import Misconfigured, TemporaryFailure
from tests.conftest import make_review
from trainer import schedule
from trainer.cycle import Cycle
from trainer.examples import Label
from trainer.run import MAX_TRIES, SAMPLE_DAYS, Plan, Run, Spent, open_run

PLAN = Plan(teacher="file:labels.jsonl")


def sampled(home, plan=PLAN):  # type: ignore[no-untyped-def]
    run = open_run(home, plan)
    run.finish("sample", {})
    return run


def test_an_unfinished_run_is_gone_on_with_and_a_finished_one_is_not(home):
    run = sampled(home)
    assert open_run(home, PLAN).name == run.name
    for step in ("label", "finetune", "evaluate", "promote"):
        run.finish(step, {})
    assert open_run(home, PLAN).name != run.name


def test_a_run_that_is_killed_again_and_again_without_getting_further_is_left(home):
    told: list[str] = []
    names = []
    for _ in range(MAX_TRIES + 1):
        run = open_run(home, PLAN, say=told.append)
        names.append(run.name)
        run.finish("sample", {}) if not run.done("sample") else None
        run.begin()  # and no more: killed in the middle of the step
    assert len(set(names[:MAX_TRIES])) == 1 and names[MAX_TRIES] != names[0]
    assert told == [f"run {names[0]} is left: {MAX_TRIES} tries ended in label"]


def test_tries_that_bring_a_run_further_do_not_count(home):
    run = sampled(home)
    for number in range(3 * MAX_TRIES):  # each kill comes after one more checkpoint
        run = open_run(home, PLAN)
        run.begin()
        (run.folder / "checkpoints" / f"step-{number}").mkdir(parents=True)
    assert open_run(home, PLAN).name == run.name


def test_a_sample_of_last_week_is_not_resumed_unless_named(home):
    run = sampled(home)
    later = datetime.now(UTC) + timedelta(days=SAMPLE_DAYS, minutes=1)
    assert open_run(home, PLAN, clock=lambda: later).name != run.name
    assert open_run(home, PLAN, run.name, clock=lambda: later).done("sample")


def test_a_new_run_begins_when_one_is_asked_for_even_within_a_second(home):
    moment = datetime(2026, 3, 1, tzinfo=UTC)
    names = {open_run(home, PLAN, new=True, clock=lambda: moment).name for _ in range(3)}
    assert len(names) == 3
    with pytest.raises(Misconfigured, match="exists already"):
        open_run(home, PLAN, names.pop(), new=True)


def test_runs_of_two_plans_begun_within_a_second_do_not_collide(home):
    moment = datetime(2026, 3, 1, tzinfo=UTC)
    open_run(home, PLAN, clock=lambda: moment)
    other = PLAN.model_copy(update={"recipe": "original"})
    assert open_run(home, other, clock=lambda: moment).plan == other


def failing(settings, store, home, error):  # type: ignore[no-untyped-def]
    """A cycle whose sample is there and whose labelling raises."""
    run = open_run(home, PLAN)
    if not run.done("sample"):
        run.keep("sample", [Label(make_review(0))])
        run.finish("sample", {})
    cycle = Cycle(run, settings, store, lambda line: None)

    def raises() -> dict[str, object]:
        raise error

    cycle._label = raises  # type: ignore[method-assign]
    with pytest.raises(type(error)):
        cycle.until()
    return run.name


@pytest.mark.parametrize(
    "error, runs",
    [
        (TemporaryFailure("the teacher is away"), 1),  # an outage is nobody's fault
        (Spent("every label was dropped"), 9),  # and the next try would drop them again
        (ValueError("something unforeseen"), 3),
    ],
)
def test_what_a_failure_means_for_the_run(settings, store, home, error, runs):
    names = [failing(settings, store, home, error) for _ in range(2 * MAX_TRIES + 1)]
    assert len(set(names)) == runs


def test_a_sample_of_which_every_label_was_dropped_is_replaced_by_a_new_one(settings, store, home):
    """Its answers are cached: the run was resumed for ever, and failed for ever."""
    path = home / "labels.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('{"id": "a", "review": "Cold soup.", "issues": [], "split": "train"}\n')
    plan = Plan(teacher=f"file:{path}", task="reply", student="generated")
    with pytest.raises(Spent, match="no valid label"):
        schedule.train(plan, settings, store, lambda line: None)
    told: list[str] = []
    with pytest.raises(Spent):
        schedule.train(plan, settings, store, told.append)
    assert len(list((home / "runs").iterdir())) == 2 and "is left: no valid label" in told[0]


def test_a_named_run_is_gone_on_with_whatever_became_of_it(home):
    run = sampled(home)
    run.end("spent")
    assert open_run(home, PLAN).name != run.name
    assert open_run(home, PLAN, run.name).done("sample") and Run(run.folder).why_left(
        datetime.now(UTC)
    )
