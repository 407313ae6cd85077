"""Faces: what a label makes of a face, what is kept from training, how a drawing is put together and drawn."""

from __future__ import annotations

import io
import platform
import zipfile
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from playground.datasets import DownloadError, base, faces
from playground.datasets.faces import FACES, Face

STYLE = {  # in the form of a real one: a face with eyes and glasses, hair around it, a flower on top
    "canvas": {
        "width": 100,
        "height": 100,
        "elements": [
            {"type": "component", "name": "hair", "attributes": {"transform": "translate(1 2)"}},
            {"type": "component", "name": "hairAccessories", "attributes": {}},
        ],
    },
    "components": {
        "hair": {
            "variants": {
                faces.variant(k): {
                    "elements": [
                        {
                            "type": "element",
                            "name": "path",
                            "attributes": {"d": f"M{k} 0h9v9z", "fill": {"type": "color", "name": "hair"}},
                        },
                        {"type": "component", "name": "head", "attributes": {}},
                    ]
                }
                for k in range(1, 49)
            }
        },
        "head": {
            "variants": {
                "variant01": {
                    "elements": [
                        {
                            "type": "element",
                            "name": "g",
                            "attributes": {"opacity": ".4"},
                            "children": [{"type": "component", "name": part, "attributes": {}}],
                        }
                        for part in ("eyes", "glasses", "beard")
                    ]
                }
            }
        },
        "hairAccessories": {"variants": {"flowers": {"elements": []}}},
        **{
            part: {"variants": {faces.variant(k): {"elements": []} for k in range(1, 6)}}
            for part in ("eyes", "eyebrows", "mouth", "nose", "earrings", "freckles", "glasses", "beard")
        },
    },
}


def many_faces(num: int, *, is_new: bool = False) -> list[Face]:
    return [faces.choose_face(STYLE, (7, k), is_new=is_new) for k in range(num)]


def rgb(colour: str) -> np.ndarray:
    return np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)])


def test_every_hair_drawing_is_in_one_group() -> None:
    assert sorted(number for numbers, _, _ in faces.HAIR_STYLES for number in numbers) == list(range(1, 49))


def test_what_is_not_there_says_so() -> None:
    absent = {a.name: [label for label in range(a.num_values + 1) if a.is_absence(label)] for a in FACES.attributes}
    assert {name for name, labels in absent.items() if labels} == {"glasses", "beard", "flower"}
    assert all(labels in ([], [1]) for labels in absent.values())


def test_shares_are_those_of_every_value() -> None:
    assert FACES.cardinalities == (12, 4, 6, 6, 3, 2, 2) == tuple(map(len, faces.SHARES))
    assert np.allclose([sum(shares) for shares in faces.SHARES], 1)


def test_hair_stands_out_from_skin_background_and_other_hair() -> None:
    hair = [rgb(colour) for colour, _, _ in faces.HAIR_COLOURS]
    others = [rgb(colour) for colour, _, _ in (*faces.SKIN_COLOURS, *faces.BACKGROUND_COLOURS)]
    for k, colour in enumerate(hair):
        assert min(np.linalg.norm(colour - other) for other in (*others, *hair[:k], *hair[k + 1 :])) >= 40


def test_what_is_never_trained_leaves_every_colour_and_every_style_to_learn_from() -> None:
    pairs = faces.held_out_pairs()
    assert len(pairs) == len(faces.HELD_OUT_HAIR) == 8
    for column, most in ((0, 1), (1, 2)):  # of 4 styles for a colour, of 12 colours for a style
        assert max(Counter(pair[column] for pair in pairs).values()) <= most


def test_never_trained_is_hair_colour_and_style_whatever_else_is_asked() -> None:
    colour, style = min(faces.held_out_pairs())
    rows = [(colour, style, 0, 0, 0, 0, 0), (colour, style, 6, 6, 3, 2, 2), (colour, style % 4 + 1, 1, 1, 1, 1, 1)]
    rows += [(0, style, 1, 1, 1, 1, 1), (colour, 0, 1, 1, 1, 1, 1), (0,) * 7]
    assert FACES.never_trained(np.array(rows)).tolist() == [True, True, False, False, False, False]
    assert FACES.never_trained(np.empty((0, 7), np.int64)).shape == (0,)


def test_a_face_is_its_seed_s_alone_and_of_the_kind_asked_for() -> None:
    for is_new in (False, True):
        row = many_faces(40, is_new=is_new)
        assert row == many_faces(40, is_new=is_new)
        assert FACES.never_trained(np.array([face.labels for face in row])).tolist() == [is_new] * 40
    assert len({face.labels for face in many_faces(40)}) > 35


def test_labels_come_as_often_as_declared() -> None:
    labels = np.array([face.labels for face in many_faces(1_500)])
    for column, shares in enumerate(faces.SHARES[2:], start=2):  # hair is skewed by what is held out
        found = np.bincount(labels[:, column], minlength=len(shares) + 1)[1:] / len(labels)
        assert np.abs(found - shares).max() < 0.04


