"""The end points over real HTTP: good answers, and no value, file or crowd that does harm."""

from __future__ import annotations

import base64
import http.client
import io
import itertools
import json
import math
import os
import re
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlparse

import gradio as gr
import httpx
import pytest
import torch
from PIL import Image

from playground import augmentation, edits, limits, render
from playground.anomalies.detectors import examine, shown_picture
from playground.app import build, launch
from playground.comparison import compare, sheet
from playground.datasets import DATASETS
from playground.generate import evaluations_per_picture, last, usual
from playground.ladder import RUNGS
from playground.recipe import DEFAULT, Recipe, from_dict, from_query, to_query
from playground.render import recipe_of, to_png, to_uint8
from playground.sampling.forward import SCHEDULES, signal_levels
from playground.sampling.noise import seeded_noise
from playground.ui import answers, api
from playground.zoo import Zoo

NAME = next(iter(DATASETS))
ATTRIBUTE = DATASETS[NAME].attributes[0].name
END_POINTS = ("sample", "walk", "encode", "judge", "compare", "open")
GOOD: Mapping[str, Mapping[str, object]] = {
    "sample": {"model": "gan", "labels": [3], "seed": 5},
    "walk": {"model": "vae", "seed": 5, "seed_to": 6, "count": 2},
    "encode": {"model": "vae", "picture": 3},
    "judge": {"model": "gan", "picture": 3},
    "compare": {"models": ["gan", "vae"], "seed": 5, "count": 2},
    "open": {"link": "v=1&model=ddpm&task=branch&steps=3&seed=5&branch_at=1&branch_with=guidance"},
}
TRACES = re.compile(r"Traceback|\.py\b|File \"|/tmp|/home|/usr|site-packages|Error\b")


@dataclass(frozen=True)
class Server:
    """A running page, and what a hand-made client knows of it."""

    address: str
    client: httpx.Client
    parameters: Mapping[str, list[dict]]  # of each end point, as it describes itself
    dependencies: list[dict]  # every handler of the page
    components: Mapping[int, dict]

    def payload(self, end_point: str, **changed: object) -> list[object]:
        """The values of an end point in order, defaults where nothing is said."""
        names = [parameter["parameter_name"] for parameter in self.parameters[end_point]]
        assert set(changed) <= set(names)
        return [changed.get(p["parameter_name"], p["parameter_default"]) for p in self.parameters[end_point]]

    def send(self, end_point: str, values: object) -> tuple[bool, object]:
        """Whether the end point answered, and its answer or error; `values` go as they are, NaN included."""
        joined = self.client.post(f"/gradio_api/call/{end_point}", content=json.dumps({"data": values}))
        if joined.status_code != 200:
            return False, joined.json()
        events = self.client.get(f"/gradio_api/call/{end_point}/{joined.json()['event_id']}").text.split("\n\n")
        kind, _, content = events[-2].partition("\ndata: ")
        return kind == "event: complete", json.loads(content)

    def call(self, end_point: str, **changed: object) -> dict:
        ok, answer = self.send(end_point, self.payload(end_point, **changed))
        assert ok, answer
        return answer[0]

    def handlers(self) -> list[dict]:
        """The page's own handlers that run on the server."""
        return [d for d in self.dependencies if d["backend_fn"] and d["api_visibility"] == "private"]

    def handler(self, output: str, *, num_inputs: int | None = None, is_queued: bool = False) -> dict:
        """The first handler that fills the component `output`."""
        return next(
            d
            for d in self.handlers()
            if output in [self.elem_id(i) for i in d["outputs"]]
            and d["queue"] == is_queued
            and num_inputs in (None, len(d["inputs"]))
        )

    def live(self, tab: str) -> dict:
        """A live tab's view as if it were a handler of its controls, in the order in which the page sends them."""
        begin = next(d for d in self.dependencies if f"playgroundLive('{tab}').begin" in str(d["js"]))
        view = next(i for i in self.components if self.elem_id(i) == f"{tab}-view")
        return {"inputs": begin["inputs"], "outputs": [view], "queue": False, "is_live": True}

    def elem_id(self, component: int) -> str | None:
        return self.components[component]["props"].get("elem_id")

    def control_values(self, handler: dict, **changed: object) -> list[object]:
        """What the page sends when nobody has touched anything but the controls in `changed`, named by their ids."""
        values = []
        for component in handler["inputs"]:
            elem_id = (self.elem_id(component) or "").replace("-", "_")
            values.append(changed.get(elem_id, self.components[component]["props"].get("value")))
        return values

    def press(self, handler: dict, values: list[object], session: str = "visitor") -> tuple[bool, object]:
        """Run one of the page's own handlers as a page would."""
        if "is_live" in handler:
            body = {"data": values, "component_id": handler["outputs"][0], "fn_name": "answer", "session_hash": session}
            answer = self.client.post("/gradio_api/component_server", content=json.dumps(body))
            return answer.status_code == 200, {"data": [answer.json()]}
        if handler["queue"]:
            event = self.join(handler, values, session)
            lines = self.client.get("/gradio_api/queue/data", params={"session_hash": session}).text.split("\n\n")
            messages = [json.loads(line.removeprefix("data: ")) for line in lines if line]
            mine = [message for message in messages if message.get("event_id") == event]
            done = next(message for message in mine if message["msg"] == "process_completed")
            return done["success"], done["output"]
        body = {"data": values, "fn_index": handler["id"], "session_hash": session}
        answer = self.client.post("/gradio_api/run/x", content=json.dumps(body))
        return answer.status_code == 200, answer.json()

    def join(self, handler: dict, values: list[object], session: str) -> str:
        """Put a queued handler into the queue; the id of its event."""
        body = {"data": values, "fn_index": handler["id"], "session_hash": session}
        return self.client.post("/gradio_api/queue/join", content=json.dumps(body)).json()["event_id"]


