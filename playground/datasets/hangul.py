"""Hangul syllables from 29 open typefaces (SIL Open Font License 1.1), 32x32 grey, drawn here from the font files.

A syllable is an initial, a medial and a final letter; Unicode lays all 11,172 out in that order, so content is three
small labels and the typeface is a fourth. The 2,350 syllables of KS X 1001, which every typeface draws, are rendered.
"""

from __future__ import annotations

import hashlib
import io
import os
import unicodedata
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from playground.datasets.base import (
    Attribute,
    Dataset,
    DownloadError,
    Pictures,
    UnfinishedTextError,
    Writing,
    members_of_deb,
    members_of_npm,
)

INITIALS = "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ"
MEDIALS = "ㅏㅐㅑㅒㅓㅔㅕㅖㅗㅘㅙㅚㅛㅜㅝㅞㅟㅠㅡㅢㅣ"
FINALS = "ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎ"  # behind "none"
LONE_LETTERS = "".join(map(chr, range(0x3131, 0x3164)))  # as keyboards send them before a syllable is whole
FIRST_SYLLABLE = 0xAC00
NUM_SYLLABLES = len(INITIALS) * len(MEDIALS) * (len(FINALS) + 1)

SIZE = 32
OVERSAMPLING = 4
INK_EXTENT = 0.88  # of the side, at the 97th percentile of a typeface's syllables
MOST_STRETCH = 1.25  # small, open syllables of a handwriting are enlarged up to this
EVEN_EXTENT = 0.80  # ... towards this share of the side
MOST_EXTENT = 0.97

# Never seen in training in any typeface: composition is measured on these. Drawn once at random from KS X 1001 such
# that every letter stays in at least five other syllables in its place.
HELD_OUT_SYLLABLES = (
    "걀걍겝겟견공괆굔귈근긔깥껸꼲꽁꾀꾄끅내냉넨놘눌늚달덛뒀딪떰뜯롑뢴룀룅뤄뤘리망맨몲"
    "뫼묏밈밴벳별붙뷘빛뻑뽑샀샬섯셴솨쇳숏숯식신쌤쌨쐤쐼쓱악얩언옥왹웡으읍잘장점졈좁"
    "좽주짯쭁쭹쵸충츨칠칡칩쾡쿵텄팻펫풍혹홍흄흩"
)
HELD_OUT_PAIRS = 0.05  # of the other (syllable, typeface) pairs


@dataclass(frozen=True)
class Typeface:
    """One font file: where it comes from, what it must be to the byte, and whose it is."""

    file: str
    package: str
    sha256: str
    en: str
    ko: str
    holder: str


NANUM, NANUM_EXTRA, WOOWA = "fonts-nanum", "fonts-nanum-extra", "fonts-woowa-bm"
DEBIAN_VERSIONS = {NANUM: "20200506-1", NANUM_EXTRA: "20200506-1", WOOWA: "20211009-2"}
NPM = "@expo-google-fonts/"
NPM_VERSIONS = {
    "black-han-sans": "0.4.1",
    "cute-font": "0.4.1",
    "dongle": "0.4.1",
    "east-sea-dokdo": "0.2.0",
    "gaegu": "0.4.1",
    "gamja-flower": "0.4.1",
    "gugi": "0.2.0",
    "poor-story": "0.2.3",
    "single-day": "0.4.1",
    "song-myung": "0.4.2",
}
NHN, NAVER = "NHN Corporation", "NAVER Corporation"
WOOWA_BROTHERS, SANDOLL, YOON = "Woowa Brothers Corporation", "Sandoll Communications Inc.", "YoonDesign Inc."

