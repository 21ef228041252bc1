"""configs.table → wire/config_table.cc and pabal/config.py. The header, wire/config_table.h, is
written by hand, as it does not depend on the rows."""

import re
from dataclasses import dataclass, field
from typing import Optional

from text import TableError, cpp_string, generated_from, rows

TYPES = {"boolean": "boolean", "string": "string", "int": "int32", "short": "int16",
         "long": "int64", "double": "float64", "list": "list", "password": "password"}
UPDATES = {"read-only": "read_only", "per-broker": "per_broker", "cluster-wide": "cluster_wide"}
SCOPES = ("broker", "group", "topic")


@dataclass
class ConfigRow:
    scope: str
    name: str
    type: str
    required: bool
    default: Optional[str]  # Kafka's; None for null.
    ours: Optional[str] = None
    reason: str = ""
    low: Optional[int] = None
    high: Optional[int] = None
    also: Optional[int] = None
    allowed: list = field(default_factory=list)
    update: str = "read-only"
    synonyms: list = field(default_factory=list)  # (name, factor)
    sensitive: bool = False
    sim: Optional[tuple] = None
    refused: list = field(default_factory=list)  # (value, reason)
    doc: str = ""


def bounds(word):
    match = re.fullmatch(r"(-?\d*)\.\.(-?\d*)", word)
    if not match:
        raise ValueError(f"`{word}` means nothing here")
    return [int(side) if side else None for side in match.groups()]


def read_row(words):
    row = ConfigRow(words[0], words[1], words[2], words[3] == "required",
                    None if words[3] in ("required", "null") else words[3])
    if row.default == '""':
        row.default = ""
    if row.type not in TYPES:
        raise ValueError(f"`{row.type}` is no type")
    words = words[4:]
    while words:
        word = words.pop(0)
        if word in UPDATES:
            row.update = word
        elif word == "sensitive":
            row.sensitive = True
        elif word == "also":
            row.also = int(words.pop(0))
        elif word == "one-of":
            row.allowed = words.pop(0).split("|")
        elif word == "sim":
            row.sim = tuple(bounds(words.pop(0)))
        elif word == "from":
            while words and re.fullmatch(r"[a-z]\w*(\.\w+)+(\*\d+)?", words[0]):
                name, _, factor = words.pop(0).partition("*")
                row.synonyms.append((name, int(factor or 1)))
        else:
            row.low, row.high = bounds(word)
    return row


def read(path):
    """The rows, and the names that are known but not used as (scope, name)."""
    found, known = [], []
    for number, line in rows(path):
        words = line.split()
        try:
            if line.startswith(" "):
                row, sentence = found[-1], line.strip()
                own = re.match(r"(ours|refused) (\S+): (.*)", sentence)
                if own and own[1] == "ours":
                    row.ours, row.reason = own[2], own[3]
                elif own:
                    row.refused.append((own[2], own[3]))
                else:
                    row.doc = f"{row.doc} {sentence}".strip()
            elif words[0] == "known" and words[1] in SCOPES:
                known.append((words[1], words[2]))
            elif words[0] in SCOPES:
                found.append(read_row(words))
            else:
                raise ValueError("a row begins with broker, group, topic or known")
        except (ValueError, IndexError) as error:
            raise TableError(path, number, str(error)) from error
    check(path, found, known)
    return found, known


def check(path, found, known):
    names = [(row.scope, row.name) for row in found] + known
    for name in names:
        if names.count(name) > 1:
            raise TableError(path, 0, f"{name[0]} {name[1]} stands here twice")
    for row in found:
        if not row.doc:
            raise TableError(path, 0, f"{row.name} has no sentence")
        for synonym, _ in row.synonyms:
            if ("broker", synonym) not in names[: len(found)]:
                raise TableError(path, 0, f"{row.name} falls back on {synonym}, which is no row")


def optional(value):
    return "std::nullopt" if value is None else f"{value}LL"


def text_or_null(value):
    return "std::nullopt" if value is None else cpp_string(value)


def array(kind, name, items):
    return f"constexpr {kind} {name}[] = {{{', '.join(items)}}};"


