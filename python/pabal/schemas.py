"""Serializers with schemas: Avro, Protobuf and JSON Schema, alone or in Confluent's wire format.

Each needs a library: ``pip install pabal[avro]``, ``pabal[protobuf]`` or ``pabal[jsonschema]``.
With a ``schema_id`` a record begins as the serializers of Confluent write it: a zero byte and the
id of its schema. Whoever reads such records says where schemas come from, a dict or a callable;
no registry has to run.

>>> from pabal.schemas import JsonSchemaDeserializer, JsonSchemaSerializer
>>> order = {"type": "object", "properties": {"cups": {"type": "integer"}}}
>>> JsonSchemaSerializer(order, schema_id=7)({"cups": 2})
b'\\x00\\x00\\x00\\x00\\x07{"cups":2}'
>>> JsonSchemaDeserializer(schemas={7: order})(b'\\x00\\x00\\x00\\x00\\x07{"cups":2}')
{'cups': 2}
"""

from __future__ import annotations

import importlib
import io
import json
import struct
from collections.abc import Callable, Mapping
from typing import Any

__all__ = [
    "AvroDeserializer",
    "AvroSerializer",
    "JsonSchemaDeserializer",
    "JsonSchemaSerializer",
    "ProtobufDeserializer",
    "ProtobufSerializer",
]

Schemas = Mapping[int, Any] | Callable[[int], Any]

_MAGIC = 0
_HEAD = struct.Struct(">BI")


class AvroSerializer:
    """Objects of an Avro schema to bytes.

    Parameters
    ----------
    schema : dict, list or str
        The schema, or its JSON text.
    schema_id : int, optional
        Its id, for Confluent's wire format; without it the bytes are Avro's alone.

    Examples
    --------
    >>> AvroSerializer("long")(7)
    b'\\x0e'
    >>> AvroSerializer("long", schema_id=1)(7)
    b'\\x00\\x00\\x00\\x00\\x01\\x0e'
    """

    def __init__(self, schema: object, schema_id: int | None = None) -> None:
        self._avro = _library("fastavro", "avro")
        self._schema = _parsed_avro(self._avro, schema)
        self._head = _head(schema_id)

    def __call__(self, data: object) -> bytes | None:
        """``data`` in bytes; None is a tombstone."""
        if data is None:
            return None
        out = io.BytesIO()
        out.write(self._head)
        self._avro.schemaless_writer(out, self._schema, data, strict=True)
        return out.getvalue()


class AvroDeserializer:
    """Bytes of an Avro schema to objects.

    Parameters
    ----------
    schema : dict, list or str, optional
        What records are read as. Without ``schemas`` it is also what they were written as.
    schemas : mapping of int to schema, or callable, optional
        What they were written as, by the id in Confluent's wire format.

    Examples
    --------
    >>> AvroDeserializer("long")(b"\\x0e")
    7
    >>> AvroDeserializer(schemas={1: "long"})(b"\\x00\\x00\\x00\\x00\\x01\\x0e")
    7
    """

    def __init__(self, schema: object = None, *, schemas: Schemas | None = None) -> None:
        if schema is None and schemas is None:
            raise TypeError("AvroDeserializer() takes a schema, schemas by id, or both")
        self._avro = _library("fastavro", "avro")
        self._schema = None if schema is None else _parsed_avro(self._avro, schema)
        self._schemas = _Source(schemas, lambda found: _parsed_avro(self._avro, found))

    def __call__(self, data: bytes) -> object:
        """What ``data`` means."""
        if self._schemas.is_framed:
            written, data = self._schemas.of(data)
            reader = self._schema
        else:
            written, reader = self._schema, None
        source = io.BytesIO(data)
        value: object = self._avro.schemaless_reader(source, written, reader)
        if source.tell() != len(data):
            raise ValueError(f"{len(data) - source.tell()} bytes are left over")
        return value