TYPEFACES = (
    Typeface(
        "NanumGothic.ttf",
        NANUM,
        "48a28e97b34fc8e5b157657633670cd1b7de126cfc414da65ce9c3d5bc8be733",
        "Nanum Gothic",
        "나눔고딕",
        NHN,
    ),
    Typeface(
        "NanumBarunGothic.ttf",
        NANUM,
        "9b872773134e2e4d8c0b17021266786576db06c843ede0d0b523b214a450756c",
        "Nanum Barun Gothic",
        "나눔바른고딕",
        NHN,
    ),
    Typeface(
        "NanumMyeongjo.ttf",
        NANUM,
        "a21faae83d2d16d11c639f04f25fbe410eda905969ad75eff50d63ca31569f25",
        "Nanum Myeongjo",
        "나눔명조",
        NHN,
    ),
    Typeface(
        "NanumMyeongjoExtraBold.ttf",
        NANUM_EXTRA,
        "a03d520bccc43ae1dc0bd5f64d143195a0ffce8318aacb0f3efb6117827eee14",
        "Nanum Myeongjo Extra Bold",
        "나눔명조 아주 굵게",
        NHN,
    ),
    Typeface(
        "NanumSquareR.ttf",
        NANUM,
        "5a51deae5237435d9a0bc0cc6cc30619a914b29801f895698cfdacadcad06e94",
        "Nanum Square",
        "나눔스퀘어",
        NAVER,
    ),
    Typeface(
        "NanumSquareRoundR.ttf",
        NANUM,
        "52862fdf05b55ba886ca21998222d9598ef84c975e68046b9a8d8f1af09228a0",
        "Nanum Square Round",
        "나눔스퀘어라운드",
        NAVER,
    ),
    Typeface(
        "NanumGothicLight.ttf",
        NANUM_EXTRA,
        "da39544c39be58124a4fcb296eafc2bf73530b3dbd1b19aa802c5c3fd227e31c",
        "Nanum Gothic Light",
        "나눔고딕 가늘게",
        NHN,
    ),
    Typeface(
        "NanumBarunpenR.ttf",
        NANUM_EXTRA,
        "f5bd6993e8376e7f0796837ba0e50e006eb1f568f5dbb571e18d66847ff4f9c0",
        "Nanum Barunpen",
        "나눔바른펜",
        NHN,
    ),
    Typeface(
        "NanumBarunpenB.ttf",
        NANUM_EXTRA,
        "a4cb68691683ed926714d5003cf14828ea98d8453f4c843d81b89b0c008c5a5b",
        "Nanum Barunpen Bold",
        "나눔바른펜 굵게",
        NHN,
    ),
    Typeface(
        "NanumBrush.ttf",
        NANUM_EXTRA,
        "5fe0e02f74c58aa25ba49908fb6775bcb7d00d19ddd68b480b51a926f5ca12ec",
        "Nanum Brush Script",
        "나눔손글씨 붓",
        NHN,
    ),
    Typeface(
        "NanumPen.ttf",
        NANUM_EXTRA,
        "0e1e2cc07fd5c5d181936ecaf97363263a8d4ae6b6151039ea83cb9002b63152",
        "Nanum Pen Script",
        "나눔손글씨 펜",
        NHN,
    ),
    Typeface(
        "BMDOHYEON_ttf.ttf",
        WOOWA,
        "43a71996b1205786ba7a793d870d4f9d28b9dc71e22cc4c9078a5e5f24f23971",
        "BM Do Hyeon",
        "배달의민족 도현",
        SANDOLL,
    ),
    Typeface(
        "BMEULJIROTTF.ttf",
        WOOWA,
        "9267f884385258c45b7e796dfa242508c756542a1a80059d03556e0d1903adf4",
        "BM Euljiro",
        "배달의민족 을지로",
        WOOWA_BROTHERS,
    ),
    Typeface(
        "BMEuljiro10yearslater.ttf",
        WOOWA,
        "f7dbed635efc674da7ef2c68fa0749362e7e78d1d584a21f6d0ce959cde5e79f",
        "BM Euljiro 10 years later",
        "배달의민족 을지로10년후",
        WOOWA_BROTHERS,
    ),
    Typeface(
        "BMHANNAAir_ttf.ttf",
        WOOWA,
        "6f60f7d9615c22927acbc0073650cbeff776f2c6b0ca31c79529e074c9cebeba",
        "BM Hanna Air",
        "배달의민족 한나체 Air",
        WOOWA_BROTHERS,
    ),
    Typeface(
        "BMHANNAPro.ttf",
        WOOWA,
        "46dd67f836604840fe5abf9695d7982f396406260465fc225136ea23bed18e0a",
        "BM Hanna Pro",
        "배달의민족 한나체 Pro",
        WOOWA_BROTHERS,
    ),
    Typeface(
        "BMJUA_ttf.ttf",
        WOOWA,
        "e8e6aa8b1b662c7bf0d7f136f29e822e0985176458a6e5d0ba08afc4a5c901a9",
        "BM Jua",
        "배달의민족 주아",
        WOOWA_BROTHERS,
    ),
    Typeface(
        "BMKIRANGHAERANG-TTF.ttf",
        WOOWA,
        "d0973f3a497b42d999af2f163c63e2ebe4952c5de645d61228d2dbda13457a3f",
        "BM Kirang Haerang",
        "배달의민족 기랑해랑",
        WOOWA_BROTHERS,
    ),
    Typeface(
        "BMYEONSUNG_ttf.ttf",
        WOOWA,
        "154d22ee908e6d5ac11acb3526a8dd5c6963a9379abe81330df0b1453080f63e",
        "BM Yeon Sung",
        "배달의민족 연성",
        WOOWA_BROTHERS,
    ),
    Typeface(
        "BlackHanSans_400Regular.ttf",
        NPM + "black-han-sans",
        "24b7f51ab85c91757f92a5767a4368b6bc68bf1cc667cd7d11278056bca7eaef",
        "Black Han Sans",
        "검은고딕",
        "The Black Han Sans Project Authors",
    ),
    Typeface(
        "CuteFont_400Regular.ttf",
        NPM + "cute-font",
        "0737c7b24a310ac3b1f219c932c839d647e0601662239f35c932df8b9b0d54a8",
        "Cute Font",
        "큐트 폰트",
        "TypoDesign Lab. Inc.",
    ),
    Typeface(
        "Dongle_700Bold.ttf",
        NPM + "dongle",
        "6b28d1b9d5ca1eb4e93600fcb2ff2f466892656332cc96e198b22fc0ae8ba425",
        "Dongle Bold",
        "동글 굵게",
        "The Dongle Project Authors",
    ),
    Typeface(
        "EastSeaDokdo_400Regular.ttf",
        NPM + "east-sea-dokdo",
        "0ef905eb6995c8ce7b39e6c89b59eaf41f558c3996eb16d2c883972baa07437b",
        "East Sea Dokdo",
        "동해 독도",
        YOON,
    ),
    Typeface(
        "Gaegu_700Bold.ttf",
        NPM + "gaegu",
        "e48f58ff3e4163f5a8163de982556b0c4343e4e3b5584df2d14f79737fca60ae",
        "Gaegu Bold",
        "개구 굵게",
        "The Gaegu Project Authors",
    ),
    Typeface(
        "GamjaFlower_400Regular.ttf",
        NPM + "gamja-flower",
        "39c519118fe8a8e78a402d0977ca05c4dd585228acd8dbf24df492ecfe9399cf",
        "Gamja Flower",
        "감자꽃",
        YOON,
    ),
    Typeface(
        "Gugi_400Regular.ttf",
        NPM + "gugi",
        "fc46941b76acac2e0336584ef94a33d598fe3a1cd19eabd669a44f98deecbba4",
        "Gugi",
        "구기",
        "TAE System & Typefaces Co.",
    ),
    Typeface(
        "PoorStory_400Regular.ttf",
        NPM + "poor-story",
        "7485f2aa4eb6d5642998e038be29226ded6d077f6ae84ce8648bd08274fe5eb4",
        "Poor Story",
        "푸어스토리",
        YOON,
    ),
    Typeface(
        "SingleDay_400Regular.ttf",
        NPM + "single-day",
        "2b6bbfb2b88ff55e8acdf06a9ba042821fbbe3e7149bc57b317e8880d9dbd0f9",
        "Single Day",
        "싱글데이",
        "DXKorea Inc.",
    ),
    Typeface(
        "SongMyung_400Regular.ttf",
        NPM + "song-myung",
        "8d7ee873953da35e1b0c128b2ae6b022819bc7519d559da00aa33efeb89a602c",
        "Song Myung",
        "송명",
        "The Song Myung Project Authors",
    ),
)


