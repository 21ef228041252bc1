"""Serializers and deserializers: objects to the bytes of keys and values, and back.

A serializer is any callable that takes an object and returns bytes (or None, a tombstone); a
deserializer takes bytes and returns an object. These here are Kafka's own, and JSON.

>>> long_serializer(7)
b'\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x07'
>>> json_deserializer(json_serializer({"id": 1}))
{'id': 1}
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import uuid

__all__ = [
    "SerializationError",
    "bytes_deserializer",
    "bytes_serializer",
    "double_deserializer",
    "double_serializer",
    "integer_deserializer",
    "integer_serializer",
    "json_deserializer",
    "json_serializer",
    "long_deserializer",
    "long_serializer",
    "short_deserializer",
    "short_serializer",
    "string_deserializer",
    "string_serializer",
    "uuid_deserializer",
    "uuid_serializer",
]

Serializer = Callable[[object], "bytes | None"]
Deserializer = Callable[[bytes], object]


class SerializationError(ValueError):
    """A key or value that cannot be turned into bytes, or bytes that are none of its kind.

    Attributes
    ----------
    topic : str
        The topic of the record.
    partition, offset : int or None
        Where the record stands; None for one that was not sent yet.
    field : str
        ``"key"`` or ``"value"``.
    """

    def __init__(
        self, topic: str, field: str, reason: str, partition: int | None, offset: int | None
    ) -> None:
        place = topic if partition is None else f"{topic}-{partition} at offset {offset}"
        super().__init__(f"the {field} of a record of {place} {reason}")
        self.topic = topic
        self.partition = partition
        self.offset = offset
        self.field = field

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuilt, (self.args, self.topic, self.partition, self.offset, self.field))


def _rebuilt(
    args: tuple[object, ...], topic: str, partition: int | None, offset: int | None, field: str
) -> SerializationError:
    error = SerializationError(topic, field, "", partition, offset)
    error.args = args
    return error


def serialized(serializer: Serializer, data: object, topic: str, field: str) -> bytes | None:
    """``data`` in bytes; errors name the topic and the field."""
    try:
        return serializer(data)
    except Exception as error:
        raise SerializationError(
            topic, field, f"cannot be serialized: {_reason(error)}", None, None
        ) from error


def deserialized(
    deserializer: Deserializer, data: bytes | None, topic: str, partition: int, offset: int,
    field: str,
) -> object:
    """What ``data`` means; errors name topic, partition, offset and field."""
    if data is None:
        return None
    try:
        return deserializer(data)
    except Exception as error:
        raise SerializationError(
            topic, field, f"cannot be deserialized: {_reason(error)}", partition, offset
        ) from error


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _typed(data: object, kind: type) -> None:
    if not isinstance(data, kind) or (kind is int and isinstance(data, bool)):
        raise TypeError(f"{data!r} is no {kind.__name__}")


def string_serializer(data: object) -> bytes | None:
    """A str as UTF-8."""
    if data is None:
        return None
    if not isinstance(data, str):
        raise TypeError(f"{data!r} is no str")
    return data.encode()


def string_deserializer(data: bytes) -> str:
    """UTF-8 as a str."""
    return data.decode()


def bytes_serializer(data: object) -> bytes | None:
    """Bytes as they are."""
    if data is None:
        return None
    if not isinstance(data, bytes | bytearray | memoryview):
        raise TypeError(f"{data!r} is not bytes")
    return bytes(data)


def bytes_deserializer(data: bytes) -> bytes:
    """Bytes as they are."""
    return data


def _packing(form: str, kind: type) -> Serializer:
    packer = struct.Struct(form)

    def serialize(data: object) -> bytes | None:
        if data is None:
            return None
        if kind is float and isinstance(data, int) and not isinstance(data, bool):
            data = float(data)
        _typed(data, kind)
        return packer.pack(data)

    return serialize


def _unpacking(form: str) -> Callable[[bytes], object]:
    packer = struct.Struct(form)

    def deserialize(data: bytes) -> object:
        if len(data) != packer.size:
            raise ValueError(f"{len(data)} bytes instead of {packer.size}")
        return packer.unpack(data)[0]

    return deserialize


short_serializer = _packing(">h", int)
short_deserializer = _unpacking(">h")
integer_serializer = _packing(">i", int)
integer_deserializer = _unpacking(">i")
long_serializer = _packing(">q", int)
long_deserializer = _unpacking(">q")
double_serializer = _packing(">d", float)
double_deserializer = _unpacking(">d")
for _name, _words in (
    ("short", "a 16-bit integer, big-endian"),
    ("integer", "a 32-bit integer, big-endian"),
    ("long", "a 64-bit integer, big-endian"),
    ("double", "a float of 64 bits, big-endian"),
):
    globals()[f"{_name}_serializer"].__doc__ = f"An int or float as {_words}."
    globals()[f"{_name}_deserializer"].__doc__ = f"The bytes of {_words}, as a number."


def uuid_serializer(data: object) -> bytes | None:
    """A `uuid.UUID` as its text, as the Java client writes it."""
    # Imported here: it takes longer than all else that a client needs.
    from uuid import UUID

    if data is None:
        return None
    if not isinstance(data, UUID):
        raise TypeError(f"{data!r} is no UUID")
    return str(data).encode()


def uuid_deserializer(data: bytes) -> uuid.UUID:
    """The text of a UUID as a `uuid.UUID`."""
    from uuid import UUID

    return UUID(data.decode())


def json_serializer(data: object) -> bytes | None:
    """Whatever `json` can write, in UTF-8; None is a tombstone."""
    if data is None:
        return None
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()


def json_deserializer(data: bytes) -> object:
    """What `json` reads."""
    return json.loads(data)
