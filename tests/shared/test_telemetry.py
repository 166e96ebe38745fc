"""Every metric says what it means and what to do about it."""

from __future__ import annotations

import ast

import pytest
from prometheus_client import REGISTRY

from shared import telemetry
from tests.conftest import ROOT


def test_every_metric_stands_in_the_catalogue_and_the_document_is_up_to_date():
    import producers.webhook  # noqa: F401
    import workers.pipeline  # noqa: F401

    families = {f.name for f in REGISTRY.collect() if f.name.startswith("beyond_")}
    assert families == {name.removesuffix("_total") for name in telemetry.CATALOGUE}
    text = (ROOT / "docs" / "METRICS.md").read_text()
    assert text == telemetry.markdown(), "python -m shared.telemetry > docs/METRICS.md"


def test_no_metric_is_declared_elsewhere_than_in_telemetry():
    found = []
    for part in ("shared", "producers", "workers", "trainer", "consumers"):
        for path in (ROOT / part).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ImportFrom) and node.module == "prometheus_client":
                    names = {alias.name for alias in node.names}
                    if names & {"Counter", "Gauge", "Histogram", "Summary"}:
                        found.append(str(path.relative_to(ROOT)))
    assert found == ["shared/telemetry.py"]


def test_a_remedy_names_no_command_or_setting_that_does_not_exist():
    import re

    from beyond import main
    from shared.settings import Settings

    text = telemetry.markdown()
    settings = {f"BEYOND_{name.upper()}" for name in Settings.model_fields}
    named = set(re.findall(r"BEYOND_[A-Z_]+", text))
    assert named and named <= settings
    commands = {line.split()[1] for line in re.findall(r"`(beyond [a-z]+[^`]*)`", text)}
    assert commands and commands <= set(main.list_commands(None))


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_traceback_does_not_tell_what_variables_held(capsys, form):
    telemetry.configure(form)

    def signed_in(token):  # type: ignore[no-untyped-def]
        raise ValueError("unexpected")

    try:
        signed_in("bs_" + "secret" * 3)
    except ValueError as error:
        telemetry.log("test").error("unexpected", exc_info=error)
    told = capsys.readouterr().err
    assert "signed_in" in told and "ValueError" in told, "the traceback itself is there"
    assert "bs_secretsecretsecret" not in told