def letters(syllable: str) -> tuple[int, int, int]:
    """Labels of initial, medial and final, from 1; a syllable without a final has final 1."""
    n = ord(syllable) - FIRST_SYLLABLE
    num_finals = len(FINALS) + 1
    return n // (num_finals * len(MEDIALS)) + 1, n // num_finals % len(MEDIALS) + 1, n % num_finals + 1


def compose(initial: int, medial: int, final: int) -> str:
    """The syllable of three labels from 1."""
    n = ((initial - 1) * len(MEDIALS) + medial - 1) * (len(FINALS) + 1) + final - 1
    return chr(FIRST_SYLLABLE + n)


def is_ks_x_1001(syllable: str) -> bool:
    """Whether KS X 1001 has the syllable as one character (the codec spells the others out letter by letter)."""
    return len(syllable.encode("euc_kr")) == 2


def trained_syllables() -> str:
    all_syllables = map(chr, range(FIRST_SYLLABLE, FIRST_SYLLABLE + NUM_SYLLABLES))
    return "".join(s for s in all_syllables if is_ks_x_1001(s) and s not in HELD_OUT_SYLLABLES)


def spell(word: str) -> list[tuple[int, int, int]]:
    """The labels of every syllable of a word, spaces left out; Hangul typed letter by letter is put together first.

    Lone letters at the end are a syllable that is still being typed, and wait. Raises ValueError with a sentence that
    says what can be typed.
    """
    typed = "".join(unicodedata.normalize("NFC", word).split())
    syllables = typed.rstrip(LONE_LETTERS)
    if not syllables:
        raise UnfinishedTextError(f"text must be 1 to {WRITING.longest} whole Hangul syllables, got {typed!r}")
    if len(syllables) > WRITING.longest:
        raise ValueError(f"text must be 1 to {WRITING.longest} Hangul syllables, got {len(syllables)}")
    for character in syllables:
        if not FIRST_SYLLABLE <= ord(character) < FIRST_SYLLABLE + NUM_SYLLABLES:
            raise ValueError(f"text must be whole Hangul syllables such as {WRITING.example}, got {character!r}")
    return [letters(s) for s in syllables]


