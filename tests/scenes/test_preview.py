"""Pictures: the stretch on known ramps, transparency, and bytes that decode and repeat."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from geofuse.errors import UsageError
from geofuse.rasters import preview


def colour(height: int = 40, width: int = 50, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(100.0, 3000.0, (3, height, width))


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


# --- stretch ------------------------------------------------------------------------------------------------


def test_a_grey_ramp_is_cut_at_its_percentiles():
    ramp = np.arange(10001, dtype=np.float64).reshape(1, 73, 137)
    out = preview.stretch(ramp, None, low=1.0, high=99.0, gamma=1.0)
    assert out.shape == (73, 137, 3)
    assert out.dtype == np.uint8
    np.testing.assert_array_equal(out[..., 0], out[..., 1])
    np.testing.assert_array_equal(out[..., 0], out[..., 2])
    exact = 255.0 * np.clip((ramp[0] - 100.0) / 9800.0, 0.0, 1.0)
    np.testing.assert_allclose(out[..., 0], exact, atol=0.5 + 1e-9)
    assert (out == 0).all(axis=2).sum() == pytest.approx(119, abs=1)  # 100 below, and what rounds to 0


def test_gamma_lifts_the_middle_and_keeps_the_ends():
    ramp = np.arange(10001, dtype=np.float64).reshape(1, 73, 137)
    plain, lifted = (preview.stretch(ramp, None, low=0.0, high=100.0, gamma=g)[..., 0] for g in (1.0, 2.0))
    assert plain[0, 0] == lifted[0, 0] == 0
    assert plain[-1, -1] == lifted[-1, -1] == 255
    np.testing.assert_allclose(lifted, 255.0 * np.sqrt(ramp[0] / 10000.0), atol=0.5 + 1e-9)


def test_the_ranges_give_way_half_way_to_the_common_one():
    """Ranges 1 : 1 : 4 have mean 2: each is stretched over the geometric mean of its own and that."""
    ramp = np.linspace(0.0, 1.0, 101).reshape(1, 101)
    pixels = np.stack([100.0 + ramp, 700.0 + ramp, 4.0 * ramp])
    out = preview.stretch(pixels, None, low=0.0, high=100.0, gamma=1.0)
    top = [min(255, round(255 * own / np.sqrt(own * 2.0))) for own in (1.0, 1.0, 4.0)]
    assert out[0, -1].tolist() == top
    assert out[0, 0].tolist() == [0, 0, 0]


def test_both_orders_of_axes_and_all_types_agree():
    pixels = colour().astype(np.uint16)
    valid = np.ones((40, 50), bool)
    first = preview.stretch(pixels, valid)
    np.testing.assert_array_equal(first, preview.stretch(np.moveaxis(pixels, 0, 2), valid))
    np.testing.assert_array_equal(first, preview.stretch(pixels.astype(np.float32), valid))
    np.testing.assert_array_equal(first[..., :3], preview.stretch(np.moveaxis(pixels, 0, 2), None))


def test_invalid_and_nan_pixels_are_transparent_and_do_not_count():
    pixels = colour()
    valid = np.ones((40, 50), bool)
    valid[:, :20] = False
    spoilt = pixels.copy()
    spoilt[:, ~valid] = 1e30
    out = preview.stretch(spoilt, valid)
    np.testing.assert_array_equal(out[..., 3], np.where(valid, 255, 0))
    assert (out[~valid] == 0).all()
    np.testing.assert_array_equal(out[:, 20:, :3], preview.stretch(pixels[:, :, 20:], None))
    spoilt[0, 5, 30] = np.nan
    assert preview.stretch(spoilt, valid)[5, 30].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("bands", [1, 2, 3, 4])
def test_nothing_valid_and_nothing_varying_are_quiet(bands):
    pixels = np.full((bands, 8, 9), 512.0)
    nothing = preview.stretch(pixels, np.zeros((8, 9), bool))
    assert nothing.shape == (8, 9, 4)
    assert not nothing.any()
    flat = preview.stretch(pixels, np.ones((8, 9), bool))
    assert (flat[..., 3] == 255).all()
    assert len(np.unique(flat[..., :3])) == 1


def test_one_constant_band_among_three_stays_dark():
    pixels = colour()
    pixels[1] = 7.0
    out = preview.stretch(pixels, None)
    assert not out[..., 1].any()
    assert out[..., 0].max() == out[..., 2].max() == 255


@pytest.mark.parametrize(("shape", "valid"), [((3, 4, 5), (4, 6)), ((3, 4, 5, 6), (4, 5))])
def test_shapes_that_do_not_fit_are_refused(shape, valid):
    with pytest.raises(UsageError, match="shape"):
        preview.stretch(np.ones(shape), np.ones(valid, bool))


# --- quicklook ----------------------------------------------------------------------------------------------


def test_a_quicklook_decodes_to_the_same_size_colours_and_mask():
    pixels = np.moveaxis(np.concatenate([colour(), colour(seed=1)[:1]]), 0, 2)  # (h, w, 4)
    valid = np.add.outer(np.arange(40), np.arange(50)) > 15
    image = opened(preview.quicklook(pixels, valid, rgb=(3, 2, 1)))
    assert image.format == "PNG"
    assert image.mode == "RGBA"
    assert image.size == (50, 40)
    decoded = np.asarray(image)
    np.testing.assert_array_equal(decoded[..., 3] == 255, valid)
    np.testing.assert_array_equal(decoded, preview.stretch(pixels[..., [2, 1, 0]], valid))


def test_a_quicklook_without_bands_is_grey_and_takes_a_plane():
    plane = colour()[0]
    grey = np.asarray(opened(preview.quicklook(plane, None)))
    np.testing.assert_array_equal(grey[..., 0], grey[..., 2])
    assert (grey[..., 3] == 255).all()
    same = np.asarray(opened(preview.quicklook(plane[:, :, None], None, rgb=(1, 1, 1))))
    np.testing.assert_array_equal(grey, same)


def test_equal_pixels_give_equal_bytes_without_a_date():
    pixels = np.moveaxis(colour(), 0, 2)
    first, again = (preview.quicklook(pixels.copy(), None, rgb=(1, 2, 3)) for _ in range(2))
    assert first == again
    assert b"tIME" not in first
    assert b"tEXt" not in first


def test_a_large_image_is_thinned_to_1024():
    image = opened(preview.quicklook(np.arange(3000.0 * 40).reshape(40, 3000), None))
    assert image.size == (1000, 14)


@pytest.mark.parametrize("rgb", [(0, 1, 2), (1, 2, 4)])
def test_bands_that_are_not_there_are_refused(rgb):
    with pytest.raises(UsageError, match="1 to 3"):
        preview.quicklook(np.ones((4, 5, 3)), None, rgb=rgb)


# --- before and after ---------------------------------------------------------------------------------------


def flat_panels(height: int, width: int):
    return (
        np.full((height, width, 3), (200, 30, 30), np.uint8),
        np.full((height, width), 120, np.uint8),
        np.full((height, width, 3), (30, 30, 200), np.uint8),
    )


@pytest.mark.parametrize(("height", "width"), [(600, 600), (300, 700), (700, 300), (60, 50)])
def test_the_sheet_holds_three_pictures_and_three_details(height, width):
    before, pan, after = flat_panels(height, width)
    sheet = np.asarray(
        opened(preview.before_after(before, pan, after, titles=("MS", "PAN", "Fused"), credit="c"))
    )
    step = preview.PANEL_PX + preview.GAP_PX
    for column, wanted in enumerate(((200, 30, 30), (120, 120, 120), (30, 30, 200))):
        x = preview.MARGIN_PX + column * step
        panel = sheet[:, x : x + preview.PANEL_PX]
        share = (panel == wanted).all(axis=2).sum()
        shown = preview.PANEL_PX * (round(preview.PANEL_PX * height / width) + preview.PANEL_PX)
        assert share > 0.9 * shown  # all but the frames


def test_the_detail_is_where_the_edges_are_and_enlarged():
    before, pan, after = flat_panels(960, 960)
    checks = 255 * (np.add.outer(np.arange(100) // 8, np.arange(100) // 8) % 2)
    pan[700:800, 300:400] = checks
    sheet = np.asarray(opened(preview.before_after(before, pan, after, titles=("a", "b", "c"), credit="")))
    x = preview.MARGIN_PX + preview.PANEL_PX + preview.GAP_PX
    first = preview.MARGIN_PX + preview.TITLE_PX + preview.PANEL_PX + preview.GAP_PX
    detail = sheet[first : first + preview.PANEL_PX, x : x + preview.PANEL_PX, 0].astype(int)
    assert ((detail < 40) | (detail > 215)).mean() > 0.4
    plain = sheet[first : first + preview.PANEL_PX, preview.MARGIN_PX + 4 : preview.MARGIN_PX + 400]
    assert (plain[4:-4] == (200, 30, 30)).all()


def detail_of(before, pan, after) -> np.ndarray:
    """The enlarged part of the third picture."""
    sheet = opened(preview.before_after(before, pan, after, titles=("a", "b", "c"), credit=""))
    tall = round(preview.PANEL_PX * after.shape[0] / after.shape[1])
    x = preview.MARGIN_PX + 2 * (preview.PANEL_PX + preview.GAP_PX)
    y = preview.MARGIN_PX + preview.TITLE_PX + tall + preview.GAP_PX
    return np.asarray(sheet)[y : y + preview.PANEL_PX, x : x + preview.PANEL_PX]


def test_the_detail_is_a_village_rather_than_a_wood_or_the_border_of_two_fields():
    before, pan, after = flat_panels(960, 960)
    rng = np.random.default_rng(5)
    after[:, 700:] = (230, 220, 120)  # two fields
    after[100:300, 100:300] = (20, 90, 20)  # a wood: rougher in PAN than the village
    pan[100:300, 100:300] = rng.integers(0, 256, (200, 200))
    colours = rng.integers(0, 256, (5, 5, 3), np.uint8)
    after[600:800, 300:500] = np.kron(colours, np.ones((40, 40, 1), np.uint8))
    pan[600:800, 300:500] = rng.integers(60, 200, (200, 200))
    detail = detail_of(before, pan, after)[8:-8, 8:-8]
    assert not (detail == (20, 90, 20)).all(axis=2).any()
    assert len(np.unique(detail.reshape(-1, 3) // 64, axis=0)) > 5


def test_the_detail_keeps_clear_of_the_border_where_it_can():
    before, pan, after = flat_panels(960, 960)
    pan[:, :480] = 255
    shown = np.dstack([after, np.full((960, 960), 255, np.uint8)])
    shown[:, :480, 3] = 0  # the edge of the data is the strongest of PAN
    pan[500:600, 700:800] += (np.arange(100) % 2).astype(np.uint8)
    detail = detail_of(before, pan, shown)[8:-8, 8:-8]
    assert (detail == (30, 30, 200)).all()
    shown[..., 3] = 0
    assert (detail_of(before, pan, shown)[8:-8, 8:-8] == preview.PAPER).all()


def test_the_sheet_repeats_to_the_byte_and_shows_its_words():
    panels = flat_panels(200, 200)
    one, two = (preview.before_after(*panels, titles=("a", "b", "c"), credit="who") for _ in range(2))
    assert one == two
    other = preview.before_after(*panels, titles=("a", "b", "c"), credit="someone else")
    changed = np.argwhere((np.asarray(opened(one)) != np.asarray(opened(other))).any(axis=2))
    assert len(changed) > 20
    assert changed[:, 0].min() > preview.MARGIN_PX + preview.TITLE_PX + 2 * preview.PANEL_PX


def test_transparent_pixels_show_the_paper():
    before, pan, after = flat_panels(480, 480)
    clear = np.dstack([after, np.zeros((480, 480), np.uint8)])
    sheet = np.asarray(opened(preview.before_after(before, pan, clear, titles=("a", "b", "c"), credit="")))
    x = preview.MARGIN_PX + 2 * (preview.PANEL_PX + preview.GAP_PX)
    assert sheet[preview.MARGIN_PX + preview.TITLE_PX + 400, x + 400].tolist() == list(preview.PAPER)


def test_pictures_of_two_sizes_are_refused():
    before, pan, after = flat_panels(64, 64)
    with pytest.raises(UsageError, match="one size"):
        preview.before_after(before[:60], pan, after, titles=("a", "b", "c"), credit="")


# --- bands --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("coastal", "blue", "green", "red", "nir"), (4, 3, 2)),
        (("Blue", "Green", "Red", "Red edge", "NIR"), (3, 2, 1)),
        (("red_edge", "nir", "red", "green", "blue"), (3, 4, 5)),
        (("near-infrared", "red", "green", "blue"), (2, 3, 4)),
        (("r", "g", "b"), (1, 2, 3)),
        (("B", "G", "R", "N"), (3, 2, 1)),
        (("blue", "green", "nir"), (3, 2, 1)),
        (("1", "2", "3", "4"), (1, 2, 3)),
        (("swir1", "swir2", "nir"), (1, 2, 3)),
        (("pan",), (1, 1, 1)),
        (("blue", "red"), (1, 1, 1)),
    ],
)
def test_bands_are_chosen_by_name_then_by_order(names, expected):
    assert preview.choose_rgb(names) == expected
