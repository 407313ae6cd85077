"""Engines: what they calculate is the reference's, what is chosen is fast, and nothing that goes wrong is seen."""

from __future__ import annotations

import copy
import itertools
import logging
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from playground import device
from playground.datasets import DATASETS
from playground.engine import Cache, Engines, Kind, Subject, Tuned, choice, here, kinds_here
from playground.engine.choice import BATCHES, fastest, relative_error, subject_of
from playground.engine.kinds import REFERENCE, Predict, in_halves, in_portions, portions, processor, traced
from playground.generate import last
from playground.models import Diffusion
from playground.recipe import Recipe
from playground.zoo import Zoo

DATASET = next(iter(DATASETS))
RECIPE = Recipe(dataset=DATASET, model="ddpm", steps=3, count=2, labels=(4,), guidance_scale=2.0)
TRACED = Kind("traced", True, lambda subject: traced(subject, torch.float32))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    return Cache(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def names(cache: Cache) -> list[str]:
    return [kind.name for kind in kinds_here(cache)]


@pytest.fixture(scope="module", params=[None, *DATASETS])
def subject(request: pytest.FixtureRequest, cache: Cache, tiny_zoo: Zoo, real_zoo: Zoo) -> Subject:
    """The tiny network, and one trained on each data set; converted where there is something to convert it."""
    zoo, dataset = (tiny_zoo, DATASET) if request.param is None else (real_zoo, request.param)
    if not zoo.cards(dataset, "diffusion"):
        pytest.skip("no diffusion model")
    card = zoo.cards(dataset, "diffusion")[0]
    found = subject_of(zoo.open(dataset, card.model).network, card)
    if any(kind.name.startswith("openvino") for kind in kinds_here(cache)):
        from playground.engine.openvino import convert

        convert(found, cache)
    return found


@pytest.fixture
def tiny(tiny_zoo: Zoo) -> Subject:
    return subject_of(tiny_zoo.open(DATASET, "ddpm").network, tiny_zoo.card(DATASET, "ddpm"))


def slow(subject: Subject) -> Predict:
    """The reference, and a nap."""

    def predict(*inputs: Tensor) -> Tensor:
        time.sleep(0.3)
        return subject.network(*inputs)

    return predict


def broken(subject: Subject) -> Predict:
    raise RuntimeError("no such instruction\nand a long trace")


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.startswith("playground.engine")]


class TestEveryKind:
    @pytest.fixture
    def built(self, subject: Subject, cache: Cache) -> Iterator[list[tuple[Kind, Predict]]]:
        with torch.inference_mode():
            yield [(kind, kind.build(subject)) for kind in kinds_here(cache)]

    def test_predicts_what_the_reference_does_within_its_stated_error(
        self, subject: Subject, built: list[tuple[Kind, Predict]]
    ) -> None:
        inputs = subject.examples(7)
        expected = subject.network(*inputs)
        slack = 1 if subject.network.unet.config.block_out_channels[0] > 8 else 2  # random weights magnify rounding
        for kind, predict in built:
            found = predict(*inputs)
            assert (found.dtype, found.shape) == (torch.float32, expected.shape)
            assert found.is_contiguous()
            assert relative_error(found, expected) <= slack * kind.max_error, kind.name

    def test_a_picture_is_the_same_in_any_batch(self, subject: Subject, built: list[tuple[Kind, Predict]]) -> None:
        inputs = subject.examples(18)
        for kind, predict in built:
            together = predict(*inputs)
            is_torch_float32 = kind.is_exact and kind.name.startswith("torch")
            for begin, end in ((0, 1), (3, 5), (2, 11), (17, 18)):
                apart = predict(*(value[begin:end] for value in inputs))
                if is_torch_float32:  # its matrix products are cut differently for other sizes
                    torch.testing.assert_close(apart, together[begin:end], atol=1e-5, rtol=0)
                else:
                    assert torch.equal(apart, together[begin:end]), kind.name

    def test_takes_the_times_of_every_scheduler_and_labels_beyond_its_own(
        self, subject: Subject, built: list[tuple[Kind, Predict]]
    ) -> None:
        x_t, t, labels = subject.examples(2)
        more = torch.cat([labels, torch.ones(2, 1, dtype=torch.long)], 1)
        for _, predict in built:
            assert torch.equal(predict(x_t, t, labels), predict(x_t, t.float(), labels))
            assert torch.equal(predict(x_t, t, labels), predict(x_t, t, more))

    def test_differs_with_time_and_labels(self, subject: Subject, built: list[tuple[Kind, Predict]]) -> None:
        x_t, t, labels = subject.examples(1)
        for _, predict in built:
            assert not torch.equal(predict(x_t, t, labels), predict(x_t, t + 300, labels))
            assert not torch.equal(predict(x_t, t, labels), predict(x_t, t, 0 * labels))


