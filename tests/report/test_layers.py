"""The panels by layer, read back from matplotlib's lines."""

import copy
import json
from math import isnan
from pathlib import Path
from typing import Any

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from safs.report.layers import draw_dead_neurons, draw_gradient_flow

FOLDER = Path(__file__).parent
LAYERS = json.loads((FOLDER / "layers.json").read_text())


@pytest.fixture
def report() -> dict[str, Any]:
    whole = json.loads((FOLDER / "report.json").read_text()) | {"layers": LAYERS}
    return copy.deepcopy(whole)


@pytest.fixture
def axes() -> Axes:
    return Figure().subplots()


def lines(axes: Axes) -> dict[str, list[float]]:
    """Label -> values, for the lines in the legend."""
    return {str(line.get_label()): list(line.get_ydata()) for line in axes.lines if line.get_label()[0] != "_"}


def dotted(axes: Axes) -> list[list[float]]:
    return [list(line.get_ydata()) for line in axes.lines if line.get_linestyle() == ":" and line.get_label()[0] == "_"]


def test_dead_neurons_are_drawn_for_pruned_default_and_result(report: dict[str, Any], axes: Axes):
    draw_dead_neurons(axes, report)

    drawn = lines(axes)
    assert list(drawn) == [
        "pruned, before fine-tuning",
        "default protocol",
        "SAFS (both)",
        "those with no weights left",
    ]
    assert drawn["default protocol"] == pytest.approx([0.5229, 0.4100, 0.4020, 0.6304], abs=2e-3)
    assert [len(values) for values in dotted(axes)] == [4, 4]  # the result has none
    assert dotted(axes)[0] == pytest.approx([site["dead_static"] for site in LAYERS["pruned"]["sites"]])
    assert [label.get_text() for label in axes.get_xticklabels()] == ["relu1", "relu2", "relu3", "relu4"]


def test_without_static_neurons_nothing_is_dotted(report: dict[str, Any], axes: Axes):
    for measured in report["layers"].values():
        for site in measured["sites"]:
            site["dead_static"] = 0.0

    draw_dead_neurons(axes, report)

    assert list(lines(axes)) == ["pruned, before fine-tuning", "default protocol", "SAFS (both)"]
    assert dotted(axes) == []


def test_gradient_flow_names_layers_and_marks_those_that_get_none(report: dict[str, Any], axes: Axes):
    report["layers"]["default"]["layers"][1]["gradient_norm"] = 0.0
    report["layers"]["default"]["layers"][2]["gradient_norm"] = None  # it uses another layer's weights

    draw_gradient_flow(axes, report)

    values = lines(axes)["default protocol"]
    assert [isnan(value) for value in values] == [False, True, True, False, False]
    assert values[0] == LAYERS["default"]["layers"][0]["gradient_norm"]
    crosses = [tuple(place) for collection in axes.collections for place in collection.get_offsets()]
    assert crosses == [(2.0, axes.get_ylim()[0])]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["conv1", "conv2", "fc1", "fc2", "fc3"]


def test_gradients_that_are_all_zero_or_not_finite_are_drawn(report: dict[str, Any], axes: Axes):
    for name, measured in report["layers"].items():
        for layer in measured["layers"]:
            layer["gradient_norm"] = None if name == "pruned" else 0.0

    draw_gradient_flow(axes, report)

    assert sum(len(collection.get_offsets()) for collection in axes.collections) == 10
    axes.figure.draw_without_rendering()  # a log scale of nothing would fail here


def test_a_default_protocol_that_is_the_result_or_broke_down_is_one_line_less(report: dict[str, Any]):
    is_result, broken = Figure().subplots(1, 2)
    draw_dead_neurons(is_result, report | {"result": "default"})
    del report["layers"]["default"]
    draw_dead_neurons(broken, report)

    assert list(lines(is_result))[:2] == ["pruned, before fine-tuning", "default protocol"]
    assert "SAFS (both)" not in lines(is_result)
    assert list(lines(broken))[:2] == ["pruned, before fine-tuning", "SAFS (both)"]


def test_many_layers_are_counted_and_long_names_are_cut_at_their_start(report: dict[str, Any]):
    few, many = Figure().subplots(1, 2)
    for measured in report["layers"].values():
        measured["sites"][0]["path"] = "features.denseblock1.denselayer1.relu1"
    draw_dead_neurons(few, report)
    for measured in report["layers"].values():
        measured["sites"] *= 10
    draw_dead_neurons(many, report)

    assert few.get_xticklabels()[0].get_text() == "…denselayer1.relu1"
    assert many.get_xlabel() == "layer: the network's 40 activation calls, from input to output"
