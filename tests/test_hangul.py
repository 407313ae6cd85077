"""Hangul: syllables and their letters, what is kept from training, how glyphs are drawn, words through the door."""

from __future__ import annotations

import io
import subprocess
import tarfile
import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import ImageFont

from playground.comparison import compare, sheet
from playground.datasets import DownloadError, base, hangul
from playground.datasets.hangul import HANGUL, HELD_OUT_SYLLABLES, compose, letters, spell
from playground.generate import Frame, generate, labels_for, last
from playground.recipe import Recipe
from playground.render import to_uint8
from playground.sampling.reverse import STOCHASTIC
from playground.zoo import Entry, Zoo

ALL = [chr(code) for code in range(0xAC00, 0xD7A4)]
MODELS = ("vae", "gan", "ddpm")


def test_every_syllable_is_its_letters_and_back() -> None:
    assert len(ALL) == hangul.NUM_SYLLABLES == 11_172
    assert [compose(*letters(s)) for s in ALL] == ALL
    labels = np.array([letters(s) for s in ALL])
    assert labels.min(0).tolist() == [1, 1, 1]
    assert tuple(labels.max(0)) == HANGUL.cardinalities[:3] == (19, 21, 28)


@given(st.sampled_from(ALL))
def test_letters_are_those_of_the_unicode_decomposition(syllable: str) -> None:
    initial, medial, final = letters(syllable)
    parts = unicodedata.normalize("NFD", syllable)
    assert parts[0] == chr(0x1100 + initial - 1)
    assert parts[1] == chr(0x1161 + medial - 1)
    assert parts[2:] == ("" if final == 1 else chr(0x11A7 + final - 1))


@given(st.lists(st.sampled_from(ALL), min_size=1, max_size=hangul.WRITING.longest), st.sampled_from(["NFC", "NFD"]))
def test_a_word_is_spelled_however_it_was_typed(word: list[str], form: str) -> None:
    assert [compose(*row) for row in spell(" " + unicodedata.normalize(form, "".join(word)) + "\n")] == word


@pytest.mark.parametrize("word", ["", "  ", "hello", "한글!", "ㅎㅏㄴ", "漢字", "가" * 13, "한\u0000", "🎉"])
def test_what_is_not_hangul_is_refused_with_what_can_be_typed(word: str) -> None:
    with pytest.raises(ValueError, match=r"text must be .*Hangul syllables"):
        spell(word)


def test_a_fixed_list_of_whole_syllables_is_kept_from_training() -> None:
    assert len(set(HELD_OUT_SYLLABLES)) == 100
    assert all(hangul.is_ks_x_1001(s) for s in HELD_OUT_SYLLABLES)
    trained = hangul.trained_syllables()
    assert len(set(trained)) == 2_250
    assert not set(trained) & set(HELD_OUT_SYLLABLES)
    for place, cardinality in enumerate(HANGUL.cardinalities[:3]):
        used = [letters(s)[place] for s in trained]
        assert set(used) == set(range(1, cardinality + 1)), "every letter must be learned in its place"


def test_never_trained_are_held_out_syllables_and_those_outside_the_standard() -> None:
    rows = [(*letters(s), style) for s, style in (("견", 3), ("가", 3), ("뷁", 0), ("힣", 1))]
    assert HANGUL.never_trained(np.array([*rows, (0, 1, 1, 1), (0, 0, 0, 0)])).tolist() == [
        True, False, not hangul.is_ks_x_1001("뷁"), True, False, False,
    ]  # fmt: skip


def test_reference_holds_whole_syllables_and_single_pairs() -> None:
    labels = HANGUL.load_reference().labels
    never = HANGUL.never_trained(labels)
    assert {compose(*row[:3]) for row in labels[never].tolist()} == set(HELD_OUT_SYLLABLES)
    assert never.sum() == 100 * len(hangul.TYPEFACES)
    assert 0.04 < (~never).sum() / (2_250 * len(hangul.TYPEFACES)) < 0.06
    assert len({tuple(row) for row in labels.tolist()}) == len(labels)


