"""Cartoon faces in colour: the drawings of DiceBear's "lorelei" (CC0 1.0), put together and coloured here, 48x48.

A drawing style is a tree of SVG elements with places for parts (hair, eyes, glasses ...), each in several variants, and
for colours. Every face takes its labels and whatever they leave open (which of the short cuts, which eyes) from its own
seed; the tree becomes an SVG and the SVG, by way of resvg, pixels.
"""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import platform
import zipfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import module_from_spec, spec_from_file_location
from itertools import repeat
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

import numpy as np
from PIL import Image

from playground.datasets.base import Attribute, Dataset, DownloadError, Pictures, Text, fetch_wheel

SIZE = 48  # glasses are read at a glance, which they are not at 32; 64 costs nearly twice as much to learn
NUM_TRAIN = 36_000
NUM_HELD_OUT = 6_000  # every second one of a combination that no training picture has
FACES_AT_ONCE = 250

STYLES = ("dicebear-styles==10.6.0", "dicebear_styles-10.6.0-py3-none-any.whl")
STYLES_SHA256 = "5a5b0b9c534d133fa06f1dd29f280139995965b32b08c5635a69cc6afc30930d"
STYLE_MEMBER = "dicebear_styles/lorelei.json"
RENDERER = "resvg-py==0.5.0"
RENDERER_MODULE = "resvg_py"
RENDERERS = {  # system, processor -> what the wheel's name ends with, sha256
    ("Linux", "x86_64"): (
        "manylinux_2_17_x86_64.manylinux2014_x86_64",
        "84f2378ecc7a8e38b03429efaefc816daec1b1970114909a6f973393b297c91b",
    ),
    ("Linux", "aarch64"): (
        "manylinux_2_17_aarch64.manylinux2014_aarch64",
        "1e66216f78c84a27d34ce75f4535d8e26565771be4f1848ddc71e8a7ce78973a",
    ),
    ("Darwin", "arm64"): ("macosx_11_0_arm64", "7b43f942157f5d16126e108dab8ab37e4bc2b198099e5f6274b753a3b1ac7b6e"),
    ("Darwin", "x86_64"): ("macosx_10_12_x86_64", "9d3f5c2544d6b5f74847513e07e6ab6a70f9e7f0d8a141bc16bd4b0c555f4234"),
    ("Windows", "AMD64"): ("win_amd64", "1f6b8956c4143dbfe107bcd35799d0dfd778a40a8cd537893c0bf489898a6c3c"),
    ("Windows", "ARM64"): ("win_arm64", "8016e2006c09953570af466e7674c398c1f255cb00022152b15e18f9e8ca3af8"),
}

# The published drawings are black on white and stand loosely in their frame; a tighter one is what makes 48 pixels do.
ZOOM, SHIFT_DOWN = 1.22, 0.04

# Colours of things that may touch keep a distance of at least 40 in RGB, so that no attribute hides another.
HAIR_COLOURS = (
    ("#14100f", "black", "검정"),
    ("#3b2417", "dark brown", "짙은 갈색"),
    ("#613617", "brown", "갈색"),
    ("#b06c18", "light brown", "밝은 갈색"),
    ("#d9a441", "golden", "금색"),
    ("#f3df7c", "blond", "밝은 금발"),
    ("#c8442a", "red", "빨강"),
    ("#b9b9c3", "grey", "회색"),
    ("#7a4fb0", "purple", "보라"),
    ("#2f8f9d", "teal", "청록"),
    ("#e07a9b", "pink", "분홍"),
    ("#3f6fd1", "blue", "파랑"),
)
SKIN_COLOURS = (
    ("#ffe3ca", "very light", "아주 밝은색"),
    ("#f3c9a0", "light", "밝은색"),
    ("#e2a97c", "medium light", "조금 밝은색"),
    ("#c58a5c", "medium", "중간색"),
    ("#a76d43", "medium dark", "조금 어두운색"),
    ("#845130", "dark", "어두운색"),
)
BACKGROUND_COLOURS = (
    ("#ffd5dc", "pink", "분홍"),
    ("#ffdfbf", "peach", "복숭아색"),
    ("#c0e8d5", "mint", "민트색"),
    ("#b6e3f4", "sky blue", "하늘색"),
    ("#d1d4f9", "lavender", "연보라"),
    ("#fff1a8", "yellow", "노랑"),
)
MOUTH_COLOURS = ("#8f2f2f", "#b23a48", "#5b1f1f")
BLACK_PARTS = ("earrings", "eyebrows", "eyes", "freckles", "glasses", "hairAccessories", "nose", "outline")

