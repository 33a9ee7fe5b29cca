"""How far GMS' consumer is in its queue of proposals (`KafkaController.java`, `getMCPOffsets`): pure.

Reading it takes the privilege Manage System Operations. Older servers answer `{group: {topic: …}}`, newer ones
`{"consumerGroupId": group, "topics": {topic: …}}`.
"""

from collections.abc import Iterator, Mapping

import msgspec

from crawler.errors import DecodeError

PATH = "/openapi/operations/kafka/mcp/consumer/offsets?skipCache=true&detailed=true"


class QueueOffsets(msgspec.Struct, frozen=True):
    """The consumer's position in each partition of the queue, and where the partition ends; numbers of proposals."""

    positions: Mapping[str, int]
    ends: Mapping[str, int]

    @property
    def lag(self) -> int:
        """How many proposals, of all writers, are in the queue."""
        return sum(self.ends.values()) - sum(self.positions.values())

    def has_passed(self, ends: Mapping[str, int]) -> bool:
        """Return True if all that was in the queue when it had these ends is consumed."""
        return all(self.positions.get(partition, 0) >= end for partition, end in ends.items())


class _Partition(msgspec.Struct):
    offset: int
    lag: int | None = None


class _Topic(msgspec.Struct):
    partitions: dict[str, _Partition] | None = None


class _Answer(msgspec.Struct):
    topics: dict[str, _Topic] | None = None


_decode = msgspec.json.Decoder(_Answer).decode
_decode_groups = msgspec.json.Decoder(dict[str, dict[str, _Topic]]).decode


def decode_offsets(answer: bytes) -> QueueOffsets:
    """Return what an answer says of the queue.

    Raises:
        DecodeError: It says nothing of any partition.
    """
    try:
        partitions = {
            f"{topic} {number}": partition
            for topic, found in _topics(answer)
            for number, partition in (found.partitions or {}).items()
        }
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(f"What DataHub tells of its queue cannot be read: {error}.") from None
    if not partitions or any(each.lag is None for each in partitions.values()):
        raise DecodeError("DataHub does not tell how far its queue is.")
    return QueueOffsets(
        {name: each.offset for name, each in partitions.items()},
        {name: each.offset + (each.lag or 0) for name, each in partitions.items()},
    )


def _topics(answer: bytes) -> Iterator[tuple[str, _Topic]]:
    topics = _decode(answer).topics
    if topics is not None:
        yield from topics.items()
        return
    for group in _decode_groups(answer).values():
        yield from group.items()
