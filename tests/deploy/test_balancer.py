"""deploy/compose.yaml and deploy/haproxy.cfg, and the compose file of one server: valid, and in
step with the server."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest
from compose_spec import PyCompose

from rerank_search.serving.route_table import RouteTable
from rerank_search.serving.routes import embeddings, rerank, search
from rerank_search.serving.server import GRACE_SECONDS
from rerank_search.settings import PREFIX, Settings
from tests.deploy.files import DEPLOY, ROOT, documents, options, read
from tests.http_calls.models import Model, started
from tests.waiting import until

CONFIGURATION = DEPLOY / "haproxy.cfg"
REPLICAS = ("replica-1", "replica-2", "replica-3")
needs_haproxy = pytest.mark.skipif(shutil.which("haproxy") is None, reason="needs haproxy")


@pytest.fixture(scope="module")
def services() -> Mapping[str, Any]:
    found: Mapping[str, Any] = read("compose.yaml")["services"]
    return found


def retried_paths() -> list[str]:
    [paths] = re.findall(r"acl reads path (.*)", CONFIGURATION.read_text(encoding="utf-8"))
    return paths.split()


@pytest.mark.parametrize("path", [DEPLOY / "compose.yaml", ROOT / "compose.yaml"])
def test_a_compose_file_is_valid(path: Path) -> None:
    [compose] = documents(path.read_text(encoding="utf-8"))
    PyCompose.from_json(json.dumps(compose)).validate()


def test_a_mistake_in_a_compose_file_is_found() -> None:
    compose = read("compose.yaml")
    compose["services"]["balancer"]["prots"] = ["8000:8000"]
    with pytest.raises(ValueError, match="prots"):
        PyCompose.from_json(json.dumps(compose))


def test_replicas_are_equal_and_the_balancer_knows_all_of_them(services) -> None:
    assert set(services) == {*REPLICAS, "balancer"}
    assert services["replica-1"] == services["replica-2"] == services["replica-3"]
    balancer = services["balancer"]
    port = options(services["replica-1"]["command"])["port"]
    given = [balancer["environment"][f"REPLICA_{number}"] for number in (1, 2, 3)]
    assert given == [f"{name}:{port}" for name in REPLICAS]
    assert set(balancer["depends_on"]) == set(REPLICAS)
    _, _, inside = balancer["ports"][0].rpartition(":")
    assert balancer["environment"]["LISTEN"] == f":{inside}"
    variables = re.findall(r"\$\{(\w+)\}", CONFIGURATION.read_text(encoding="utf-8"))
    assert sorted(variables) == sorted(balancer["environment"])


def test_every_service_may_finish_its_requests(services) -> None:
    for service in services.values():
        assert int(service["stop_grace_period"].removesuffix("s")) > GRACE_SECONDS


def test_replicas_read_the_keys_that_they_are_given(services) -> None:
    keys = options(services["replica-1"]["command"])["keys"]
    [secret] = services["replica-1"]["secrets"]
    assert keys == Path("/run/secrets") / secret
    assert read("compose.yaml")["secrets"][secret]["file"] == "./keys.json"


def test_the_environment_of_replicas_has_valid_settings(services, monkeypatch) -> None:
    given = services["replica-1"]["environment"]
    assert {name.removeprefix(PREFIX).lower() for name in given} <= set(Settings.model_fields)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert Settings().threads == services["replica-1"]["cpus"]


def test_the_image_starts_the_server_that_its_health_check_asks(server) -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    [command] = re.findall(r"^CMD (\[.*\])$", text, re.MULTILINE)
    [exposed] = re.findall(r"^EXPOSE (\d+)$", text, re.MULTILINE)
    [url] = re.findall(r"http://127\.0\.0\.1:\S+?(?='\))", text)
    [[*arguments]] = documents(command)
    assert options(arguments)["port"] == int(exposed) == httpx2.URL(url).port
    assert server.get(httpx2.URL(url).path).status_code == 200


def test_only_requests_that_read_are_sent_again() -> None:
    routers = (rerank.router, search.router, embeddings.router)
    known = RouteTable([route for each in routers for route in each.routes]).by_path()
    assert {path: known[path].reads for path in retried_paths()} == dict.fromkeys(
        retried_paths(), True
    )


def test_the_balancer_asks_for_health_where_the_server_tells_it(server) -> None:
    text = CONFIGURATION.read_text(encoding="utf-8")
    [monitored] = re.findall(r"monitor-uri (\S+)", text)
    [checked] = re.findall(r"http-check send meth GET uri (\S+)", text)
    assert server.get(monitored).status_code == server.get(checked).status_code == 200


@pytest.fixture
def models() -> Iterator[list[Model]]:
    made = [Model(), Model(), Model()]
    with started(*made):
        yield made


@pytest.fixture
def balanced(models: list[Model], tmp_path: Path) -> Iterator[httpx2.Client]:
    """A client of HAProxy with the file in deploy/, in front of three servers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    environment = {
        f"REPLICA_{number}": f"127.0.0.1:{model.port}" for number, model in enumerate(models, 1)
    }
    log = tmp_path / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [shutil.which("haproxy") or "", "-db", "-f", str(CONFIGURATION)],
            env={"LISTEN": address, **environment},
            stdout=output,
            stderr=output,
        )
    try:
        with httpx2.Client(base_url=f"http://{address}", timeout=60) as client:

            def ready() -> bool:
                assert process.poll() is None, log.read_text()
                try:
                    return client.get("/health/ready").status_code == 200
                except httpx2.ConnectError:
                    return False

            until(ready)
            yield client
    finally:
        process.terminate()
        process.wait()