def test_glyphs_are_drawn_large_centred_and_smooth() -> None:
    letters_only = "ABCDEFGHKMNOPRSTUVWXYZ.l"
    font = ImageFont.load_default(20)
    drawn = hangul.draw(font.font_bytes if font.font_bytes else Path(font.path).read_bytes(), letters_only)
    assert drawn.shape == (len(letters_only), hangul.SIZE, hangul.SIZE)
    extents = []
    for picture in drawn:
        rows, columns = np.flatnonzero(picture.max(1) > 4), np.flatnonzero(picture.max(0) > 4)
        for first, last_one in ((rows[0], rows[-1]), (columns[0], columns[-1])):
            assert abs(first + last_one - (hangul.SIZE - 1)) <= 2, "centred by its ink"
        extents.append(max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1)
    assert 0.8 * hangul.SIZE <= max(extents) <= hangul.SIZE
    assert len(np.unique(drawn)) > 20, "edges are grey, not jagged"
    assert extents[letters_only.index(".")] < hangul.SIZE / 2, "a dot is not blown up to a letter"


def test_blank_and_repeated_glyphs_are_refused() -> None:
    pictures = np.zeros((5, 4, 4), np.uint8)
    pictures[0, 0, 0], pictures[1, 1, 1], pictures[2, 1, 1], pictures[3, 2, 2] = 1, 2, 2, 3
    assert hangul.is_drawn(pictures).tolist() == [True, False, False, True, False]


def test_a_font_that_is_not_the_expected_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hangul, "members_of_deb", lambda *_: {hangul.TYPEFACES[0].file: b"another font"})
    monkeypatch.setattr(hangul, "members_of_npm", lambda *_: {})
    with pytest.raises(DownloadError, match=r"NanumGothic\.ttf .* is not the font this was written for"):
        hangul.font_files()


def test_packages_are_fetched_once_and_a_missing_tool_or_network_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "DATA_FOLDER", tmp_path)
    with pytest.raises(DownloadError, match="the command no-such-command is not installed here"):
        base.download(["no-such-command"], "file", "a package")
    with pytest.raises(DownloadError, match="could not download a package: is there a network connection"):
        base.download(["false"], "file", "a package")
    assert base.download(["touch", "file"], "file", "a package") == tmp_path / "downloads" / "file"
    assert base.download(["false"], "file", "a package").exists()


def test_files_of_a_package_are_found_by_name_and_never_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "DATA_FOLDER", tmp_path)
    (tmp_path / "downloads").mkdir()
    with tarfile.open(tmp_path / "downloads" / "scope-fonts-1.0.tgz", "w:gz") as archive:
        member = tarfile.TarInfo("../../package/Font.ttf")
        member.size = 4
        archive.addfile(member, io.BytesIO(b"font"))
    assert base.members_of_npm("@scope/fonts", "1.0") == {"Font.ttf": b"font"}
    assert [path.name for path in tmp_path.rglob("*")] == ["downloads", "scope-fonts-1.0.tgz"]
    (tmp_path / "downloads" / "fonts_1.0_all.deb").write_bytes(b"not a package")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 2, b"", b""))
    with pytest.raises(DownloadError, match="could not open"):
        base.members_of_deb("fonts", "1.0")


def test_every_typeface_is_credited() -> None:
    notice = (HANGUL.reference_file.parent / "REFERENCE.md").read_text()
    assert len(hangul.TYPEFACES) == HANGUL.attributes[3].num_values == 29
    for face in hangul.TYPEFACES:
        assert f"| {face.en} | {face.ko} | {face.file} | {face.holder} |" in notice


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory, tiny_objective: object) -> Zoo:
    """Tiny random networks of every family that listen to Hangul's labels."""
    from tests.conftest import write_tiny_model  # the plugin's own helper

    root = tmp_path_factory.mktemp("pretrained")
    x0, labels = torch.zeros(16, *HANGUL.shape).uniform_(-1, 1), torch.ones(16, 4, dtype=torch.long)
    for name, kind in (("vae", "vae"), ("gan", "gan"), ("ddpm", "diffusion")):
        objective = tiny_objective(kind, cardinalities=HANGUL.cardinalities)
        write_tiny_model(root / HANGUL.name / name, objective, HANGUL, x0, labels)
    return Zoo(root)


