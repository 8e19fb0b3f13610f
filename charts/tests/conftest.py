"""A real Helm for every test of the chart."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from charts.tests.rendering import ROOT, VALUES, Helm, Objects


def load_tool(name: str) -> ModuleType:
    """A script of charts/tools, as a module."""
    spec = importlib.util.spec_from_file_location(f"charts_tools_{name}", ROOT / f"charts/tools/{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def helm() -> Helm:
    tool = load_tool("helm")
    try:
        return Helm(tool.find())
    except tool.NoHelmError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session", params=VALUES, ids=lambda path: path.stem.removesuffix("-values"))
def values_file(request: pytest.FixtureRequest) -> Path:
    """Each values file of ci/, and each overlay."""
    file: Path = request.param
    return file


@pytest.fixture
def objects(helm: Helm, values_file: Path) -> Objects:
    """What it renders."""
    return helm.render(None, values_file)


@pytest.fixture
def overlay(helm: Helm) -> Callable[[str], Objects]:
    """What one named values file renders."""
    by_name = {path.stem.removesuffix("-values").removeprefix("values-"): path for path in VALUES}
    return lambda name: helm.render(None, by_name[name])