@pytest.fixture(scope="module")
def reached() -> Iterator[list[str]]:
    """The name of every layer of any network that is run from now on."""
    layers: list[str] = []
    hook = torch.nn.modules.module.register_module_forward_pre_hook(
        lambda module, _: layers.append(type(module).__name__)
    )
    yield layers
    hook.remove()


@pytest.fixture(scope="module")
def served(tiny_zoo: Zoo, reached: list[str]) -> Iterator[Server]:
    demo = build(tiny_zoo)
    _, address, _ = launch(demo, prevent_thread_lock=True, quiet=True)
    # Threads share the client. Its pool may close a surplus idle connection that it has just given to another thread
    # ("Bad file descriptor"), so no idle connection is surplus.
    pool = httpx.Limits(max_keepalive_connections=None)
    headers = {"content-type": "application/json"}
    with httpx.Client(base_url=address, headers=headers, timeout=30, limits=pool) as client:
        info = client.get("/gradio_api/info").json()["named_endpoints"]
        config = client.get("/config").json()
        yield Server(
            address,
            client,
            {name.removeprefix("/"): end_point["parameters"] for name, end_point in info.items()},
            config["dependencies"],
            {component["id"]: component for component in config["components"]},
        )
    demo.close()


def expected_pngs(recipe: Recipe, zoo: Zoo) -> list[bytes]:
    return [to_png(to_uint8(picture), recipe) for picture in last(recipe, zoo).pictures]


def pngs(pictures: list[dict]) -> list[bytes]:
    return [base64.b64decode(picture["png"]) for picture in pictures]


def pngs_in(page: str) -> list[bytes]:
    """The pictures in a piece of the page, in order."""
    return [base64.b64decode(text) for text in re.findall(r'src="data:image/png;base64,([^"]+)"', page)]


def is_sentence(text: object) -> bool:
    return isinstance(text, str) and 12 < len(text) < 300 and not TRACES.search(text)


# ---- good answers


def test_every_end_point_says_what_it_takes(served: Server) -> None:
    assert set(served.parameters) == {*END_POINTS, "models"}
    for name in END_POINTS:
        for parameter in served.parameters[name]:
            assert parameter["parameter_has_default"]
            assert parameter["type"] not in ({}, None)
            if name in ("sample", "compare"):
                default = getattr(DEFAULT, parameter["parameter_name"])
                assert parameter["parameter_default"] == (list(default) if type(default) is tuple else default)


@pytest.mark.parametrize("model", ["ae2", "vae2", "vae", "gan", "ddpm"])
def test_sample_answers_the_pictures_of_its_recipe(served: Server, tiny_zoo: Zoo, model: str) -> None:
    answer = served.call("sample", model=model, labels=[4], seed=9, count=2, steps=3)
    recipe = Recipe(model=model, labels=(4,), seed=9, count=2, steps=3)
    assert from_dict(answer["recipe"]) == from_query(answer["link"]) == recipe
    assert pngs(answer["pictures"]) == expected_pngs(recipe, tiny_zoo)
    assert [picture["seed"] for picture in answer["pictures"]] == [9, 10]
    assert [recipe_of(png) for png in pngs(answer["pictures"])] == [recipe] * 2
    assert answer["network_evaluations"] == (evaluations_per_picture(recipe) if model == "ddpm" else 1)
    assert answer["seconds"] > 0
    frame = last(recipe, tiny_zoo)
    if model == "gan":
        assert [p["realness"] for p in answer["pictures"]] == pytest.approx(frame.realness.tolist(), abs=1e-5)
    else:
        assert all("realness" not in picture for picture in answer["pictures"])