class JsonSchemaSerializer:
    """Objects that a JSON Schema permits to JSON.

    Parameters
    ----------
    schema : dict or str
        The schema, or its text.
    schema_id : int, optional
        Its id, for Confluent's wire format; without it the bytes are JSON alone.

    Examples
    --------
    >>> JsonSchemaSerializer({"type": "integer"})("two")
    Traceback (most recent call last):
    ValueError: the value itself: 'two' is not of type 'integer'
    """

    def __init__(self, schema: object, schema_id: int | None = None) -> None:
        self._validator = _validator(schema)
        self._head = _head(schema_id)

    def __call__(self, data: object) -> bytes | None:
        """``data`` in bytes; None is a tombstone."""
        if data is None:
            return None
        _validate(self._validator, data)
        text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
        return self._head + text.encode()


class JsonSchemaDeserializer:
    """JSON to objects that a JSON Schema permits.

    Parameters
    ----------
    schema : dict or str, optional
        What records have to keep to. With ``schemas`` both have to be kept.
    schemas : mapping of int to schema, or callable, optional
        What they have to keep to, by the id in Confluent's wire format.

    Examples
    --------
    >>> JsonSchemaDeserializer({"type": "integer"})(b"2")
    2
    """

    def __init__(self, schema: object = None, *, schemas: Schemas | None = None) -> None:
        if schema is None and schemas is None:
            raise TypeError("JsonSchemaDeserializer() takes a schema, schemas by id, or both")
        self._validator = None if schema is None else _validator(schema)
        self._schemas = _Source(schemas, _validator)

    def __call__(self, data: bytes) -> object:
        """What ``data`` means."""
        written = None
        if self._schemas.is_framed:
            written, data = self._schemas.of(data)
        value = json.loads(data)
        for validator in (written, self._validator):
            if validator is not None:
                _validate(validator, value)
        return value


class ProtobufSerializer:
    """Messages of one type to bytes.

    Parameters
    ----------
    message_type : type
        The class that protoc generated.
    schema_id : int, optional
        The id of its file's schema, for Confluent's wire format; without it the bytes are
        Protobuf's alone.

    Examples
    --------
    >>> from google.protobuf.wrappers_pb2 import Int64Value
    >>> ProtobufSerializer(Int64Value)(Int64Value(value=7))
    b'\\x08\\x07'
    """

    def __init__(self, message_type: type, schema_id: int | None = None) -> None:
        _library("google.protobuf", "protobuf")
        self._type = message_type
        self._head = _head(schema_id)
        if schema_id is not None:
            self._head += _indexes_of(_descriptor(message_type))

    def __call__(self, data: object) -> bytes | None:
        """``data`` in bytes; None is a tombstone."""
        if data is None:
            return None
        if not isinstance(data, self._type):
            raise TypeError(f"{type(data).__name__} is no {self._type.__name__}")
        message: Any = data
        return self._head + bytes(message.SerializeToString())


class ProtobufDeserializer:
    """Bytes to messages.

    Parameters
    ----------
    message_type : type, optional
        The class that protoc generated. With ``schemas``, what records have to be.
    schemas : mapping of int to module or type, or callable, optional
        By the id in Confluent's wire format, what protoc generated of the file: the module, or the
        only message's class.

    Examples
    --------
    >>> from google.protobuf import wrappers_pb2
    >>> ProtobufDeserializer(wrappers_pb2.Int64Value)(b"\\x08\\x07").value
    7
    """

    def __init__(
        self, message_type: type | None = None, *, schemas: Schemas | None = None
    ) -> None:
        if message_type is None and schemas is None:
            raise TypeError("ProtobufDeserializer() takes a type, schemas by id, or both")
        _library("google.protobuf", "protobuf")
        self._type = message_type
        self._schemas = _Source(schemas, lambda found: found)

    def __call__(self, data: bytes) -> Any:
        """What ``data`` means."""
        kind: Any = self._type
        if self._schemas.is_framed:
            schema, data = self._schemas.of(data)
            path, data = _read_indexes(data)
            kind = _message_at(schema, path)
            if self._type is not None and kind is not self._type:
                raise ValueError(f"it is a {kind.__name__}, no {self._type.__name__}")
        return kind.FromString(data)


