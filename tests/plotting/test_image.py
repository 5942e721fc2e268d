"""Images: the grid of panels, their colours and outlines."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from matplotlib.figure import Figure

from sknninterp import plotting

ONES = np.ones((3, 6, 4))


def test_image_grid_has_samples_as_rows_and_outputs_as_columns(images):
    values = np.stack([images, -images, 0 * images], axis=-1)
    figure = plotting.image(
        values, images, output_names=["cat", "dog", "ship"], sample_names=["a", "b", "c"]
    )
    panels = np.reshape(figure.axes[:12], (3, 4))
    assert [ax.get_title() for ax in panels[0]] == ["data", "cat", "dog", "ship"]
    assert [ax.get_ylabel() for ax in panels[:, 0]] == ["a", "b", "c"]
    np.testing.assert_array_equal(panels[2, 2].images[0].get_array(), -images[2])
    np.testing.assert_array_equal(panels[1, 0].images[0].get_array(), images[1])
    limits = {ax.images[0].get_clim() for ax in panels[:, 1:].flat}
    assert limits == {(-images.max(), images.max())}
    assert len(figure.axes) == 13


def test_image_outline_follows_the_data():
    square = np.zeros((1, 9, 9))
    square[0, 2:7, 2:7] = 1.0
    (_, ax, _) = plotting.image(square, square).axes
    (outline,) = ax.collections
    (path,) = outline.get_paths()
    assert path.vertices.min() == 1.5 and path.vertices.max() == 6.5
    assert ax.get_ylim() == (8.5, -0.5)


def test_images_of_one_value_have_no_outline(render):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = render(plotting.image(np.zeros((1, 4, 4)), np.ones((1, 4, 4))))
    (_, ax, _) = figure.axes
    assert not ax.collections
    assert ax.images[0].get_clim() == (-1, 1)


def test_image_channels_are_added_and_lie_over_the_picture():
    values = np.random.default_rng(0).normal(size=(2, 3, 5, 5))
    data = np.random.default_rng(0).normal(size=(2, 3, 5, 5))
    figure = plotting.image(values, data, output_names="cat")
    picture, first = figure.axes[:2]
    assert picture.images[0].get_array().shape == (5, 5, 3)
    underlay, attribution = first.images
    np.testing.assert_allclose(attribution.get_array(), values[0].sum(axis=0))
    assert attribution.get_alpha().shape == (5, 5)
    assert first.get_title() == "cat"


def test_unsigned_images_show_magnitudes(images):
    figure = plotting.image(-images[:1], signed=False)
    ax, bar = figure.axes
    np.testing.assert_array_equal(ax.images[0].get_array(), images[0])
    assert ax.images[0].get_clim() == (0, images[0].max())
    assert bar.get_ylabel() == "magnitude of contribution"


def test_panels_scaled_on_their_own_reach_one(images):
    values = np.stack([images, 100 * images, 0 * images], axis=-1)
    figure = plotting.image(values, output_names=list("abc"), scale="panel")
    maxima = [ax.images[0].get_array().max() for ax in figure.axes[:-1]]
    np.testing.assert_allclose(maxima, [1, 1, 0] * 3)
    assert "share of panel's largest" in figure.axes[-1].get_ylabel()


def test_image_says_how_many_samples_it_leaves_out(images):
    figure = plotting.image(images, images, max_display=2)
    assert figure.get_supxlabel() == "first 2 of 3 samples"
    assert len(figure.axes) == 2 * 2 + 1
    assert plotting.image(images).get_supxlabel() == ""


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        (ONES[0], {}, "values must have 3 or 4 axes"),
        (ONES, {"output_names": ["a"]}, "values must have 4 or 5 axes"),
        (ONES[..., None], {"output_names": ["a", "b"]}, "output_names has 2 entries"),
        (ONES, {"data": ONES[:2]}, r"data has shape \(2, 6, 4\)"),
        (ONES, {"data": ONES[:, None]}, "data has shape"),
        (ONES, {"sample_names": ["a"]}, "sample_names has 1 entries"),
        (ONES, {"scale": "row"}, "scale must be 'figure' or 'panel', got 'row'"),
        (ONES, {"ax": Figure().subplots()}, "3 sample.*x 1 output"),
        (ONES * np.nan, {}, "values holds NaN"),
    ],
)
@pytest.mark.usefixtures("no_new_figure")
def test_bad_images(values, options, message):
    with pytest.raises(ValueError, match=message):
        plotting.image(values, **options)