def test_walk_encode_and_judge_answer_what_the_door_says(served: Server, tiny_zoo: Zoo) -> None:
    walk = served.call("walk", model="gan", seed=3, seed_to=4, count=3)
    assert pngs(walk["pictures"]) == expected_pngs(
        Recipe(model="gan", task="walk", seed=3, seed_to=4, count=3), tiny_zoo
    )
    for model in ("vae", "ae2"):
        recipe = Recipe(model=model, task="encode", picture=7, seed=1, count=2)
        answer, encoding = (
            served.call("encode", model=model, picture=7, seed=1, count=2),
            last(recipe, tiny_zoo).encoding,
        )
        assert answer["mu"] == pytest.approx(encoding.mu.tolist(), abs=1e-5)
        assert answer["recon_loss"] == pytest.approx(encoding.recon_loss, rel=1e-5)
        assert answer["kl"] == (None if model == "ae2" else pytest.approx(encoding.kl, rel=1e-5))
        assert (answer["logvar"] is None) == (model == "ae2")
        assert base64.b64decode(answer["x0"]) == to_png(to_uint8(encoding.x0[0]), recipe)
        assert len(answer["pictures"]) == 2
    judged = served.call("judge", picture=7)
    realness = last(Recipe(model="gan", task="judge", picture=7), tiny_zoo).realness
    assert judged["pictures"][0]["realness"] == pytest.approx(float(realness), abs=1e-5)


def test_compare_answers_a_row_a_model_and_the_sheet_of_all(served: Server, tiny_zoo: Zoo) -> None:
    answer = served.call("compare", labels=[2], seed=8, count=2, steps=3)
    recipe = Recipe(task="compare", labels=(2,), seed=8, count=2, steps=3)
    assert [row["model"] for row in answer["rows"]] == ["vae", "gan", "ddpm"]
    for row in answer["rows"]:
        assert pngs(row["pictures"]) == expected_pngs(from_query(row["link"]), tiny_zoo)
        assert row["parameters"] == tiny_zoo.card(NAME, row["model"]).parameters
    rows = [row for row in compare(recipe, tiny_zoo) if row.frame.is_last]
    assert base64.b64decode(answer["sheet"]) == to_png(sheet(rows), recipe)


STEERED = (
    "task=branch&branch_at=2&branch_with=label,guidance&change=0,3",
    "task=decide&change=0,3&count=3",
    "task=edit&picture=2&strength=0.5",
    "task=blend&seed_to=6&count=3",
)


@pytest.mark.parametrize("query", STEERED)
def test_a_link_of_any_task_is_done_as_the_page_does_it(served: Server, tiny_zoo: Zoo, query: str) -> None:
    link = f"v=1&model=ddpm&steps=4&seed=5&{query}"
    answer = served.call("open", link=f"http://127.0.0.1:7860/?{link}")
    assert from_query(answer["link"]) == from_query(link)
    assert pngs(answer["pictures"]) == expected_pngs(from_query(link), tiny_zoo)


def test_a_link_of_one_change_answers_every_model_before_and_after(served: Server, tiny_zoo: Zoo) -> None:
    recipe = Recipe(task="change", labels=(2,), change=(0, 4), seed=3, count=2, steps=3)
    answer = served.call("open", link=to_query(recipe))
    expected = [edit for edit in edits.change(recipe, tiny_zoo) if edit.is_last]
    assert len(expected) > 2
    for row, edit in zip(answer["rows"], expected, strict=True):
        assert (row["model"], row["source"]) == (edit.card.model, edit.source)
        assert row["share_changed"] == pytest.approx(edit.kept.share_changed)
        for moment, pictures in (("before", edit.before), ("after", edit.after)):
            assert [base64.b64decode(text) for text in row[moment]] == [to_png(to_uint8(p), recipe) for p in pictures]
        if edit.kept.read_after is not None:
            assert row["num_as_asked"] == edit.kept.num_as_asked(0, 4)
            assert row["num_kept"] == {}
    assert recipe_of(base64.b64decode(answer["sheet"])) == recipe


def test_a_link_of_a_ladder_answers_every_rung_and_its_distance(served: Server, tiny_zoo: Zoo) -> None:
    recipe = Recipe(task="ladder", ladder="guidance", model="ddpm", labels=(2,), samplers=("ddim", "heun"), steps=2)
    answer = served.call("open", link=to_query(recipe))
    assert [row["sampler"] for row in answer["rows"]] == ["ddim", "heun"]
    for row in answer["rows"]:
        assert [cell["rung"] for cell in row["cells"]] == list(RUNGS["guidance"])
        for cell in row["cells"]:
            (expected,) = expected_pngs(from_query(cell["link"]), tiny_zoo)
            assert base64.b64decode(cell["png"]) == expected
            assert (cell["distance"] == 0) == (cell["rung"] == 1)
    assert recipe_of(base64.b64decode(answer["sheet"])) == recipe


def test_a_link_of_the_forward_process_answers_every_schedule(served: Server, tiny_zoo: Zoo) -> None:
    recipe = Recipe(task="forward", t=400, picture=3, seed=2)
    answer = served.call("open", link=to_query(recipe))
    x0, _ = tiny_zoo.reference(NAME).picture(3)
    noise = seeded_noise([2], DATASETS[NAME].shape)
    for told, schedule in zip(answer["schedules"], SCHEDULES, strict=True):
        a = signal_levels(schedule)[400]
        x_t = a.sqrt() * x0 + (1 - a).sqrt() * noise
        assert told["schedule"] == schedule
        assert told["snr"] == pytest.approx(float(a / (1 - a)), rel=1e-4)
        assert base64.b64decode(told["png"]) == to_png(to_uint8(x_t[0]), recipe)


