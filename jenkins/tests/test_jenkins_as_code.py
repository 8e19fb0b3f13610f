"""Jenkins itself: what its files say, as far as it can be judged where no Jenkins can be had (docs/unproven.md)."""

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
from jenkins.tests.jenkins import ROOT

from bookinfo_testing.scripts import load_script

JENKINS = ROOT / "jenkins"
CASC = JENKINS / "casc"
HADOLINT = ROOT / ".venv/containers/bin/hadolint"

plugins = load_script(ROOT / "jenkins/plugins.py")


def document(path: Path) -> Any:
    """A file with one YAML document."""
    return yaml.safe_load(path.read_text())


def pod() -> Any:
    """The pod that agents run in."""
    (cloud,) = document(CASC / "kubernetes.yaml")["jenkins"]["clouds"]
    (template,) = cloud["kubernetes"]["templates"]
    return yaml.safe_load(template["yaml"])


# --- security ---------------------------------------------------------------------------------------------------------


def test_nobody_has_a_right_without_signing_in_and_nobody_can_sign_up() -> None:
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


def test_no_secret_stands_in_a_file() -> None:
    secrets = [
        value
        for path in CASC.glob("*.yaml")
        for value in re.findall(r"^\s*(?:password|secret|token): (.+)$", path.read_text(), re.MULTILINE)
    ]
    assert len(secrets) == 4
    assert [value for value in secrets if not re.fullmatch(r"\$\{[A-Z_]+(:-)?\}", value)] == []


def asked_for(*names: str) -> set[str]:
    """The variables that configuration files cannot do without."""
    texts = [re.sub(r"^\s*#.*", "", (CASC / name).read_text(), flags=re.MULTILINE) for name in names]
    return {name for text in texts for name in re.findall(r"\$\{([A-Z_]+)\}", text)}


def test_the_chart_s_values_give_the_controller_every_variable_and_passwords_from_a_secret() -> None:
    environment = {entry["name"]: entry for entry in document(JENKINS / "values.yaml")["controller"]["containerEnv"]}
    assert asked_for("jenkins.yaml", "kubernetes.yaml") <= set(environment)
    for name, entry in environment.items():
        if "PASSWORD" in name:
            # Not optional: without it the pod does not start, where Jenkins would take an empty password.
            assert set(entry["valueFrom"]["secretKeyRef"]) == {"name", "key"}


def test_compose_gives_the_controller_every_variable_and_starts_without_no_password() -> None:
    environment = document(JENKINS / "compose.yaml")["services"]["controller"]["environment"]
    assert asked_for("jenkins.yaml") <= set(environment)
    (every_job,) = document(CASC / "jenkins.yaml")["jenkins"]["globalNodeProperties"]
    assert {entry["key"] for entry in every_job["envVars"]["env"]} <= set(environment)
    for name in ("JENKINS_ADMIN_PASSWORD", "JENKINS_AGENT_PASSWORD"):
        assert f"${{{name}:?" in environment[name]


def compose_services() -> dict[str, Any]:
    services: dict[str, Any] = document(JENKINS / "compose.yaml")["services"]
    return services


def test_nothing_is_privileged_and_nobody_has_the_engine_s_socket() -> None:
    files = [path for path in JENKINS.rglob("*") if path.is_file() and "tests" not in path.relative_to(JENKINS).parts]
    texts = {path: path.read_text() for path in files if path.suffix != ".pyc"}
    assert [str(path) for path, text in texts.items() if re.search(r"docker\.sock|privileged: *true", text)] == []
    for container in pod()["spec"]["containers"]:
        assert not container["securityContext"].get("privileged")
    assert pod()["spec"]["securityContext"]["runAsNonRoot"] is True
    assert not any("privileged" in service or "pid" in service for service in compose_services().values())
    # Published for this machine alone.
    assert all(
        port.startswith("127.0.0.1:") for service in compose_services().values() for port in service.get("ports", [])
    )


# --- the agents -------------------------------------------------------------------------------------------------------


def manifests(kind: str) -> list[Any]:
    """The objects of a kind that are applied before Jenkins."""
    documents = yaml.safe_load_all((JENKINS / "kubernetes/agents.yaml").read_text())
    return [item for item in documents if item["kind"] == kind]


def test_the_agents_account_has_rights_in_the_release_s_namespace_alone() -> None:
    assert manifests("ClusterRole") == manifests("ClusterRoleBinding") == []
    (role,), (binding,), (account,) = manifests("Role"), manifests("RoleBinding"), manifests("ServiceAccount")
    assert role["metadata"]["namespace"] == binding["metadata"]["namespace"] == "bookinfo"
    (subject,) = binding["subjects"]
    assert (subject["name"], subject["namespace"]) == (account["metadata"]["name"], account["metadata"]["namespace"])
    assert pod()["spec"]["serviceAccountName"] == account["metadata"]["name"]
    flat = [item for rule in role["rules"] for key in ("apiGroups", "resources", "verbs") for item in rule[key]]
    assert "*" not in flat
    assert {"pods/exec", "roles", "rolebindings"}.isdisjoint(flat)