def word(model: str, text: str = "한글날", **choices: object) -> Recipe:
    plain = {"steps": 3, "sampler": "dpmpp", "guidance_scale": 1.5, "seed": 4}
    return Recipe(dataset="hangul", model=model, text=text, **{**plain, **choices})


@pytest.mark.parametrize("model", MODELS)
def test_a_word_is_its_syllables_made_from_one_noise(model: str, zoo: Zoo) -> None:
    whole = last(word(model, count=2), zoo).pictures
    assert len(whole) == 6
    for hand, seed in enumerate((4, 5)):
        for place, syllable in enumerate("한글날"):
            alone = last(word(model, syllable, seed=seed), zoo).pictures[0]
            assert torch.allclose(whole[3 * hand + place], alone, atol=1e-5)


@pytest.mark.parametrize("sampler", sorted(STOCHASTIC))
def test_noise_on_the_way_is_one_for_the_word_too(sampler: str, zoo: Zoo) -> None:
    whole = last(word("ddpm", "가가", sampler=sampler), zoo).pictures
    assert torch.allclose(whole[0], whole[1], atol=1e-5)


@pytest.mark.parametrize("model", MODELS)
def test_a_walk_keeps_the_word_and_changes_the_hand(model: str, zoo: Zoo) -> None:
    steps = last(word(model, "한글", task="walk", seed_to=9, count=3), zoo).pictures
    assert len(steps) == 6
    for picture, seed in ((0, 4), (4, 9)):
        alone = last(word(model, "한", seed=seed, task="sample"), zoo).pictures[0]
        if model != "ddpm" or seed == 4:
            assert torch.allclose(steps[picture], alone, atol=1e-5)


def test_text_takes_the_place_of_the_leading_labels_and_leaves_the_style(zoo: Zoo) -> None:
    entry: Entry = zoo.open("hangul", "vae")
    labels = labels_for(word("vae", "각힣", labels=(7, 7, 7, 5)), entry, 2)
    assert labels.tolist() == [[1, 1, 2, 5], [19, 21, 28, 5]] * 2


def test_every_syllable_has_its_verdict(zoo: Zoo) -> None:
    frame: Frame = last(word("gan", count=2), zoo)
    assert frame.realness.shape == (6,)
    assert frame.z.shape[0] == 2


def test_a_comparison_writes_the_word_with_every_family_and_keeps_it_as_one_card(zoo: Zoo) -> None:
    recipe = word("vae", "김한글", task="compare", count=2)
    rows = [row for row in compare(recipe, zoo) if row.frame.is_last]
    assert [row.card.model for row in rows] == ["vae", "gan", "ddpm"]
    for row in rows:
        assert row.recipe.text == "김한글"
        assert torch.equal(row.frame.pictures, last(row.recipe, zoo).pictures)
    card = sheet(rows)
    pixels = [to_uint8(picture) for row in rows for picture in row.frame.pictures]
    side = 128 + 8
    for place, pixel in enumerate(pixels):
        y, x = 32 + place // 3 * side, card.shape[1] - (3 - place % 3) * side
        assert np.array_equal(card[y : y + 128 : 4, x : x + 128 : 4, 0], pixel[:, :, 0])


@pytest.mark.parametrize(
    ("recipe", "sentence"),
    [
        (word("vae", "hello"), "text must be whole Hangul syllables such as 한글, got 'h'"),
        (word("vae", "가" * 13), "text must be 1 to 12 Hangul syllables, got 13"),
        (word("vae", "한글", task="encode"), "text must be one character for the task encode, got 2"),
        (word("ddpm", "가" * 12, steps=60, count=4), "steps x pictures must be at most"),
        (replace(word("vae"), dataset="digits"), "text needs a data set whose pictures are characters"),
    ],
)
def test_words_that_cannot_be_written_are_refused_before_any_work(
    recipe: Recipe, sentence: str, zoo: Zoo, real_zoo: Zoo
) -> None:
    with pytest.raises(ValueError, match=sentence):
        next(generate(recipe, real_zoo if recipe.dataset == "digits" else zoo))
