"""What the pixels of a picture are: the modes of Pillow that are understood, and what they become."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from lanewise.errors import InputError, one_line

GREY = ("1", "L", "LA", "La")
COLOUR = ("P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV")
DEEP = ("I;16", "I;16L", "I;16B", "I;16N", "I")
"""Grey in 16 or 32 bits."""

MODES = (*GREY, *COLOUR, *DEEP, "F")
CHANNELS = {"L": 1, "RGB": 3, "RGBA": 4, "I": 1, "F": 1}
BYTES = {"I": 4, "F": 4}
"""Of a pixel's channel, where it is more than one."""


def check_mode(picture: Any) -> None:
    """Raise `InputError` unless the mode of `picture` is understood."""
    if picture.mode not in MODES:
        raise InputError(f"has pixels of mode {picture.mode!r}: must be one of {', '.join(MODES)}")


def has_alpha(picture: Any) -> bool:
    """Whether `picture` says how transparent its pixels are."""
    return picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info


def is_transparent(picture: Any) -> bool:
    """Whether some pixel of `picture` is transparent at all."""
    return has_alpha(picture) and picture.convert("RGBA").getchannel("A").getextrema()[0] < 255


def loses_depth(picture: Any) -> bool:
    """Whether Pillow reads 8 bits of channels that have 16 in the file; asked before the pixels are read.

    It has no mode for colour of 16 bits, nor for grey of 16 bits with an alpha.
    """
    if base_kind(picture.mode) in BYTES:
        return False
    # What Pillow's decoder takes: "RGB;16B", or ("RGB", 65535) with the largest value.
    told = [tile[3] for tile in getattr(picture, "tile", ())]
    parts = [part for one in told for part in (one if isinstance(one, tuple) else (one,))]
    numbers = [part for part in parts if type(part) is int] if picture.format == "PPM" else []
    return max(numbers, default=0) > 255 or any(isinstance(part, str) and ";16" in part for part in parts)


def with_alpha(picture: Any) -> "np.ndarray[Any, Any]":
    """uint8 [height, width, 4] of red, green, blue and alpha; where nothing is to be seen, colours are 0."""
    pixels = np.array(picture.convert("RGBA"))
    pixels[pixels[:, :, 3] == 0] = 0
    return pixels


def kind_of_all(
    where: str, image: Any, paths: list[Path], wanted: tuple[int, int] | None
) -> tuple[str, tuple[int, int], tuple[str, ...]]:
    """(kind, (height, width), notes) of the pictures.

    The kind is `L`, grey in uint8; `RGB`, if any has colour; `RGBA`, if any is transparent somewhere; `I`, grey of 16
    or 32 bits in int32; or `F`, grey in float32.

    Raises:
        InputError: a damaged picture, a mode that is not understood, 8 bits and more in one folder, different sizes.
    """
    kinds: dict[str, Path] = {}
    transparent, moving, frames, shallow = 0, 0, 0, 0
    first: tuple[Path, tuple[int, int]] | None = None
    for path in paths:
        try:
            with image.open(path) as picture:
                check_mode(picture)
                shallow += loses_depth(picture)
                width, height = upright_size(picture)
                several = int(getattr(picture, "n_frames", 1))
                kinds.setdefault(base_kind(picture.mode), path)
                transparent += is_transparent(picture)
        except InputError as error:
            raise InputError(f"{where} {path.name} {error}") from error
        except Exception as error:
            raise InputError(f"{where} {path.name} is no picture, or a damaged one ({one_line(error)})") from error
        moving, frames = moving + (several > 1), frames + several - 1
        first = first or (path, (height, width))
        if wanted is None and first[1] != (height, width):
            (one, (high, wide)) = first
            raise InputError(
                f"{where} {one.name} has {high}x{wide} pixels (height x width) and {path.name} {height}x{width}:"
                " must be of one size; size=64 or size=(48, 64) resizes them"
            )
    assert first is not None
    notes = []
    if moving:
        notes.append(f"{where} left out: {frames} frames or pages of {moving} pictures, of which the first one is read")
    if shallow:
        notes.append(f"{where} {shallow} of {len(paths)} pictures have channels of 16 bits, of which Pillow reads 8")
    deep = [kind for kind in kinds if kind in BYTES]
    if deep:
        if len(kinds) > 1:
            names = " and ".join(f"{path.name} ({kind})" for kind, path in kinds.items())
            raise InputError(
                f"{where} pictures of different depths, {names}: must all be of 8 bits, 16 bits or floating"
            )
        notes.append(
            f"{where} pictures are grey of {'32-bit floating numbers' if deep == ['F'] else '16 bits or more'}"
        )
        return deep[0], wanted or first[1], tuple(notes)
    if transparent:
        notes.append(
            f"{where} {transparent} of {len(paths)} pictures are transparent somewhere: alpha is kept as a fourth"
            " channel, and colours that cannot be seen are 0"
        )
    kind = "RGBA" if transparent else "RGB" if "RGB" in kinds else "L"
    return kind, wanted or first[1], tuple(notes)


def base_kind(mode: str) -> str:
    """`L`, `RGB`, `I` or `F` of a mode that is understood."""
    return "L" if mode in GREY else "I" if mode in DEEP else "F" if mode == "F" else "RGB"


def upright_size(picture: Any) -> tuple[int, int]:
    """(width, height) once the picture is turned as its camera says."""
    turned = picture.getexif().get(0x0112) in (5, 6, 7, 8)
    width, height = picture.size
    return (height, width) if turned else (width, height)


def pixels_of(picture: Any, kind: str, size: tuple[int, int]) -> torch.Tensor:
    """The pixels of `picture` as `kind`, resized to `size`, [channels, height, width]."""
    from PIL import Image

    check_mode(picture)
    height, width = size
    if kind in BYTES:
        picture = Image.fromarray(deep_pixels(picture, kind))
    elif kind == "RGBA":
        picture = Image.fromarray(with_alpha(picture), "RGBA") if has_alpha(picture) else picture.convert("RGBA")
    else:
        # A palette with an alpha of its own is made colours first, as Pillow advises.
        picture = (picture.convert("RGBA") if has_alpha(picture) else picture).convert(kind)
    if picture.size != (width, height):
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    pixels = np.array(picture)
    channels = pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, 2, 0)
    return torch.from_numpy(np.ascontiguousarray(channels))


def deep_pixels(picture: Any, kind: str) -> "np.ndarray[Any, Any]":
    """Grey pixels of 16 bits and more as int32, or floating ones as float32, in this machine's order of bytes."""
    if base_kind(picture.mode) != kind:
        raise InputError(f"has pixels of mode {picture.mode!r}: must be {kind!r}")
    pixels = np.array(picture)
    if kind == "F" and not np.isfinite(pixels).all():
        raise InputError("has NaN or infinite pixels: all must be finite")
    return pixels.astype(np.float32 if kind == "F" else np.int32)


def as_pixels(picture: Any) -> torch.Tensor:
    """The pixels of a PIL image [channels, height, width]: bytes, int32 where grey has 16 bits, or float32.

    Palettes become RGB, bits bytes, and what has an alpha RGBA.

    Raises:
        InputError: a mode that is not understood.
    """
    check_mode(picture)
    base = base_kind(picture.mode)
    if base in BYTES:
        pixels = deep_pixels(picture, base)
    elif has_alpha(picture):
        # Alpha and colours as they are: hidden ones are the user's own business here.
        pixels = np.array(picture.convert("RGBA"))
    else:
        pixels = np.array(picture.convert(base))
    channels = pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, 2, 0)
    return torch.from_numpy(np.ascontiguousarray(channels))
