"""The pipeline page's lower half: trainings as the trainer left them, adapters of a real registry, and the buttons that move its pointer."""

from __future__ import annotations

import re

import pytest

from shared.inference.adapters import open_registry
from shared.settings import MATCHER_BASE
from shared.stream import broker
from shared.stream.store import Store
from tests.browser.conftest import violations
from tests.conftest import make_review
from trainer.cycle import Cycle
from trainer.evaluate import Arm, Scored
from trainer.run import Plan, Run

HOLDOUT = 60


def scored(role: str, f1: float) -> Scored:
    rows = [
        {
            "id": f"r{n}",
            "slices": ["1-2 stars" if n % 2 else "3-5 stars"],
            "measures": {
                "issue_f1": min(1.0, f1 + n % 3 / 10),
                "parsed": 1.0,
                "verbatim": 1.0,
                "offers": 0.0,
                "repetition": 0.0,
            },
        }
        for n in range(HOLDOUT)
    ]
    return Scored(Arm(role, role, None), rows, 0.01, {"bleurt": "no <b>checkpoint</b>"})


class Judged(Cycle):
    """A cycle whose arms are known: all that evaluate and promote write is the trainer's own."""

    after = 0.9

    def scored(self) -> list[Scored]:
        return [scored("base", 0.2), scored("champion", 0.4), scored("challenger", self.after)]


def trained(house, name: str, after: float, plan: Plan | None = None) -> Judged:
    run = Run(house.settings.home / "runs" / name, plan or Plan())
    (run.folder / "adapter").mkdir()
    (run.folder / "adapter" / "weights.bin").write_bytes(name.encode())
    run.finish("sample", {"sampled": 500})
    run.finish("label", {"labelled": 480})
    run.finish("finetune", {"base": MATCHER_BASE})
    cycle = Judged(
        run, house.settings, Store(broker.connect(house.settings)), say=lambda line: None
    )
    cycle.after = after
    cycle.until("promote")
    return cycle


@pytest.fixture(scope="module")
def registry(house, tmp_path_factory):
    """Two tiny adapters: one published and promoted by hand, then one by a training; a second training was refused."""
    found = open_registry(house.settings)
    folder = tmp_path_factory.mktemp("adapter")
    (folder / "weights.bin").write_bytes(b"first")
    facts = {"task": "issues", "prompt_version": "issues-1", "base": MATCHER_BASE}
    found.promote(found.publish(folder, **facts, scores={"issue_f1": 0.4}).id)
    trained(house, "20261101-000000-00-issues", 0.9)
    trained(house, "20261102-000000-00-issues", 0.3)
    assert len(found.all()) == 2
    return found


def row(page, name):
    return page.get_by_role("region", name="Adapters").get_by_role("listitem").filter(has_text=name)