def test_the_agents_may_manage_every_kind_that_the_chart_can_render(helm: Path) -> None:
    (role,) = manifests("Role")
    allowed = {
        (group, resource)
        for rule in role["rules"]
        if {"get", "list", "watch", "create", "update", "patch", "delete"} <= set(rule["verbs"])
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    needed = set()
    for values in VALUES:
        for item in Helm(helm).render(None, values):
            group = item["apiVersion"].rpartition("/")[0]
            kind = item["kind"].lower()
            needed.add((group, re.sub(r"([^aeiou])y$", r"\1ie", kind) + ("es" if kind.endswith("s") else "s")))
    assert len(needed) > 15
    assert needed - allowed == set()


def test_the_jenkinsfile_s_label_is_that_of_the_pods_or_of_other_agents() -> None:
    (label,) = re.findall(r"agent \{ label '([^']+)' \}", (ROOT / "Jenkinsfile").read_text())
    (cloud,) = document(CASC / "kubernetes.yaml")["jenkins"]["clouds"]
    assert label == f"{cloud['kubernetes']['templates'][0]['label']} || bookinfo"
    assert "-labels bookinfo " in compose_services()["agent"]["command"][0]


# --- images and plugins -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(JENKINS.glob("*/Dockerfile")), ids=lambda path: path.parent.name)
def test_a_dockerfile_has_no_finding_and_starts_from_exact_tags(path: Path) -> None:
    if not HADOLINT.exists():
        pytest.skip("there is no hadolint: run `make containers`, which installs it")
    done = subprocess.run([HADOLINT, path], capture_output=True, text=True)
    assert done.stdout + done.stderr == ""
    tags = re.findall(r"^ARG [A-Z]+_IMAGE=\S+?:(\S+)$", path.read_text(), re.MULTILINE)
    assert tags
    assert all(re.match(r"\d+\.", tag) for tag in tags)


PROVIDES = {
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
"""Which plugin brings a step or an option; what is not here comes with declarative pipelines."""


def test_the_plugins_of_every_step_and_of_the_configuration_are_listed() -> None:
    ids = plugins.wanted((JENKINS / "controller/plugins.txt").read_text())
    assert ids == sorted(set(ids))
    used = {
        plugin for step, plugin in PROVIDES.items() if re.search(rf"\b{step}\b", (ROOT / "Jenkinsfile").read_text())
    }
    assert used == set(PROVIDES.values())
    configuration = {"configuration-as-code", "credentials", "git", "job-dsl", "kubernetes", "matrix-auth", "swarm"}
    assert used | configuration <= set(ids)


# --- make jenkins-lock ------------------------------------------------------------------------------------------------

CATALOGUE = {
    "git": {"version": "5.1", "dependencies": [{"name": "scm-api"}, {"name": "parameterized", "optional": True}]},
    "scm-api": {"version": "700", "dependencies": []},
    "unrelated": {"version": "1", "dependencies": []},
}


def test_a_plugin_s_version_and_those_of_what_it_needs_are_the_update_centre_s() -> None:
    assert plugins.resolved(["git"], CATALOGUE) == {"git": "5.1", "scm-api": "700"}


def test_a_plugin_that_the_update_centre_does_not_have_is_an_error() -> None:
    with pytest.raises(plugins.LockError, match="no plugin parameterized"):
        plugins.resolved(["parameterized"], CATALOGUE)


@contextmanager
def update_centre() -> Iterator[tuple[str, list[str]]]:
    """A server that has every plugin; its address, and the paths that were asked for."""
    paths: list[str] = []
    ids = plugins.wanted((JENKINS / "controller/plugins.txt").read_text())

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            body = json.dumps({"plugins": {plugin: {"version": "7", "dependencies": []} for plugin in ids}}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", paths
    finally:
        server.shutdown()
        server.server_close()


def test_versions_are_those_for_the_lts_of_the_dockerfile(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("Dockerfile", "plugins.txt"):
        (tmp_path / name).write_text((JENKINS / "controller" / name).read_text())
    monkeypatch.setattr(plugins, "CONTROLLER", tmp_path)
    with update_centre() as (address, paths):
        monkeypatch.setenv("JENKINS_UC", address)
        assert plugins.main() == 0
    (lts,) = re.findall(r":(\S+)-lts-jdk21", (tmp_path / "Dockerfile").read_text())
    assert paths == [f"/dynamic-stable-{lts}/update-center.actual.json"]
    assert "git:7\n" in (tmp_path / "plugins.lock.txt").read_text()


def test_without_the_update_centre_there_is_one_line_and_nothing_is_made_up() -> None:
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
    assert "cannot be asked" in line
    assert "nothing was changed" in line
    assert sorted((JENKINS / "controller").iterdir()) == before
