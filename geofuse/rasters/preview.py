"""Pictures of pixels: the stretch to 8 bits, quicklooks, the before/after sheet. Same input, same bytes."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from geofuse.errors import UsageError
from geofuse.geometry import Bytes, Mask, Window

QUICKLOOK_MAX_PX = 1024
BALANCE = 0.5
"""How far each band's range gives way to the common one: 0 stretches bands alone, 1 all alike."""

PANEL_PX = 480
MARGIN_PX, GAP_PX, TITLE_PX, CREDIT_PX = 28, 16, 34, 34
ZOOM = 4
DETAIL_CELLS = 30
"""A detail is searched on squares of its side divided by this."""
PAPER, INK, FAINT, FRAME = (250, 250, 248), (28, 30, 34), (110, 114, 120), (222, 72, 38)


def choose_rgb(names: Sequence[str]) -> tuple[int, int, int]:
    """Choose the three bands of a colour picture, as 1-based indices (red, green, blue), by the bands' names.

    By name where red, green and blue are there; else the first three in file order, backwards where the
    first is blue; with fewer than three bands the first one thrice: grey.

    >>> choose_rgb(["blue", "green", "red", "nir"]), choose_rgb(["1", "2", "3"]), choose_rgb(["pan"])
    ((3, 2, 1), (1, 2, 3), (1, 1, 1))
    """
    if len(names) < 3:
        return (1, 1, 1)
    colours = [_colour(name) for name in names]
    if {"red", "green", "blue"} <= set(colours):
        red, green, blue = (colours.index(colour) + 1 for colour in ("red", "green", "blue"))
        return (red, green, blue)
    return (3, 2, 1) if colours[0] == "blue" else (1, 2, 3)


def stretch(
    pixels: NDArray[Any],
    valid: Mask | None,
    *,
    low: float = 1.0,
    high: float = 99.0,
    gamma: float = 1.4,
    like: tuple[NDArray[Any], Mask | None] | None = None,
) -> Bytes:
    """Stretch pixels to 8-bit colour or grey: (H, W, 3), or (H, W, 4) with invalid pixels transparent.

    pixels (B, H, W) or (H, W, B) or (H, W): three bands or more are red, green, blue; one or two are grey,
    from the first. `valid` (H, W), or None for all and no alpha. Each band begins at its `low` percentile,
    which takes the haze out; its range up to `high` gives way half-way, in proportion, to the mean range of
    the three, which balances white without turning a green scene grey. `gamma` above 1 lifts the shadows.
    `like`, another image and its validity, gives the percentiles instead: pictures to compare are stretched
    alike. Raises UsageError where the shapes do not fit.
    """
    shown, ok = _shown(pixels, valid)
    out = np.zeros((*ok.shape, 3 if valid is None else 4), np.uint8)
    model, model_ok = (shown, ok) if like is None else _shown(*like)
    if ok.any() and model_ok.any():
        ends = np.array([np.percentile(plane[model_ok], [low, high]) for plane in model], np.float64)
        floor, span = ends[:, 0], ends[:, 1] - ends[:, 0]
        span = span ** (1.0 - BALANCE) * span.mean() ** BALANCE
        # A constant band has no range: it is shown dark, not divided by.
        scale = np.divide(1.0, span, out=np.zeros_like(span), where=span > 0.0)
        for channel in range(3):  # one plane at a time: a picture is small, five copies of it are not
            band = min(channel, len(shown) - 1)
            level = np.clip((shown[band][ok] - floor[band]) * scale[band], 0.0, 1.0).astype(np.float32)
            level **= np.float32(1.0 / gamma)  # single precision has vector code for it
            out[..., channel][ok] = np.rint(np.float32(255.0) * level)
        out[..., 3:][ok] = 255
    return out


def eight_bits(planes: NDArray[Any], ranges: Sequence[tuple[float, float]], gamma: float = 1.0) -> Bytes:
    """Stretch planes (n, h, w) to 8 bits by a stated range each, (low, high), and a gamma: a straight line at 1.

    >>> eight_bits(np.array([[[0.0, 5.0, 99.0]]]), [(0.0, 10.0)]).tolist()
    [[[0, 128, 255]]]
    """
    low, high = (np.array([span[at] for span in ranges], np.float64)[:, None, None] for at in (0, 1))
    level = np.clip((planes - low) / (high - low), 0.0, 1.0)
    return (255.0 * level ** (1.0 / gamma) + 0.5).astype(np.uint8)


