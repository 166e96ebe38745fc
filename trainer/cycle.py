"""One retraining in five visible steps: sample, label, finetune, evaluate, promote.

Each step reads what the one before left in the run folder and leaves its own; a finished step is
not repeated. It knows the order and the data between the steps, not how any of them works.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from shared.errors import Misconfigured, TemporaryFailure
from shared.inference.adapters import BadAdapter, Manifest, Registry, open_registry, packaged_for
from shared.inference.causal import load_base
from shared.inference.emotions import load_emotions
from shared.inference.prompts import TASKS
from shared.inference.weights import file_sha256, resolve
from shared.settings import MATCHER_BASE, Settings, base_name
from shared.stream.store import Store
from trainer import matcher, readings, report
from trainer import promote as gate
from trainer.calibrate import calibrate
from trainer.evaluate import Arm, Scored, evaluate
from trainer.examples import Label, examples, held, held_out
from trainer.finetune import RECIPES, Recipe, finetune
from trainer.label import require_some
from trainer.marks import read_marks
from trainer.run import STEPS, Run, Spent
from trainer.sources import Source, open_source
from trainer.verdicts import judged, with_judged

# Of the training side, to choose the best epoch by: 4% of the 3,981 packaged labels are 160, and
# each one is missing in training. Chosen, not measured.
_DEV_SHARE = 0.04


@dataclass
class Cycle:
    """What all steps need: the run, the store, and where a line of progress goes."""

    run: Run
    settings: Settings
    store: Store
    say: Callable[[str], None] = print

    def __post_init__(self) -> None:
        if self.run.plan.task not in TASKS or not set(self.run.plan.also) <= set(TASKS):
            raise Misconfigured(f"unknown task; there are: {', '.join(TASKS)}")

    def until(self, last: str = STEPS[-1]) -> dict[str, Any]:
        """Run every unfinished step up to `last`; returns the facts of that step."""
        for step in STEPS[: STEPS.index(last) + 1]:
            self.step(step)
        return dict(self.run.facts[last])

    def step(self, name: str) -> None:
        """Run one step unless it is finished.

        Raises:
            Misconfigured: an earlier step is missing, or the step cannot work with what it was
                given.
            Spent: it never will with this sample; the run is not resumed.
            TemporaryFailure: teacher, server or disk failed; repeating goes on from there.
        """
        if self.run.done(name):
            self.say(f"{name}: done already")
            return
        self.run.require(name)
        self.say(f"== {name} ({STEPS.index(name) + 1} of {len(STEPS)}) ==")
        self.run.begin()
        self._check_base()
        try:
            facts: dict[str, Any] = getattr(self, f"_{name}")()
        except TemporaryFailure:
            self.run.forgive()
            raise
        except Spent as error:
            self.run.end(str(error))
            raise
        self.run.finish(name, facts | {"base": self.base} if name == "finetune" else facts)
        self.say(
            f"{name}: "
            + ", ".join(f"{k} {v}" for k, v in facts.items() if not isinstance(v, list | dict))
        )

    def _check_base(self) -> None:
        """An adapter fits only the base it was trained on; `--base` and the preset are no part of the plan."""
        trained_on = self.run.facts.get("finetune", {}).get("base", self.base)
        if trained_on != self.base:
            raise Misconfigured(
                f"run {self.run.name} was trained on {trained_on}, and {self.base} is set now; "
                "give --base as before, or begin anew with `beyond train --new`"
            )

    def _teacher(self) -> str:
        return self.run.plan.teacher or self.settings.teacher

    @property
    def source(self) -> Source:
        """Where reviews and labels come from."""
        return open_source(self._teacher(), self.run.plan.task, self.settings, self.store)

    def _sample(self) -> dict[str, Any]:
        found = self.source.choose(self.run.plan.reviews)
        people = judged(self.store) if self.run.plan.task == "issues" else []
        found.labels = with_judged(found.labels, people)
        without = [i for i, one in enumerate(found.labels) if not one.emotions]
        if without:
            felt = load_emotions(self.settings).classify(
                [found.labels[i].review.text for i in without],
                [found.labels[i].review.rating for i in without],
            )
            for i, emotions in zip(without, felt, strict=True):
                found.labels[i] = replace(found.labels[i], emotions=emotions.present)
        self.run.keep("sample", found.labels)
        by_people = {"judged_by_people": len(people)} if people else {}
        return {"sampled": len(found.labels), **by_people, "left_out": dict(found.left_out)}

    def _label(self) -> dict[str, Any]:
        found = self.source.label(self.run.kept("sample"), self.say)
        require_some(found, self.run.plan.task)
        self.run.keep("labels", found.labels)
        return {
            "labelled": len(found.labels),
            "from_cache": found.cached,
            "teacher": found.spent(self.settings.teacher_price) if found.asked else "not asked",
            "dropped": dict(found.dropped),
        }

    def _finetune(self) -> dict[str, Any]:
        plan = self.run.plan
        labels = [one for one in self.run.kept("labels") if not held(one)]
        dev = [one for one in labels if held_out(f"dev {one.review.id}", _DEV_SHARE)]
        train = [one for one in labels if not held_out(f"dev {one.review.id}", _DEV_SHARE)]
        tasks = (plan.task, *plan.also)
        if self.matched:
            return self._train_matcher(labels)
        recipe = chosen_recipe(plan.recipe, epochs=plan.epochs, rate=plan.rate)
        model, tokenizer = load_base(self.settings, room=3.0)
        start = self._champion()[1] if plan.from_champion else None
        facts = finetune(
            model,
            tokenizer,
            list(examples(train, tasks)),
            list(examples(dev, tasks)),
            self.run.folder,
            recipe,
            start=start,
            say=self.say,
        )
        return dict(facts)

    def _train_matcher(self, labels: Sequence[Label]) -> dict[str, Any]:
        """Train on all that was marked, and fit its confidence on the dev split of --labels."""
        plan, out = self.run.plan, self.run.folder / "adapter"
        base = resolve(f"wheel:{MATCHER_BASE}", self.settings.cache)
        lines, finder = readings.read_playbook(matcher.PLAYBOOK)
        found = readings.of_labels(labels, finder)
        if plan.marks:
            marks = read_marks(Path(plan.marks), self.store.reviews)
            found += readings.of_marks(marks, finder)
        labelled = [
            one for file in plan.labels for one in readings.read_readings(Path(file), finder)
        ]
        dev = [one for one in labelled if readings.in_dev(one.key)]
        known = {one.text for one in dev}
        found = [one for one in found if one.text not in known]
        found += [one for one in labelled if not readings.in_dev(one.key)]
        facts = matcher.train(
            found,
            lines,
            base,
            out,
            epochs=int(plan.epochs or matcher.EPOCHS),
            rate=plan.rate or matcher.RATE,
            checkpoints=self.run.folder / "checkpoints",
            say=self.say,
        )
        return {**facts, **(calibrate(out, dev) if dev else {})}

    @property
    def matched(self) -> bool:
        """Whether the student extracts and matches instead of generating."""
        kind = self.run.plan.student or self.settings.insight_writer
        return self.run.plan.task == "issues" and kind == "matched"

    @property
    def base(self) -> str:
        """How manifests call what the student was trained from."""
        return MATCHER_BASE if self.matched else base_name(self.settings)

    def _champion(self) -> tuple[str, Path | None]:
        """What serves now, as (id, folder).

        The bare base where nothing does or it cannot be read.
        """
        registry = open_registry(self.settings)
        try:
            name = registry.promoted(self.run.plan.task) or packaged_for(
                self.base, self.run.plan.task
            )
            if name is not None and registry.manifest(name).base == self.base:
                return name, registry.fetch(name)
        except BadAdapter as error:
            self.say(f"the promoted adapter cannot be compared with: {error}")
        return "none", None

    def arms(self) -> list[Arm]:
        """Base, champion (if any) and challenger."""
        champion, folder = self._champion()
        adapter = self.run.folder / "adapter"
        digest = file_sha256(
            adapter / ("model.onnx" if self.matched else "adapter_model.safetensors")
        )[:12]
        out = [Arm("base", base_name(self.settings), None)]
        out += [Arm("champion", champion, folder)] if folder else []
        return [*out, Arm("challenger", digest, adapter)]

    def scored(self) -> list[Scored]:
        """All arms on the holdout; what is on disk is not computed again."""
        labels = [one for one in self.run.kept("labels") if held(one)]
        return evaluate(
            self.arms(), self.run.plan.task, labels, self.settings, self.run.folder, self.say
        )

    def _evaluate(self) -> dict[str, Any]:
        shutil.rmtree(
            self.run.folder / "checkpoints", ignore_errors=True
        )  # the adapter is written and noted
        scored = self.scored()
        report.write(scored, self.run.plan.task, self.run.folder)
        return {
            one.arm.role: {k: round(v, 4) for k, v in one.means().items()} for one in scored
        } | {"report": str(self.run.folder / "report.md")}

    def _promote(self) -> dict[str, Any]:
        plan, scored = self.run.plan, self.scored()
        checks = gate.judge(
            scored[-1],
            scored[-2],
            plan.task,
            gate.Gate(margin=plan.margin, min_examples=plan.min_examples),
        )
        reasons = gate.lines(checks)
        passed = all(check.passed for check in checks)
        report.write(
            scored,
            plan.task,
            self.run.folder,
            [f"**{'promoted' if passed else 'refused'}**", *reasons],
        )
        for line in reasons:
            self.say(line)
        if not passed:
            return {"verdict": "refused", "reasons": reasons}
        registry = open_registry(self.settings)
        manifest = self._published(registry, scored[-1].means())
        registry.promote(manifest.id)
        return {"verdict": "promoted", "adapter": manifest.id, "reasons": reasons}

    def _published(self, registry: Registry, scores: dict[str, float]) -> Manifest:
        """Publish the adapter, once: a cycle killed between publishing and the pointer's move finds it again."""
        plan = self.run.plan
        for manifest in registry.all():
            if (manifest.model_extra or {}).get("run") == self.run.name:
                return manifest
        return registry.publish(
            self.run.folder / "adapter",
            task=plan.task,
            prompt_version=TASKS[plan.task].version,
            base=self.base,
            also={t: TASKS[t].version for t in plan.also},
            scores={k: round(v, 4) for k, v in scores.items() if not math.isnan(v)},
            run=self.run.name,
            data=f"{self.run.facts['label']['labelled']} labels by {self._teacher().rsplit('/', 1)[-1]}",
            licence=plan.licence or "private: trained on reviews that this installation stores",
        )


def chosen_recipe(name: str, **changes: Any) -> Recipe:
    """A named recipe with some values changed (None: unchanged).

    Raises:
        Misconfigured: there is no such recipe.
    """
    if name not in RECIPES:
        raise Misconfigured(f"no recipe {name!r}; there are: {', '.join(RECIPES)}")
    return replace(RECIPES[name], **{k: v for k, v in changes.items() if v is not None})
