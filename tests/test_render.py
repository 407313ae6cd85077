"""Arrays to pictures: every pixel where it belongs, and back again."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from playground import render
from playground.recipe import Recipe


def pictures(n: int, channels: int = 1, size: int = 8, seed: int = 0) -> Tensor:
    return torch.rand(n, channels, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def pixels_of(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        pixels = np.asarray(image)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def test_minus_one_is_black_one_is_white_and_what_lies_beyond_is_clipped() -> None:
    values = torch.tensor([-9.0, -1.0, 0.0, 1.0, 9.0]).view(1, 1, 5)
    assert render.to_uint8(values)[0, :, 0].tolist() == [0, 0, 128, 255, 255]


def test_every_byte_comes_back() -> None:
    bytes_ = torch.arange(256, dtype=torch.uint8).view(1, 16, 16)
    assert np.array_equal(render.to_uint8(bytes_.float() / 127.5 - 1)[:, :, 0], bytes_[0].numpy())


@pytest.mark.parametrize("channels", [1, 3])
def test_a_png_holds_every_pixel_and_its_recipe(channels: int) -> None:
    pixels = render.to_uint8(pictures(1, channels)[0])
    recipe = Recipe(model="gan", labels=(8,), seed=42, drawing="abc")
    content = render.to_png(pixels, recipe)
    assert np.array_equal(pixels_of(content), pixels)
    assert render.recipe_of(content) == recipe
    assert render.to_png(pixels, recipe) == content  # the same bytes every time
    assert base64.b64decode(render.data_uri(content).removeprefix("data:image/png;base64,")) == content


@given(st.integers(1, 10), st.integers(1, 6), st.integers(0, 3), st.sampled_from([1, 3]))
def test_a_sheet_has_picture_k_at_its_row_and_column(n: int, columns: int, gap: int, channels: int) -> None:
    given_pictures = pictures(n, channels)
    sheet = render.sheet(given_pictures, columns, gap, background=7)
    rows = -(-n // columns)
    assert sheet.shape == (rows * 8 + (rows - 1) * gap, columns * 8 + (columns - 1) * gap, channels)
    covered = np.zeros(sheet.shape[:2], bool)
    for k, cell in enumerate(render.to_uint8(given_pictures)):
        window = (slice(k // columns * (8 + gap), None), slice(k % columns * (8 + gap), None))
        assert np.array_equal(sheet[window][:8, :8], cell)
        covered[window][:8, :8] = True
    assert (sheet[~covered] == 7).all()


def test_enlarging_makes_squares() -> None:
    pixels = np.array([[[1], [2]], [[3], [4]]], np.uint8)
    assert render.enlarged(pixels, 2)[:, :, 0].tolist() == [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]]


@given(st.integers(1, 70))
def test_a_mosaic_shows_every_number_of_a_vector_in_order(dim: int) -> None:
    vector = torch.randn(dim, generator=torch.Generator().manual_seed(dim))
    mosaic = render.mosaic(vector)
    height, width, channels = mosaic.shape
    assert channels == 1
    assert height * width >= dim > (height - 1) * width
    assert abs(height - width) <= 1
    expected = ((vector / 2.5).clamp(-1, 1).numpy() + 1) * 127.5
    assert np.abs(mosaic.flatten()[:dim] - expected).max() <= 0.51
    assert (mosaic.flatten()[dim:] == 128).all()


def test_noise_is_shown_as_what_it_is() -> None:
    assert np.array_equal(render.noise_picture(torch.ones(9)), render.mosaic(torch.ones(9)))
    assert render.noise_picture(torch.randn(3, 8, 8)).shape == (8, 8, 3)
    assert (render.noise_picture(torch.full((1, 2, 2), 2.5)) == 255).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_a_sprite_has_one_column_a_step_and_one_row_a_thing(channels: int) -> None:
    rows = [list(pictures(5, channels, seed=row)) for row in range(3)]
    sprite = render.trajectory_sprite(rows)
    assert sprite.shape == (24, 40, channels)
    for row in range(3):
        for step in range(5):
            cell = sprite[8 * row : 8 * row + 8, 8 * step : 8 * step + 8]
            assert np.array_equal(cell, render.to_uint8(rows[row][step]))


@given(st.integers(1, 2000), st.integers(2, 100))
def test_chosen_steps_are_few_even_and_hold_both_ends(total: int, most: int) -> None:
    chosen = render.evenly_chosen(total, most)
    assert len(chosen) == len(set(chosen)) == min(total, most)
    assert chosen[0] == 0
    assert chosen[-1] == total - 1
    gaps = np.diff(chosen)
    assert len(gaps) == 0 or gaps.max() - gaps.min() <= 1


@pytest.mark.parametrize(("n", "frames"), [(1, 1), (2, 2), (3, 4), (8, 14)])
@pytest.mark.parametrize("channels", [1, 3])
def test_an_animation_goes_there_and_back_without_loss(n: int, frames: int, channels: int) -> None:
    given_pictures = pictures(n, channels)
    content = render.animation(given_pictures, factor=2)
    there = list(range(n))
    order = there + there[-2:0:-1]
    with Image.open(io.BytesIO(content)) as image:
        assert image.format == "WEBP"
        assert getattr(image, "n_frames", 1) == frames == len(order)
        assert image.size == (16, 16)
        for frame, k in enumerate(order):
            image.seek(frame)
            assert n == 1 or (image.load() and image.info["duration"] == 60)
            shown = np.asarray(image.convert("RGB"))
            expected = render.enlarged(render.to_uint8(given_pictures[k]), 2)
            assert np.array_equal(shown, np.broadcast_to(expected, shown.shape))


def test_codes_lie_where_the_map_says() -> None:
    codes = np.array([[0.0, 0.0], [2.0, 4.0], [-1.0, 2.0]])
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    canvas = render.codes_picture(codes, None, colours, extent=(2.0, 4.0)).astype(int)
    side = canvas.shape[0]
    assert canvas.shape == (side, side, 3)
    for (x, y), colour in zip(codes, colours, strict=True):
        column = min(side - 1, round(side / 2 * (1 + x / 2.0)))
        row = min(side - 1, max(0, round(side / 2 * (1 - y / 4.0))))
        pixel = canvas[row, column]
        assert pixel[np.argmax(colour)] > pixel[np.argmin(colour)] + 100


def test_the_chart_of_moments_has_a_dot_and_a_bar_a_dimension() -> None:
    mu, logvar = torch.tensor([0.5, -1.0, 0.0]), torch.zeros(3)
    chart = render.moments_chart(mu, logvar, order=[2, 0, 1], extent=3.0)
    assert chart.count('class="pg-mean"') == chart.count('class="pg-spread"') == 3
    assert [chart.index(f">z{k}<") for k in (3, 1, 2)] == sorted(chart.index(f">z{k}<") for k in (3, 1, 2))
    point = render.moments_chart(mu, None, order=[0, 1, 2], extent=3.0)
    assert point.count('class="pg-mean"') == 3
    assert "pg-spread" not in point  # a plain autoencoder's code is a point


@pytest.mark.parametrize("channels", [1, 3])
def test_named_rows_show_every_picture(channels: int) -> None:
    rows = [pictures(3, channels, seed=k) for k in range(2)]
    canvas = render.named_rows(rows, ["first", "second\nline"], ["0", "1", "2"], cell=16, gap=4)
    top = 4 * 4
    left = canvas.shape[1] - 3 * (16 + 4)
    for row in range(2):
        for column in range(3):
            y, x = top + row * 20, left + column * 20
            expected = render.enlarged(render.to_uint8(rows[row][column]), 2)
            assert np.array_equal(canvas[y : y + 16, x : x + 16], np.broadcast_to(expected, (16, 16, 3)))
    assert (canvas[top:, :left] < 128).any()  # the names
    assert (canvas[:top, left:] < 128).any()  # the titles


def test_the_heat_of_a_difference_is_on_one_scale_for_all_pictures() -> None:
    values = torch.tensor([[0.0, 0.1, 0.25], [0.5, 0.75, 1.0]])
    colours = render.heat(values)
    assert (colours.shape, colours.dtype) == ((2, 3, 3), np.uint8)
    brightness = colours.astype(int).sum(2)
    assert (np.diff(brightness.ravel()[:4]) > 0).all()
    assert (colours[1] == colours[1, 0]).all(), "half of the way from black to white is the brightest already"
    assert np.array_equal(render.heat(values[:1])[0], colours[0]), "whatever else is in the picture"
    assert np.array_equal(render.to_uint8(render.pictures_of(colours)[0]), colours)