# The drawings are numbered only; sorted here by eye.
HAIR_STYLES = (
    ((1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 22, 39, 43, 44, 46, 47), "short", "짧은 머리"),
    ((25, 27, 28, 34), "shaved or bald", "삭발·민머리"),
    ((14, 26, 29, 30, 31, 33, 36, 38, 42, 45, 48), "tied or bun", "묶은 머리"),
    ((10, 13, 15, 16, 17, 18, 19, 20, 21, 23, 24, 32, 35, 37, 40, 41), "long or bob", "긴 머리·단발"),
)
GLASSES = (((), "none", "없음"), ((1, 3, 4, 5), "clear", "투명 안경"), ((2,), "sunglasses", "선글라스"))
BEARDS = (((), "none", "없음"), ((1, 2), "beard", "수염"))
FLOWERS = ("none", "없음"), ("flower", "꽃")

SHARES = (  # how often each value is drawn; rare enough to be special, common enough to be learned
    (1 / 12,) * 12,
    (0.30, 0.15, 0.25, 0.30),
    (1 / 6,) * 6,
    (1 / 6,) * 6,
    (0.50, 0.28, 0.22),
    (0.78, 0.22),
    (0.78, 0.22),
)
EARRINGS_SHARE, FRECKLES_SHARE = 0.2, 0.1

# Never seen together in training: composition is measured on these. Two colours for every hair style.
HELD_OUT_HAIR = (
    ("brown", "short"),
    ("purple", "short"),
    ("black", "shaved or bald"),
    ("pink", "shaved or bald"),
    ("golden", "tied or bun"),
    ("blue", "tied or bun"),
    ("red", "long or bob"),
    ("grey", "long or bob"),
)

Element = Mapping[str, object]  # of a style: a type, a name, attributes, children


@dataclass(frozen=True)
class Face:
    """One face: its labels, which variant of each part it has (parts it lacks are missing), and all colours."""

    labels: tuple[int, ...]
    parts: Mapping[str, str]
    colours: Mapping[str, str]


def named(values: Sequence[tuple[object, str, str]]) -> tuple[Text, ...]:
    return tuple({"en": en, "ko": ko} for _, en, ko in values)


def held_out_pairs() -> set[tuple[int, int]]:
    """The labels of `HELD_OUT_HAIR`: hair colour and hair style, from 1."""
    colours, styles = [en for _, en, _ in HAIR_COLOURS], [en for _, en, _ in HAIR_STYLES]
    return {(colours.index(colour) + 1, styles.index(style) + 1) for colour, style in HELD_OUT_HAIR}


def never_trained(labels: np.ndarray) -> np.ndarray:
    """Whether no training picture has the hair colour on the hair style; where either is "any", one has."""
    pairs = held_out_pairs()
    return np.array([tuple(row[:2]) in pairs for row in labels.tolist()], bool)


def draw_labels(rng: np.random.Generator, *, is_new: bool) -> tuple[int, ...]:
    """Labels by `SHARES`, of a combination that training has or (`is_new`) does not have."""
    while True:
        labels = tuple(1 + int(rng.choice(len(shares), p=shares)) for shares in SHARES)
        if never_trained(np.array([labels]))[0] == is_new:
            return labels


def variant(number: int) -> str:
    return f"variant{number:02d}"


def choose_face(style: Mapping[str, object], seed: Sequence[int], *, is_new: bool) -> Face:
    """The face of a seed: its labels, then at random whatever they leave open."""
    rng = np.random.default_rng(seed)
    labels = draw_labels(rng, is_new=is_new)
    hair_colour, hair, skin, background, glasses, beard, flower = (label - 1 for label in labels)

    def free(part: str) -> str:
        return str(rng.choice(sorted(style["components"][part]["variants"])))

    def one_of(numbers: Sequence[int]) -> str:
        return variant(rng.choice(numbers))

    parts = {part: free(part) for part in ("head", "eyes", "eyebrows", "mouth", "nose")}
    parts["hair"] = one_of(HAIR_STYLES[hair][0])
    if GLASSES[glasses][0]:
        parts["glasses"] = one_of(GLASSES[glasses][0])
    if BEARDS[beard][0]:
        parts["beard"] = one_of(BEARDS[beard][0])
    if flower:
        parts["hairAccessories"] = free("hairAccessories")
    if rng.random() < EARRINGS_SHARE:
        parts["earrings"] = free("earrings")
    if rng.random() < FRECKLES_SHARE:
        parts["freckles"] = free("freckles")
    colours = {
        **dict.fromkeys(BLACK_PARTS, "#000000"),
        "hair": HAIR_COLOURS[hair_colour][0],  # the beard's too
        "skin": SKIN_COLOURS[skin][0],
        "mouth": str(rng.choice(MOUTH_COLOURS)),
        "background": BACKGROUND_COLOURS[background][0],
    }
    return Face(labels, parts, colours)


