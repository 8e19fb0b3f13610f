"""Fixtures that render the chart with a real Helm."""

from pathlib import Path

import pytest
from charts.tests.rendering import HELM_TOOL, VALUES, Helm, Objects, Overlay


@pytest.fixture(scope="session")
def helm() -> Helm:
    try:
        return Helm(HELM_TOOL.find())
    except HELM_TOOL.HelmNotFoundError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session", params=VALUES, ids=lambda path: path.stem.removesuffix("-values"))
def values_file(request: pytest.FixtureRequest) -> Path:
    """Each values file in ci/, and each overlay."""
    path: Path = request.param
    return path


@pytest.fixture
def objects(helm: Helm, values_file: Path) -> Objects:
    """The objects that the chart renders with `values_file`."""
    return helm.render(None, values_file)


@pytest.fixture
def overlay(helm: Helm) -> Overlay:
    """Return the objects that the chart renders with a values file, such as `istio` for values-istio.yaml."""
    by_name = {path.stem.removesuffix("-values").removeprefix("values-"): path for path in VALUES}
    return lambda name: helm.render(None, by_name[name])