class _Source:
    """Schemas by their ids, each prepared once."""

    def __init__(self, schemas: Schemas | None, prepare: Callable[[Any], Any]) -> None:
        self.is_framed = schemas is not None
        self._schemas = schemas
        self._prepare = prepare
        self._known: dict[int, Any] = {}

    def of(self, data: bytes) -> tuple[Any, bytes]:
        """The schema of a record in Confluent's wire format, and what follows its id."""
        if len(data) < _HEAD.size:
            raise ValueError(f"{len(data)} bytes are too few for Confluent's wire format")
        magic, schema_id = _HEAD.unpack_from(data)
        if magic != _MAGIC:
            raise ValueError(f"it begins with {magic}, not as Confluent's wire format with zero")
        if schema_id not in self._known:
            self._known[schema_id] = self._prepare(self._look_up(schema_id))
        return self._known[schema_id], data[_HEAD.size :]

    def _look_up(self, schema_id: int) -> Any:
        try:
            if callable(self._schemas):
                found = self._schemas(schema_id)
            else:
                found = None if self._schemas is None else self._schemas[schema_id]
        except LookupError:
            found = None
        if found is None:
            raise ValueError(f"there is no schema with the id {schema_id}")
        return found


def _library(name: str, extra: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ImportError(f"{name} is not installed: pip install pabal[{extra}]") from None


def _head(schema_id: int | None) -> bytes:
    if schema_id is None:
        return b""
    if isinstance(schema_id, bool) or not isinstance(schema_id, int) or not 0 <= schema_id < 2**32:
        raise ValueError(f"the id of a schema is a number from 0, not {schema_id!r}")
    return _HEAD.pack(_MAGIC, schema_id)


def _parsed_avro(avro: Any, schema: object) -> Any:
    if isinstance(schema, str) and schema.lstrip()[:1] in ('"', "{", "["):
        schema = json.loads(schema)
    return avro.parse_schema(schema)


def _validator(schema: object) -> Any:
    library = _library("jsonschema", "jsonschema")
    given = json.loads(schema) if isinstance(schema, str) else schema
    kind = library.validators.validator_for(given)
    kind.check_schema(given)
    return kind(given)


def _validate(validator: Any, data: object) -> None:
    library = importlib.import_module("jsonschema")
    error = library.exceptions.best_match(validator.iter_errors(data))
    if error is not None:
        place = error.json_path if error.absolute_path else "the value itself"
        raise ValueError(f"{place}: {error.message}")


def _descriptor(message_type: Any) -> Any:
    try:
        return message_type.DESCRIPTOR
    except AttributeError:
        raise TypeError(f"{message_type!r} is no class that protoc generated") from None


def _indexes_of(descriptor: Any) -> bytes:
    """Where a message stands in its file, as Confluent writes it: of the first one a zero."""
    path: list[int] = []
    while descriptor is not None:
        parent = descriptor.containing_type
        siblings = [one.name for one in _messages_in(parent or descriptor.file)]
        path.insert(0, siblings.index(descriptor.name))
        descriptor = parent
    if path == [0]:
        return b"\0"
    return b"".join(_varint(number) for number in (len(path), *path))


def _messages_in(owner: Any) -> list[Any]:
    """The messages of a file, or of a message, in their order there."""
    if hasattr(owner, "nested_types"):
        return list(owner.nested_types)
    return list(owner.message_types_by_name.values())


def _varint(number: int) -> bytes:
    number <<= 1  # Zigzag of what is not negative.
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _read_indexes(data: bytes) -> tuple[list[int], bytes]:
    count, at = _read_varint(data, 0)
    if count == 0:
        return [0], data[at:]
    path = []
    for _ in range(count):
        index, at = _read_varint(data, at)
        path.append(index)
    return path, data[at:]


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while at < len(data) and shift < 35:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return number >> 1 ^ -(number & 1), at
    raise ValueError("the place of the message in its file is cut off")


def _message_at(schema: Any, path: list[int]) -> Any:
    if isinstance(schema, type):
        return schema
    messages = _messages_in(schema.DESCRIPTOR)
    found = None
    for index in path:
        if not 0 <= index < len(messages):
            raise ValueError(f"{schema.DESCRIPTOR.name} has no message at {path}")
        found = messages[index]
        messages = _messages_in(found)
    factory = importlib.import_module("google.protobuf.message_factory")
    return factory.GetMessageClass(found)