class TestHalves:
    @pytest.fixture
    def helpers(self) -> Iterator[Executor]:
        with device.job_helpers() as executor:
            yield executor

    @pytest.mark.parametrize("batch", [2, 3, 8, 17])
    def test_are_calculated_at_once_in_two_threads(self, helpers: Executor, batch: int) -> None:
        both_there = threading.Barrier(2, timeout=20)  # would break if one half waited for the other
        sizes: list[int] = []

        def predict(x_t: Tensor, t: Tensor, labels: Tensor) -> Tensor:
            both_there.wait()
            sizes.append(len(x_t))
            return x_t + t[:, None] + labels

        inputs = (torch.rand(batch, 1), torch.arange(batch), torch.randint(0, 9, (batch, 1)))
        assert torch.equal(in_halves(predict, helpers)(*inputs), inputs[0] + inputs[1][:, None] + inputs[2])
        assert sorted(sizes) == [batch // 2, (batch + 1) // 2]

    def test_one_picture_stays_where_it_is_asked_for(self, helpers: Executor) -> None:
        def predict(x_t: Tensor, t: Tensor, labels: Tensor) -> str:
            return threading.current_thread().name

        one = (torch.rand(1, 1), torch.arange(1), torch.zeros(1, 1))
        assert in_halves(predict, helpers)(*one) == threading.current_thread().name

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    def test_have_the_same_bits_whatever_runs_beside_them(
        self, helpers: Executor, tiny: Subject, dtype: torch.dtype
    ) -> None:
        predict, inputs = in_halves(traced(tiny, dtype), helpers), tiny.examples(9)
        alone = predict(*inputs)
        with ThreadPoolExecutor(3) as others:
            together = list(others.map(lambda _: predict(*inputs), range(12)))
        assert all(torch.equal(found, alone) for found in together)

    def test_an_error_in_a_half_is_the_callers(self, helpers: Executor, tiny: Subject) -> None:
        with pytest.raises(RuntimeError, match="no such instruction"):
            in_halves(lambda *_: broken(tiny), helpers)(torch.rand(4, 1), torch.arange(4), torch.zeros(4, 1))


def test_written_for_channels_it_is_the_same_network(subject: Subject) -> None:
    from playground.engine.channelwise import channelwise

    x_t, t, labels = subject.examples(5)
    with torch.inference_mode():
        expected, found = (network(x_t, t, labels) for network in (subject.network, channelwise(subject.network)))
    assert relative_error(found, expected) < 1e-5
    assert any(isinstance(module, torch.nn.GroupNorm) for module in subject.network.modules())  # left as it was
    assert not any(isinstance(module, torch.nn.GroupNorm) for module in channelwise(subject.network).modules())


@pytest.mark.parametrize("size", [5, 12])  # few pixels and many are written differently
def test_written_for_channels_a_norm_of_one_offset_is_group_norm_of_the_sum(size: int) -> None:
    from playground.engine.channelwise import ChannelwiseNorm

    norm = torch.nn.GroupNorm(3, 12)
    with torch.no_grad():
        norm.weight.normal_()
        norm.bias.normal_()
    x, offset = torch.randn(4, 12, 6, size) + 3, torch.randn(4, 12, 1, 1)
    written = ChannelwiseNorm(norm)
    centred = written.centred(offset.transpose(0, 1)).transpose(0, 1)
    torch.testing.assert_close(written(x, centred), norm(x + offset), atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(written(x[..., 0]), norm(x[..., 0]), atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize(("height", "width"), [(4, 4), (3, 7), (1, 1)])
def test_doubling_and_convolving_is_one_transposed_convolution(height: int, width: int) -> None:
    from diffusers.models.upsampling import Upsample2D

    from playground.engine.channelwise import TransposedUpsample, is_plain_upsample

    upsample = Upsample2D(6, use_conv=True, out_channels=5)
    assert is_plain_upsample(upsample)
    x = torch.randn(2, 6, height, width)
    torch.testing.assert_close(TransposedUpsample(upsample)(x), upsample(x), atol=1e-5, rtol=1e-4)
    others = [{}, {"use_conv": True, "interpolate": False}, {"use_conv": True, "name": "Conv2d_0"}]
    assert not any(is_plain_upsample(Upsample2D(6, **options)) for options in others)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_trace_calculates_what_its_network_does_in_batches_it_never_saw(tiny: Subject, dtype: torch.dtype) -> None:
    laid_out = copy.deepcopy(tiny.network).to(dtype=dtype, memory_format=torch.channels_last)
    recorded = traced(tiny, dtype)
    for batch in (1, 2, 5, 16):
        x_t, t, labels = tiny.examples(batch)
        with torch.inference_mode():
            expected = laid_out(x_t.to(dtype=dtype, memory_format=torch.channels_last), t, labels).float()
        for _ in range(3):  # the third time it is no longer profiled
            torch.testing.assert_close(recorded(x_t, t, labels), expected, atol=1e-5, rtol=0)


@given(st.integers(1, 70), st.sets(st.integers(1, 40), min_size=1, max_size=4))
def test_portions_hold_every_picture_once_and_waste_less_than_half(batch: int, sizes: set[int]) -> None:
    parts = portions(batch, list(sizes))
    assert sum(used for _, used in parts) == batch
    assert all(0 < used <= size and size in sizes for size, used in parts)
    assert all(used > size / 2 or size == min(sizes) for size, used in parts)
    assert all(size == used for size, used in parts[:-1])


@given(st.integers(1, 20), st.sampled_from([(1,), (1, 8), (8,), (3, 4), (32,)]))
def test_portions_give_back_each_answer_in_its_place(batch: int, sizes: tuple[int, ...]) -> None:
    def fixed(size: int) -> Predict:
        def predict(x_t: Tensor, t: Tensor, labels: Tensor) -> Tensor:
            assert len(x_t) == len(t) == len(labels) == size
            return x_t + t[:, None] + labels

        return predict

    x_t, t, labels = torch.rand(batch, 1), torch.arange(batch), torch.randint(0, 9, (batch, 1))
    found = in_portions({size: fixed(size) for size in sizes}, x_t, t, labels)
    assert torch.equal(found, x_t + t[:, None] + labels)


class TestChoice:
    def times(self, **paces: float) -> tuple[list[Kind], dict[str, dict[int, float]]]:
        kinds = [REFERENCE, *(Kind(name, name.startswith("exact"), slow) for name in paces)]
        seconds = {REFERENCE.name: 1.0, **{name: 1 / pace for name, pace in paces.items()}}
        return kinds, {name: dict.fromkeys(BATCHES, second) for name, second in seconds.items()}

    @pytest.mark.parametrize(
        ("paces", "expected"),
        [
            ({}, REFERENCE.name),
            ({"exact": 1.05}, REFERENCE.name),  # within what one race differs from the next by
            ({"exact": 1.5}, "exact"),
            ({"exact": 1.5, "rough": 1.8}, "exact"),  # not enough for rounding that can be seen
            ({"exact": 1.5, "rough": 2.5}, "rough"),
            ({"exact": 0.4, "rough": 0.2}, REFERENCE.name),
            ({"exact": 0.5, "rough": 1.4}, "rough"),
            ({"exact_a": 1.5, "exact_b": 2.0, "rough": 2.1}, "exact_b"),
        ],
    )
    def test_the_fastest_is_taken_and_exactness_is_worth_something(
        self, paces: dict[str, float], expected: str
    ) -> None:
        assert fastest(*self.times(**paces)) == expected

    def test_a_slow_form_is_never_chosen(self, tmp_path: Path, tiny: Subject) -> None:
        engines = Engines(Cache(tmp_path), [REFERENCE, Kind("slow", True, slow)])
        assert engines.best(tiny)[0] == REFERENCE.name

    def test_a_remembered_verdict_that_lies_is_found_out(
        self, tmp_path: Path, tiny: Subject, caplog: pytest.LogCaptureFixture
    ) -> None:
        engines = Engines(Cache(tmp_path), [REFERENCE, Kind("slow", True, slow)])
        engines.cache.remember(engines.key(tiny), {"engine": "slow", "milliseconds": {}, "errors": {}})
        name, predict = engines.best(tiny)
        assert name == REFERENCE.name
        assert predict is tiny.network
        assert len(lines(caplog)) == 1
        assert "slow is not as fast as it was" in lines(caplog)[0]
        assert engines.found(tiny).engine == REFERENCE.name  # and not believed again

    @pytest.mark.parametrize("junk", ["", "[]", "{", '{"engine": 3}', '{"engine": "gone"}', '{"engine": ["a"]}'])
    def test_a_verdict_that_cannot_be_read_is_measured_again(self, tmp_path: Path, tiny: Subject, junk: str) -> None:
        engines = Engines(Cache(tmp_path), [REFERENCE])
        (tmp_path / f"{engines.key(tiny)}.json").write_text(junk)
        assert engines.best(tiny)[0] == REFERENCE.name
        assert engines.found(tiny).engine == REFERENCE.name

    def test_what_holds_is_remembered_and_not_raced_again(
        self, tmp_path: Path, tiny: Subject, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        built: list[str] = []

        def counted(subject: Subject) -> Predict:
            built.append(subject.name)
            return subject.network

        first = Engines(Cache(tmp_path), [REFERENCE, Kind("other", True, counted)])
        first.best(tiny)
        assert len(built) == 1
        again = Engines(Cache(tmp_path), first.kinds())
        again.cache.remember(again.key(tiny), {"engine": REFERENCE.name, "milliseconds": {}, "errors": {}})
        assert again.best(tiny)[0] == REFERENCE.name
        assert len(built) == 1

    def test_what_another_network_runs_in_is_tried_first_and_kept_if_it_holds(
        self, tmp_path: Path, tiny: Subject, caplog: pytest.LogCaptureFixture
    ) -> None:
        built: list[str] = []

        def quick(name: str) -> Kind:
            def build(subject: Subject) -> Predict:
                built.append(name)
                most = subject.examples(max(BATCHES))
                kept = torch.cat([subject.network(*(value[k : k + 1] for value in most)) for k in range(len(most[0]))])
                return lambda x_t, t, labels: kept[: len(x_t)]

            return Kind(name, False, build)

        kinds = [REFERENCE, quick("quick"), quick("other"), Kind("slow", True, slow)]
        engines = Engines(Cache(tmp_path), kinds)
        assert engines.best(tiny, "quick")[0] == "quick"
        assert built == ["quick"]
        assert set(engines.found(tiny).milliseconds) == {REFERENCE.name, "quick"}
        unlucky = Engines(Cache(tmp_path / "unlucky"), kinds)
        assert unlucky.best(tiny, "slow")[0] in ("quick", "other")
        assert len(lines(caplog)) == 1

    def test_other_weights_are_another_matter(self, tmp_path: Path, tiny: Subject) -> None:
        engines = Engines(Cache(tmp_path), [REFERENCE])
        assert engines.key(tiny) == engines.key(replace(tiny, name="elsewhere"))
        assert engines.key(tiny) != engines.key(replace(tiny, weights="others"))

    def test_with_no_time_each_form_is_asked_once_a_batch(self, tiny: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(choice.time, "perf_counter", itertools.count().__next__)  # every call takes equally long
        asked: list[int] = []

        def counted(*inputs: Tensor) -> Tensor:
            asked.append(len(inputs[0]))
            return tiny.network(*inputs)

        form = choice.Form(REFERENCE, counted, 0.0)
        found = choice.race({REFERENCE.name: form, "other": form}, tiny, 0.0)
        assert set(found[REFERENCE.name]) == set(BATCHES)
        assert asked[:4] == [BATCHES[0]] * 4
        assert len(asked) == 2 * 2 * len(BATCHES)  # to get ready, and for the clock

    @pytest.mark.parametrize(
        ("wrong", "words"),
        [
            (lambda s: lambda *i: s.network(*i) * 1.001, "off by 1.0e-03"),
            (lambda s: lambda *i: s.network(*i) * float("nan"), "off by inf"),
            (lambda s: lambda *i: s.network(*i) * (1 + 5e-5 * (len(i[0]) == 1)), "depends on its batch"),
            (broken, "no such instruction"),
        ],
    )
    def test_a_form_that_fails_or_is_wrong_is_left_out_with_one_line(
        self, tmp_path: Path, tiny: Subject, caplog: pytest.LogCaptureFixture, wrong: Callable, words: str
    ) -> None:
        engines = Engines(Cache(tmp_path), [REFERENCE, Kind("other", True, wrong)])
        assert engines.best(tiny) == (REFERENCE.name, tiny.network)
        assert len(lines(caplog)) == 1
        assert lines(caplog)[0].startswith(f"{tiny.name} goes without other: ")
        assert words in lines(caplog)[0]
        assert "\n" not in lines(caplog)[0]


class TestZoo:
    @pytest.fixture
    def taken(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Every race is won by the last form that could be built."""
        monkeypatch.setattr(choice, "fastest", lambda found, times: found[-1].name)

    def engines(self, folder: Path) -> Engines:
        return Engines(Cache(folder), [REFERENCE, TRACED])

    def test_other_families_are_asked_as_they_are(self, tmp_path: Path, tiny_zoo: Zoo) -> None:
        zoo = Zoo(tiny_zoo.root, fit=self.engines(tmp_path))
        for model in ("vae", "gan"):
            entry = zoo.open(DATASET, model)
            assert entry.predict is entry.network

    def test_before_anything_is_ready_the_reference_answers_and_goes_on_answering(
        self, tmp_path: Path, tiny_zoo: Zoo, taken: None
    ) -> None:
        engines = self.engines(tmp_path)
        zoo = Zoo(tiny_zoo.root, fit=engines)
        early = last(RECIPE, zoo).pictures
        assert torch.equal(early, last(RECIPE, tiny_zoo).pictures)
        engines.prepare(zoo)
        assert zoo.open(DATASET, "ddpm").predict.name == REFERENCE.name
        assert torch.equal(last(RECIPE, zoo).pictures, early)

    def test_what_is_ready_before_the_first_picture_makes_it_and_the_next_start_agrees(
        self, tmp_path: Path, tiny_zoo: Zoo, taken: None
    ) -> None:
        pictures = []
        for _ in range(2):
            engines = self.engines(tmp_path)
            zoo = Zoo(tiny_zoo.root, fit=engines)
            engines.prepare_behind(zoo).join(60)
            pictures.append(last(RECIPE, zoo).pictures)
            assert zoo.open(DATASET, "ddpm").predict.name == TRACED.name
        assert torch.equal(*pictures)
        torch.testing.assert_close(pictures[0], last(RECIPE, tiny_zoo).pictures, atol=1e-5, rtol=0)

    def test_networks_of_other_pages_are_raced_by_their_first_picture(
        self, tmp_path: Path, wide_zoo: Zoo, taken: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        engines, order = self.engines(tmp_path), []
        zoo = Zoo(wide_zoo.root, fit=engines)
        names = [dataset.name for dataset in zoo.datasets()]
        assert len(names) > 1
        best = engines.best

        def noted(subject: Subject, expected: str | None = None) -> tuple[str, Predict]:
            order.append((subject.name, expected))
            return best(subject, expected)

        monkeypatch.setattr(engines, "best", noted)
        engines.prepare_behind(zoo).join(60)
        assert order == [(f"{names[0]}/ddpm", None)]
        assert zoo.open(names[-1], "ddpm").predict.name == REFERENCE.name
        recipe = replace(RECIPE, dataset=names[-1], labels=())
        with ThreadPoolExecutor(4) as visitors:
            first, *others = visitors.map(lambda _: last(recipe, zoo).pictures, range(4))
        assert order[1:] == [(f"{names[-1]}/ddpm", TRACED.name)]  # once, whoever asks
        assert zoo.open(names[-1], "ddpm").predict.name == TRACED.name
        assert all(torch.equal(pictures, first) for pictures in others)

    def test_a_first_picture_waits_for_its_networks_race(
        self, tmp_path: Path, tiny_zoo: Zoo, taken: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(choice, "FIRST_PATIENCE_S", 60)
        engines, begun, go_on = self.engines(tmp_path), threading.Event(), threading.Event()
        zoo = Zoo(tiny_zoo.root, fit=engines)
        best = engines.best

        def slow(*arguments: object) -> tuple[str, Predict]:
            begun.set()
            assert go_on.wait(60)
            return best(*arguments)

        monkeypatch.setattr(engines, "best", slow)
        engines._unraced.update(card.folder for card in choice.diffusion_cards(zoo))
        with ThreadPoolExecutor(2) as visitors:
            early = visitors.submit(last, RECIPE, zoo)
            assert begun.wait(60)
            late = visitors.submit(last, RECIPE, zoo)
            time.sleep(0.1)
            assert not early.done()
            go_on.set()
            assert torch.equal(early.result(60).pictures, late.result(60).pictures)
        assert zoo.open(DATASET, "ddpm").predict.name == TRACED.name

    def test_a_first_picture_does_not_wait_for_long(
        self, tmp_path: Path, tiny_zoo: Zoo, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(choice, "FIRST_PATIENCE_S", 0.05)
        engines = self.engines(tmp_path)
        zoo = Zoo(tiny_zoo.root, fit=engines)
        engines._unraced.update(card.folder for card in choice.diffusion_cards(zoo))
        with engines._racing:  # another network's race takes its time
            assert torch.equal(last(RECIPE, zoo).pictures, last(RECIPE, tiny_zoo).pictures)
        assert zoo.open(DATASET, "ddpm").predict.is_settled

    def test_a_race_that_fails_before_a_first_picture_leaves_it_to_torch(
        self, tmp_path: Path, tiny_zoo: Zoo, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        engines = self.engines(tmp_path)
        zoo = Zoo(tiny_zoo.root, fit=engines)
        engines._unraced.update(card.folder for card in choice.diffusion_cards(zoo))
        monkeypatch.setattr(engines, "best", broken)
        assert torch.equal(last(RECIPE, zoo).pictures, last(RECIPE, tiny_zoo).pictures)
        assert lines(caplog) == [choice.NONE_READY]
        assert not engines._racing.locked()

    def test_a_network_loaded_again_answers_in_the_form_it_answered_in(
        self, tmp_path: Path, tiny_zoo: Zoo, taken: None
    ) -> None:
        engines = self.engines(tmp_path)
        zoo = Zoo(tiny_zoo.root, capacity=1, fit=engines)
        engines.prepare(zoo)
        first = zoo.open(DATASET, "ddpm").predict
        before = last(RECIPE, zoo).pictures
        zoo.open(DATASET, "vae")
        assert zoo.open(DATASET, "ddpm").predict is not first
        assert zoo.open(DATASET, "ddpm").predict.name == TRACED.name
        assert torch.equal(last(RECIPE, zoo).pictures, before)

    def test_whatever_goes_wrong_behind_the_page_is_one_line(
        self, tmp_path: Path, tiny_zoo: Zoo, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        engines = self.engines(tmp_path)
        zoo = Zoo(tiny_zoo.root, fit=engines)
        monkeypatch.setattr(engines, "best", broken)
        engines.prepare_behind(zoo).join(60)
        assert lines(caplog) == [choice.NONE_READY]
        assert torch.equal(last(RECIPE, zoo).pictures, last(RECIPE, tiny_zoo).pictures)


class TestWithoutTheExtra:
    @pytest.fixture
    def bare(self, monkeypatch: pytest.MonkeyPatch) -> None:
        there = here.find_spec
        monkeypatch.setattr(here, "find_spec", lambda name: None if name == "openvino" else there(name))

    def test_torch_alone_races(self, bare: None, tmp_path: Path) -> None:
        assert {kind.name.split()[0] for kind in kinds_here(Cache(tmp_path))} <= {"torch", "cuda"}

    def test_nothing_is_converted_and_everything_works(
        self, bare: None, tmp_path: Path, tiny_zoo: Zoo, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        processor()  # asks the system for its name the first time
        monkeypatch.setattr(subprocess, "run", broken)
        engines = Engines(Cache(tmp_path))
        zoo = Zoo(tiny_zoo.root, fit=engines)
        engines.prepare(zoo)
        assert last(RECIPE, zoo).pictures.shape == (2, *DATASETS[DATASET].shape)
        assert not list(tmp_path.glob("*/"))

    def test_an_extra_that_cannot_be_loaded_is_one_line(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(choice, "kinds_here", broken)
        assert Engines(Cache(tmp_path)).kinds() == (REFERENCE,)
        assert lines(caplog) == ["an extra cannot be used, torch serves: no such instruction"]


class TestOpenVINO:
    @pytest.fixture(autouse=True)
    def _installed(self) -> None:
        pytest.importorskip("openvino")

    @pytest.fixture
    def engines(self, tmp_path: Path) -> Engines:
        return Engines(Cache(tmp_path / "cache"))

    @pytest.fixture
    def helpers(self) -> Iterator[Executor]:
        with device.job_helpers() as executor:
            yield executor

    def test_conversion_in_a_process_of_its_own(self, engines: Engines, tiny_zoo: Zoo, tiny: Subject) -> None:
        from playground.engine.openvino import is_converted

        zoo = Zoo(tiny_zoo.root, fit=engines)
        assert not is_converted(tiny, engines.cache)
        engines.convert_missing(zoo, zoo.cards(DATASET, "diffusion"))
        assert is_converted(tiny, engines.cache)
        assert not list(engines.cache.folder.glob("unfinished-*"))

    def test_a_failed_conversion_is_one_line_and_torch_serves(
        self,
        engines: Engines,
        tiny_zoo: Zoo,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        def fail(command: list, **_: object) -> None:
            raise subprocess.CalledProcessError(1, command)

        monkeypatch.setattr(subprocess, "run", fail)
        zoo = Zoo(tiny_zoo.root, fit=engines)
        with caplog.at_level(logging.WARNING):
            engines.prepare(zoo)
        assert len(lines(caplog)) == 1
        assert "torch serves" in lines(caplog)[0]
        assert zoo.open(DATASET, "ddpm").predict.name.startswith("torch")
        assert torch.isfinite(last(RECIPE, zoo).pictures).all()

    def test_a_damaged_conversion_is_left_out_and_made_again_next_time(
        self, engines: Engines, helpers: Executor, tiny: Subject, caplog: pytest.LogCaptureFixture
    ) -> None:
        from playground.engine.openvino import SIZES, OpenVINO, convert, is_converted, key_of

        convert(tiny, engines.cache)
        path = engines.cache.conversion(key_of(tiny, SIZES[0]))
        path.write_text(path.read_text()[: path.stat().st_size // 2])
        with torch.inference_mode():
            forms = engines.build(tiny, engines.kinds())
        assert not any(name.startswith("openvino") for name in forms)
        assert lines(caplog)
        assert not is_converted(tiny, engines.cache)
        convert(tiny, engines.cache)
        assert OpenVINO(tiny, "float32", engines.cache, helpers)(*tiny.examples(1)).shape == tiny.examples(1)[0].shape

    def test_larger_sizes_give_the_same_bits_and_their_absence_nothing_else(
        self, engines: Engines, helpers: Executor, tiny: Subject, caplog: pytest.LogCaptureFixture
    ) -> None:
        from playground.engine.openvino import SIZES, OpenVINO, convert, key_of

        convert(tiny, engines.cache)
        inputs, few = tiny.examples(13 * device.job_threads()), tiny.examples(SIZES[1] * device.job_threads())
        engine = OpenVINO(tiny, "float32", engines.cache, helpers)
        engine(*tiny.examples(1))
        assert tuple(engine._sizes) == SIZES[:1]
        wide = engine(*inputs)
        assert tuple(engine._sizes) == (SIZES[0], SIZES[-1])  # those that serve, no others
        assert torch.equal(engine(*few), wide[: len(few[0])])
        assert sorted(engine._sizes) == sorted(SIZES)
        for size in SIZES[1:]:
            shutil.rmtree(engines.cache.conversion(key_of(tiny, size)).parent)
        narrow = OpenVINO(tiny, "float32", engines.cache, helpers)
        assert torch.equal(narrow(*inputs), wide)
        assert torch.equal(narrow(*few), wide[: len(few[0])])
        assert tuple(narrow._sizes) == SIZES[:1]
        assert torch.equal(narrow(*inputs), wide)
        assert len(lines(caplog)) == len(SIZES) - 1  # not told again

    @pytest.mark.skipif(sys.platform != "linux", reason="threads have priorities of their own on Linux alone")
    def test_its_threads_step_back_for_live_answers(self, engines: Engines, helpers: Executor, tiny: Subject) -> None:
        from playground.engine.openvino import OpenVINO, convert

        def threads() -> set[int]:
            return {int(name) for name in os.listdir("/proc/self/task")}

        convert(tiny, engines.cache)
        helpers.submit(int).result()  # a thread of its own, which is not looked for
        before = threads()
        engine = OpenVINO(tiny, "float32", engines.cache, helpers)
        engine(*tiny.examples(2))
        usual = os.getpriority(os.PRIO_PROCESS, 0)
        polite = [t for t in threads() - before if os.getpriority(os.PRIO_PROCESS, t) == usual + device.POLITENESS]
        assert len(polite) >= device.job_threads()

    def test_many_callers_at_once_get_their_own_answers(
        self, engines: Engines, helpers: Executor, tiny: Subject
    ) -> None:
        from playground.engine.openvino import OpenVINO, convert

        convert(tiny, engines.cache)
        engine = OpenVINO(tiny, "float32", engines.cache, helpers)
        x_t, t, labels = tiny.examples(12)
        expected = engine(x_t, t, labels)
        parts = [slice(begin, begin + size) for size in (1, 2, 3, 5) for begin in range(0, 12 - size, size)]
        with ThreadPoolExecutor(6) as callers:
            found = list(callers.map(lambda part: engine(x_t[part], t[part], labels[part]), 5 * parts))
        assert all(torch.equal(a, expected[part]) for a, part in zip(found, 5 * parts, strict=True))

    def test_torch_serves_in_a_faster_form_until_everything_is_converted(
        self, engines: Engines, tiny_zoo: Zoo, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        zoo = Zoo(tiny_zoo.root, fit=engines)
        monkeypatch.setattr(choice, "fastest", lambda found, times: found[-1].name)
        offered: list[str] = []
        monkeypatch.setattr(Tuned, "offer", lambda self, name, engine: offered.append(name))
        engines.prepare(zoo)
        first, second = offered
        assert first == "torch bfloat16 traced"
        assert second.startswith("openvino")


class TestCache:
    def write(self, size: int) -> Callable[[Path], None]:
        return lambda path: path.write_bytes(b"x" * size)

    def test_only_whole_conversions_are_seen(self, tmp_path: Path) -> None:
        cache = Cache(tmp_path)

        def fail(path: Path) -> None:
            path.write_text("half")
            raise RuntimeError("out of space")

        with pytest.raises(RuntimeError):
            cache.keep("a", fail)
        assert not cache.conversion("a").exists()
        assert list(tmp_path.iterdir()) == []
        cache.keep("a", self.write(10))
        cache.keep("a", self.write(20))
        assert cache.conversion("a").stat().st_size == 20
        assert [path.name for path in tmp_path.iterdir()] == ["a"]

    def test_the_oldest_go_when_it_is_full_and_the_newest_stays(self, tmp_path: Path) -> None:
        import os

        cache = Cache(tmp_path, max_bytes=100)
        for age, key in enumerate(("c", "b", "a")):
            cache.keep(key, self.write(40))
            os.utime(cache.conversion(key), (1000 + age, 1000 + age))
        assert not cache.conversion("c").exists()
        assert cache.conversion("a").exists()
        cache.keep("huge", self.write(1000))
        assert [path.name for path in tmp_path.iterdir()] == ["huge"]

    def test_a_folder_that_cannot_be_written_is_replaced_by_a_passing_one(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (tmp_path / "file").write_text("in the way")
        cache = Cache(tmp_path / "file")
        cache.keep("a", self.write(10))
        assert cache.conversion("a").exists()
        assert len(lines(caplog)) == 1
        folder = cache.folder
        cache._until_the_end.cleanup()
        assert not folder.exists()

    def test_the_usual_folder_is_the_users_own(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from playground.engine.cache import usual_folder

        monkeypatch.delenv("PLAYGROUND_CACHE", raising=False)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        assert usual_folder().parent == tmp_path
        monkeypatch.setenv("PLAYGROUND_CACHE", str(tmp_path / "here"))
        assert usual_folder() == tmp_path / "here"
        assert not usual_folder().is_relative_to(Path(choice.__file__).parents[2])


def test_a_tuned_network_settles_once(tiny_network: Callable[..., Diffusion]) -> None:
    network = tiny_network("diffusion")
    settled: list[str] = []
    tuned = Tuned(network, settled.append)
    inputs = Subject("tiny", network, "").examples(1)
    assert tuned.offer("first", lambda *_: "first's")
    assert tuned.offer("second", lambda *_: "second's")
    assert tuned(*inputs) == tuned(*inputs) == "second's"
    assert not tuned.offer("third", lambda *_: "third's")
    assert tuned(*inputs) == "second's"
    assert settled == ["second"]
