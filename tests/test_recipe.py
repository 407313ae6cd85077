"""Limits, recipe and drawing: what is valid comes back the same, everything else is a sentence that names its field."""

from __future__ import annotations

import base64
import io
import json
import math
import re
import tracemalloc
import zlib
from collections.abc import Callable
from dataclasses import asdict, fields, replace

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image

from playground import drawing, limits
from playground.recipe import (
    BRANCHINGS,
    DEFAULT,
    DEFECTS,
    LADDERS,
    SAMPLERS,
    SCHEDULES,
    TASKS,
    Recipe,
    from_dict,
    from_json,
    from_query,
    to_dict,
    to_json,
    to_query,
)
from playground.render import recipe_of, to_png

NAMES = [field.name for field in fields(Recipe)]
identifiers = st.from_regex(r"[a-z][a-z0-9_-]{0,31}", fullmatch=True)
seeds = st.integers(0, limits.MAX_SEED)


def numbers(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_nan=False)


valid_fields = {
    "dataset": identifiers,
    "model": identifiers,
    "task": st.sampled_from(TASKS),
    "labels": st.lists(st.integers(0, limits.MAX_ATTRIBUTE_VALUES), max_size=limits.MAX_ATTRIBUTES).map(tuple),
    "text": st.text(max_size=limits.MAX_TEXT_CHARACTERS).filter(str.isprintable),
    "change": st.just(())
    | st.tuples(st.integers(0, limits.MAX_ATTRIBUTES - 1), st.integers(0, limits.MAX_ATTRIBUTE_VALUES)),
    "seed": seeds,
    "count": st.integers(1, limits.MAX_COUNT),
    "seed_to": seeds,
    "temperature": numbers(0, limits.MAX_TEMPERATURE),
    "truncation_psi": numbers(0, limits.MAX_TRUNCATION),
    "shifts": st.lists(numbers(-limits.MAX_SHIFT, limits.MAX_SHIFT), max_size=limits.MAX_SHIFTS).map(tuple),
    "point": st.just(()) | st.tuples(*[numbers(-limits.MAX_POINT, limits.MAX_POINT)] * 2),
    "steps": st.integers(1, limits.MAX_STEPS),
    "sampler": st.sampled_from(SAMPLERS),
    "eta": numbers(0, 1),
    "guidance_scale": numbers(0, limits.MAX_GUIDANCE),
    "picture": st.integers(0, limits.MAX_REFERENCE),
    "drawing": st.text("ABCabc012-_", max_size=100),
    "models": st.lists(identifiers, max_size=limits.MAX_COMPARED, unique=True).map(tuple),
    "t": st.integers(0, limits.MAX_TIMESTEP),
    "schedule": st.sampled_from(SCHEDULES),
    "ladder": st.sampled_from(LADDERS),
    "samplers": st.lists(st.sampled_from(SAMPLERS), unique=True).map(tuple),
    "strength": numbers(0, 1),
    "mask": st.text("ABCabc012-_", max_size=100),
    "resamples": st.integers(1, limits.MAX_RESAMPLES),
    "jump_length": st.integers(1, limits.MAX_JUMP),
    "branch_at": st.integers(0, limits.MAX_STEPS),
    "branch_with": st.lists(st.sampled_from(BRANCHINGS), max_size=len(BRANCHINGS)).map(tuple),
    "branch_guidance": numbers(0, limits.MAX_GUIDANCE),
    "paint": st.text("ABCabc012-_", max_size=100),
    "defect": st.sampled_from(DEFECTS),
    "false_alarms": numbers(0, limits.MAX_FALSE_ALARMS),
    "target": st.integers(0, limits.MAX_ATTRIBUTES - 1),
    "real_each": st.integers(1, limits.MAX_REAL_EACH),
    "made_each": st.integers(1, limits.MAX_MADE_EACH),
}
recipes = st.builds(Recipe, **valid_fields)

huge = st.sampled_from([10**400, -(10**400), 2**64, math.inf, -math.inf, math.nan, -1, 1e300, 4.5, 1e-320])
scalars = st.none() | st.booleans() | huge | st.integers() | st.floats() | st.text(max_size=8) | st.binary(max_size=8)
garbage = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=2)
)


def outcome(call: Callable[..., object], *args: object, **options: object) -> tuple[object | None, str]:
    """What the call returns and "", or None and the sentence of its ValueError; any other exception is a failure."""
    try:
        return call(*args, **options), ""
    except ValueError as error:
        return None, str(error)


