"""`bookinfo up` with the real services and real Envoys."""

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import BOOKINFO, Bookinfo, eventually, get

Labs = Callable[..., Bookinfo]


def test_three_versions_of_reviews_take_turns(bookinfo: Bookinfo) -> None:
    counts = bookinfo.versions(300)
    assert counts.keys() == {"v1", "v2", "v3"}
    assert all(0.23 <= count / 300 <= 0.44 for count in counts.values()), counts


def test_the_gateway_serves_the_paths_of_productpage_and_no_others(bookinfo: Bookinfo) -> None:
    url = bookinfo.url
    for path in ("/", "/index.html", "/productpage", "/api/v1/products", "/docs", "/openapi.json"):
        assert get(url + path).status == 200, path
    assert get(url + "/metrics").status == 404


def test_each_workload_is_told_with_its_address_and_its_processes(bookinfo: Bookinfo) -> None:
    workloads = bookinfo.status()["workloads"]
    assert {row["deployment"] for row in workloads} == {
        "productpage-v1",
        "details-v1",
        "reviews-v1",
        "reviews-v2",
        "reviews-v3",
        "ratings-v1",
    }
    assert len({row["address"] for row in workloads}) == len(workloads)
    pids = [pid for row in workloads for pid in (row["pid"], row["sidecar_pid"])]
    assert len(set(pids)) == 2 * len(workloads)
    assert all(row["state"] == "ready" for row in workloads)
    assert all(Path(f"/proc/{pid}").exists() for pid in pids)


def test_status_is_a_table_with_a_line_for_each_workload(bookinfo: Bookinfo) -> None:
    lines = bookinfo("status").splitlines()
    assert lines[1].split() == ["NAME", "SERVICE", "VERSION", "ADDRESS", "PID", "SIDECAR_PID", "STATE", "RESTARTS"]
    assert any(line.startswith("reviews-v3-") and " ready " in line for line in lines)


def listening(pid: int) -> set[tuple[str, int]]:
    """The TCP addresses on which a process listens."""
    inodes = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        target = str(descriptor.readlink())
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    found = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and fields[9] in inodes:
            host, port = fields[1].split(":")
            found.add((socket.inet_ntoa(bytes.fromhex(host)[::-1]), int(port, 16)))
    assert not any(line.split()[9] in inodes for line in Path("/proc/net/tcp6").read_text().splitlines()[1:])
    return found


def test_an_application_listens_on_no_address_so_that_nothing_walks_around_its_sidecar(bookinfo: Bookinfo) -> None:
    for row in bookinfo.status()["workloads"]:
        assert listening(row["pid"]) == set()
        assert listening(row["sidecar_pid"]) == {(row["address"], port) for port in (9080, 15020, 15080)}


def test_the_gateway_listens_where_it_was_told_and_has_no_admin_port(bookinfo: Bookinfo) -> None:
    status = bookinfo.status()
    port = int(status["url"].split(":")[2].split("/")[0])
    assert listening(status["gateway"]["pid"]) == {("127.0.0.1", port)}


