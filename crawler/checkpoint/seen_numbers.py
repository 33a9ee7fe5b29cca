"""Which numbers were seen: a bit for each, so that ten million take 1.25 MB. Pure."""

from collections.abc import Iterator, Mapping

BLOCK_BYTES = 4_096
_NUMBERS_A_BLOCK = 8 * BLOCK_BYTES


class SeenNumbers:
    """A set of small numbers, in blocks that can be kept one by one."""

    def __init__(self, blocks: Mapping[int, bytes] | None = None) -> None:
        """Begin with the blocks that `changed` returned earlier."""
        self._blocks = {number: bytearray(bits) for number, bits in (blocks or {}).items()}
        self._changed: set[int] = set()

    def add(self, number: int) -> None:
        """Add a number."""
        block, place = divmod(number, _NUMBERS_A_BLOCK)
        bits = self._blocks.get(block)
        if bits is None:
            bits = self._blocks[block] = bytearray(BLOCK_BYTES)
        byte, bit = divmod(place, 8)
        if not bits[byte] >> bit & 1:
            bits[byte] |= 1 << bit
            self._changed.add(block)

    def __contains__(self, number: int) -> bool:
        """Whether a number was added."""
        block, place = divmod(number, _NUMBERS_A_BLOCK)
        bits = self._blocks.get(block)
        return bits is not None and bool(bits[place // 8] >> place % 8 & 1)

    def changed(self) -> Iterator[tuple[int, bytes]]:
        """Yield the blocks that have changed since the last call, with their numbers."""
        changed, self._changed = self._changed, set()
        for block in sorted(changed):
            yield block, bytes(self._blocks[block])