def source(found, known):
    arrays, lines = [], []
    for index, row in enumerate(sorted(found, key=lambda row: (row.scope, row.name))):
        spans = {}
        for what, kind, items in (
            ("allowed", "std::string_view", [cpp_string(value) for value in row.allowed]),
            ("synonyms", "ConfigSynonym", [f'{{"{n}", {f}}}' for n, f in row.synonyms]),
            ("refused", "RefusedValue",
             [f"{{{cpp_string(v)}, {cpp_string(r)}}}" for v, r in row.refused]),
        ):
            spans[what] = "{}"
            if items:
                spans[what] = f"{what}_{index}"
                arrays.append(array(kind, spans[what], items))
        ours = row.default if row.ours is None else row.ours
        sim = row.sim or (None, None)
        lines.append(
            f'    {{.name = "{row.name}",\n'
            f"     .scope = ConfigScope::{row.scope},\n"
            f"     .type = ConfigType::{TYPES[row.type]},\n"
            f"     .update = UpdateMode::{UPDATES[row.update]},\n"
            f"     .required = {str(row.required).lower()},\n"
            f"     .sensitive = {str(row.sensitive).lower()},\n"
            f"     .default_value = {text_or_null(ours)},\n"
            f"     .kafka_default = {text_or_null(row.default)},\n"
            f"     .min = {optional(row.low)},\n     .max = {optional(row.high)},\n"
            f"     .also = {optional(row.also)},\n"
            f"     .allowed = {spans['allowed']},\n     .synonyms = {spans['synonyms']},\n"
            f"     .refused = {spans['refused']},\n"
            f"     .sim_min = {optional(sim[0])},\n     .sim_max = {optional(sim[1])},\n"
            f"     .doc = {cpp_string(row.doc)},\n"
            f"     .reason = {cpp_string(row.reason)}}},"
        )
    unused = "\n".join(f'    {{ConfigScope::{scope}, "{name}"}},' for scope, name in sorted(known))
    array_text = "\n".join(arrays)
    row_text = "\n".join(lines)
    return f"""// {generated_from("configs.table")}
#include "wire/config_table.h"

namespace pabal::wire {{
namespace {{

{array_text}

// By scope, then name.
constexpr ConfigRow rows[] = {{
{row_text}
}};

constexpr UnusedConfig unused[] = {{
{unused}
}};

}}  // namespace

std::span<const ConfigRow> config_table() {{ return rows; }}
std::span<const UnusedConfig> unused_configs() {{ return unused; }}

}}  // namespace pabal::wire
"""


def python_value(row, text):
    if text is None:
        return None
    if row.type == "boolean":
        return text == "true"
    if row.type in ("int", "short", "long"):
        return int(text)
    if row.type == "list":
        return [part for part in text.split(",") if part]
    return text


def python(found, known):
    entries = []
    for row in sorted(found, key=lambda row: (row.scope, row.name)):
        ours = row.default if row.ours is None else row.ours
        entries.append(
            f"    Config({row.name!r}, {row.scope!r}, {row.type!r}, "
            f"{python_value(row, ours)!r}, {python_value(row, row.default)!r},\n"
            f"           {row.required!r}, {row.low!r}, {row.high!r}, {tuple(row.allowed)!r}, "
            f"{row.update!r},\n           {row.doc!r},\n           {row.reason!r}),"
        )
    text = "\n".join(entries)
    return f'''# {generated_from("configs.table")}
"""The settings that pabal obeys: names, types, defaults and what they do."""

from dataclasses import dataclass
from typing import Any

__all__ = ["BROKER", "GROUP", "TOPIC", "Config"]


@dataclass(frozen=True)
class Config:
    """One setting of a broker, group or topic.

    Attributes
    ----------
    name : str
        Kafka's name of it.
    scope : str
        ``"broker"``, ``"group"`` or ``"topic"``.
    type : str
        Kafka's type: boolean, string, int, short, long, double, list or password.
    default, kafka_default
        What holds when nobody sets it, here and in Kafka; None for null.
    required : bool
        Whether a node does not start without it.
    min, max : int or None
        The bounds of a number.
    allowed : tuple of str
        The values that are permitted; empty if others are too.
    update : str
        ``"read-only"``, ``"per-broker"`` or ``"cluster-wide"``.
    doc : str
        What it does.
    reason : str
        Why our default is not Kafka's, if it is not.
    """

    name: str
    scope: str
    type: str
    default: Any
    kafka_default: Any
    required: bool
    min: "int | None"
    max: "int | None"
    allowed: "tuple[str, ...]"
    update: str
    doc: str
    reason: str


_rows = (
{text}
)

#: The settings of a broker, by name.
BROKER = {{row.name: row for row in _rows if row.scope == "broker"}}

#: The settings of a consumer group, by name.
GROUP = {{row.name: row for row in _rows if row.scope == "group"}}

#: The settings of a topic, by name.
TOPIC = {{row.name: row for row in _rows if row.scope == "topic"}}
'''


def outputs(path):
    found, known = read(path)
    return {
        "wire/config_table.cc": source(found, known),
        "python/pabal/config.py": python(found, known),
    }