def markup(element: Element, style: Mapping[str, object], face: Face) -> str:
    """An element of the style's tree as SVG: parts replaced by the face's variant of them, colours by the face's."""
    attributes: Mapping[str, object] = element.get("attributes", {})
    if element["type"] == "component":
        if element["name"] not in face.parts:
            return ""
        drawn = style["components"][element["name"]]["variants"][face.parts[element["name"]]]
        tag, children = "g", drawn["elements"]
    else:
        tag, children = element["name"], element.get("children", ())
    values = {name: face.colours[v["name"]] if isinstance(v, dict) else v for name, v in attributes.items()}
    opening = " ".join([tag, *(f'{name}="{value}"' for name, value in values.items())])
    inside = "".join(markup(child, style, face) for child in children)
    return f"<{opening}>{inside}</{tag}>"


def to_svg(style: Mapping[str, object], face: Face) -> str:
    """The whole face on its background, enlarged about the middle and moved down a little."""
    canvas = style["canvas"]
    width, height = canvas["width"], canvas["height"]
    left, top = width / 2 * (1 - ZOOM), height / 2 * (1 - ZOOM) + height * SHIFT_DOWN
    inside = "".join(markup(element, style, face) for element in canvas["elements"])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" fill="none">'
        f'<rect width="{width}" height="{height}" fill="{face.colours["background"]}"/>'
        f'<g transform="translate({left:g} {top:g}) scale({ZOOM})">{inside}</g></svg>'
    )


def load_style() -> dict[str, object]:
    """The definition of the drawing style, fetched and checked: plain JSON, nothing of the package's code is run."""
    with zipfile.ZipFile(fetch_wheel(*STYLES, STYLES_SHA256)) as wheel:
        return json.loads(wheel.read(STYLE_MEMBER))


def fetch_renderer() -> Path:
    """The wheel of resvg for this machine, checked; raises DownloadError where there is none."""
    machine = (platform.system(), platform.machine())
    is_glibc = machine[0] != "Linux" or platform.libc_ver()[0] == "glibc"
    if machine not in RENDERERS or not is_glibc:
        here = " on ".join(reversed(machine)) + ("" if is_glibc else " without glibc")
        known = ", ".join(f"{system} on {processor}" for system, processor in RENDERERS)
        raise DownloadError(f"the pictures cannot be drawn on {here}: {RENDERER} is known here for {known}")
    ending, expected_sha256 = RENDERERS[machine]
    return fetch_wheel(RENDERER, f"{RENDERER_MODULE}-0.5.0-cp310-abi3-{ending}.whl", expected_sha256)


def unpack_renderer(wheel: Path, folder: Path) -> Path:
    """The one compiled file of the wheel, written to `folder`."""
    with zipfile.ZipFile(wheel) as archive:
        (member,) = (
            m for m in archive.namelist() if Path(m).suffix in (".so", ".pyd") and m.startswith(RENDERER_MODULE)
        )
        file = folder / Path(member).name
        file.write_bytes(archive.read(member))
    return file


@lru_cache(maxsize=1)
def load_renderer(file: Path) -> ModuleType:
    """resvg's extension module, loaded from where it lies: nothing is installed, no import path is changed."""
    spec = spec_from_file_location(RENDERER_MODULE, file)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def draw(style: Mapping[str, object], faces: Sequence[Face], renderer: Path) -> np.ndarray:
    """Pictures of faces, uint8 [n, 3, size, size]; for a process that may load foreign machine code."""
    resvg = load_renderer(renderer)
    pictures = np.empty((len(faces), 3, SIZE, SIZE), np.uint8)
    for k, face in enumerate(faces):
        png = resvg.svg_to_bytes(svg_string=to_svg(style, face), width=SIZE, height=SIZE, skip_system_fonts=True)
        with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
            pictures[k] = np.moveaxis(np.asarray(image.convert("RGB")), -1, 0)
    return pictures


def draw_all(style: Mapping[str, object], faces: Sequence[Face], processes: int | None = None) -> np.ndarray:
    """`draw` in worker processes, which alone load the renderer; its file is gone when they are."""
    pieces = [faces[start : start + FACES_AT_ONCE] for start in range(0, len(faces), FACES_AT_ONCE)]
    wheel = fetch_renderer()
    context = multiprocessing.get_context("spawn")  # the same on every system
    with TemporaryDirectory() as folder:
        renderer = unpack_renderer(wheel, Path(folder))
        with ProcessPoolExecutor(processes or os.cpu_count(), mp_context=context) as pool:
            return np.concatenate(list(pool.map(draw, repeat(style), pieces, repeat(renderer))))