BODY = {"query": "paths", "texts": ["one", "two words"]}


def asked(models: list[Model]) -> int:
    return sum(len(model.asked) for model in models)


@needs_haproxy
@pytest.mark.process
def test_haproxy_takes_the_file(services) -> None:
    environment = {**services["balancer"]["environment"], "REPLICA_1": "127.0.0.1:9"}
    checked = subprocess.run(
        [shutil.which("haproxy") or "", "-c", "-f", str(CONFIGURATION)],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stderr


@needs_haproxy
@pytest.mark.process
def test_a_balanced_call_survives_its_replica(balanced: httpx2.Client, models) -> None:
    for _ in range(6):
        assert balanced.post("/rerank", json=BODY).status_code == 200
    assert [len(model.asked) for model in models] == [2, 2, 2]
    long = {**BODY, "texts": ["word " * 1000] * 20}  # as long as a request usually is, or longer
    for fault in ("die", 503):
        for model in models[:2]:
            model.first.append(fault)
        assert [balanced.post("/rerank", json=long).status_code for _ in range(3)] == [200] * 3
    assert asked(models) == 6 + 2 * (3 + 2)
    models[0].stop()
    models[1].stop()
    for _ in range(4):
        assert balanced.post("/rerank", json=BODY).status_code == 200
    until(lambda: balanced.get("/metrics").status_code == 404)


@needs_haproxy
@pytest.mark.process
def test_a_request_that_writes_is_sent_once(balanced: httpx2.Client, models) -> None:
    for model in models:
        model.first.append("die")
    path = "/v1/indexes/notes/documents"
    assert path not in retried_paths()
    assert httpx2.post(balanced.base_url.join(path), json=BODY).status_code == 502
    assert asked(models) == 1


@needs_haproxy
@pytest.mark.process
@pytest.mark.parametrize("status", [500, 502, 504])
def test_an_error_that_another_replica_would_have_too_is_passed_on(
    balanced: httpx2.Client, models, status: int
) -> None:
    for model in models:
        model.always = status
    assert balanced.post("/v1/search", json=BODY).status_code == status
    assert asked(models) == 1


@needs_haproxy
@pytest.mark.process
def test_a_busy_answer_is_asked_for_once_at_each_replica(balanced: httpx2.Client, models) -> None:
    for model in models:
        model.always = 503
    assert balanced.post("/rerank", json=BODY).status_code == 503
    assert [len(model.asked) for model in models] == [1, 1, 1]


@needs_haproxy
@pytest.mark.process
def test_a_replica_notices_that_the_client_has_gone(balanced: httpx2.Client, models) -> None:
    for model in models:
        model.always = "hang"
    with pytest.raises(httpx2.ReadTimeout):
        httpx2.post(balanced.base_url.join("/rerank"), json=BODY, timeout=0.2)
    until(lambda: sum(model.gone for model in models) == 1)
    assert asked(models) == 1


@needs_haproxy
@pytest.mark.process
def test_the_balancer_is_ready_as_long_as_one_replica_is(balanced: httpx2.Client, models) -> None:
    models[0].stop()
    models[1].stop()
    assert balanced.post("/rerank", json=BODY).status_code == 200
    assert balanced.get("/health/ready").status_code == 200
    models[2].stop()
    until(lambda: balanced.get("/health/ready").status_code == 503)
