"""What a test can have the double do instead of its own answer."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.gms import answers
from tests.gms.answers import Refusal
from tests.gms.behaviour import Behaviour


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One scripted answer; what is not said goes as usual.

    `hold` keeps the answer back until the event is set. `stored` writes the batch although the answer is a
    fault: a 500 or a lost connection proves nothing (SQL commits before MCLs are produced, ESI). `disconnect`
    closes the connection without an answer.
    """

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | bytes | dict[str, Any] | None = None
    disconnect: bool = False
    hold: asyncio.Event | None = None
    stored: bool = False

    @property
    def answers(self) -> bool:
        """Whether it takes the place of the double's own answer."""
        return self.disconnect or self.status is not None


Step = Fault | Callable[[list[dict[str, Any]]], Fault | None] | None
"""What happens to one batch: a fault, a function that chooses one by the proposals, or nothing special."""


def refusing(bad: Callable[[tuple[str, str]], bool], status: int = 422) -> Step:
    """Every batch that holds a bad (URN, aspect) is refused."""

    def rule(proposals: list[dict[str, Any]]) -> Fault | None:
        held = any(bad((each["entityUrn"], each["aspectName"])) for each in proposals)
        return Fault(status=status, body={"message": "it is bad"}) if held else None

    return rule


def fault_of(step: Step, proposals: list[dict[str, Any]]) -> Fault | None:
    """The fault that a step means for these proposals."""
    return step(proposals) if callable(step) else step


def scripted(door: Any, request: web.Request, fault: Fault, behaviour: Behaviour) -> web.Response:
    """A fault as a response; after a disconnect it has nowhere to go."""
    if fault.disconnect and request.transport:
        request.transport.abort()
    status = fault.status or 200
    response: web.Response
    if fault.body is None:
        response = door.error(Refusal(status, "scripted by the test"), behaviour)
        response.set_status(status)
    elif isinstance(fault.body, dict):
        response = answers.as_json(fault.body, status)
    else:
        body = fault.body.encode() if isinstance(fault.body, str) else fault.body
        response = web.Response(status=status, body=body)
    response.headers.update(fault.headers)
    return response
