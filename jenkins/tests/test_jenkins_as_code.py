"""The configuration of Jenkins, as far as it can be checked without a Jenkins (docs/unproven.md)."""

import json
import os
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from charts.tests.rendering import VALUES, Helm
from jenkins.tests.jenkinsfile_builds import ROOT

from bookinfo_testing.scripts import load_script

JENKINS = ROOT / "jenkins"
CASC = JENKINS / "casc"
HADOLINT = ROOT / ".venv/containers/bin/hadolint"

plugins = load_script(ROOT / "jenkins/plugins.py")


def document(path: Path) -> Any:
    """Return the only YAML document of a file."""
    return yaml.safe_load(path.read_text())


def pod() -> Any:
    """Return the pod of the agents."""
    (cloud,) = document(CASC / "kubernetes.yaml")["jenkins"]["clouds"]
    (template,) = cloud["kubernetes"]["templates"]
    return yaml.safe_load(template["yaml"])


# --- security ---------------------------------------------------------------------------------------------------------


def test_only_configured_users_have_permissions() -> None:
    jenkins = document(CASC / "jenkins.yaml")["jenkins"]
    assert jenkins["securityRealm"]["local"]["allowsSignup"] is False
    entries = jenkins["authorizationStrategy"]["globalMatrix"]["entries"]
    assert [set(entry) for entry in entries] == [{"user"}, {"user"}]
    names = [entry["user"]["name"] for entry in entries]
    assert names == [user["id"] for user in jenkins["securityRealm"]["local"]["users"]]
    assert names == ["${JENKINS_ADMIN_ID}", "agent"]
    assert "Overall/Administer" not in entries[1]["user"]["permissions"]
    assert jenkins["crumbIssuer"]
    assert jenkins["numExecutors"] == 0


def test_files_contain_no_secret() -> None:
    secrets = [
        value
        for path in CASC.glob("*.yaml")
        for value in re.findall(r"^\s*(?:password|secret|token): (.+)$", path.read_text(), re.MULTILINE)
    ]
    assert len(secrets) == 4
    assert [value for value in secrets if not re.fullmatch(r"\$\{[A-Z_]+(:-)?\}", value)] == []


def required_variables(*names: str) -> set[str]:
    """Return the variables without a default in configuration files."""
    texts = [re.sub(r"^\s*#.*", "", (CASC / name).read_text(), flags=re.MULTILINE) for name in names]
    return {name for text in texts for name in re.findall(r"\$\{([A-Z_]+)\}", text)}


def test_helm_values_set_every_variable_and_read_passwords_from_a_secret() -> None:
    environment = {entry["name"]: entry for entry in document(JENKINS / "values.yaml")["controller"]["containerEnv"]}
    assert required_variables("jenkins.yaml", "kubernetes.yaml") <= set(environment)
    for name, entry in environment.items():
        if "PASSWORD" in name:
            # Not optional: without the secret the pod must not start, because Jenkins would accept an empty password.
            assert set(entry["valueFrom"]["secretKeyRef"]) == {"name", "key"}


def test_compose_sets_every_variable_and_requires_passwords() -> None:
    environment = document(JENKINS / "compose.yaml")["services"]["controller"]["environment"]
    assert required_variables("jenkins.yaml") <= set(environment)
    (global_properties,) = document(CASC / "jenkins.yaml")["jenkins"]["globalNodeProperties"]
    assert {entry["key"] for entry in global_properties["envVars"]["env"]} <= set(environment)
    for name in ("JENKINS_ADMIN_PASSWORD", "JENKINS_AGENT_PASSWORD"):
        assert f"${{{name}:?" in environment[name]


def compose_services() -> dict[str, Any]:
    services: dict[str, Any] = document(JENKINS / "compose.yaml")["services"]
    return services


def test_nothing_is_privileged_or_mounts_the_docker_socket() -> None:
    files = [path for path in JENKINS.rglob("*") if path.is_file() and "tests" not in path.relative_to(JENKINS).parts]
    texts = {path: path.read_text() for path in files if path.suffix != ".pyc"}
    assert [str(path) for path, text in texts.items() if re.search(r"docker\.sock|privileged: *true", text)] == []
    for container in pod()["spec"]["containers"]:
        assert not container["securityContext"].get("privileged")
    assert pod()["spec"]["securityContext"]["runAsNonRoot"] is True
    assert not any("privileged" in service or "pid" in service for service in compose_services().values())
    # Ports are published on the loopback interface only.
    assert all(
        port.startswith("127.0.0.1:") for service in compose_services().values() for port in service.get("ports", [])
    )


# --- the agents -------------------------------------------------------------------------------------------------------


def manifests(kind: str) -> list[Any]:
    """Return the objects of a kind in agents.yaml."""
    documents = yaml.safe_load_all((JENKINS / "kubernetes/agents.yaml").read_text())
    return [item for item in documents if item["kind"] == kind]


def test_agents_have_permissions_only_in_the_namespace_of_the_release() -> None:
    assert manifests("ClusterRole") == manifests("ClusterRoleBinding") == []
    (role,), (binding,), (account,) = manifests("Role"), manifests("RoleBinding"), manifests("ServiceAccount")
    assert role["metadata"]["namespace"] == binding["metadata"]["namespace"] == "bookinfo"
    (subject,) = binding["subjects"]
    assert (subject["name"], subject["namespace"]) == (account["metadata"]["name"], account["metadata"]["namespace"])
    assert pod()["spec"]["serviceAccountName"] == account["metadata"]["name"]
    granted = [item for rule in role["rules"] for key in ("apiGroups", "resources", "verbs") for item in rule[key]]
    assert "*" not in granted
    assert {"pods/exec", "roles", "rolebindings"}.isdisjoint(granted)


