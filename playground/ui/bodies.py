"""A bound on what a request may say: gradio limits the files that are uploaded, but not the values that are sent."""

from __future__ import annotations

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from playground import limits


class SmallBodies:
    """ASGI: answers 413 and a sentence to a body of more than `limits.MAX_BODY_BYTES` that is no upload of a file."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS") or is_upload(scope):
            await self.app(scope, receive, send)
            return
        body = await small_body(receive)
        if body is None:
            sentence = f"a request must have at most {limits.MAX_BODY_BYTES:,} bytes"
            await PlainTextResponse(sentence, status_code=413)(scope, receive, send)
            return
        waiting = [body]

        async def replay() -> Message:
            return waiting.pop() if waiting else await receive()

        await self.app(scope, replay, send)


def is_upload(scope: Scope) -> bool:
    """Whether the body is a form with files, whose size gradio bounds itself."""
    return dict(scope["headers"]).get(b"content-type", b"").startswith(b"multipart/form-data")


async def small_body(receive: Receive) -> Message | None:
    """The whole body in one message, or None as soon as it is too long, whatever length its header claims."""
    pieces = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":  # the visitor has gone
            return message
        pieces += message.get("body", b"")
        if len(pieces) > limits.MAX_BODY_BYTES:
            return None
        if not message.get("more_body", False):
            return {"type": "http.request", "body": bytes(pieces), "more_body": False}