def picture_file(pixels: Bytes, form: str, *, title: str, credit: str) -> bytes:
    """Return pixels (h, w, 1, 3 or 4) as a PNG or JPEG file that says what it shows and to whom it is owed."""
    shown = pixels[:, :, 0] if pixels.shape[2] == 1 else pixels
    image, memory = Image.fromarray(shown), io.BytesIO()
    if form == "png":
        said = PngInfo()
        said.add_itxt("Title", title)
        said.add_itxt("Copyright", credit)
        image.save(memory, "PNG", pnginfo=said, compress_level=6)
    else:
        exif = Image.Exif()
        exif[0x010E], exif[0x8298] = title, credit  # ImageDescription, Copyright
        image.convert("RGB" if pixels.shape[2] > 1 else "L").save(memory, "JPEG", quality=92, exif=exif)
    return memory.getvalue()


def _shown(pixels: NDArray[Any], valid: Mask | None) -> tuple[NDArray[Any], Mask]:
    """The bands that are shown (3 or 1, H, W), and where they can be."""
    bands = _bands_first(np.asarray(pixels), valid)
    ok = np.ones(bands.shape[1:], np.bool_) if valid is None else valid.astype(np.bool_, copy=False)
    shown = bands[:3] if len(bands) >= 3 else bands[:1]
    if shown.dtype.kind != "f":
        shown = shown.astype(np.float64)
    for plane in shown:
        ok = ok & np.isfinite(plane)
    return shown, ok