def test_admin_sockets_and_private_keys_are_for_their_owner_alone(bookinfo: Bookinfo) -> None:
    private = [*bookinfo.state.glob("**/*.sock"), *bookinfo.state.glob("**/key.pem"), *bookinfo.state.glob("**/*.log")]
    assert len(private) > 3 * len(bookinfo.status()["workloads"])
    for file in private:
        if file.name != "app.sock":  # which the application makes, in a private folder
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    for folder in bookinfo.state.glob("bookinfo/*"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_sidecars_speak_mutual_tls_to_each_other(bookinfo: Bookinfo) -> None:
    def handshakes() -> int:
        stats = bookinfo("proxy", "details-v1", "/stats?filter=listener.*ssl.handshake")
        return sum(int(line.split()[1]) for line in stats.splitlines())

    bookinfo.versions(1)
    assert eventually(handshakes) >= 1


def test_a_sidecar_takes_plaintext_too(bookinfo: Bookinfo) -> None:
    page = get(f"http://{bookinfo.workload('details-v1')['address']}:9080/details/0")
    assert page.status == 200
    assert page.headers["server"] == "istio-envoy"


def test_exec_sends_through_the_sidecar_of_the_workload(bookinfo: Bookinfo) -> None:
    script = "import urllib.request as r; print(r.urlopen('http://ratings:9080/ratings/0').headers['server'])"
    assert bookinfo("exec", "reviews-v1", "--", sys.executable, "-c", script) == "envoy\n"


def test_exec_of_what_cannot_be_run_ends_as_a_shell_does(bookinfo: Bookinfo, tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    for command, status in (("no-such-command", 127), (str(tmp_path / "plain"), 126)):
        ended = subprocess.run([*BOOKINFO, "exec", "reviews-v1", "--", command], env=bookinfo.env, capture_output=True)
        assert ended.returncode == status
        assert ended.stderr.startswith(f"bookinfo: {command}: ".encode())


def test_logs_are_told_for_one_workload_and_for_all(bookinfo: Bookinfo) -> None:
    assert '"service": "details"' in bookinfo("logs", "details-v1")
    assert len({line.split(": ")[0] for line in bookinfo("logs").splitlines()}) == 6


def test_describe_names_the_fields_that_have_no_effect_here(bookinfo: Bookinfo) -> None:
    text = bookinfo("describe", "reviews-v1")
    assert "spiffe://cluster.local/ns/default/sa/bookinfo-reviews" in text
    assert "spec.template.spec.containers[0].livenessProbe" in text


def test_describe_tells_the_rules_that_hold(bookinfo: Bookinfo) -> None:
    assert "  port 9080 accepts mutual TLS and plaintext (PERMISSIVE)\n" in bookinfo("describe", "reviews-v1")
    assert "VirtualService bookinfo: " in bookinfo("describe", "istio-ingressgateway")


def test_a_second_up_of_a_running_lab_is_one_clear_line(bookinfo: Bookinfo) -> None:
    for arguments in (("up",), ("up", "--detach")):
        said = bookinfo(*arguments, "--gateway-port=0", ok=False)
        assert len(said.splitlines()) == 1
        assert 'lab "default" is already running' in said


def test_a_gateway_port_in_use_is_one_clear_line(bookinfo: Bookinfo, new_lab: Labs) -> None:
    port = bookinfo.url.rpartition(":")[2]
    said = new_lab()("up", f"--gateway-port={port}", ok=False)
    advice = "choose another port with --gateway-port, or `make run UP=--gateway-port=8090`"
    assert said == f"bookinfo: 127.0.0.1:{port} is already in use; {advice}\n"


def test_a_state_directory_that_cannot_be_written_is_one_clear_line(new_lab: Labs, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for arguments in (("up",), ("up", "--detach")):
        said = new_lab(state=file)(*arguments, "--gateway-port=0", ok=False)
        assert len(said.splitlines()) == 1
        assert f"{file}/bookinfo/default: not writable (Not a directory); set XDG_STATE_HOME" in said


def test_a_lab_that_is_down_is_one_clear_line(new_lab: Labs) -> None:
    for command in ("status", "down", "get"):
        assert 'lab "default" is not running' in new_lab()(command, ok=False)


def test_two_labs_run_side_by_side(bookinfo: Bookinfo, new_lab: Labs) -> None:
    other = new_lab("other", bookinfo.state)
    other("up", "--detach", "--gateway-port=0")
    addresses = [{row["address"] for row in lab.status()["workloads"]} for lab in (bookinfo, other)]
    assert not addresses[0] & addresses[1]
    assert bookinfo.versions(10)
    assert other.versions(10)
    other("down")
    assert bookinfo.versions(10)


@pytest.mark.parametrize("process", ["pid", "sidecar_pid"])
def test_a_killed_workload_is_reported_and_comes_back(bookinfo: Bookinfo, process: str) -> None:
    before = bookinfo.workload("details-v1")
    os.kill(before[process], signal.SIGKILL)

    def back() -> bool:
        now = bookinfo.workload("details-v1")
        return now["state"] == "ready" and now[process] != before[process]

    eventually(back)
    log = (bookinfo.state / "bookinfo/default/supervisor.log").read_text()
    assert f"{before['name']}'s {'application' if process == 'pid' else 'Envoy'} was killed by signal 9" in log
    assert "listens on app.sock" in log
    eventually(lambda: "paperback" in get(f"{bookinfo.url}/productpage").text)


def test_a_workload_comes_back_when_the_process_that_it_is_forked_from_has_died_too(bookinfo: Bookinfo) -> None:
    proxies = bookinfo.state / "bookinfo/default/proxies"
    (zygote,) = [pid for pid in bookinfo.processes() if Path(f"/proc/{pid}/cwd").readlink() == proxies]
    others = [row["pid"] for row in bookinfo.status()["workloads"]]
    os.kill(zygote, signal.SIGKILL)
    os.kill(bookinfo.workload("ratings-v1")["pid"], signal.SIGKILL)
    eventually(lambda: bookinfo.workload("ratings-v1")["pid"] not in (None, *others))
    eventually(lambda: bookinfo.workload("ratings-v1")["state"] == "ready")
    assert len(set(others) & {row["pid"] for row in bookinfo.status()["workloads"]}) == 5
    log = (bookinfo.state / "bookinfo/default/supervisor.log").read_text()
    assert "cannot be started: the process from which it is forked was killed by signal 9 (Killed)" in log


def test_a_killed_gateway_comes_back(bookinfo: Bookinfo) -> None:
    before = bookinfo.status()["gateway"]["pid"]
    os.kill(before, signal.SIGKILL)
    eventually(
        lambda: bookinfo.status()["gateway"]["state"] == "ready" and bookinfo.status()["gateway"]["pid"] != before
    )
    assert bookinfo.versions(3)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_a_lab_and_leaves_nothing_behind(new_lab: Labs, number: signal.Signals) -> None:
    lab = new_lab()
    with lab.start("up", "--gateway-port=0") as launcher:
        eventually(lab.is_ready)
        assert len(lab.processes()) == 14  # six workloads with a sidecar each, the gateway, the zygote
        began = time.monotonic()
        launcher.send_signal(number)
        assert launcher.wait(20) == 0
        assert time.monotonic() - began < 10
    assert lab.processes() == []
    left = [file.name for file in lab.state.glob("**/*") if file.is_file()]
    assert set(left) == {"app.log", "envoy.log", "zygote.log", "lock"}


def test_a_second_signal_ends_a_lab_at_once_with_nothing_more_to_say(new_lab: Labs) -> None:
    lab = new_lab()
    lab("up", "--detach", "--gateway-port=0")
    supervisor = lab.status()["pid"]
    os.kill(supervisor, signal.SIGTERM)
    os.kill(supervisor, signal.SIGINT)
    eventually(lambda: not lab.processes(), within=5)
    assert (lab.state / "bookinfo/default/supervisor.log").read_text().endswith("\nstopping\n")


def test_the_first_whole_page_comes_within_five_seconds(new_lab: Labs) -> None:
    lab = new_lab()
    lab("up", "--detach", "--gateway-port=0")  # warm: the interpreter's and Envoy's files are read
    lab("down")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    began = time.monotonic()
    with lab.start("up", f"--gateway-port={port}") as launcher:
        eventually(lambda: _whole_page(f"http://127.0.0.1:{port}/productpage"))
        took = time.monotonic() - began
        launcher.terminate()
    assert took < 5 * max(1.0, os.getloadavg()[0] / len(os.sched_getaffinity(0)))  # a busy machine gets its share


def _whole_page(url: str) -> bool:
    try:
        page = get(url)
    except OSError:
        return False
    return page.status == 200 and "paperback" in page.text and "reviews-v" in page.text


def test_the_launchers_death_leaves_no_process_behind_and_the_next_up_is_clean(new_lab: Labs, tmp_path: Path) -> None:
    lab = new_lab(state=tmp_path / ("long" * 40))  # longer than the path of a Unix socket may be
    with lab.start("up", "--gateway-port=0") as launcher:
        eventually(lab.is_ready)
        launcher.kill()
        launcher.wait()
        eventually(lambda: not lab.processes(), within=5)
    lab("up", "--detach", "--gateway-port=0")
    assert lab.versions(3)
    lab("down")
    assert lab.processes() == []


def test_the_launchers_death_while_it_starts_leaves_no_process_behind(new_lab: Labs) -> None:
    for after in (0.4, 0.7, 1.0):
        lab = new_lab()
        with lab.start("up", "--gateway-port=0") as launcher:
            time.sleep(after)
            launcher.kill()
            launcher.wait()
        eventually(lambda lab=lab: not lab.processes(), within=5)


def test_a_lab_runs_for_a_user_without_privileges(new_lab: Labs, tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("this user has no privileges, so every other test shows it")
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is missing: apt-get install util-linux")
    state = Path("/tmp") / f"bookinfo-nobody-{os.getpid()}"
    state.mkdir()
    os.chown(state, 65534, 65534)
    # The one capability lets nobody read an interpreter that is below /root.
    capability = ("--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search")
    lab = new_lab(state=state, before=("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *capability))
    try:
        lab("up", "--detach", "--gateway-port=0")
        assert lab.versions(3)
        owners = {Path(f"/proc/{pid}").stat().st_uid for pid in lab.processes()}
        assert owners == {65534}
        lab("down")
    finally:
        shutil.rmtree(state)