def test_a_face_has_what_its_labels_say() -> None:
    for face in many_faces(300):
        colour, hair, skin, background, glasses, beard, flower = face.labels
        assert face.colours["hair"] == FACES.attributes[0].colours[colour - 1]
        assert face.colours["skin"] == FACES.attributes[2].colours[skin - 1]
        assert face.colours["background"] == FACES.attributes[3].colours[background - 1]
        assert int(face.parts["hair"][-2:]) in faces.HAIR_STYLES[hair - 1][0]
        assert face.parts.get("glasses") in {None: (None,), 1: (None,), 3: ("variant02",)}.get(
            glasses, [faces.variant(k) for k in (1, 3, 4, 5)]
        )
        assert ("beard" in face.parts) == (beard == 2)
        assert ("hairAccessories" in face.parts) == (flower == 2)
        assert {"head", "eyes", "eyebrows", "mouth", "nose", "hair"} <= set(face.parts)
        assert set(face.colours) >= set(faces.BLACK_PARTS)


def test_a_drawing_is_the_tree_with_the_face_s_parts_and_colours() -> None:
    parts = {"hair": "variant03", "head": "variant01", "eyes": "variant01"}
    colours = {"hair": "#112233", "background": "#abcdef"}
    svg = ElementTree.fromstring(faces.to_svg(STYLE, Face((1,) * 7, parts, colours)))
    ground, everything = svg
    assert (svg.get("viewBox"), ground.get("fill")) == ("0 0 100 100", "#abcdef")
    (hair,) = everything  # no flower
    assert hair.get("transform") == "translate(1 2)"
    path, head = hair
    assert (path.get("d"), path.get("fill")) == ("M3 0h9v9z", "#112233")
    eyes, glasses, beard = head
    assert (len(eyes), len(glasses), len(beard)) == (1, 0, 0)
    assert eyes.get("opacity") == ".4"


def test_the_drawing_is_enlarged_about_the_middle_and_moved_down() -> None:
    svg = ElementTree.fromstring(faces.to_svg(STYLE, many_faces(1)[0]))
    move, scale = svg[1].get("transform").split(") ")
    left, top = (float(number) for number in move.removeprefix("translate(").split())
    factor = float(scale.removeprefix("scale(").removesuffix(")"))
    assert left + factor * 50 == pytest.approx(50)
    assert top + factor * 50 == pytest.approx(50 + 4)


