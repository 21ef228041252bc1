"""What the records of Kafka's internal topics say: offsets, groups, transactions, metadata."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from pabal.data_files import StoredRecord
from pabal.record_codec import Cursor, Malformed, decode
from pabal.record_layouts import (
    DATA,
    METADATA,
    OFFSETS,
    SHARE_STATE,
    TRANSACTIONS,
    Layout,
)

__all__ = ["DECODERS", "Decoded", "decoder_of", "plain"]


class Decoded(NamedTuple):
    """A record of an internal topic.

    Attributes
    ----------
    type : int
        Which kind of record it is.
    version : int or None
        The version of its value; none if that is null.
    key, value : dict or None
        The fields, by Kafka's names; a null value deletes what its key names.
    """

    type: int
    version: int | None
    key: dict[str, Any] | None
    value: dict[str, Any] | None


def _coordinator(
    layouts: dict[int, tuple[Layout, Layout]],
) -> Callable[[StoredRecord], Decoded]:
    def decoded(record: StoredRecord) -> Decoded:
        if record.key is None:
            raise Malformed("the record has no key")
        cursor = Cursor(record.key)
        kind = cursor.number(">h")
        if kind not in layouts:
            raise UnknownType(kind)
        key_layout, value_layout = layouts[kind]
        key = decode(key_layout, key_layout.low, cursor)
        if record.value is None:
            return Decoded(kind, None, key, None)
        cursor = Cursor(record.value)
        version = cursor.number(">h")
        value = decode(value_layout, version, cursor)
        if value_layout.name == "GroupMetadataValue" and value["protocolType"] == "consumer":
            for member in value["members"]:
                _open(member, "subscription", DATA["ConsumerProtocolSubscription"])
                _open(member, "assignment", DATA["ConsumerProtocolAssignment"])
        return Decoded(kind, version, key, value)

    return decoded


def _open(member: dict[str, Any], name: str, layout: Layout) -> None:
    """Members' own words, which the coordinator does not read: bytes if they are something else."""
    cursor = Cursor(member[name])
    try:
        member[name] = decode(layout, cursor.number(">h"), cursor)
    except Malformed:
        pass


def _metadata(record: StoredRecord) -> Decoded:
    cursor = Cursor(record.value or b"")
    frame = cursor.unsigned()
    if frame != 1:
        raise Malformed(f"frames of version {frame} are not read, only of 1")
    kind, version = cursor.unsigned(), cursor.unsigned()
    if kind not in METADATA:
        raise UnknownType(kind)
    value = decode(METADATA[kind], version, cursor)
    if cursor.remaining():
        raise Malformed(f"{cursor.remaining()} bytes stand behind the last field")
    return Decoded(kind, version, None, value)


class UnknownType(Malformed):
    """A record of a type that this version does not know."""

    def __init__(self, kind: int) -> None:
        super().__init__(f"no record has the type {kind}")
        self.kind = kind


#: How records are decoded, by the names that ``pabal dump --decoder`` takes.
DECODERS: dict[str, Callable[[StoredRecord], Decoded]] = {
    "offsets": _coordinator(OFFSETS),
    "transactions": _coordinator(TRANSACTIONS),
    "metadata": _metadata,
    "share-state": _coordinator(SHARE_STATE),
}

_TOPICS = {
    "__consumer_offsets": "offsets",
    "__transaction_state": "transactions",
    "__cluster_metadata": "metadata",
    "__share_group_state": "share-state",
}


def decoder_of(directory: str, file: str) -> str | None:
    """What the records of a file are decoded by, as its place says; none for users' own.

    Examples
    --------
    >>> decoder_of("__consumer_offsets-7", "00000000000000000000.log")
    'offsets'
    >>> decoder_of("orders-0", "00000000000000000000.log")
    """
    if file.endswith(".checkpoint"):
        return "metadata"
    return _TOPICS.get(directory.rpartition("-")[0])


def type_name(decoder: str, kind: int) -> str:
    """What a type of record is called.

    Examples
    --------
    >>> type_name("metadata", 2), type_name("offsets", 1)
    ('TOPIC_RECORD', 'OFFSET_COMMIT')
    """
    layouts = {"offsets": OFFSETS, "transactions": TRANSACTIONS, "share-state": SHARE_STATE}
    if decoder == "metadata":
        name = METADATA[kind].name
    else:
        name = layouts[decoder][kind][1].name.removesuffix("Value")
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).upper()


def plain(value: Any) -> Any:
    """`value` as JSON can say it: bytes in base64.

    Examples
    --------
    >>> plain({"salt": b"abc", "ids": [1]})
    {'salt': 'YWJj', 'ids': [1]}
    """
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [plain(one) for one in value]
    return value