def first_occurrences(images: np.ndarray) -> np.ndarray:
    """Which pictures equal none before them, [n]."""
    seen: set[bytes] = set()
    return np.array([not (key in seen or seen.add(key)) for key in (image.tobytes() for image in images)], bool)


def held_out_face(style: Mapping[str, object], k: int) -> Face:
    """Face k of those held out: in turn of an ordinary combination and of one that training lacks."""
    return choose_face(style, (1, k), is_new=bool(k % 2))


def build() -> dict[str, Pictures]:
    """Held-out faces, then training faces; a picture that equals an earlier one (hair can hide eyes) is left out."""
    style = load_style()
    faces = [held_out_face(style, k) for k in range(NUM_HELD_OUT)]
    faces += [choose_face(style, (0, k), is_new=False) for k in range(NUM_TRAIN)]
    images = draw_all(style, faces)
    labels = np.array([face.labels for face in faces], np.int64)
    is_first = first_occurrences(images)
    is_held_out = np.arange(len(faces)) < NUM_HELD_OUT

    def chosen(which: np.ndarray) -> Pictures:
        return Pictures(images[which], labels[which])

    return {"train": chosen(is_first & ~is_held_out), "held_out": chosen(is_first & is_held_out)}


def attribute(name: str, en: str, ko: str, values: tuple[Text, ...], colours: Sequence[str] = ()) -> Attribute:
    return Attribute(name, {"en": en, "ko": ko}, values, tuple(colours))


def colour_attribute(name: str, en: str, ko: str, values: Sequence[tuple[str, str, str]]) -> Attribute:
    return attribute(name, en, ko, named(values), [colour for colour, _, _ in values])


FACES = Dataset(
    name="faces",
    title={"en": "Cartoon faces in colour", "ko": "컬러 만화 얼굴"},
    size=SIZE,
    channels=3,
    attributes=(
        colour_attribute("hair_colour", "Hair colour", "머리색", HAIR_COLOURS),
        attribute("hair_style", "Hair", "머리 모양", named(HAIR_STYLES)),
        colour_attribute("skin_colour", "Skin", "피부색", SKIN_COLOURS),
        colour_attribute("background_colour", "Background", "배경색", BACKGROUND_COLOURS),
        attribute("glasses", "Glasses", "안경", named(GLASSES)),
        attribute("beard", "Beard", "수염", named(BEARDS)),
        attribute("flower", "Flower", "꽃", tuple({"en": en, "ko": ko} for en, ko in FLOWERS)),
    ),
    licence="CC0 1.0 Universal (https://creativecommons.org/publicdomain/zero/1.0/)",
    attribution=(
        'Faces put together and coloured from the drawings of DiceBear\'s style "Lorelei", a remix of "Lorelei" by '
        "Lisa Wischofsky (https://www.figma.com/community/file/1198749693280469639), CC0 1.0. No credit is asked for; "
        "it is given with thanks."
    ),
    build=build,
    num_reference=500,  # they take 1 MB
    note=(
        "48x48 pixels, because glasses are read at a glance, which they are not at 32; 64x64 would cost nearly twice "
        "as much to learn, more than two cores had time for."
    ),
    ink_extent=0.9,
    held_out=never_trained,
    combined=("hair_colour", "hair_style"),
    # without fresh noise on the way: it would move the flat colours that a few of seven attributes ask for
    defaults={"sampler": "ddim", "guidance_scale": 1.75, "truncation_psi": 0.85, "temperature": 0.7},
    # One core trains 177, 147 and 62 pictures a second (a patch of 3 halves the work). A visitor asks for one or two
    # of seven attributes, so training leaves out many at once, and now and then all.
    training={
        "features": {"images": 300_000, "never_trained_share": 0.5},
        "vae": {"images": 300_000, "label_dropout": 0.1, "drop_all": 0.05, "hidden_dim": 192},
        # seven times as many values a picture as a digit has: a shorter leash for the discriminator in the beginning
        "gan": {
            "images": 2_200_000,
            "label_dropout": 0.3,
            "drop_all": 0.1,
            "patch": 3,
            "fine_width": 8,
            "fine_sight": 16,
            "gamma": (4.0, 0.8),
            "ema_half_life_images": 30_000,
        },
        "ddpm": {"images": 1_060_000, "label_dropout": 0.1, "drop_all": 0.1, "snr_floor": 1.0, "snr_gamma": 20.0},
        # flat colour asks for a keener judge and a stricter teacher than the others have
        "instant": {"images": 240_000, "steps": 1, "consistency_weight": 12.0, "gamma": 0.3},
    },
)