def test_every_field_is_tested() -> None:
    assert list(valid_fields) == NAMES


@given(recipes)
def test_a_recipe_comes_back_from_link_json_and_picture(recipe: Recipe) -> None:
    assert from_query(to_query(recipe)) == recipe
    assert from_json(to_json(recipe)) == recipe
    assert from_dict(to_dict(recipe)) == recipe
    assert Recipe(**asdict(recipe)) == recipe


@given(recipes)
def test_a_recipe_comes_back_from_the_png_that_carries_it(recipe: Recipe) -> None:
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    assert recipe_of(to_png(pixels, recipe)) == recipe


def test_a_link_holds_only_what_was_chosen() -> None:
    assert to_query(DEFAULT) == "v=1"
    assert to_query(replace(DEFAULT, model="gan", labels=(8,), seed=42)) == "v=1&model=gan&labels=8&seed=42"
    assert from_query("") == DEFAULT


@given(recipes)
def test_values_get_the_type_of_their_field(recipe: Recipe) -> None:
    for name in NAMES:
        assert type(getattr(recipe, name)) is type(getattr(DEFAULT, name)), name
    as_floats = replace(recipe, seed=float(recipe.seed), count=float(recipe.count), labels=list(recipe.labels))
    assert as_floats == recipe
    assert type(as_floats.seed) is int


@pytest.mark.parametrize("name", NAMES)
def test_garbage_in_any_field_is_a_sentence_naming_it(name: str) -> None:
    @given(garbage)
    def check(value: object) -> None:
        recipe, refusal = outcome(Recipe, **{name: value})
        if recipe is None:
            assert refusal.startswith(f"{name} must be ")
            assert len(refusal) < 300
        else:  # the value was a good one: it must not have become another
            kept = getattr(recipe, name)
            assert kept == value or kept == tuple(value)
            assert all(math.isfinite(number) for number in np.ravel(kept) if not isinstance(number, str))

    check()


LIMITS = {
    "labels": (0, limits.MAX_ATTRIBUTE_VALUES),
    "seed": (0, limits.MAX_SEED),
    "count": (1, limits.MAX_COUNT),
    "seed_to": (0, limits.MAX_SEED),
    "temperature": (0, limits.MAX_TEMPERATURE),
    "truncation_psi": (0, limits.MAX_TRUNCATION),
    "shifts": (-limits.MAX_SHIFT, limits.MAX_SHIFT),
    "point": (-limits.MAX_POINT, limits.MAX_POINT),
    "steps": (1, limits.MAX_STEPS),
    "eta": (0, 1),
    "guidance_scale": (0, limits.MAX_GUIDANCE),
    "picture": (0, limits.MAX_REFERENCE),
}


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("kind", [int, float, math.nextafter])
def test_both_limits_are_allowed_and_the_next_number_is_refused_naming_them(name: str, kind: object) -> None:
    low, high = LIMITS[name]
    is_whole = name in ("labels", "seed", "count", "seed_to", "steps", "picture")

    def put(number: float) -> object:
        if type(getattr(DEFAULT, name)) is not tuple:
            return number
        return (number, number) if name == "point" else (number,)

    for number in (low, high):
        assert getattr(Recipe(**{name: put(number)}), name) == put(number)
    if kind is math.nextafter:
        beyond = [math.nextafter(low, -math.inf), math.nextafter(high, math.inf)]
    else:
        beyond = [kind(low - 1), kind(high + 1)]
    nested: list = []
    for _ in range(100_000):
        nested = [nested]
    for number in [*beyond, math.nan, math.inf, True, None, str(high), 10**400, 10**5000, nested]:
        with pytest.raises(ValueError, match=f"^{name} must be ") as error:
            Recipe(**{name: put(number)})
        if number is not None:
            text = [str(low), str(high)] if is_whole else [f"{low:g}", f"{high:g}"]
            assert re.search(r"from {} to {}".format(*map(re.escape, text)), str(error.value))


