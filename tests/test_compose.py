"""compose.yaml: valid by the specification's own schema, and every command is one that other tests
run."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import zipfile

import jsonschema
import pytest
import yaml

from shared.inference.adapters import open_registry
from shared.settings import load_settings
from shared.stream.access import NAMES
from tests.conftest import CACHE, ROOT

# The last docker-compose wheel on the package index carries the specification's JSON schema
# (Apache-2.0).
WHEEL = (
    "docker-compose==1.29.2",
    "8d5589373b35c8d3b1c8c1182c6e4a4ff14bffa3dd0b605fcd08f73c94cef809",
)


@pytest.fixture(scope="module")
def compose():  # type: ignore[no-untyped-def]
    return yaml.safe_load((ROOT / "compose.yaml").read_text())


@pytest.fixture(scope="module")
def schema(tmp_path_factory):  # type: ignore[no-untyped-def]
    kept = CACHE / "compose_spec.json"
    if not kept.exists():
        folder = tmp_path_factory.mktemp("wheel")
        subprocess.run(
            [
                sys.executable,
                "-m",
                "pip",
                "download",
                "-q",
                "--no-deps",
                "-d",
                str(folder),
                WHEEL[0],
            ],
            check=True,
        )
        wheel = next(folder.glob("*.whl"))
        assert hashlib.sha256(wheel.read_bytes()).hexdigest() == WHEEL[1]
        CACHE.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(zipfile.ZipFile(wheel).read("compose/config/compose_spec.json"))
    return json.loads(kept.read_text())


def test_it_is_valid_by_the_compose_specification(compose, schema):
    jsonschema.Draft201909Validator(schema).validate(compose)
    with pytest.raises(jsonschema.ValidationError):  # the schema does bite
        jsonschema.Draft201909Validator(schema).validate(
            {**compose, "services": {"x": {"imagine": "y"}}}
        )


def test_the_commands_are_those_that_tests_run(compose):
    """test_faults.py, test_flow.py, test_cycle.py, test_projector.py and test_access.py run webhook, work, schedule, record
    and poll; test_access_reading.py dashboard, topics and alerts; the server's settings are ours."""
    services = compose["services"]
    assert services["webhook"]["command"][:2] == ["beyond", "webhook"]
    assert services["worker"]["command"] == services["worker-gpu"]["command"] == ["beyond", "work"]
    assert services["record"]["command"] == ["beyond", "record"]
    assert services["poll"]["command"] == ["beyond", "poll"]
    assert services["dashboard"]["command"][:2] == ["beyond", "dashboard"]
    assert services["topics"]["command"][:3] == ["beyond", "topics", "--every"]
    assert services["alerts"]["command"] == ["beyond", "alerts", "run"]
    assert services["worker"]["environment"]["BEYOND_RECORD"] == "false"
    assert services["trainer"]["command"][:3] == ["beyond", "schedule", "--every"]
    server = services["valkey"]["command"]
    from shared.stream.guardian import CONFIG

    for name in ("appendonly", "appendfsync", "maxmemory-policy"):
        assert server[server.index(f"--{name}") + 1] == CONFIG[name]
    assert services["valkey"]["healthcheck"] and services["valkey"]["volumes"]


def test_what_reads_says_whether_it_is_well_and_is_open_to_this_machine_alone(compose):
    """Each check is a command that test_access_reading.py runs with the service's own password."""
    services = compose["services"]
    assert services["dashboard"]["ports"] == ["127.0.0.1:8800:8800"]
    assert "/readyz" in services["dashboard"]["healthcheck"]["test"][-1]
    assert services["topics"]["healthcheck"]["test"][1:4] == ["beyond", "alerts", "list"]
    assert services["alerts"]["healthcheck"]["test"][1:] == ["beyond", "alerts", "test"]
    rules = services["alerts"]["environment"]["BEYOND_ALERTS"]
    assert rules.rpartition("/")[0] in {v.split(":")[1] for v in services["alerts"]["volumes"]}
    assert services["alerts"]["profiles"] == ["alerts"] and "profiles" not in services["dashboard"]


def test_the_gpu_worker_reserves_a_device_behind_a_profile(compose):
    gpu = compose["services"]["worker-gpu"]
    assert gpu["profiles"] == ["gpu"] and gpu["deploy"]["resources"]["reservations"]["devices"][0][
        "capabilities"
    ] == ["gpu"]