def test_the_last_training_is_told_with_what_it_failed_and_its_report(open_page, house, registry):
    page = open_page("/pipeline")
    section = page.get_by_role("region", name="Last training")
    section.get_by_text("Refused: what serves stays.").wait_for()
    assert "20261102-000000-00-issues" in section.inner_text()
    section.get_by_text(re.compile(r"better: issue_f1 0\.500 -> 0\.400")).wait_for()
    means = section.get_by_role("row", name=re.compile("issue f1")).get_by_role("cell")
    assert means.all_inner_texts() == ["0.300", "0.500", "0.400"]
    section.get_by_text("conditions held").click()
    section.get_by_text("60 reviews in the holdout, 40 needed").wait_for()
    section.get_by_role("link", name="The whole report").click()
    page.get_by_role("heading", name="Training report", level=1).wait_for()
    report = page.locator(".report")
    assert "no <b>checkpoint</b>" in report.inner_text() and report.locator("b").count() == 0
    pictures = report.locator("img")
    assert pictures.count() == 2
    for n in range(2):
        assert (
            pictures.nth(n).evaluate("image => image.decode().then(() => image.naturalWidth)") > 300
        )
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert violations(page) == [], scheme
    page.set_viewport_size({"width": 360, "height": 780})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_an_adapter_is_taken_back_and_put_in_force_again_and_what_cannot_be_says_why(
    open_page, registry
):
    first, second = (manifest.id for manifest in registry.all())
    page = open_page("/pipeline")
    assert (
        "in force" in row(page, second).inner_text()
        and "issue f1" in row(page, second).inner_text()
    )
    page.get_by_role("button", name="Go back to the issues adapter before").click()
    page.get_by_role("status").filter(has_text="The adapter before is in force again").wait_for()
    assert registry.promoted("issues") == first
    assert row(page, first).get_by_role("button").count() == 0
    page.get_by_role("button", name="Go back to the issues adapter before").click()
    page.get_by_role("alert").filter(has_text="no earlier adapter of task issues").wait_for()
    assert registry.promoted("issues") == first and violations(page) == []
    page.get_by_role("button", name=f"Put in force the adapter {second}").click()
    page.get_by_role("status").filter(has_text="The adapter is in force").wait_for()
    assert registry.promoted("issues") == second
    assert "in force" in row(page, second).inner_text()


def test_a_damaged_adapter_is_refused_and_one_of_another_base_does_not_pretend_to_serve(
    open_page, house, registry, tmp_path
):
    before = registry.promoted("issues")
    (tmp_path / "weights.bin").write_bytes(b"weights")
    facts = {"task": "issues", "prompt_version": "issues-1"}
    damaged = registry.publish(tmp_path, **facts, base=MATCHER_BASE).id
    foreign = registry.publish(tmp_path, **facts, base="phi-2").id
    (house.settings.home / "adapters" / damaged / "weights.bin").write_bytes(b"other")
    page = open_page("/pipeline")
    page.get_by_role("button", name=f"Put in force the adapter {damaged}").click()
    page.get_by_role("alert").filter(has_text="its sha256 differs from the manifest").wait_for()
    assert registry.promoted("issues") == before
    page.get_by_role("button", name=f"Put in force the adapter {foreign}").click()
    page.get_by_role("status").filter(has_text="another base").wait_for()
    assert "in force" not in row(page, foreign).inner_text()
    page.get_by_role("button", name="Go back to the issues adapter before").click()
    page.get_by_role("status").filter(has_text="in force again").wait_for()
    assert registry.promoted("issues") == before


def test_what_comes_into_the_queues_is_seen_without_a_reload(open_page, house):
    page = open_page("/pipeline")
    page.evaluate("window.stayed = true")
    live = page.get_by_role("region", name="Queues").get_by_role("row", name="Live")
    assert live.get_by_role("cell").first.inner_text() == "0"
    Store(broker.connect(house.settings)).put([make_review(1)])
    live.get_by_role("cell").first.filter(has_text="1").wait_for(timeout=60_000)
    assert page.evaluate("window.stayed") and violations(page) == []


def test_a_training_that_is_under_way_says_how_far_it_came(open_page, house, registry):
    run = Run(house.settings.home / "runs" / "20991231-000000-00-issues", Plan(task="issues"))
    run.finish("sample", {"sampled": 500})
    (house.settings.home / "runs" / "damaged").mkdir()
    (house.settings.home / "runs" / "damaged" / "run.json").write_text("{")
    page = open_page("/pipeline")
    section = page.get_by_role("region", name="Last training")
    section.get_by_text("before the step “label”").wait_for()
    assert section.get_by_role("link", name="The whole report").count() == 0
    page.goto(f"{house.url}/pipeline/trainings/20991231-000000-00-issues")
    page.get_by_role("heading", name="Not found").wait_for()
    page.goto(f"{house.url}/pipeline/trainings/20261102-000000-00-issues/run.json")
    page.get_by_role("heading", name="Not found").wait_for()