@pytest.mark.parametrize(
    ("name", "value", "limit"),
    [
        ("labels", (0,) * (limits.MAX_ATTRIBUTES + 1), limits.MAX_ATTRIBUTES),
        ("shifts", (0.0,) * (limits.MAX_SHIFTS + 1), limits.MAX_SHIFTS),
        ("point", (0.0,) * 3, "2"),
        ("point", (0.0,), "two numbers or none"),
        ("change", (0,), "an attribute and its new label or nothing"),
        ("change", (0, 1, 2), "2"),
        ("change", (limits.MAX_ATTRIBUTES, 1), limits.MAX_ATTRIBUTES - 1),
        ("change", (0, limits.MAX_ATTRIBUTE_VALUES + 1), limits.MAX_ATTRIBUTE_VALUES),
        ("change", (0, -1), "from 0"),
        ("drawing", "A" * (limits.MAX_DRAWING_CHARACTERS + 1), limits.MAX_DRAWING_CHARACTERS),
        ("drawing", "A+/=", limits.MAX_DRAWING_CHARACTERS),
        ("sampler", "plms", ", ".join(SAMPLERS)),
        ("task", "train", ", ".join(TASKS)),
        ("defect", "rust", ", ".join(DEFECTS)),
        ("false_alarms", limits.MAX_FALSE_ALARMS + 0.01, limits.MAX_FALSE_ALARMS),
        ("real_each", 0, limits.MAX_REAL_EACH),
        ("made_each", limits.MAX_MADE_EACH + 1, limits.MAX_MADE_EACH),
        ("model", "../vae", "lower-case"),
        ("model", "vae\n", "lower-case"),
        ("dataset", "a" * 33, "32"),
        ("models", tuple(f"m{k}" for k in range(limits.MAX_COMPARED + 1)), limits.MAX_COMPARED),
        ("models", ("vae", "../gan"), "lower-case"),
        ("models", ("vae", "gan", "vae"), "different"),
    ],
)
def test_a_refusal_names_the_field_and_its_limits(name: str, value: object, limit: object) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be .*{re.escape(str(limit))}"):
        Recipe(**{name: value})


@given(st.text(max_size=60) | st.dictionaries(st.sampled_from([*NAMES, "v", "x"]), st.text(max_size=8), max_size=3))
def test_any_query_is_a_recipe_or_a_sentence(query: str | dict[str, str]) -> None:
    recipe, refusal = outcome(from_query, query)
    if recipe is None:
        assert re.match(r"(['\"].*|v|" + "|".join(NAMES) + r") (must be|is not part of)", refusal, re.S)
    else:
        assert from_query(to_query(recipe)) == recipe


@pytest.mark.parametrize("name", [n for n in NAMES if type(getattr(DEFAULT, n)) is not str and n != "models"])
@pytest.mark.parametrize("text", ["", "x", "nan", "inf", "-1e999", "0x10", "9" * 5000, "1 2", ",", "1,,2", "1,2,x"])
def test_a_bad_number_in_a_link_is_a_sentence_naming_its_field(name: str, text: str) -> None:
    is_list = type(getattr(DEFAULT, name)) is tuple
    if text == "" and is_list:
        assert getattr(from_query({name: text}), name) == ()
        return
    with pytest.raises(ValueError, match=f"^{name} must be ") as error:
        from_query({name: text})
    assert len(str(error.value)) < 300


@given(st.text(max_size=40) | garbage.map(lambda value: json.dumps(value, default=str)) | st.binary(max_size=20))
def test_any_json_is_a_recipe_or_a_sentence(text: str | bytes) -> None:
    recipe, refusal = outcome(from_json, text)
    if recipe is None:
        assert re.search(" must be | is not part of a recipe", refusal)
    else:
        assert from_json(to_json(recipe)) == recipe


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", "null", "NaN", "[" * 100_000, '{"seed":' * 50_000, "9" * 5000, "\ud800", b"\xff\xfe", None]
)
def test_what_is_not_json_of_a_recipe_is_a_sentence(text: object) -> None:
    with pytest.raises(ValueError, match=r"^a recipe must be a JSON object$"):
        from_json(text)


@pytest.mark.parametrize(
    "values", [None, 3, "seed", [1, 2], [("seed", 1, 2)], {"seeds": 1}, {3: 4}, {"v": 2}, {"v": "1"}]
)
def test_a_wrong_mapping_is_a_sentence(values: object) -> None:
    with pytest.raises(ValueError, match=r"recipe|^v must be a whole number from 1 to 1"):
        from_dict(values)


@given(seeds, st.integers(1, limits.MAX_COUNT))
def test_picture_k_has_seed_plus_k_and_seeds_never_leave_their_range(seed: int, count: int) -> None:
    found = Recipe(seed=seed, count=count).seeds
    assert len(set(found)) == count
    assert all((seed + k - s) % 2**32 == 0 and 0 <= s <= limits.MAX_SEED for k, s in enumerate(found))


