"""deploy/kubernetes: valid for the oldest and the newest Kubernetes we name, hardened, and every name in there names something.

No cluster is needed: the schemas of Kubernetes come from a wheel, and the rest is read. Where `kustomize` is on the machine, what it builds is
looked at in the same way.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from ruamel.yaml import YAML

from deploy.settings import (
    PREFIX,
    SETTINGS,
    collector_settings,
    dashboard_settings,
    probe_settings,
    read_settings,
    worker_settings,
)
from tests.integration.test_compose import image_environment, services

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
BASE, EXAMPLE = FOLDER / "base", FOLDER / "example"
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
VERSIONS = ("1.30", "1.37")
NAME = "app.kubernetes.io/name"
Object = dict[str, Any]
READERS = {
    "collector": collector_settings,
    "dashboard": dashboard_settings,
    "probe": probe_settings,
    "worker": worker_settings,
}


def objects(path: Path) -> list[Object]:
    return [one for one in YAML(typ="safe").load_all(path.read_text()) if one]


def kustomization(folder: Path) -> Object:
    [one] = objects(folder / "kustomization.yaml")
    return one


def resources(folder: Path) -> list[Object]:
    files = [name for name in kustomization(folder)["resources"] if name.endswith(".yaml")]
    return [one for name in files for one in objects(folder / name)]


BASED = resources(BASE)
EVERY = [*BASED, *resources(EXAMPLE)]
WORKLOADS = {one["metadata"]["labels"][NAME]: one for one in BASED if "template" in one.get("spec", {})}


def identity(one: Object) -> str:
    return f"{one['kind']}/{one['metadata']['name']}"


def pod(name: str) -> Object:
    return dict(WORKLOADS[name]["spec"]["template"])


def container(name: str) -> Object:
    [one] = pod(name)["spec"]["containers"]
    return dict(one)


def port(name: str, wanted: str | int) -> int:
    """The number of a container's port, by name or number. StopIteration where it has none like that."""
    ports = container(name)["ports"]
    return next(one["containerPort"] for one in ports if wanted in (one["name"], one["containerPort"]))


def of_kind(kind: str, among: list[Object] = EVERY) -> Iterator[Object]:
    return (one for one in among if one["kind"] == kind)


def config(folder: Path) -> dict[str, str]:
    """What the generated map holds: the base's file, and what an overlay says otherwise."""
    [base] = kustomization(BASE)["configMapGenerator"]
    lines = [line for name in base["envs"] for line in (BASE / name).read_text().split()]
    if folder != BASE:
        [own] = kustomization(folder)["configMapGenerator"]
        assert (own["name"], own["behavior"]) == (base["name"], "merge")
        lines += own["literals"]
    return dict(line.split("=", 1) for line in lines)


def environment(name: str, folder: Path) -> dict[str, str]:
    """The FUNNEL_ variables that the process has: the image's, the map's, its own; a secret stands for itself."""
    own = {one["name"]: one.get("value", "of a secret") for one in container(name)["env"]}
    found = image_environment() | config(folder) | own
    return {variable: value for variable, value in found.items() if variable.startswith(PREFIX)}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("one", EVERY, ids=identity)
def test_every_object_is_one_of_kubernetes(one: Object, version: str) -> None:
    kubernetes_validate.validate(one, version, strict=True)


@pytest.mark.parametrize("folder", [BASE, EXAMPLE], ids=lambda folder: folder.name)
def test_every_file_is_in_use(folder: Path) -> None:
    listed = kustomization(folder)
    named = {*listed["resources"], *(patch["path"] for patch in listed.get("patches", ()))}
    named |= {name for maker in listed["configMapGenerator"] for name in maker.get("envs", ())}
    there = {path.name for path in folder.iterdir()} - {"kustomization.yaml"}
    assert {Path(name).name for name in named if not name.startswith("..")} == there


