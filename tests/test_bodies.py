"""A request that says too much is refused before it is read to its end, however it is sent."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from starlette.types import Message, Receive, Scope, Send

from playground import limits
from playground.ui.bodies import SmallBodies

JSON = [(b"content-type", b"application/json")]


class Heard:
    """An app that reads its whole request."""

    def __init__(self) -> None:
        self.body: bytes | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.body, more = b"", True
        while more:
            message = await receive()
            self.body += message["body"]
            more = message.get("more_body", False)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


def spoken_to(chunks: list[bytes], headers: list[tuple[bytes, bytes]]) -> tuple[int, bytes | None, int]:
    """(status, what the app behind the bound heard, chunks never asked for)."""
    waiting: Iterator[bytes] = iter(chunks)
    left, said, heard = [len(chunks)], [], Heard()

    async def receive() -> Message:
        left[0] -= 1
        return {"type": "http.request", "body": next(waiting), "more_body": left[0] > 0}

    async def send(message: Message) -> None:
        said.append(message)

    scope = {"type": "http", "method": "POST", "path": "/", "headers": headers}
    with ThreadPoolExecutor(1) as thread:  # the browser's own loop may run in this one
        thread.submit(lambda: asyncio.run(SmallBodies(heard)(scope, receive, send))).result()
    return said[0]["status"], heard.body, left[0]


def test_a_small_body_arrives_whole_in_however_many_pieces() -> None:
    assert spoken_to([b"ab", b"", b"c"], JSON) == (200, b"abc", 0)
    assert spoken_to([bytes(limits.MAX_BODY_BYTES)], JSON)[0] == 200


@pytest.mark.parametrize("headers", [JSON, [], [(b"content-length", b"2")]])
def test_a_large_body_is_refused_and_the_rest_of_it_never_read(headers: list[tuple[bytes, bytes]]) -> None:
    chunk = bytes(limits.MAX_BODY_BYTES // 4)
    assert spoken_to([chunk] * 100, headers) == (413, None, 95)


def test_files_are_left_to_the_limit_of_uploads() -> None:
    form = [(b"content-type", b"multipart/form-data; boundary=x")]
    assert spoken_to([bytes(limits.MAX_BODY_BYTES), b"x"], form)[0] == 200


def test_the_page_answers_a_large_body_with_a_sentence_and_the_next_request_as_ever(server: str) -> None:
    def post(size: int) -> tuple[int, str]:
        body = json.dumps({"data": ["x" * size]}).encode()
        request = urllib.request.Request(
            f"{server}/gradio_api/call/nothing", body, {"content-type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    status, said = post(limits.MAX_BODY_BYTES)
    assert (status, f"{limits.MAX_BODY_BYTES:,} bytes" in said) == (413, True)
    assert post(10)[0] != 413
