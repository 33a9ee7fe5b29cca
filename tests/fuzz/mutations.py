"""Bodies as broken, odd and hostile servers would send them: made of good ones, by dice that can be thrown again."""

from collections.abc import Callable, Sequence
from random import Random

from tests.fuzz.json_mutations import mutated_json
from tests.fuzz.oddities import PIECES


def mutated(dice: Random, body: bytes, others: Sequence[bytes]) -> bytes:
    """The body with a few things wrong: as JSON, as bytes, or both. `others` are bodies to take parts from."""
    way = dice.random()
    if way < 0.87:
        body = mutated_json(dice, body, others)
    if way > 0.8:
        body = mutated_bytes(dice, body, others)
    return body


def mutated_bytes(dice: Random, body: bytes, others: Sequence[bytes]) -> bytes:
    """What lines, disks and proxies do to a body."""
    changed = bytearray(body)
    for _ in range(dice.choice((1, 1, 1, 2, 3, 8))):
        dice.choice(_BYTE_CHANGES)(dice, changed, others)
    return bytes(changed)


def _flip(dice: Random, body: bytearray, _: Sequence[bytes]) -> None:
    if body:
        body[dice.randrange(len(body))] ^= 1 << dice.randrange(8)


def _insert(dice: Random, body: bytearray, _: Sequence[bytes]) -> None:
    at = dice.randint(0, len(body))
    body[at:at] = dice.choice(PIECES) if dice.random() < 0.7 else bytes([dice.randrange(256)])


def _delete(dice: Random, body: bytearray, _: Sequence[bytes]) -> None:
    at = dice.randint(0, len(body))
    del body[at : at + dice.choice((1, 1, 2, 8, 64))]


def _double(dice: Random, body: bytearray, _: Sequence[bytes]) -> None:
    at = dice.randint(0, len(body))
    body[at:at] = body[at : at + dice.choice((1, 4, 32, 256))]


def _overwrite(dice: Random, body: bytearray, _: Sequence[bytes]) -> None:
    at, length = dice.randint(0, len(body)), dice.choice((1, 1, 4, 32))
    body[at : at + length] = dice.choice((b"\x00", b"\xff", b" ", b"0")) * length


def _truncate(dice: Random, body: bytearray, _: Sequence[bytes]) -> None:
    del body[dice.randint(0, len(body)) :]


def _splice(dice: Random, body: bytearray, others: Sequence[bytes]) -> None:
    other = dice.choice(others)
    body[dice.randint(0, len(body)) :] = other[dice.randint(0, len(other)) :]


_BYTE_CHANGES: tuple[Callable[[Random, bytearray, Sequence[bytes]], None], ...] = (
    *(_flip, _flip, _insert, _insert, _delete, _double, _overwrite, _truncate, _splice),
)
