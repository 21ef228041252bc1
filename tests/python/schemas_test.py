"""Serializers with schemas, alone and in Confluent's wire format."""

from __future__ import annotations

import importlib
import struct
from typing import Any

import pytest
from clients_world import fresh, read

import pabal
from pabal import schemas
from pabal.serializers import SerializationError

ORDER: dict[str, Any] = {
    "type": "record",
    "name": "Order",
    "fields": [{"name": "item", "type": "string"}, {"name": "cups", "type": "int"}],
}
ORDER_JSON = {
    "type": "object",
    "properties": {"item": {"type": "string"}, "lines": {"items": {"type": "integer"}}},
    "required": ["item"],
}


def framed(schema_id: int, payload: bytes) -> bytes:
    return b"\0" + struct.pack(">I", schema_id) + payload


@pytest.mark.parametrize(
    ("kind", "schema", "value", "wrong", "why"),
    [
        ("Avro", ORDER, {"item": "tea", "cups": 2}, {"item": "tea", "cups": "two"}, "cups"),
        ("JsonSchema", ORDER_JSON, {"item": "tea", "lines": [1]}, {"lines": []}, "item"),
    ],
)
def test_objects_go_and_come(
    kind: str, schema: object, value: object, wrong: object, why: str
) -> None:
    serializer = getattr(schemas, f"{kind}Serializer")
    deserializer = getattr(schemas, f"{kind}Deserializer")
    with pabal.Cluster() as cluster:
        topic = fresh()
        with cluster.producer(value_serializer=serializer(schema, schema_id=258)) as producer:
            producer.send(topic, value, partition=0)
            producer.send(topic, None, partition=0)
            with pytest.raises(SerializationError, match=why) as raised:
                producer.send(topic, wrong)
            assert (raised.value.topic, raised.value.field) == (topic, "value")
        with cluster.producer() as producer:
            producer.send(topic, framed(7, b""), partition=0)
        asked: list[int] = []

        def look_up(schema_id: int) -> object:
            asked.append(schema_id)
            return {258: schema}[schema_id]

        with cluster.consumer(
            topic, auto_offset_reset="earliest", value_deserializer=deserializer(schemas=look_up)
        ) as consumer:
            first, second = read(consumer, 2)
            assert first.value == value
            assert second.value is None
            with pytest.raises(SerializationError, match="no schema with the id 7") as raised:
                read(consumer, 1)
            error = raised.value
            assert (error.topic, error.partition, error.offset) == (topic, 0, 2)
            assert error.field == "value"
        assert asked == [258, 7]


def test_avro_is_read_by_another_schema() -> None:
    sugar = {"name": "sugar", "type": "boolean", "default": True}
    later = {**ORDER, "fields": [*ORDER["fields"], sugar]}
    data = schemas.AvroSerializer(ORDER, schema_id=1)({"item": "tea", "cups": 2})
    assert data is not None
    assert data[:5] == framed(1, b"")
    got = schemas.AvroDeserializer(later, schemas={1: ORDER})(data)
    assert got == {"item": "tea", "cups": 2, "sugar": True}
    assert schemas.AvroDeserializer(ORDER)(data[5:]) == {"item": "tea", "cups": 2}
    with pytest.raises(ValueError, match="left over"):
        schemas.AvroDeserializer(ORDER)(data[5:] + b"x")
    with pytest.raises(Exception, match=r"."):
        schemas.AvroSerializer({"type": "record"})


def test_json_names_the_place_that_is_wrong() -> None:
    with pytest.raises(ValueError, match=r"\$\.lines\[1\].*'x' is not of type 'integer'"):
        schemas.JsonSchemaDeserializer(ORDER_JSON)(b'{"item":"tea","lines":[1,"x"]}')
    with pytest.raises(Exception, match="nonsense"):
        schemas.JsonSchemaSerializer({"type": "nonsense"})


def test_protobuf_messages_go_and_come() -> None:
    from google.protobuf import descriptor_pb2, wrappers_pb2

    first = descriptor_pb2.FileDescriptorSet(
        file=[descriptor_pb2.FileDescriptorProto(name="orders.proto")]
    )
    data = schemas.ProtobufSerializer(descriptor_pb2.FileDescriptorSet, schema_id=3)(first)
    # The first message of a file is a zero.
    assert data == framed(3, b"\0" + first.SerializeToString())
    nested = descriptor_pb2.DescriptorProto.ExtensionRange(start=5)
    data = schemas.ProtobufSerializer(type(nested), schema_id=3)(nested)
    at = list(descriptor_pb2.DESCRIPTOR.message_types_by_name).index("DescriptorProto")
    assert data == framed(3, bytes([4, at * 2, 0]) + nested.SerializeToString())
    by_file = schemas.ProtobufDeserializer(schemas={3: descriptor_pb2})
    assert by_file(data) == nested
    with pytest.raises(ValueError, match="no Int64Value"):
        schemas.ProtobufDeserializer(wrappers_pb2.Int64Value, schemas={3: descriptor_pb2})(data)
    with pytest.raises(ValueError, match="has no message at"):
        by_file(framed(3, bytes([4, 254, 1, 0])))
    with pytest.raises(ValueError, match="cut off"):
        by_file(framed(3, b"\x80"))
    with pytest.raises(TypeError, match="int is no Int64Value"):
        schemas.ProtobufSerializer(wrappers_pb2.Int64Value)(7)
    assert schemas.ProtobufSerializer(wrappers_pb2.Int64Value)(None) is None
    one = schemas.ProtobufDeserializer(schemas={1: wrappers_pb2.Int64Value})
    assert one(framed(1, b"\0\x08\x07")).value == 7


def test_what_is_no_wire_format_is_told() -> None:
    reader = schemas.JsonSchemaDeserializer(schemas={})
    with pytest.raises(ValueError, match="2 bytes are too few"):
        reader(b"{}")
    with pytest.raises(ValueError, match="begins with 123"):
        reader(b'{"item":"tea"}')
    for kind in (schemas.AvroDeserializer, schemas.JsonSchemaDeserializer):
        with pytest.raises(TypeError, match="takes a schema"):
            kind()
    with pytest.raises(TypeError, match="takes a type"):
        schemas.ProtobufDeserializer()
    with pytest.raises(ValueError, match="a number from 0"):
        schemas.JsonSchemaSerializer({}, schema_id=-1)


def test_a_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    original = importlib.import_module

    def without(name: str, package: str | None = None) -> Any:
        if name == "fastavro":
            raise ModuleNotFoundError(name)
        return original(name, package)

    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(ImportError, match=r"pip install pabal\[avro\]"):
        schemas.AvroSerializer("long")