@pytest.mark.parametrize("name", WORKLOADS)
def test_every_pod_is_hardened(name: str) -> None:
    spec, one = pod(name)["spec"], container(name)
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False, "FUNNEL_COLLECTOR_PORT and the like are refused as settings"
    context = spec["securityContext"]
    uid = int(re.findall(r"^USER (\d+):", (ROOT / "deploy" / "Dockerfile").read_text(), re.MULTILINE)[0])
    assert (context["runAsNonRoot"], context["runAsUser"]) == (True, uid)
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert one["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"cpu", "memory"} <= one["resources"]["requests"].keys()
    assert "memory" in one["resources"]["limits"]
    assert {mount["name"] for mount in one["volumeMounts"]} == {
        *(volume["name"] for volume in spec.get("volumes", ())),
        *(claim["metadata"]["name"] for claim in WORKLOADS[name]["spec"].get("volumeClaimTemplates", ())),
    }


@pytest.mark.parametrize("folder", [BASE, EXAMPLE], ids=lambda folder: folder.name)
@pytest.mark.parametrize("name", WORKLOADS)
def test_every_command_runs_with_these_settings(name: str, folder: Path) -> None:
    """Commands are those that the tests of compose run; an unknown variable or a malformed value would be refused."""
    assert container(name)["args"] == services()[name]["command"]
    values = read_settings(environment(name, folder))
    if name in READERS:
        READERS[name](values)
    assert values["metrics_host"] == "0.0.0.0"
    if "ports" in container(name):
        assert port(name, "metrics") == values["metrics_port"]
    if name in ("collector", "dashboard"):
        kind = "" if name == "collector" else "dashboard_"
        assert (values[f"{kind}host"], values[f"{kind}port"]) == ("0.0.0.0", port(name, "http"))
    if values["spool_dir"]:
        [path] = [one["mountPath"] for one in container(name)["volumeMounts"] if one["name"] == "spool"]
        assert Path(values["spool_dir"]).is_relative_to(path)


def test_there_is_no_more_than_one_worker_for_a_partition() -> None:
    [patch] = objects(EXAMPLE / "size.yaml")
    for replicas, folder in (
        (WORKLOADS["worker"]["spec"]["replicas"], BASE),
        (patch["spec"]["replicas"], EXAMPLE),
    ):
        assert replicas <= int(config(folder)["FUNNEL_PARTITIONS"])


def test_a_patch_patches_what_is_there() -> None:
    [patch] = objects(EXAMPLE / "size.yaml")
    target = WORKLOADS["worker"]
    assert all(patch[key] == target[key] for key in ("apiVersion", "kind"))
    assert patch["metadata"]["name"] == target["metadata"]["name"]
    [changed] = patch["spec"]["template"]["spec"]["containers"]
    assert changed["name"] == container("worker")["name"]
    [image] = kustomization(EXAMPLE)["images"]
    assert {container(name)["image"].partition(":")[0] for name in WORKLOADS} == {image["name"]}


@pytest.mark.parametrize("name", WORKLOADS)
def test_probes_ask_where_something_answers(name: str) -> None:
    paths = {
        "collector": ("/healthz", "/readyz"),
        "worker": ("/livez", "/readyz"),
        "dashboard": ("/healthz",) * 2,
        "probe": ("/metrics",) * 2,
    }
    if name not in paths:
        assert WORKLOADS[name]["kind"] == "Job"
        return
    one = container(name)
    asked = [one[f"{kind}Probe"]["httpGet"] for kind in ("liveness", "readiness", "startup")]
    assert [get["path"] for get in asked] == [*paths[name], paths[name][0]]
    where = "metrics" if name in ("worker", "probe") else "http"
    assert {port(name, get["port"]) for get in asked} == {port(name, where)}


def selects(selector: Mapping[str, Any], name: str) -> bool:
    labels = {"app.kubernetes.io/part-of": "funnel", **pod(name)["metadata"]["labels"]}
    wanted = selector.get("matchLabels", {})
    listed = selector.get("matchExpressions", ())
    assert all(one["operator"] == "In" for one in listed)
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        labels.get(one["key"]) in one["values"] for one in listed
    )


def test_labels_select() -> None:
    for name, one in WORKLOADS.items():
        spec = one["spec"]
        spread = pod(name)["spec"].get("topologySpreadConstraints", ())
        affinity = pod(name)["spec"].get("affinity", {}).get("podAntiAffinity", {})
        terms = affinity.get("preferredDuringSchedulingIgnoredDuringExecution", ())
        own = [spec["selector"]] if one["kind"] != "Job" else []
        own += [part["labelSelector"] for part in spread]
        own += [part["podAffinityTerm"]["labelSelector"] for part in terms]
        for selector in own:
            assert [other for other in WORKLOADS if selects(selector, other)] == [name]
    for one in of_kind("PodDisruptionBudget"):
        [name] = [name for name in WORKLOADS if selects(one["spec"]["selector"], name)]
        assert identity(one) == f"PodDisruptionBudget/funnel-{name}"


def test_services_and_the_outside_lead_to_ports() -> None:
    named = {}
    for service in of_kind("Service"):
        [name] = [name for name in WORKLOADS if selects({"matchLabels": service["spec"]["selector"]}, name)]
        for one in service["spec"]["ports"]:
            assert port(name, one["targetPort"])
            named[service["metadata"]["name"], one["name"]] = name
    [ingress] = of_kind("Ingress")
    backends = [
        path["backend"]["service"] for rule in ingress["spec"]["rules"] for path in rule["http"]["paths"]
    ]
    assert {named[one["name"], one["port"]["name"]] for one in backends} == {"collector", "dashboard"}
    hosts = {host for tls in ingress["spec"]["tls"] for host in tls["hosts"]}
    assert hosts == {rule["host"] for rule in ingress["spec"]["rules"]}
    assert WORKLOADS["collector"]["spec"]["serviceName"] in {name for name, _ in named}


