"""What consumers hand out: records, and batches of them for Arrow."""

from __future__ import annotations

from typing import NamedTuple

from pabal._core import ArrowBatch, Record

__all__ = ["ArrowBatch", "OffsetAndMetadata", "Record", "TopicPartition"]


class TopicPartition(NamedTuple):
    """A partition of a topic.

    Examples
    --------
    >>> TopicPartition("orders", 0)
    TopicPartition(topic='orders', partition=0)
    """

    topic: str
    partition: int


class OffsetAndMetadata(NamedTuple):
    """A position that a group committed: the offset of the next record, and a text of one's own.

    Examples
    --------
    >>> OffsetAndMetadata(42)
    OffsetAndMetadata(offset=42, metadata='', leader_epoch=-1)
    """

    offset: int
    metadata: str = ""
    leader_epoch: int = -1