class TestDrawing:
    @given(st.integers(0, 2**32), st.sampled_from([(1, 32, 32), (3, 32, 32), (1, 64, 64)]))
    def test_a_drawing_comes_back_in_16_levels(self, seed: int, shape: tuple[int, int, int]) -> None:
        brightness = np.random.default_rng(seed).integers(0, 256, shape[1:], dtype=np.uint8)
        text = drawing.pack(brightness)
        assert Recipe(drawing=text).drawing == text  # even noise fits in a recipe
        picture = drawing.unpack(text, shape)
        assert picture.shape == (1, *shape)
        assert picture.dtype == torch.float32
        expected = torch.from_numpy(brightness).float() / 127.5 - 1
        assert (picture - expected).abs().max() <= 1 / 15 + 1e-6  # half a level
        assert picture.min() >= -1
        assert picture.max() <= 1

    def test_packing_what_was_unpacked_changes_nothing(self) -> None:
        levels = (np.arange(1024) % 16 * 17).astype(np.uint8).reshape(32, 32)
        picture = drawing.unpack(drawing.pack(levels), (1, 32, 32))
        assert np.array_equal(((picture[0, 0] + 1) * 127.5).round().byte().numpy(), levels)

    @given(st.text(max_size=60) | st.binary(max_size=60).map(lambda b: base64.urlsafe_b64encode(b).decode()))
    def test_garbage_is_a_sentence(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"^drawing (is not readable|must be 32 by 32 pixels)"):
            drawing.unpack(text, (1, 32, 32))

    @given(st.integers(0, 2**32), st.floats(0, 1))
    def test_a_drawing_with_a_changed_character_is_a_picture_or_a_sentence(self, seed: int, where: float) -> None:
        brightness = np.random.default_rng(seed).integers(0, 256, (32, 32), dtype=np.uint8)
        text = drawing.pack(brightness)
        k = int(where * (len(text) - 1))
        assume(text[k] != "A")
        picture, refusal = outcome(drawing.unpack, text[:k] + "A" + text[k + 1 :], (1, 32, 32))
        assert refusal.startswith("drawing ") if picture is None else picture.shape == (1, 1, 32, 32)

    def test_a_drawing_of_another_size_or_a_bomb_is_refused_without_unpacking_it(self) -> None:
        for num_bytes in (0, 511, 513, 2048, 100_000_000):
            text = base64.urlsafe_b64encode(zlib.compress(bytes(num_bytes), 9)).decode().rstrip("=")
            tracemalloc.start()
            with pytest.raises(ValueError, match=r"^drawing must be 32 by 32 pixels$"):
                drawing.unpack(text, (1, 32, 32))
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert peak < 1_000_000


class TestRecipeInPicture:
    def test_a_picture_without_a_recipe_is_a_sentence(self) -> None:
        with pytest.raises(ValueError, match="holds no recipe"):
            recipe_of(to_png(np.zeros((4, 4, 1), np.uint8)))

    @given(st.binary(max_size=80))
    def test_what_is_no_png_is_a_sentence(self, content: bytes) -> None:
        with pytest.raises(ValueError, match="not a readable PNG"):
            recipe_of(content)

    def test_a_damaged_png_is_a_sentence_or_the_recipe(self) -> None:
        recipe = Recipe(model="gan", seed=7)
        png = to_png(np.arange(64, dtype=np.uint8).reshape(8, 8, 1), recipe)
        rng = np.random.default_rng(0)
        variants = [png[:cut] for cut in range(0, len(png), 3)]
        for _ in range(300):
            broken = bytearray(png)
            broken[rng.integers(len(png))] = rng.integers(256)
            variants.append(bytes(broken))
        for content in variants:
            found, refusal = outcome(recipe_of, content)
            assert refusal or found == recipe

    @pytest.mark.parametrize("pillows_limit", [limits.MAX_PIXELS, None])  # as the app sets it, and none
    def test_a_png_of_too_many_pixels_is_refused_unopened(
        self, pillows_limit: int | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", pillows_limit)
        buffer = io.BytesIO()
        Image.new("1", (9000, 9000)).save(buffer, "PNG")
        with pytest.raises(ValueError, match="pixels"):
            recipe_of(buffer.getvalue())


@pytest.mark.parametrize("name", ["__init__", "__class__", "__dict__", "__post_init__", "seeds", "nope", ""])
def test_a_link_can_name_fields_and_nothing_else_of_a_recipe(name: str) -> None:
    with pytest.raises(ValueError, match=r"is not part of a recipe$"):
        from_query({name: "1"})
