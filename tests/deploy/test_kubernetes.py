"""deploy/kubernetes and deploy/prometheus: valid, and in step with what the server has."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from rerank_search.settings import PREFIX, Settings
from tests.deploy.files import DEPLOY, kustomized, options, read

BASE = sorted((DEPLOY / "kubernetes/base").glob("*.yaml"))
OBJECTS = [path.name for path in BASE if path.name != "kustomization.yaml"]
VERSIONS = ("1.32", "1.37")
needs_kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl")


def base(name: str) -> Any:
    return read(f"kubernetes/base/{name}.yaml")


def container(deployment: Any) -> Any:
    [only] = deployment["spec"]["template"]["spec"]["containers"]
    return only


def environment(deployment: Any) -> dict[str, str]:
    return {each["name"]: each["value"] for each in container(deployment)["env"] if "value" in each}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", OBJECTS)
def test_an_object_is_valid(name: str, version: str) -> None:
    kubernetes_validate.validate(read(f"kubernetes/base/{name}"), version, strict=True)


@needs_kubectl
@pytest.mark.parametrize("folder", ["base", "gpu"])
def test_what_kubectl_makes_of_a_folder_is_valid(folder: str) -> None:
    made = kustomized(folder)
    assert len(made) == len(OBJECTS)
    for each in made:
        for version in VERSIONS:
            kubernetes_validate.validate(each, version, strict=True)


def test_a_mistake_is_found() -> None:
    wrong = base("service")
    wrong["spec"]["ports"][0]["targetport"] = "http"
    with pytest.raises(kubernetes_validate.ValidationError, match="targetport"):
        kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)


def test_all_files_are_applied() -> None:
    assert sorted(base("kustomization")["resources"]) == OBJECTS
    gpu = read("kubernetes/gpu/kustomization.yaml")
    patches = {each["path"] for each in gpu["patches"]} | {"kustomization.yaml"}
    assert patches == {path.name for path in (DEPLOY / "kubernetes/gpu").iterdir()}


@needs_kubectl
def test_with_gpus_each_pod_has_one_and_computes_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    deployment = next(each for each in kustomized("gpu") if each["kind"] == "Deployment")
    assert container(deployment)["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert container(deployment)["image"].endswith(":cuda")
    for name, value in environment(deployment).items():
        monkeypatch.setenv(name, value)
    assert (Settings().device, Settings().dtype) == ("cuda", "bfloat16")


@needs_kubectl
def test_with_gpus_an_update_needs_no_spare_one_and_leaves_pods() -> None:
    made = kustomized("gpu")
    deployment, scaler = (
        next(each for each in made if each["kind"] == kind)
        for kind in ("Deployment", "HorizontalPodAutoscaler")
    )
    update = deployment["spec"]["strategy"]["rollingUpdate"]
    assert update == {"maxUnavailable": 1, "maxSurge": 0}
    assert scaler["spec"]["minReplicas"] > update["maxUnavailable"]


def test_the_command_line_is_one_of_the_server() -> None:
    asked = options(container(base("deployment"))["args"])
    assert asked["host"] == "0.0.0.0"
    mounts = {each["mountPath"] for each in container(base("deployment"))["volumeMounts"]}
    assert str(asked["keys"].parent) in mounts


def test_the_environment_has_settings_and_valid_values(monkeypatch: pytest.MonkeyPatch) -> None:
    named = [each["name"] for each in container(base("deployment"))["env"]]
    assert {name.removeprefix(PREFIX).lower() for name in named} <= set(Settings.model_fields)
    for name, value in environment(base("deployment")).items():
        monkeypatch.setenv(name, value)
    assert (Settings().backend, Settings().dtype) == ("torch", "float32")
    assert Settings().cache.is_relative_to(Path("/tmp"))


def test_ports_agree() -> None:
    pod = container(base("deployment"))
    port = options(pod["args"])["port"]
    assert pod["ports"] == [{"name": "http", "containerPort": port}]
    probes = [
        pod[f"{kind}Probe"]["httpGet"]["port"] for kind in ("startup", "readiness", "liveness")
    ]
    [service] = base("service")["spec"]["ports"]
    assert {*probes, service["targetPort"]} == {"http"}


@pytest.mark.parametrize("kind", ["startup", "readiness", "liveness"])
def test_the_server_answers_probes(server, kind: str) -> None:
    path = container(base("deployment"))[f"{kind}Probe"]["httpGet"]["path"]
    assert server.get(path).status_code == 200


def test_a_pod_outlives_its_unfinished_requests() -> None:
    from rerank_search.serving.server import GRACE_SECONDS

    spec = base("deployment")["spec"]["template"]["spec"]
    last = container(base("deployment"))["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert spec["terminationGracePeriodSeconds"] >= last + GRACE_SECONDS + 5


def test_pods_are_found_by_one_label() -> None:
    deployment = base("deployment")["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    assert deployment["selector"]["matchLabels"] == labels
    assert base("service")["spec"]["selector"] == labels
    assert base("disruption-budget")["spec"]["selector"]["matchLabels"] == labels
    [keep, *_] = read("prometheus/scrape.yaml")[0]["relabel_configs"]
    [(label, value)] = labels.items()
    assert keep["source_labels"] == [f"__meta_kubernetes_pod_label_{re.sub('[./]', '_', label)}"]
    assert keep["regex"] == value


@pytest.mark.parametrize("folder", ["base", "gpu"])
def test_the_autoscaler_reads_a_metric_that_the_server_has(server, folder: str) -> None:
    [metric] = read(f"kubernetes/{folder}/autoscaler.yaml")["spec"]["metrics"]
    name = metric["pods"]["metric"]["name"]
    text = server.get("/metrics").text
    assert re.search(rf"^# TYPE {name} gauge$", text, re.MULTILINE)
    assert re.search(rf"^{name}\{{[^}}]*\}} 0\.0$", text, re.MULTILINE)
    [rule] = read("prometheus/adapter.yaml")["rules"]["custom"]
    assert re.match(r"\w+", rule["seriesQuery"])[0] == name  # type: ignore[index]
    target = base("autoscaler")["spec"]["scaleTargetRef"]
    deployment = base("deployment")
    assert target == {
        "apiVersion": deployment["apiVersion"],
        "kind": deployment["kind"],
        "name": deployment["metadata"]["name"],
    }


def test_prometheus_gives_the_labels_that_its_adapter_reads() -> None:
    [job] = read("prometheus/scrape.yaml")
    [rule] = read("prometheus/adapter.yaml")["rules"]["custom"]
    given = {each["target_label"] for each in job["relabel_configs"] if "target_label" in each}
    assert set(rule["resources"]["overrides"]) == given
    assert set(re.findall(r'(\w+)!=""', rule["seriesQuery"])) == given