def test_agents_may_manage_every_kind_of_the_chart(helm: Path) -> None:
    (role,) = manifests("Role")
    allowed = {
        (group, resource)
        for rule in role["rules"]
        if {"get", "list", "watch", "create", "update", "patch", "delete"} <= set(rule["verbs"])
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    required = set()
    for values in VALUES:
        for item in Helm(helm).render(None, values):
            group = item["apiVersion"].rpartition("/")[0]
            kind = item["kind"].lower()
            required.add((group, re.sub(r"([^aeiou])y$", r"\1ie", kind) + ("es" if kind.endswith("s") else "s")))
    assert len(required) > 15
    assert required - allowed == set()


def test_label_of_the_jenkinsfile_matches_pods_and_other_agents() -> None:
    (label,) = re.findall(r"agent \{ label '([^']+)' \}", (ROOT / "Jenkinsfile").read_text())
    (cloud,) = document(CASC / "kubernetes.yaml")["jenkins"]["clouds"]
    assert label == f"{cloud['kubernetes']['templates'][0]['label']} || bookinfo"
    assert "-labels bookinfo " in compose_services()["agent"]["command"][0]


# --- images and plugins -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(JENKINS.glob("*/Dockerfile")), ids=lambda path: path.parent.name)
def test_dockerfile_has_no_finding_and_exact_base_tags(path: Path) -> None:
    if not HADOLINT.exists():
        pytest.skip("no hadolint; run `make containers`, which installs it")
    done = subprocess.run([HADOLINT, path], capture_output=True, text=True)
    assert done.stdout + done.stderr == ""
    tags = re.findall(r"^ARG [A-Z]+_IMAGE=\S+?:(\S+)$", path.read_text(), re.MULTILINE)
    assert tags
    assert all(re.match(r"\d+\.", tag) for tag in tags)


PLUGIN_OF_STEP = {
    "archiveArtifacts": "workflow-aggregator",
    "checkout": "workflow-aggregator",
    "cleanWs": "ws-cleanup",
    "junit": "junit",
    "lock": "lockable-resources",
    "recordCoverage": "coverage",
    "sh": "workflow-aggregator",
    "timeout": "workflow-aggregator",
    "timestamps": "timestamper",
    "usernamePassword": "credentials-binding",
    "withCredentials": "credentials-binding",
}
"""The plugin of each step or option. The others belong to declarative pipelines."""


def test_plugins_of_all_steps_and_of_the_configuration_are_listed() -> None:
    ids = plugins.plugin_ids((JENKINS / "controller/plugins.txt").read_text())
    assert ids == sorted(set(ids))
    used = {
        plugin
        for step, plugin in PLUGIN_OF_STEP.items()
        if re.search(rf"\b{step}\b", (ROOT / "Jenkinsfile").read_text())
    }
    assert used == set(PLUGIN_OF_STEP.values())
    configuration = {"configuration-as-code", "credentials", "git", "job-dsl", "kubernetes", "matrix-auth", "swarm"}
    assert used | configuration <= set(ids)


# --- make jenkins-lock ------------------------------------------------------------------------------------------------

CATALOG = {
    "git": {"version": "5.1", "dependencies": [{"name": "scm-api"}, {"name": "parameterized", "optional": True}]},
    "scm-api": {"version": "700", "dependencies": []},
    "unrelated": {"version": "1", "dependencies": []},
}


def test_versions_include_required_dependencies() -> None:
    assert plugins.resolve(["git"], CATALOG) == {"git": "5.1", "scm-api": "700"}


def test_missing_plugin_is_an_error() -> None:
    with pytest.raises(plugins.LockError, match="plugin parameterized not found"):
        plugins.resolve(["parameterized"], CATALOG)


@contextmanager
def fake_update_center() -> Iterator[tuple[str, list[str]]]:
    """Start a server that has every plugin. Return its address and the requested paths."""
    paths: list[str] = []
    ids = plugins.plugin_ids((JENKINS / "controller/plugins.txt").read_text())

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            body = json.dumps({"plugins": {plugin: {"version": "7", "dependencies": []} for plugin in ids}}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", paths
    finally:
        server.shutdown()
        server.server_close()


def test_lock_is_for_the_lts_of_the_dockerfile(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("Dockerfile", "plugins.txt"):
        (tmp_path / name).write_text((JENKINS / "controller" / name).read_text())
    monkeypatch.setattr(plugins, "CONTROLLER", tmp_path)
    with fake_update_center() as (address, paths):
        monkeypatch.setenv("JENKINS_UC", address)
        assert plugins.main() == 0
    (lts,) = re.findall(r":(\S+)-lts-jdk21", (tmp_path / "Dockerfile").read_text())
    assert paths == [f"/dynamic-stable-{lts}/update-center.actual.json"]
    assert "git:7\n" in (tmp_path / "plugins.lock.txt").read_text()


def test_unreachable_update_center_is_one_line_and_writes_nothing() -> None:
    before = sorted((JENKINS / "controller").iterdir())
    done = subprocess.run(
        ["make", "jenkins-lock"],
        cwd=ROOT,
        env={**os.environ, "JENKINS_UC": "http://127.0.0.1:1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("jenkins-lock:")]
    assert "cannot read Jenkins' update center" in line
    assert "nothing was changed" in line
    assert sorted((JENKINS / "controller").iterdir()) == before
