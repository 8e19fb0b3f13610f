"""Envoy's configuration as files: order, atomicity, and how it is known to be live."""

import json
from pathlib import Path
from typing import Any

import pytest

from bookinfo_lab.runtime import xds_files
from bookinfo_lab.translate import xds
from bookinfo_lab.translate.xds import ProxyConfig


def _config(cluster: str = "a", route: str = "a") -> ProxyConfig:
    return ProxyConfig(
        listeners=({"name": "in"},),
        clusters=({"name": cluster},),
        routes={"http": {"name": "http", "to": route}},
        extensions={"filter": {"@type": "t"}},
    )


def _read(folder: Path, path: Path) -> Any:
    return json.loads((folder / path).read_text())


def _names(folder: Path) -> list[str]:
    return [cluster["name"] for cluster in _read(folder, xds.CLUSTERS)["resources"]]


def test_each_route_and_extension_has_a_file_of_its_own_with_one_resource(tmp_path: Path) -> None:
    xds_files.write(tmp_path, _config(), "1")

    for path in (xds.route_file("http"), xds.extension_file("filter")):
        assert len(_read(tmp_path, path)["resources"]) == 1


def test_the_same_content_is_not_written_again(tmp_path: Path) -> None:
    assert xds_files.write(tmp_path, _config(), "1")
    assert not xds_files.write(tmp_path, _config(), "2")
    assert _read(tmp_path, xds.LISTENERS)["version_info"] == "1"


def test_only_what_changed_gets_the_new_version(tmp_path: Path) -> None:
    xds_files.write(tmp_path, _config(), "1")

    assert xds_files.write(tmp_path, _config(route="b"), "2")
    assert _read(tmp_path, xds.route_file("http"))["version_info"] == "2"
    assert _read(tmp_path, xds.CLUSTERS)["version_info"] == "1"


def test_new_things_are_written_before_what_names_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    xds_files.write(tmp_path, _config(), "1")
    written: list[str] = []
    replace = Path.replace

    def recorded(self: Path, target: Path) -> Path:
        written.append(str(target.relative_to(tmp_path)))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", recorded)
    xds_files.write(tmp_path, _config(cluster="b", route="b"), "2")

    assert written == ["xds/cds.json", "xds/rds/http.json"]


def test_a_cluster_out_of_use_stays_until_it_is_pruned(tmp_path: Path) -> None:
    xds_files.write(tmp_path, _config(cluster="a"), "1")
    xds_files.write(tmp_path, _config(cluster="b"), "2")
    assert sorted(_names(tmp_path)) == ["a", "b"]

    assert xds_files.prune(tmp_path, _config(cluster="b"), "3")
    assert _names(tmp_path) == ["b"]
    assert not xds_files.prune(tmp_path, _config(cluster="b"), "4")


def test_no_reader_ever_sees_half_a_file(tmp_path: Path) -> None:
    xds_files.write(tmp_path, _config(), "1")
    before = (tmp_path / xds.CLUSTERS).stat().st_ino

    xds_files.write(tmp_path, _config(cluster="b"), "2")

    assert (tmp_path / xds.CLUSTERS).stat().st_ino != before
    assert [file for file in tmp_path.rglob("*") if file.is_file() and file.suffix != ".json"] == []


_STATS = """\
cluster_manager.cds.version_text: "1"
extension_config_discovery.http_filter.filter.version_text: "1"
http.in.rds.http.version_text: "1"
listener_manager.lds.version_text: "1"
listener_manager.lds.update_rejected: {rejected}
cluster_manager.cds.update_rejected: 0
"""


def test_a_proxy_that_runs_every_files_version_is_live(tmp_path: Path) -> None:
    xds_files.write(tmp_path, _config(), "1")

    assert xds_files.progress(_STATS.format(rejected=0), xds_files.versions(tmp_path, _config()), {}).live


def test_a_subscription_that_runs_an_older_version_is_pending(tmp_path: Path) -> None:
    xds_files.write(tmp_path, _config(), "1")
    xds_files.write(tmp_path, _config(route="b"), "2")

    progress = xds_files.progress(_STATS.format(rejected=0), xds_files.versions(tmp_path, _config()), {})

    assert not progress.live
    assert len(progress.pending) == 1
    assert "rds" in progress.pending[0]


def test_a_new_rejection_is_told_and_an_old_one_is_not(tmp_path: Path) -> None:
    xds_files.write(tmp_path, _config(), "1")
    expected = xds_files.versions(tmp_path, _config())
    before = xds_files.rejections(_STATS.format(rejected=3))

    assert xds_files.progress(_STATS.format(rejected=3), expected, before).live
    assert xds_files.progress(_STATS.format(rejected=4), expected, before).rejected == ("listener_manager.lds",)