class TestRenderer:
    @pytest.mark.parametrize(
        ("system", "processor", "libc", "named"),
        [("Linux", "riscv64", "glibc", "riscv64 on Linux:"), ("Linux", "x86_64", "", "x86_64 on Linux without glibc")],
    )
    def test_a_machine_without_one_is_told_so_in_a_sentence(
        self, system: str, processor: str, libc: str, named: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(platform, "system", lambda: system)
        monkeypatch.setattr(platform, "machine", lambda: processor)
        monkeypatch.setattr(platform, "libc_ver", lambda: (libc, ""))
        with pytest.raises(DownloadError, match=f"cannot be drawn on {named}.*x86_64"):
            faces.fetch_renderer()

    @pytest.mark.parametrize(("system", "processor"), faces.RENDERERS)
    def test_every_other_machine_gets_its_own_wheel_and_hash(
        self, system: str, processor: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(platform, "system", lambda: system)
        monkeypatch.setattr(platform, "machine", lambda: processor)
        monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.36"))
        asked: list[tuple[str, str, str]] = []
        monkeypatch.setattr(faces, "fetch_wheel", lambda *wanted: asked.append(wanted))
        faces.fetch_renderer()
        ((requirement, name, sha256),) = asked
        ending, expected = faces.RENDERERS[system, processor]
        assert (requirement, sha256) == ("resvg-py==0.5.0", expected)
        assert name == f"resvg_py-0.5.0-cp310-abi3-{ending}.whl"
        assert len({sha for _, sha in faces.RENDERERS.values()}) == len(faces.RENDERERS)

    @pytest.mark.parametrize("name", ["resvg_py.abi3.so", "resvg_py.pyd"])
    def test_only_the_compiled_file_is_unpacked(self, name: str, tmp_path: Path) -> None:
        wheel = tmp_path / "some.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr(f"resvg_py/{name}", b"machine code")
            archive.writestr("resvg_py/__init__.py", b"raise SystemExit")
            archive.writestr("other/x.so", b"another")
        folder = tmp_path / "out"
        folder.mkdir()
        assert faces.unpack_renderer(wheel, folder).read_bytes() == b"machine code"
        assert [path.name for path in folder.iterdir()] == [name]


def test_no_picture_comes_twice_and_what_is_held_out_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """With drawings that show nothing but the hair, most faces equal another: each stands once, held out or not."""

    def hair_only(style: object, chosen: list[Face]) -> np.ndarray:
        pictures = np.zeros((len(chosen), *FACES.shape), np.uint8)
        for picture, face in zip(pictures, chosen, strict=True):
            picture[:] = rgb(face.colours["hair"])[:, None, None]
            picture[:, 0, 0] = face.labels[1]
        return pictures

    monkeypatch.setattr(faces, "NUM_TRAIN", 600)
    monkeypatch.setattr(faces, "NUM_HELD_OUT", 200)
    monkeypatch.setattr(faces, "load_style", lambda: STYLE)
    monkeypatch.setattr(faces, "draw_all", hair_only)
    splits = faces.build()
    keys = [picture.tobytes() for pictures in splits.values() for picture in pictures.images]
    assert len(keys) == len(set(keys)) == 12 * 4  # every pair of colour and style, once
    for pictures in splits.values():
        assert (pictures.images[:, 0, 0, 0] == pictures.labels[:, 1]).all()  # labels went along
    assert not FACES.never_trained(splits["train"].labels).any()
    held_out = FACES.never_trained(splits["held_out"].labels)
    assert held_out.sum() == len(faces.held_out_pairs())
    first = [face.labels for face in (faces.held_out_face(STYLE, k) for k in range(2))]
    assert splits["held_out"].labels[:2].tolist() == [list(labels) for labels in first]


class TestReference:
    """The pictures in `pretrained/`, which need neither network nor renderer."""

    def test_every_second_one_is_a_combination_never_trained(self) -> None:
        never = FACES.never_trained(FACES.load_reference().labels)
        for first in (20, 200, FACES.num_reference):
            assert never[:first].mean() == pytest.approx(0.5, abs=0.05)

    def test_no_picture_comes_twice(self) -> None:
        assert faces.first_occurrences(FACES.load_reference().images).all()

    @pytest.mark.parametrize(
        ("attribute", "at_least"), [("hair_colour", 8), ("skin_colour", 40), ("background_colour", 300)]
    )
    def test_a_colour_that_a_label_names_is_in_the_picture(self, attribute: str, at_least: int) -> None:
        reference = FACES.load_reference()
        column = [a.name for a in FACES.attributes].index(attribute)
        colours = np.array([rgb(colour) for colour in FACES.attributes[column].colours])
        asked = colours[reference.labels[:, column] - 1]  # [n, 3]
        found = (reference.images == asked[:, :, None, None]).all(1).sum((1, 2))
        assert found.min() >= at_least

    def test_sunglasses_beards_and_flowers_are_in_the_picture(self) -> None:
        """What an attribute adds covers more pixels of its colour than faces without it show in the same place."""
        reference = FACES.load_reference()
        images, labels = reference.images.astype(int), reference.labels
        black = (images.max(1) < 40)[:, 20:27, 24:44].mean((1, 2))
        white = (images.min(1) > 240)[:, 14:26, 4:18].mean((1, 2))
        assert black[labels[:, 4] == 3].mean() > 3 * black[labels[:, 4] == 1].mean()
        assert black[labels[:, 4] == 2].mean() > 1.5 * black[labels[:, 4] == 1].mean()
        assert white[labels[:, 6] == 2].mean() > 10 * white[labels[:, 6] == 1].mean()
        hair = np.array([rgb(colour) for colour in FACES.attributes[0].colours])[labels[:, 0] - 1]
        chin = (images == hair[:, :, None, None]).all(1)[:, 36:42, 22:36].mean((1, 2))
        assert chin[labels[:, 5] == 2].mean() > 5 * chin[labels[:, 5] == 1].mean()

    def test_the_code_still_draws_them_to_the_byte(self) -> None:
        """The only test that wants the two wheels: skipped where they are neither in the data folder nor to be had."""
        try:
            style, _ = faces.load_style(), faces.fetch_renderer()
        except DownloadError as error:
            pytest.skip(str(error))
        chosen = [faces.held_out_face(style, k) for k in range(12)]
        drawn = faces.draw_all(style, chosen, processes=1)
        reference = FACES.load_reference()
        assert reference.labels[:12].tolist() == [list(face.labels) for face in chosen]
        assert np.array_equal(drawn, reference.images[:12])


def test_built_splits_share_no_picture_and_no_held_out_combination() -> None:
    if not FACES.file.exists():
        pytest.skip("not built here")
    train, held_out = FACES.load("train"), FACES.load("held_out")
    assert len(train.images) >= 30_000
    assert (~FACES.never_trained(held_out.labels)).sum() > 2_900
    assert not FACES.never_trained(train.labels).any()
    assert not {image.tobytes() for image in train.images} & {image.tobytes() for image in held_out.images}


def test_a_damaged_wheel_is_refused_before_it_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "DATA_FOLDER", tmp_path)
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(faces.STYLE_MEMBER, "{}")
    (downloads / faces.STYLES[1]).write_bytes(content.getvalue())
    with pytest.raises(DownloadError, match="is not the file this was written for"):
        faces.load_style()
