"""records/*.rec → pabal/record_layouts.py: what `pabal dump` reads records by, as tables for one
reader, since the wheel has little room for a decoder of each record."""

from text import generated_from

# What the records of a topic stand in.
TOPICS = {
    "OFFSETS": ("group_offsets", "consumer_group", "share_group", "streams_group"),
    "TRANSACTIONS": ("transaction_state",),
    "SHARE_STATE": ("share_group_state",),
}


def camel(name):
    first, *others = name.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in others)


def default(field):
    """What a field is that nobody sets; only those of tagged ones matter to a reader."""
    if field.default == "null":
        return None
    if field.array:
        return ()
    if field.struct and field.tag is not None and field.default is None:
        return {}
    if field.default is None:
        zeros = {"bool": False, "string": "", "bytes": b"", "float64": 0.0,
                 "uuid": "AAAAAAAAAAAAAAAAAAAAAA"}
        return None if field.nullable else zeros.get(field.type, 0)
    if field.default in ("true", "false"):
        return field.default == "true"
    if field.type == "string":
        return field.default.strip('"')
    return float(field.default) if field.type == "float64" else int(field.default, 0)


def fields_of(fields, indent):
    lines = []
    for field in fields:
        inner = "()"
        if field.struct:
            inner = f"(\n{fields_of(field.struct.fields, indent + 4)}{' ' * (indent + 4)})"
        nullable = (field.nullable.low, field.nullable.high) if field.nullable else None
        tag = None
        if field.tag is not None:
            tag = (field.tag, field.tag_versions.low, field.tag_versions.high)
        lines.append(
            f"{' ' * (indent + 4)}Field({camel(field.name)!r}, "
            f"{('struct' if field.struct else field.type)!r}, {field.array!r}, "
            f"{field.versions.low}, {field.versions.high}, {nullable!r}, {tag!r}, "
            f"{default(field)!r}, {inner}),\n"
        )
    return "".join(lines)


def layout(message):
    return (
        f"Layout({message.name!r}, {message.versions.low}, {message.versions.high}, "
        f"{message.flexible!r}, (\n{fields_of(message.fields, 4)}    ))"
    )


def table(name, what, kind, rows):
    text = "".join(f"    {key!r}: {value},\n" for key, value in rows)
    return f"#: {what}\n{name}: {kind} = {{\n{text}}}\n"


def python(records):
    stems = {id(message): message.source.rsplit("/", 1)[-1].removesuffix(".rec")
             for message in records}
    tables = [
        table("METADATA", "The records of ``__cluster_metadata``, by their keys.",
              '"dict[int, Layout]"',
              [(one.key, layout(one)) for one in records
               if one.kind == "record" and stems[id(one)] == "cluster_metadata"]),
    ]
    for name, sources in TOPICS.items():
        own = [one for one in records if stems[id(one)] in sources]
        values = {one.key: one for one in own if one.kind == "value"}
        keys = [one for one in own if one.kind == "key"]
        rows = [(one.key, f"({layout(one)},\n    {layout(values[one.key])})") for one in keys]
        tables.append(
            table(name, f"Keys and values of the records in {', '.join(sources)}, by type.",
                  '"dict[int, tuple[Layout, Layout]]"', rows)
        )
    tables.append(
        table("DATA", "Small files, control records and what members say, by name.",
              '"dict[str, Layout]"',
              [(one.name, layout(one)) for one in records if one.kind == "data"])
    )
    body = "\n".join(tables)
    return f'''# {generated_from("records/*.rec")}
"""How Kafka's records of the internal topics and of small files are laid out."""

from typing import Any, NamedTuple

__all__ = ["DATA", "METADATA", "OFFSETS", "SHARE_STATE", "TRANSACTIONS", "Field", "Layout"]


class Field(NamedTuple):
    """One field: where it stands, and in which versions."""

    name: str
    type: str
    array: bool
    low: int
    high: int
    nullable: "tuple[int, int] | None"
    tag: "tuple[int, int, int] | None"
    default: Any
    fields: "tuple[Any, ...]"


class Layout(NamedTuple):
    """A record: its versions, the first flexible one, and its fields."""

    name: str
    low: int
    high: int
    flexible: "int | None"
    fields: "tuple[Field, ...]"


{body}'''


def outputs(records):
    return {"python/pabal/record_layouts.py": python(records)}