def test_the_autoscaler_scales_what_is_there_and_nobody_else_does() -> None:
    [one] = of_kind("HorizontalPodAutoscaler")
    target = one["spec"]["scaleTargetRef"]
    [scaled] = [
        each
        for each in BASED
        if each["metadata"]["name"] == target["name"] and each["kind"] == target["kind"]
    ]
    assert target["apiVersion"] == scaled["apiVersion"]
    assert "replicas" not in scaled["spec"]
    assert container("collector")["resources"]["requests"]["cpu"], "its percentages are of this"


def named_peer(peer: Mapping[str, Any]) -> str:
    [(kind, label)] = [
        (kind, label) for kind, selector in peer.items() for label in selector["matchLabels"].items()
    ]
    key = {"namespaceSelector": "kubernetes.io/metadata.name", "podSelector": "app.kubernetes.io/name"}[kind]
    assert label[0] == key
    return str(label[1])


def reachable(direction: str, name: str) -> set[tuple[str, str | int]]:
    """Namespace, or pod of ours, and port that a pod may be reached from, or may reach."""
    end = {"ingress": "from", "egress": "to"}[direction]
    return {
        (named_peer(peer), one["port"])
        for policy in of_kind("NetworkPolicy")
        if selects(policy["spec"]["podSelector"], name)
        for rule in policy["spec"].get(direction, ())
        for peer in rule[end]
        for one in rule["ports"]
    }


def test_who_may_talk_to_whom() -> None:
    values = read_settings(environment("worker", BASE))
    kafka = ("kafka", int(values["kafka"].rpartition(":")[2]))
    clickhouse, names = ("clickhouse", values["clickhouse_port"]), ("kube-system", 53)
    assert {name: reachable("egress", name) for name in WORKLOADS} == {
        "init": {names, kafka, clickhouse},
        "collector": {names, kafka},
        "worker": {names, kafka, clickhouse},
        "dashboard": {names, kafka, clickhouse},
        "probe": {names, clickhouse, ("collector", "http")},
    }
    scraped = ("monitoring", values["metrics_port"])
    assert reachable("ingress", "worker") == {scraped}
    assert reachable("ingress", "probe") == {scraped}
    assert reachable("ingress", "collector") == {scraped, ("ingress", "http"), ("probe", "http")}
    assert reachable("ingress", "dashboard") == {scraped, ("ingress", "http")}
    everybody = [one for one in of_kind("NetworkPolicy") if not one["spec"]["podSelector"]]
    assert [sorted(one["spec"]["policyTypes"]) for one in everybody] == [["Egress", "Ingress"]]
    assert all("ingress" not in one["spec"] and "egress" not in one["spec"] for one in everybody)


def test_secrets_are_named_where_they_are_made_and_nowhere_written() -> None:
    """Every secret that a pod names is made, with that key, by a command of docs/operations.md; every setting that is secret comes from one."""
    made = {
        (name, key)
        for name, rest in re.findall(r"create secret generic (\S+)((?:[^\n\\]|\\\n)*)", OPERATIONS)
        for key in re.findall(r"--from-(?:literal|file)=([\w-]+)=", rest)
    }
    named = set()
    secret = {one.variable for one in SETTINGS if one.secret}
    for name in WORKLOADS:
        for one in container(name)["env"]:
            if "valueFrom" in one:
                reference = one["valueFrom"]["secretKeyRef"]
                named.add((reference["name"], reference["key"]))
            else:
                assert one["name"] not in secret
    assert named == made
    assert not secret & (config(BASE).keys() | config(EXAMPLE).keys())


def test_the_door_to_the_internet_knows_no_password_of_clickhouse() -> None:
    assert not [one["name"] for one in container("collector")["env"] if "CLICKHOUSE" in one["name"]]
    users = {
        name: {
            one["valueFrom"]["secretKeyRef"]["name"]
            for one in container(name)["env"]
            if "CLICKHOUSE" in one["name"]
        }
        for name in ("init", "worker", "dashboard", "probe")
    }
    assert users == {
        "init": {"funnel-clickhouse"},
        "worker": {"funnel-clickhouse"},
        "dashboard": {"funnel-reader"},
        "probe": {"funnel-reader"},
    }


@pytest.mark.skipif(shutil.which("kustomize") is None, reason="kustomize is not on this machine")
@pytest.mark.parametrize("folder", [BASE, EXAMPLE], ids=lambda folder: folder.name)
def test_kustomize_builds_it(folder: Path) -> None:
    done = subprocess.run(["kustomize", "build", str(folder)], check=True, capture_output=True, text=True)
    built = [one for one in YAML(typ="safe").load_all(done.stdout) if one]
    assert len(built) == len(BASED if folder == BASE else EVERY) + 1, "and the map"
    for one in built:
        kubernetes_validate.validate(one, VERSIONS[-1], strict=True)
        assert one["kind"] == "Namespace" or one["metadata"]["namespace"] == "funnel"
    [map_] = of_kind("ConfigMap", built)
    assert map_["data"] == config(folder)
    text = done.stdout
    assert text.count(f"name: {map_['metadata']['name']}") == 1 + len(WORKLOADS)
