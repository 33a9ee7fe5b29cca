"""JSON in change: other types, other names, texts with tricks, and what no JSON writer would write."""

import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from tests.fuzz.oddities import DEPTHS, JUNK, KEYS, NUMBERS, TEXTS, VERBATIM

Container = list[Any] | dict[str, Any]

LONG = 5_100_000
"""Characters that make an aspect larger than DataHub takes."""
LONG_ONCE_IN = 3_000
STOPS, STOPS_AT_ONCE = 0.1, 0.03
_MARK = "@!%d!@"


def mutated_json(dice: Random, body: bytes, others: Sequence[bytes]) -> bytes:
    """What servers do that mean something else, and those that mean ill. A body that is no JSON stays as it is."""
    try:
        document = _Document(dice, json.loads(body), others)
    except (ValueError, RecursionError):
        return body
    for _ in range(dice.choice((1, 1, 1, 2, 2, 3, 6))):
        document.change()
    return document.written()


class _Document:
    """A JSON value in change. What Python's JSON cannot write stands there as a mark until all is written."""

    def __init__(self, dice: Random, value: Any, others: Sequence[bytes]) -> None:
        self._dice = dice
        self._root = [value]
        self._others = others
        self._verbatim: list[bytes] = []

    def change(self) -> None:
        """Changes one thing somewhere."""
        container, key = self._spot(self._root)
        self._dice.choice(_JSON_CHANGES)(self, container, key)

    def written(self) -> bytes:
        """The value as one of many writers would write it."""
        dice = self._dice
        separators = dice.choice(((",", ":"), (", ", ": "), (" ,\n", "\t:\r")))
        text = json.dumps(self._root[0], ensure_ascii=dice.random() < 0.5, separators=separators)
        body = text.encode(errors="surrogatepass")
        for number, verbatim in enumerate(self._verbatim):
            body = body.replace(f'"{_MARK % number}"'.encode(), verbatim)
        return dice.choice(_ENVELOPES)(body) if dice.random() < 0.02 else body

    def replace(self, container: Container, key: Any) -> None:
        """Another type, perhaps."""
        container[key] = self._junk()

    def renumber(self, container: Container, key: Any) -> None:
        """A number that is at or beyond some limit, as a number or as text."""
        number = self._dice.choice(NUMBERS)
        container[key] = str(number) if self._dice.random() < 0.2 else number

    def write_badly(self, container: Container, key: Any) -> None:
        """What is no JSON, or only just."""
        container[key] = self._mark(self._dice.choice(VERBATIM))

    def nest(self, container: Container, key: Any) -> None:
        """Deeper than anybody means, closed or not."""
        depth = self._dice.choice(DEPTHS)
        opening, closing = self._dice.choice(((b"[", b"]"), (b'{"a":', b"}"), (b'{"info":', b"}")))
        container[key] = self._mark(opening * depth + b"1" + closing * self._dice.choice((depth, depth, depth - 1)))

    def put_text(self, container: Container, key: Any) -> None:
        """A text that tricks terminals, URNs, encodings or readers of numbers: alone or within what is there."""
        dice, text = self._dice, self._dice.choice(TEXTS)
        if dice.randrange(LONG_ONCE_IN) == 0:
            text = "x" * LONG
        there = container[key]
        if isinstance(there, str) and dice.random() < 0.6:
            at = dice.randint(0, len(there))
            text = there[:at] + text + there[at:]
        container[key] = text

    def put_key(self, container: Container, key: Any) -> None:
        """A field that is unknown, or one that belongs elsewhere."""
        if isinstance(container, dict):
            new = self._dice.choice(KEYS + TEXTS)
            container[new] = _copy(container[key]) if self._dice.random() < 0.5 else self._junk()

    def rename(self, container: Container, key: Any) -> None:
        """A field under another name."""
        if isinstance(container, dict):
            container[self._dice.choice(KEYS)] = container.pop(key)

    def repeat(self, container: Container, key: Any) -> None:
        """A row twice, or a field twice with two values."""
        if isinstance(container, list):
            container.insert(self._dice.randint(0, len(container)), _copy(container[key]))
        else:
            again = self._mark(json.dumps(key).encode())
            container[again] = _copy(container[key]) if self._dice.random() < 0.2 else self._junk()

    def swap(self, container: Container, key: Any) -> None:
        """Two values changed about."""
        keys: list[Any] = list(container) if isinstance(container, dict) else list(range(len(container)))
        other = self._dice.choice(keys)
        container[key], container[other] = container[other], container[key]

    def leave_out(self, container: Container, key: Any) -> None:
        """One less."""
        if container is not self._root:
            del container[key]

    def empty(self, container: Container, key: Any) -> None:
        """Nothing of its kind."""
        there = container[key]
        container[key] = type(there)() if there is not None else self._dice.choice(([], {}))

    def transplant(self, container: Container, key: Any) -> None:
        """A part of another body."""
        donor = [json.loads(self._dice.choice(self._others))]
        there, at = self._spot(donor)
        container[key] = there[at]

    def change_within_text(self, container: Container, key: Any) -> None:
        """JSON within a text, such as a dataset's schema."""
        there = container[key]
        if isinstance(there, str) and there[:1] in {"{", "["}:
            changed = mutated_json(self._dice, there.encode(errors="surrogatepass"), self._others)
            container[key] = changed.decode(errors="replace")
        else:
            self.change()

    def _spot(self, root: list[Any]) -> tuple[Any, Any]:
        """A place within: a container and the key of something in it."""
        dice = self._dice
        container: Any = root
        key: Any = 0
        while True:
            inner = container[key]
            stops = STOPS_AT_ONCE if container is root else STOPS
            if not isinstance(inner, dict | list) or not inner or dice.random() < stops:
                return container, key
            container = inner
            key = dice.choice(list(inner)) if isinstance(inner, dict) else dice.randrange(len(inner))

    def _junk(self) -> Any:
        return _copy(self._dice.choice(JUNK))

    def _mark(self, verbatim: bytes) -> str:
        self._verbatim.append(verbatim)
        return _MARK % (len(self._verbatim) - 1)


def _copy(value: Any) -> Any:
    """Another one, whose parts can change by themselves."""
    return json.loads(json.dumps(value))


_JSON_CHANGES: tuple[Callable[[_Document, Container, Any], None], ...] = (
    *(_Document.write_badly, _Document.nest),
    *(_Document.replace, _Document.renumber, _Document.put_key, _Document.rename, _Document.repeat) * 3,
    *(_Document.swap, _Document.leave_out, _Document.empty, _Document.transplant) * 3,
    *(_Document.put_text,) * 9,
    *(_Document.change_within_text,) * 6,
)
_ENVELOPES: tuple[Callable[[bytes], bytes], ...] = (
    lambda body: b"\xef\xbb\xbf" + body,
    lambda body: b"\n\n" + body + b"\n",
    lambda body: body + b"\x00",
    lambda body: body + body,
    lambda body: b")]}'\n" + body,
    lambda body: body.decode(errors="replace").encode("utf-16"),
    lambda body: body.decode(errors="replace").encode("utf-32-le"),
)