def test_the_served_engine_may_load_adapters_and_is_waited_for(compose):
    """Its settings are those that tests/workers/test_served_adapters.py plays; it is open to nobody outside."""
    vllm, worker = compose["services"]["vllm"], compose["services"]["worker-served"]
    assert vllm["profiles"] == worker["profiles"] == ["vllm"] and "ports" not in vllm
    assert vllm["environment"]["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] == "true"
    assert "--enable-lora" in vllm["command"] and vllm["healthcheck"]["test"]
    assert worker["depends_on"]["vllm"] == {"condition": "service_healthy"}
    asked = {k.removeprefix("BEYOND_").lower(): v for k, v in worker["environment"].items()}
    assert f"--served-model-name={asked['openai_model']}" in vllm["command"]
    mounts = {v.split(":")[1] for v in vllm["volumes"]}
    assert asked["openai_adapters"].rsplit("/", 1)[0] in mounts
    settings = load_settings(home=asked["home"], adapters_url=None)
    assert (
        asked["openai_adapters"].rsplit("/", 1)[1]
        == open_registry(settings)._root.rsplit("/", 1)[1]
    )


def test_images_do_not_run_as_root(compose):
    _, *stages = re.split(r"^FROM .* AS ", (ROOT / "Dockerfile").read_text(), flags=re.M)
    ends = {stage.split()[0]: re.findall(r"^USER (\w+)", stage, re.M)[-1:] for stage in stages}
    assert ends == {"base": [], "cpu": ["beyond"], "trainer": ["beyond"], "gpu": ["beyond"]}
    built = {
        service["build"]["target"] for service in compose["services"].values() if "build" in service
    }
    assert built == {"cpu", "trainer", "gpu"}


def test_each_service_has_the_password_of_its_own_user_alone(compose):
    services = compose["services"]
    secrets = {
        name: set(re.findall(r"\$\{(\w+_PASSWORD)", json.dumps(service.get("environment", {}))))
        for name, service in services.items()
    }
    every = {f"{role.upper()}_PASSWORD" for role in NAMES}
    assert secrets == {
        "users": every,
        "prepare": {"ADMIN_PASSWORD"},
        "valkey": set(),
        "webhook": {"PRODUCER_PASSWORD"},
        "poll": {"PRODUCER_PASSWORD"},
        "worker": {"WORKER_PASSWORD"},
        "worker-gpu": {"WORKER_PASSWORD"},
        "worker-served": {"WORKER_PASSWORD"},
        "vllm": set(),
        "record": {"RECORD_PASSWORD"},
        "dashboard": {"RECORD_PASSWORD"},
        "topics": {"READER_PASSWORD"},
        "alerts": {"READER_PASSWORD"},
        "trainer": {"TRAINER_PASSWORD"},
        "reader": {"READER_PASSWORD"},
    }
    assert "--aclfile" in services["valkey"]["command"] and "ports" not in services["valkey"]


def test_the_passwords_reach_the_server_as_a_json_object(compose, monkeypatch):
    """Compose folds the lines and puts the values in; what comes out is what `beyond acl` reads."""
    text = compose["services"]["users"]["environment"]["BEYOND_ROLE_PASSWORDS"]
    filled = re.sub(r"\$\{(\w+)_PASSWORD:\?[^}]*\}", lambda m: m[1].lower() * 4, text)
    monkeypatch.setenv("BEYOND_ROLE_PASSWORDS", filled)
    found = {n: s.get_secret_value() for n, s in load_settings().role_passwords.items()}
    assert found == {name: name * 4 for name in NAMES}


def test_with_tls_every_service_trusts_our_authority_and_no_port_is_plain(compose, schema):
    tls = yaml.safe_load((ROOT / "compose.tls.yaml").read_text())
    jsonschema.Draft201909Validator(schema).validate(tls)
    plain = {
        name: service["environment"]["BEYOND_REDIS_URL"]
        for name, service in compose["services"].items()
        if "BEYOND_REDIS_URL" in service.get("environment", {})
    }
    crypted = {
        name: service["environment"]["BEYOND_REDIS_URL"]
        for name, service in tls["services"].items()
        if "environment" in service
    }
    assert crypted == {
        name: url.replace("redis://", "rediss://") + "?ssl_ca_certs=/certificates/ca.crt"
        for name, url in plain.items()
    }
    server = tls["services"]["valkey"]["command"]
    assert (
        server[: len(compose["services"]["valkey"]["command"])]
        == (compose["services"]["valkey"]["command"])
    )
    assert server[server.index("--port") + 1] == "0"
    mounted = [v for s in tls["services"].values() for v in s["volumes"] if "certificates" in v]
    assert len(mounted) > 8 and not [
        v for v in mounted if "ca.key" in v or v.startswith("./certificates:")
    ]
