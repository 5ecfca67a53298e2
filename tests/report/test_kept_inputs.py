"""The panel of the kept inputs, read back as numbers."""

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from safs.report.kept_inputs import draw_inputs


@pytest.fixture
def axes() -> Axes:
    return Figure().subplots()


def picture(axes: Axes) -> list[list[int]]:
    return axes.images[0].get_array().tolist()


def caption(axes: Axes) -> str:
    return axes.texts[0].get_text()


def test_kept_pixels_are_where_they_are_in_the_image(axes: Axes):
    draw_inputs(axes, {"kind": "pixel", "kept": [1, 3, 8], "channels": 1, "image_size": 3})

    assert picture(axes) == [[0, 1, 0], [1, 0, 0], [0, 0, 1]]
    assert caption(axes) == "3 of 9 pixels, in blue"


def test_the_channels_of_a_pixel_are_added_up(axes: Axes):
    draw_inputs(axes, {"kind": "pixel", "kept": [0, 3, 4, 8], "channels": 3, "image_size": 2})

    assert picture(axes) == [[3, 0], [0, 1]]
    assert axes.images[0].get_clim() == (0, 3)
    assert caption(axes) == "4 of 12 pixels, in blue;\nthe darker, the more of their 3 channels"


def test_channels_stand_side_by_side(axes: Axes):
    draw_inputs(axes, {"kind": "channel", "kept": [0, 2], "channels": 3, "image_size": 32})

    assert picture(axes) == [[1, 0, 1]]
    assert caption(axes) == "2 of 3 channels, in blue"