WRITING = Writing(
    longest=12,
    example="한글",
    hint={"en": "Up to 12 Hangul syllables: your name, for instance", "ko": "한글 12자까지: 이름을 써 보세요"},
    spell=spell,
    text=lambda labels: compose(*labels[:3]),
)


def never_trained(labels: np.ndarray) -> np.ndarray:
    """Whether the whole syllable was in no training picture, in no typeface; "any" letters are nothing new."""
    trained = {letters(s) for s in trained_syllables()}
    return np.array([0 not in row[:3] and tuple(row[:3]) not in trained for row in labels.tolist()])


def ink(font: ImageFont.FreeTypeFont, syllable: str) -> Image.Image:
    """The glyph, cut to its ink (a font's own box counts the blank before a glyph in); blank where nothing is drawn."""
    left, top, right, bottom = font.getbbox(syllable)
    glyph = Image.new("L", (max(1, right - left), max(1, bottom - top)))
    ImageDraw.Draw(glyph).text((-left, -top), syllable, fill=255, font=font)
    return glyph.crop(glyph.getbbox() or (0, 0, 1, 1))


def draw(font_file: bytes, syllables: str) -> np.ndarray:
    """Every syllable in one typeface, uint8 [n, size, size]: one scale for all but for the smallest, centred by ink."""
    canvas = SIZE * OVERSAMPLING
    trial = ImageFont.truetype(io.BytesIO(font_file), 100)
    extents = np.array([max(ink(trial, s).size) for s in syllables])
    scale = INK_EXTENT * canvas / np.percentile(extents, 97)
    wanted = np.clip(EVEN_EXTENT * canvas / (scale * extents), 1.0, MOST_STRETCH) * scale
    wanted = np.minimum(wanted, MOST_EXTENT * canvas / extents)
    fonts = {size: trial.font_variant(size=size) for size in sorted({int(size) for size in 100 * wanted})}
    pictures = np.zeros((len(syllables), SIZE, SIZE), np.uint8)
    for k, (syllable, size) in enumerate(zip(syllables, 100 * wanted, strict=True)):
        glyph = ink(fonts[int(size)], syllable)
        large = Image.new("L", (canvas, canvas))
        large.paste(glyph, ((canvas - glyph.width) // 2, (canvas - glyph.height) // 2))
        pictures[k] = np.asarray(large.reduce(OVERSAMPLING))
    return pictures


def is_drawn(pictures: np.ndarray) -> np.ndarray:
    """Which of one typeface's pictures are neither blank nor the same as another's, [n]."""
    keys = [picture.tobytes() for picture in pictures]
    counts = Counter(keys)
    return np.array([picture.any() and counts[key] == 1 for picture, key in zip(pictures, keys, strict=True)])


def font_files() -> list[bytes]:
    """Every typeface's file, checked to the byte; raises DownloadError where one differs."""
    packages = {name: members_of_deb(name, version) for name, version in DEBIAN_VERSIONS.items()}
    packages |= {NPM + name: members_of_npm(NPM + name, version) for name, version in NPM_VERSIONS.items()}
    files = []
    for face in TYPEFACES:
        content = packages[face.package].get(face.file, b"")
        if hashlib.sha256(content).hexdigest() != face.sha256:
            raise DownloadError(f"{face.file} in {face.package} is not the font this was written for (sha256 differs)")
        files.append(content)
    return files


def build() -> dict[str, Pictures]:
    """2,350 syllables x 29 typefaces, less what a typeface does not draw; whole syllables and single pairs held out."""
    syllables = trained_syllables() + HELD_OUT_SYLLABLES
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        drawn = list(pool.map(draw, font_files(), [syllables] * len(TYPEFACES)))
    images, labels = [], []
    for style, pictures in enumerate(drawn, start=1):
        good = is_drawn(pictures)
        images.append(pictures[good])
        labels.append([(*letters(s), style) for s, is_good in zip(syllables, good, strict=True) if is_good])
    all_images = np.concatenate(images)[:, None]
    all_labels = np.concatenate([np.array(rows, np.int64) for rows in labels])
    order = np.random.default_rng(0).permutation(len(all_images))  # so that any first n are a fair sample
    all_images, all_labels = all_images[order], all_labels[order]
    held = never_trained(all_labels) | (np.random.default_rng(1).random(len(all_labels)) < HELD_OUT_PAIRS)
    return {
        "train": Pictures(all_images[~held], all_labels[~held]),
        "held_out": Pictures(all_images[held], all_labels[held]),
    }


def credits() -> str:
    rows = "\n".join(f"| {face.en} | {face.ko} | {face.file} | {face.holder} |" for face in TYPEFACES)
    return (
        "Pictures of Hangul syllables drawn with the typefaces below, each under the SIL Open Font License, "
        "Version 1.1. No font file is distributed here; a reserved font name must not be given to a font made from "
        "these pictures.\n\n"
        f"| Typeface | Name in Korean | File | Copyright holder |\n| --- | --- | --- | --- |\n{rows}"
    )


def attribute(name: str, en: str, ko: str, values: str) -> Attribute:
    return Attribute(name, {"en": en, "ko": ko}, tuple({"en": value, "ko": value} for value in values))


NO_FINAL = {"en": "none", "ko": "없음"}

HANGUL = Dataset(
    name="hangul",
    title={"en": "Hangul syllables (29 typefaces)", "ko": "한글 글자 (글꼴 29종)"},
    size=SIZE,
    channels=1,
    attributes=(
        attribute("initial", "Initial", "초성", INITIALS),
        attribute("medial", "Medial", "중성", MEDIALS),
        Attribute("final", {"en": "Final", "ko": "종성"}, (NO_FINAL, *({"en": v, "ko": v} for v in FINALS))),
        Attribute(
            "style",
            {"en": "Typeface", "ko": "글꼴"},
            tuple({"en": face.en, "ko": face.ko} for face in TYPEFACES),
        ),
    ),
    licence="pictures drawn with fonts under the SIL Open Font License 1.1 (https://openfontlicense.org)",
    attribution=credits(),
    build=build,
    num_reference=6_226,
    ink_extent=INK_EXTENT,
    held_out=never_trained,
    combined=("initial", "medial", "final"),
    writing=WRITING,
    # three letters at once ask for a harder pull than one digit, and for hands nearer to the common ones
    defaults={"guidance_scale": 3.0, "truncation_psi": 0.8, "temperature": 0.7},
    training={
        "features": {"images": 800_000, "feature_dim": 128, "max_rotation": 4.0, "max_shift": 0.05, "max_zoom": 0.08},
        # the typeface is often left out, so that z (or the noise) learns to be a hand of its own
        "vae": {"images": 800_000, "label_dropout": (0.1, 0.1, 0.1, 0.25), "hidden_dim": 192},
        "gan": {
            "images": 1_160_000,
            "label_dropout": (0.05, 0.05, 0.05, 0.5),
            "w_dim": 128,
            "gamma": (2.0, 0.5),
        },
        "ddpm": {"images": 1_400_000, "label_dropout": (0.05, 0.05, 0.05, 0.4), "drop_all": 0.1, "snr_floor": 1.0},
        "instant": {"images": 480_000, "learning_rate": 2e-4, "steps": 1},
    },
)