def quicklook(pixels: NDArray[Any], valid: Mask | None, *, rgb: tuple[int, int, int] | None = None) -> bytes:
    """Return a small image as an RGBA PNG, invalid pixels transparent; equal pixels give equal bytes.

    pixels (h, w, B) or (h, w), at most 1024 px on the longer side (a larger one is thinned to that); `rgb`
    the 1-based bands to show, as `choose_rgb` gives them; None shows the first in grey.
    """
    image = pixels[:, :, None] if pixels.ndim == 2 else pixels
    ok = np.ones(image.shape[:2], np.bool_) if valid is None else valid
    if rgb is not None and not all(1 <= band <= image.shape[2] for band in rgb):
        raise UsageError(f"bands {rgb}", wanted=f"1 to {image.shape[2]}")
    thin = -(-max(image.shape[:2]) // QUICKLOOK_MAX_PX)
    chosen = [band - 1 for band in rgb] if rgb else [0]
    small = np.moveaxis(image[::thin, ::thin][:, :, chosen], 2, 0)
    return _png(Image.fromarray(stretch(small, ok[::thin, ::thin])))


def before_after(
    before_rgb: Bytes, pan_gray: Bytes, after_rgb: Bytes, *, titles: tuple[str, str, str], credit: str
) -> bytes:
    """Return a PNG with three pictures side by side, and the same detail of each, enlarged, below.

    before_rgb, after_rgb (H, W, 3 or 4) and pan_gray (H, W) on one grid. The detail is where PAN has most
    edges and colours. Raises UsageError where the sizes differ.
    """
    shapes = {picture.shape[:2] for picture in (before_rgb, pan_gray, after_rgb)}
    if len(shapes) != 1:
        raise UsageError(f"pictures of {sorted(shapes)} pixels", wanted="one size")
    pictures = [_on_paper(picture) for picture in (before_rgb, pan_gray, after_rgb)]
    width, height = pictures[0].size
    scale = PANEL_PX / width
    tall = max(1, round(height * scale))
    detail = min(PANEL_PX // ZOOM, width, height)
    left, top = _richest(pan_gray, after_rgb, detail)
    first, second = MARGIN_PX + TITLE_PX, MARGIN_PX + TITLE_PX + tall + GAP_PX
    sheet = Image.new(
        "RGB",
        (2 * MARGIN_PX + 3 * PANEL_PX + 2 * GAP_PX, second + PANEL_PX + CREDIT_PX + MARGIN_PX // 2),
        PAPER,
    )
    draw = ImageDraw.Draw(sheet)
    for column, (picture, title) in enumerate(zip(pictures, titles, strict=True)):
        x = MARGIN_PX + column * (PANEL_PX + GAP_PX)
        draw.text((x, MARGIN_PX - 6), title, INK, font=ImageFont.load_default(22))
        sheet.paste(picture.resize((PANEL_PX, tall), Image.Resampling.LANCZOS), (x, first))
        box = [
            x + left * scale,
            first + top * scale,
            x + (left + detail) * scale,
            first + (top + detail) * scale,
        ]
        draw.rectangle([round(edge) for edge in box], outline=FRAME, width=2)
        part = picture.crop((left, top, left + detail, top + detail))
        sheet.paste(part.resize((PANEL_PX, PANEL_PX), Image.Resampling.BICUBIC), (x, second))
        draw.rectangle([x, second, x + PANEL_PX - 1, second + PANEL_PX - 1], outline=FRAME, width=2)
    draw.text((MARGIN_PX, second + PANEL_PX + 10), credit, FAINT, font=ImageFont.load_default(15))
    return _png(sheet)


def _colour(name: str) -> str:
    """The colour a band's name speaks of; "red edge" and "infrared" are not red."""
    words = re.findall(r"[a-z]+", name.lower())
    if "edge" in words:
        return ""
    for colour in ("red", "green", "blue"):
        if colour in words or words == [colour[0]]:
            return colour
    return ""


def _bands_first(pixels: NDArray[Any], valid: Mask | None) -> NDArray[Any]:
    if pixels.ndim == 2:
        pixels = pixels[None]
    shape = pixels.shape
    if pixels.ndim != 3:
        raise UsageError(f"pixels of shape {shape}", wanted="(B, H, W) or (H, W, B)")
    if valid is None:
        return pixels if shape[0] <= shape[2] else np.moveaxis(pixels, 2, 0)
    if shape[1:] == valid.shape:
        return pixels
    if shape[:2] == valid.shape:
        return np.moveaxis(pixels, 2, 0)
    raise UsageError(f"pixels of shape {shape}", wanted=f"the validity plane's {valid.shape}")


def _on_paper(picture: Bytes) -> Image.Image:
    """The picture in colour, with the sheet's paper where it is transparent."""
    image = Image.fromarray(picture).convert("RGBA")
    paper = Image.new("RGBA", image.size, (*PAPER, 255))
    return Image.alpha_composite(paper, image).convert("RGB")


def _richest(gray: Bytes, picture: Bytes, side: int) -> tuple[int, int]:
    """Left and top of the square with the most edges times colours; the first of several.

    Edges alone choose a wood, where every crown has one; colours alone the border of two fields. Colours are
    counted as the exponential of their entropy (Hill 1973, Ecology 54(2)), four levels a channel. Squares
    with transparent pixels count only where there are no others.
    """
    cell = max(1, side // DETAIL_CELLS)
    level = gray.astype(np.float64)
    edges = np.zeros_like(level)
    edges[1:] += np.abs(np.diff(level, axis=0))
    edges[:, 1:] += np.abs(np.diff(level, axis=1))
    kept = np.ones(gray.shape, np.bool_) if picture.shape[2] == 3 else picture[..., 3] == 255
    levels = [_cells(picture[..., channel], cell).mean(axis=2) // 64 for channel in range(3)]
    kinds = np.tensordot([16, 4, 1], np.stack(levels), axes=1)  # (h, w)
    count = side // cell
    entropy = np.zeros((1, 1))
    for kind in np.unique(kinds):
        share = _sums(kinds == kind, count) / count**2
        entropy = entropy - share * np.log(share, out=np.zeros_like(share), where=share > 0.0)
    score = _sums(_cells(edges, cell).mean(axis=2), count) * np.exp(entropy)
    whole = _sums(_cells(kept, cell).min(axis=2), count)
    best = int(np.where(whole == whole.max(), score, -1.0).argmax())
    row, col = (int(place) * _step(count) * cell for place in np.unravel_index(best, score.shape))
    return min(col, gray.shape[1] - side), min(row, gray.shape[0] - side)


def _cells(plane: NDArray[Any], cell: int) -> NDArray[Any]:
    """The pixels of each square of `cell` pixels: (h, w, cell * cell); an incomplete rest is left out."""
    h, w = plane.shape[0] // cell, plane.shape[1] // cell
    squares = plane[: h * cell, : w * cell].reshape(h, cell, w, cell)
    return squares.transpose(0, 2, 1, 3).reshape(h, w, cell * cell)


def _step(count: int) -> int:
    return max(1, count // 4)


def _sums(plane: NDArray[Any], count: int) -> NDArray[np.float64]:
    """Sums over squares of `count` cells, every quarter of a square."""
    total = np.pad(plane.astype(np.float64), ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    tall = total[count:] - total[:-count]
    sums: NDArray[np.float64] = (tall[:, count:] - tall[:, :-count])[:: _step(count), :: _step(count)]
    return sums


def _png(image: Image.Image) -> bytes:
    memory = io.BytesIO()
    image.save(memory, "PNG", compress_level=1)  # a tenth larger than 6, at a third of the time
    return memory.getvalue()


def detail_window(gray: Bytes, picture: Bytes, side_px: int) -> Window:
    """Return row0, row1, col0, col1 of the square with most edges and colours, no larger than the picture.

    gray (H, W), picture (H, W, 3 or 4), both 8 bits.
    """
    side = min(side_px, *gray.shape)
    left, top = _richest(gray, picture, side)
    return top, top + side, left, left + side


def png_of(picture: Bytes) -> bytes:
    """Return a picture (H, W), (H, W, 3) or (H, W, 4) as PNG; equal pixels give equal bytes."""
    return _png(Image.fromarray(picture))


def contact_sheet(pictures: Sequence[Bytes], titles: Sequence[str], *, columns: int, side_px: int) -> bytes:
    """Return a PNG with small pictures (H, W, 3 or 4) in rows, each above its title.

    Pictures are enlarged, pixel by pixel, to about `side_px` wide, and none is smoothed.
    """
    enlarged = [_on_paper(picture) for picture in pictures]
    times = max(1, round(side_px / max(image.width for image in enlarged)))
    wide, tall = (times * max(image.size[axis] for image in enlarged) for axis in (0, 1))
    rows = -(-len(enlarged) // columns)
    step_x, step_y = wide + GAP_PX, tall + TITLE_PX + GAP_PX // 2
    sheet = Image.new(
        "RGB", (2 * MARGIN_PX + columns * step_x - GAP_PX, 2 * MARGIN_PX + rows * step_y), PAPER
    )
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    for at, (image, title) in enumerate(zip(enlarged, titles, strict=True)):
        x, y = MARGIN_PX + at % columns * step_x, MARGIN_PX + at // columns * step_y
        size = image.width * times, image.height * times
        sheet.paste(image.resize(size, Image.Resampling.NEAREST), (x, y))
        draw.text((x, y + tall + 6), title, INK, font=font)
    return _png(sheet)


def jpeg_of(picture: Bytes, *, quality: int = 92) -> bytes:
    """Return a picture (H, W, 3 or 4) as JPEG with its colours at full resolution, on paper where transparent."""
    memory = io.BytesIO()
    _on_paper(picture).save(memory, "JPEG", quality=quality, subsampling=0, optimize=True)
    return memory.getvalue()


def small_jpeg(path: Path, width_px: int, *, quality: int = 82) -> bytes:
    """Return a picture file made at most so wide, as JPEG on paper: what a page carries inside itself."""
    with Image.open(path) as picture:
        image = picture.convert("RGBA")
    if image.width > width_px:
        size = width_px, max(1, round(image.height * width_px / image.width))
        image = image.resize(size, Image.Resampling.LANCZOS)
    memory = io.BytesIO()
    _on_paper(np.asarray(image)).save(memory, "JPEG", quality=quality, optimize=True)
    return memory.getvalue()