def test_a_link_of_an_anomaly_answers_every_detector(served: Server, tiny_zoo: Zoo) -> None:
    recipe = Recipe(task="anomaly", picture=3, defect="hole", strength=0.3, seed=2)
    answer = served.call("open", link=to_query(recipe))
    x0, seen = shown_picture(recipe, tiny_zoo)
    assert base64.b64decode(answer["x0"]) == to_png(to_uint8(x0[0]), recipe)
    assert base64.b64decode(answer["shown"]) == to_png(to_uint8(seen[0]), recipe)
    for row, finding in zip(answer["rows"], examine(recipe, tiny_zoo), strict=True):
        assert (row["model"], row["score"]) == (finding.card.model, pytest.approx(finding.score, rel=1e-4))
        assert ("rebuilt" in row) == ("residual" in row) == (row["family"] != "gan")
        assert "is_anomaly" not in row, "nobody has measured what is normal for these weights"
    assert recipe_of(base64.b64decode(answer["sheet"])) == recipe


def test_a_link_of_augmentation_answers_every_reader_s_marks(
    served: Server, tiny_zoo: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(augmentation, "UPDATES", 2 * augmentation.MARKED_EVERY)
    recipe = Recipe(task="augment", real_each=1, made_each=2, seed=2)
    answer = served.call("open", link=to_query(recipe))
    assert [row["source"] for row in answer["rows"]] == ["real", "moved", "vae", "gan", "ddpm", "all"]
    assert [row["num_made"] for row in answer["rows"]] == [0, 0, 20, 20, 20, 0]
    assert all(len(row["marks"]) == 2 for row in answer["rows"])
    assert recipe_of(base64.b64decode(answer["sheet"])) == recipe


def test_models_lists_what_there_is(served: Server, tiny_zoo: Zoo) -> None:
    answer = served.call("models")
    (dataset,) = answer["datasets"]
    assert [model["model"] for model in dataset["models"]] == [card.model for card in tiny_zoo.cards(NAME)]
    assert [len(attribute["values"]) for attribute in dataset["attributes"]] == list(DATASETS[NAME].cardinalities)
    assert answer["limits"]["max_network_evaluations"] == limits.MAX_NETWORK_EVALUATIONS


def test_the_same_recipe_gives_the_same_bytes_twice_and_in_the_page(served: Server) -> None:
    asked = {
        "model": "gan",
        "labels": [5],
        "seed": 77,
        "count": 3,
        "truncation_psi": usual(DATASETS[NAME]).truncation_psi,
    }
    once, again = (served.call("sample", **asked) for _ in range(2))
    assert once["pictures"] == again["pictures"]
    draw = served.live("gan")
    values = served.control_values(draw, gan_labels_0=5, gan_seed=77, gan_count=3)
    ok, answer = served.press(draw, values)
    assert ok
    assert pngs_in(answer["data"][0])[-3:] == pngs(once["pictures"])
    assert from_query(once["link"]) == recipe_of(pngs_in(answer["data"][0])[-1])


def test_the_readme_s_example_for_programs_works(served: Server, tiny_zoo: Zoo) -> None:
    readme = (Path(__file__).resolve().parents[1] / "README.md").read_text()
    (example,) = [block for block in re.findall(r"```python\n(.*?)```", readme, re.DOTALL) if "gradio_client" in block]
    example = re.sub(r"http://127\.0\.0\.1:7860/?", served.address, example)
    names: dict[str, object] = {}
    exec(example, names)
    recipe = Recipe(model="gan", labels=(8,), seed=42, count=4)
    assert names["png"] == expected_pngs(recipe, tiny_zoo)[0]
    assert names["answer"]["link"] == to_query(recipe)
    assert f"{served.address}?{to_query(recipe)}" in example


# ---- bad values

NAN = math.nan
WHOLE = [NAN, math.inf, -math.inf, 4.5, True, None, "4", [4], {"a": 1}, 10**30, -1]
REAL = [NAN, math.inf, -math.inf, True, None, "0.5", [0.5], {"a": 1}, 1e300, -99.0]
NAMES = ["../../etc/passwd", "nope", None, "/etc/passwd", "", "Gan", "gan\n", "a" * 40, 5, NAN, ["gan"], {"a": 1}, True]
BOMB = base64.urlsafe_b64encode(zlib.compress(bytes(2_500_000), 9)).decode().rstrip("=")
BAD: Mapping[str, list[object]] = {
    "model": NAMES,
    "dataset": NAMES,
    "labels": [[99], None, [1.5], [1, 1], 5, "8", {"0": 1}, [-1], [None], [True], [NAN], ["8"], [[1]], [0] * 9, True],
    "text": ["한글", "a", None, 5, ["한"], {"a": 1}, True, "가" * 65, "a\nb", NAN],
    "seed": WHOLE,
    "seed_to": WHOLE,
    "count": [0, 17, *WHOLE],
    "temperature": REAL,
    "truncation_psi": REAL,
    "shifts": [[NAN], None, [9.0], 0.5, "0", [math.inf], ["1"], [None], [True], [0.0] * 13, {"a": 1}, [0.0] * 9],
    "point": [[NAN, 0.0], None, [1.0], 1.0, [1.0] * 3, [99.0, 0.0], ["a", "b"], {"a": 1}, [0.0, 0.0]],
    "steps": [0, 1001, *WHOLE],
    "sampler": ["plms", None, "", 5, ["ddim"], {"a": 1}, True, "DDIM", "ddpm "],
    "eta": [1.5, *REAL],
    "guidance_scale": [11.0, *REAL],
    "picture": [100_000, *WHOLE],
    "drawing": [BOMB, None, "!!", "A" * 5000, "AAAA", 5, ["A"], {"path": "/etc/passwd"}],
    "models": [
        ["nope"],
        None,
        ["gan", "gan"],
        "gan",
        5,
        ["../gan"],
        [None],
        [5],
        [["gan"]],
        {"gan": 1},
        list("abcdefghi"),
    ],
    "link": [
        *("task=nope", "v=2", "v=", "model=nope", "model=../gan", "dataset=nope", "seed=-1", "seed=1e3", "seed=nan"),
        *(
            "count=17",
            "steps=0",
            "steps=1001",
            "labels=99",
            "labels=1.5",
            "nope=1",
            "__init__=1",
            "task=forward&t=1000",
        ),
        *(
            "task=forward&dataset=nope",
            "task=forward&picture=99999",
            "task=forward&drawing=AAAA",
            "task=ladder&ladder=x",
        ),
        *(
            "task=ladder&model=gan",
            "task=ladder&model=nope",
            "task=ladder&samplers=plms",
            "task=change",
            "task=change&change=0",
        ),
        *(
            "task=change&change=9,1",
            "task=change&change=0,99",
            "task=branch&model=gan",
            "task=edit&model=ddpm&strength=2",
        ),
        *(
            "task=anomaly&strength=0.35",
            "task=anomaly&defect=rust",
            "task=augment&target=3",
            "task=augment&made_each=0",
        ),
        *("a" * 100_000, "seed=1\nseed=2", None, 5, NAN, ["seed=1"], {"seed": 1}, True),
    ],
}
WRONG_TOGETHER: Mapping[str, list[dict[str, object]]] = {  # each value fine alone
    "sample": [{"model": "ddpm", "steps": 1000, "count": 16}, {"model": "ddpm", "shifts": [1.0]}],
    "walk": [{"model": "ddpm", "steps": 1000, "count": 16, "sampler": "heun"}],
    "encode": [{"model": "gan"}, {"model": "ddpm"}],
    "judge": [{"model": "vae"}, {"model": "ddpm"}],
    "compare": [{"models": [], "steps": 1000, "count": 16}, {"models": ["gan", "ddpm"], "steps": 1000, "count": 5}],
    "open": [
        {"link": "model=ddpm&steps=1000&count=16"},
        {"link": "task=compare&models=gan,ddpm&steps=1000&count=5"},
        {"link": "task=decide&model=ddpm&steps=1000&change=0,1&count=11"},
    ],
}


def bad_payloads(end_point: str, names: list[str], most: int = 34) -> list[dict[str, object]]:
    """The worst value of every field first, then the second worst, and so on."""
    columns = [[{name: value} for value in BAD[name]] for name in names]
    ranked = [bad for row in itertools.zip_longest(*columns) for bad in row if bad is not None]
    return WRONG_TOGETHER[end_point] + ranked[:most]


@pytest.mark.parametrize("end_point", END_POINTS)
def test_no_bad_value_reaches_a_network_and_the_next_visitor_is_served(
    served: Server, reached: list[str], end_point: str
) -> None:
    names = [parameter["parameter_name"] for parameter in served.parameters[end_point]]
    bad = bad_payloads(end_point, names)
    assert len(bad) >= 30
    for changed in bad:
        num_layers = len(reached)
        ok, answer = served.send(end_point, served.payload(end_point, **{**GOOD[end_point], **changed}))
        assert not ok, changed
        assert is_sentence(answer["error"]), (changed, answer)
        assert len(reached) == num_layers, changed
        if len(changed) == 1:
            (name,) = changed
            named = {"labels": f"labels|{ATTRIBUTE}", "model": "model|task", "link": r"[\w' ]+"}.get(name, name)
            assert re.match(rf"({named}) (must be|needs|is not|encode is|judge is)", answer["error"]), (changed, answer)
        assert served.call(end_point, **GOOD[end_point])["link"]
        assert len(reached) > num_layers


@pytest.mark.parametrize("end_point", END_POINTS)
def test_too_few_and_too_many_values_are_a_sentence(served: Server, reached: list[str], end_point: str) -> None:
    values = served.payload(end_point, **GOOD[end_point])
    num_layers = len(reached)
    nested = [[values]] if len(values) > 1 else []  # one value in a list is one value
    for wrong in ([], values[:-1], [*values, 1], *nested):
        ok, answer = served.send(end_point, wrong)
        assert not ok
        assert answer["error"] == f"values must be {len(values)} in number, got {len(wrong)}"
    assert len(reached) == num_layers


@pytest.mark.parametrize(
    "body", ["", "{", "null", "[]", "7", "{}", '{"data": null}', '{"data": 5}', '{"data": {"model": "gan"}}', "\x00"]
)
def test_what_is_no_call_is_refused(served: Server, body: str) -> None:
    answer = served.client.post("/gradio_api/call/sample", content=body)
    assert 400 <= answer.status_code < 500
    assert not TRACES.search(answer.text)
    assert served.call("sample", **GOOD["sample"])["pictures"]


BAD_FOR_ANY_CONTROL = [NAN, {"a": 1}, 1e12, [[1], [2]], {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}]

# such controls say nothing, whatever they hold
HIDDEN_AT_FIRST = {"diffusion-seed-to", "diffusion-eta", "chains-points"}


def test_bad_values_straight_to_the_pages_own_handlers_reach_no_network(served: Server, reached: list[str]) -> None:
    drawing = [d for d in served.handlers() if d["inputs"] and not d["queue"]]
    drawing += [served.live(tab) for tab in ("vae", "gan")]
    assert {"vae-view", "gan-view", "compare-view"} <= {served.elem_id(i) for d in drawing for i in d["outputs"]}
    turn = itertools.cycle(BAD_FOR_ANY_CONTROL)
    num_tried = 0
    told: set[str] = set()
    silent: set[str] = set()
    for handler in drawing:
        good = served.control_values(handler)
        for place in range(len(good)):
            if served.components[handler["inputs"][place]]["type"] == "state":
                continue  # the server knows its value, whatever is sent
            bad = next(turn)
            num_layers = len(reached)
            ok, answer = served.press(handler, [*good[:place], bad, *good[place + 1 :]])
            said = json.dumps(answer["data"]) if ok else answer["error"]
            control = served.elem_id(handler["inputs"][place])
            assert not TRACES.search(said)
            assert len(reached) == num_layers
            assert ok or is_sentence(said), (control, said)
            (told if not ok or "pg-error" in said else silent).add(control)
            num_tried += 1
        assert served.press(handler, good)[0]
    # where several handlers hear a control, one of them says the sentence for all
    assert silent - told <= HIDDEN_AT_FIRST
    assert num_tried >= 60


def test_wrong_numbers_of_values_to_the_pages_own_handlers_are_a_sentence(served: Server) -> None:
    for handler in served.handlers():
        if handler["inputs"] and not handler["queue"]:
            for values in ([], [1] * 40):
                ok, answer = served.press(handler, values)
                assert not ok
                assert is_sentence(answer["error"])
    for tab in ("vae", "gan"):
        for values in ([], [1] * 40, None, "gan", 7, {"seed": 1}):
            ok, answer = served.press(served.live(tab), values)
            assert ok
            assert "values must be" in answer["data"][0]
            assert not TRACES.search(answer["data"][0])


def test_a_fault_of_ours_is_a_sentence_too_and_the_next_call_succeeds(
    served: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("CUDA out of memory in /srv/secret.py")

    with monkeypatch.context() as patched:
        patched.setattr(answers, "generate", fail)
        ok, answer = served.send("sample", served.payload("sample", **GOOD["sample"]))
    assert not ok
    assert answer["error"] == "Something went wrong on our side. Please try again."
    assert served.call("sample", **GOOD["sample"])["pictures"]


# ---- work that nobody waits for


def steps_after(leave: Callable[[], None], reached: list[str]) -> tuple[int, int]:
    """UNet runs (within a quarter of a second, later) after `leave()` has returned."""

    def num_runs() -> int:
        return reached.count("UNet2DModel")

    leave()
    at_once = num_runs()
    time.sleep(0.25)
    soon = num_runs()
    time.sleep(0.5)
    return soon - at_once, num_runs() - soon


def wait_for(condition: Callable[[], bool], patience_s: float = 30) -> None:
    end = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


LONG = {"model": "ddpm", "steps": 1000, "count": 2}
LONG_COMPARISON = {"models": ["ddpm"], "steps": 1000, "count": 2}


@pytest.mark.parametrize(("end_point", "long"), [("sample", LONG), ("walk", LONG), ("compare", LONG_COMPARISON)])
def test_work_stops_when_the_client_leaves(
    served: Server, reached: list[str], end_point: str, long: dict[str, object]
) -> None:
    joined = served.client.post(f"/gradio_api/call/{end_point}", json={"data": served.payload(end_point, **long)})

    def leave() -> None:
        with served.client.stream("GET", f"/gradio_api/call/{end_point}/{joined.json()['event_id']}") as events:
            told = [line for line in itertools.islice(events.iter_lines(), 30) if line.startswith("data: ")]
        shares = [json.loads(line.removeprefix("data: "))[0]["progress"] for line in told]
        assert shares == sorted(shares)
        assert 0 < shares[-1] < 1

    _, later = steps_after(leave, reached)
    assert later == 0
    assert served.call("sample", **GOOD["sample"])["pictures"]


def test_cancelling_stops_the_work_and_what_waits_never_starts(served: Server, reached: list[str]) -> None:
    sample = next(d for d in served.dependencies if d["api_name"] == "sample")
    num_runs = reached.count("UNet2DModel")
    running, waiting = (served.join(sample, served.payload("sample", **LONG), session) for session in ("one", "two"))
    wait_for(lambda: reached.count("UNet2DModel") > num_runs)

    def leave() -> None:
        for session, event in (("two", waiting), ("one", running)):
            body = {"session_hash": session, "fn_index": sample["id"], "event_id": event}
            assert served.client.post("/gradio_api/cancel", json=body).json() == {"success": True}

    soon, later = steps_after(leave, reached)
    assert soon <= 1
    assert later == 0
    assert served.call("sample", **GOOD["sample"])["pictures"]


def test_a_newer_choice_in_the_page_ends_the_work_on_the_older_one(served: Server, reached: list[str]) -> None:
    ask, draw = served.handler("compare-view"), served.handler("compare-view", num_inputs=0, is_queued=True)
    long, short = (
        served.control_values(ask, compare_models=["ddpm"], compare_count=2, compare_steps=steps) for steps in (250, 2)
    )
    assert served.press(ask, long, "undecided")[0]
    num_runs = reached.count("UNet2DModel")
    served.join(draw, [], "undecided")
    wait_for(lambda: reached.count("UNet2DModel") > num_runs)
    soon, later = steps_after(lambda: served.press(ask, short, "undecided"), reached)
    assert soon <= 1
    assert later == 0
    ok, answer = served.press(draw, [], "undecided")
    assert ok
    assert recipe_of(pngs_in(answer["data"][0])[-1]).steps == 2
    ok, again = served.press(draw, [], "undecided")  # what was asked for is done: nothing is left to do
    assert ok
    assert "img" not in json.dumps(again["data"])


# ---- many at once


def test_visitors_get_their_own_pictures(served: Server, tiny_zoo: Zoo) -> None:
    """Sixteen at once, through the end points and through the Compare tab, whose handlers meet in a visitor's wish."""
    solo = {seed: expected_pngs(Recipe(model="gan", seed=seed, count=2), tiny_zoo) for seed in range(100, 116)}
    asking, drawing = served.handler("compare-view"), served.handler("compare-view", num_inputs=0, is_queued=True)

    def visit(seed: int) -> list[list[bytes]]:
        mine = [pngs(served.call("sample", model="gan", seed=seed, count=2)["pictures"])]
        values = served.control_values(asking, compare_seed=seed, compare_count=2, compare_models=["gan"])
        assert served.press(asking, values, f"visitor{seed}")[0]
        ok, answer = served.press(drawing, [], f"visitor{seed}")
        assert ok
        return [*mine, pngs_in(answer["data"][0])[-2:]]

    with ThreadPoolExecutor(16) as pool:
        for seed, found in zip(solo, pool.map(visit, solo), strict=True):
            assert found == [solo[seed], solo[seed]]


def test_a_crowd_is_answered_and_the_next_visitor_too(served: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """64 at once while one job holds the lane: those that fit wait and are served, the others are told at once."""
    release = threading.Event()
    run = api.run

    def held(recipe: Recipe, zoo: Zoo) -> Iterator[dict]:
        release.wait(30)
        yield from run(recipe, zoo)

    def ask(_: int) -> tuple[float, bool, object]:
        begin = time.perf_counter()
        joined = served.client.post("/gradio_api/call/sample", json={"data": values})
        seconds = time.perf_counter() - begin
        if joined.status_code != 200:
            return seconds, False, (joined.status_code, joined.json()["detail"])
        with slots:
            arrived.append(1)
        return seconds, True, joined.json()["event_id"]

    values = served.payload("sample", **GOOD["sample"])
    slots, arrived = threading.Lock(), []
    monkeypatch.setattr(api, "run", held)
    with ThreadPoolExecutor(64) as pool:
        try:
            answers = list(pool.map(ask, range(64)))
        finally:
            release.set()  # whatever happened, the next test finds a free lane
        accepted = [event for _, ok, event in answers if ok]
        texts = list(pool.map(lambda event: served.client.get(f"/gradio_api/call/sample/{event}").text, accepted))
    refused = [(seconds, said) for seconds, ok, said in answers if not ok]
    assert limits.MAX_QUEUE <= len(accepted) == len(arrived) <= limits.MAX_QUEUE + 2
    assert all("event: complete" in text for text in texts)
    assert all(status == 503 and is_sentence(said) for _, (status, said) in refused)
    assert len(refused) + len(accepted) == 64
    assert served.call("sample", **GOOD["sample"])["pictures"]


# ---- files


def resident_peak_mb() -> float:
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text()).group(1)) / 1024


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def upload(served: Server, content: bytes, name: str = "picture.png") -> httpx.Response:
    return httpx.post(f"{served.address}gradio_api/upload", files={"files": (name, content)}, timeout=30)


def test_an_upload_over_the_cap_is_refused(served: Server) -> None:
    assert upload(served, os.urandom(1_500_000)).status_code == 413
    assert upload(served, os.urandom(1_000)).status_code == 200
    (stored,) = upload(served, b"print(1)", "../../../evil.py").json()
    assert Path(stored).name == "evil.py"
    assert Path(stored).is_relative_to(gr.utils.get_upload_folder())


def test_a_picture_bomb_costs_nothing(served: Server) -> None:
    buffer = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(buffer, "PNG")
    bomb = buffer.getvalue()
    assert len(bomb) < 100_000
    (stored,) = upload(served, bomb).json()
    as_file = {"path": stored, "meta": {"_type": "gradio.FileData"}, "mime_type": "image/png"}
    served.call("encode", **GOOD["encode"])
    forget_peak()
    before = resident_peak_mb()
    for value in (as_file, stored, render.data_uri(bomb), base64.urlsafe_b64encode(bomb).decode()[:4000], BOMB):
        for end_point in ("encode", "judge"):
            ok, answer = served.send(end_point, served.payload(end_point, **{**GOOD[end_point], "drawing": value}))
            assert not ok
            assert answer["error"].startswith("drawing ")
        for tab in ("vae", "gan"):
            draw = served.live(tab)
            changed = {f"{tab}_drawing": value, f"{tab}_task": {"vae": "encode", "gan": "judge"}[tab]}
            ok, answer = served.press(draw, served.control_values(draw, **changed))
            assert not ok or "pg-error" in answer["data"][0]
    with pytest.raises(ValueError, match=r"pixels|not a readable"):
        recipe_of(bomb)
    assert resident_peak_mb() - before <= 20


def escape_paths(canary: Path, link: Path) -> list[str]:
    """Ways to ask for files that are nobody's business, as request targets."""
    here = Path(__file__).resolve().parents[1]
    dots = "../" * 12
    encoded, twice = "%2e%2e%2f" * 12, "%252e%252e%252f" * 12
    wanted = [
        "/etc/passwd",
        str(canary),
        str(link),
        str(here / "playground/app.py"),
        str(here / "pyproject.toml"),
        str(here / ".git/config"),
        str(here / "pretrained" / NAME / "reference.npz"),
        "/proc/self/environ",
        "/proc/self/cmdline",
    ]
    tricks = [
        f"{dots}etc/passwd",
        f"{encoded}etc/passwd",
        f"{twice}etc/passwd",
        "..%5c..%5c..%5cetc%5cpasswd",
        "....//....//....//....//etc/passwd",
        "playground/app.py",
        ".git/config",
        "%2fetc%2fpasswd",
        "//etc/passwd",
        "/etc/./passwd",
        "/etc/passwd%00.png",
        "file:///etc/passwd",
        "http://127.0.0.1:1/",
        f"{link.parent}/../{canary.parent.name}/{canary.name}",
    ]
    routes = ["/gradio_api/file=", "/file=", "/gradio_api/file/", "/gradio_api/proxy="]
    paths = [f"{route}{target}" for route in routes for target in [*wanted, *tricks]]
    for route in ("/static/", "/assets/", "/svelte/", "/gradio_api/custom_component/1/client/"):
        paths += [f"{route}{trick}" for trick in tricks[:4]]
    stream = f"/gradio_api/stream/x/y/1/{encoded}etc/passwd"
    return [*paths, stream, "/gradio_api/deep_link?path=/etc/passwd", f"/gradio_api/upload_progress?upload_id={dots}"]


def test_no_file_outside_the_cache_can_be_read(served: Server, tmp_path: Path) -> None:
    canary = tmp_path / "canary.txt"
    canary.write_text("nobody may read this canary")
    link = Path(gr.utils.get_upload_folder()) / "canary-link.txt"
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(canary)
    secrets = (b"nobody may read", b"root:", b"[tool.ruff", b"repositoryformat", b"def build", b"PATH=", b"pytest\0")
    where = urlparse(served.address)
    paths = escape_paths(canary, link)
    assert len(paths) >= 40
    try:
        for path in paths:
            connection = http.client.HTTPConnection(where.hostname, where.port, timeout=10)
            connection.putrequest("GET", path, skip_host=False)  # as it is, nothing tidied up
            connection.endheaders()
            answer = connection.getresponse()
            body = answer.read(200_000)
            connection.close()
            assert answer.status >= 400 or answer.status in (301, 302, 307), (path, answer.status)
            assert not any(secret in body for secret in secrets), path
    finally:
        link.unlink()


def test_a_recipe_that_the_api_made_is_the_one_in_its_pictures(served: Server) -> None:
    answer = served.call("sample", model="ddpm", steps=2, sampler="euler_a", seed=3)
    (png,) = pngs(answer["pictures"])
    assert recipe_of(png) == from_query(answer["link"]) == replace(from_dict(answer["recipe"]))
