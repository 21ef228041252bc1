"""Messages → one header each, and their codecs in a few sources of about equal weight."""

from grammar import SCALARS, Versions
from text import cpp_string, generated_from, snake

PARTS = 14
NEVER = "never_flexible"
VERSION = "[[maybe_unused]] int version"

SCALAR_TYPES = {
    "bool": "bool", "int8": "std::int8_t", "int16": "std::int16_t", "uint16": "std::uint16_t",
    "int32": "std::int32_t", "uint32": "std::uint32_t", "int64": "std::int64_t",
    "float64": "double", "uuid": "Uuid", "string": "std::string", "bytes": "Bytes",
}
PLAIN_STRONG = {"TopicName", "GroupId", "TransactionalId"}  # Text, and std::string in C++.
METHOD = {"bool": "boolean"}


def header_path(message):
    folder = "" if message.kind in ("request", "response", "header") else "records/"
    name = message.name
    if message.kind in ("request", "response"):
        name = name[: -len(message.kind)]
    return f"wire/{folder}{snake(name)}.h"


def element_type(field, prefix=""):
    if field.strong and field.strong not in PLAIN_STRONG:
        return field.strong
    return SCALAR_TYPES.get(field.type, prefix + field.type)


def member_type(field, prefix=""):
    if field.type == "records":
        return "std::optional<Rope>"
    made = element_type(field, prefix)
    if field.array:
        made = f"std::vector<{made}>"
    return f"std::optional<{made}>" if field.nullable else made


def literal(field):
    """The default of a scalar that is no text, as a C++ value; None where the type has its own."""
    if field.array or field.nullable or field.type in ("string", "bytes", "records", "uuid"):
        return None
    if field.type not in SCALARS:
        return None
    if field.type == "bool":
        return field.default or "false"
    if field.strong == "ErrorCode":
        return "ErrorCode::none"
    number = field.default or "0"
    if number == "-9223372036854775808":
        number = "INT64_MIN"
    return number


def empty_by_default(field):
    """A tagged field that may be null and has no default is empty when it is absent, not null."""
    composed = field.array or field.struct
    return composed and field.nullable and field.tag is not None and field.default is None


def initialiser(field):
    if empty_by_default(field):
        made = element_type(field)
        return f" = std::vector<{made}>()" if field.array else f" = {made}()"
    value = literal(field)
    if value is not None:
        return f"{{{value}}}" if field.strong and field.strong != "ErrorCode" else f" = {value}"
    if field.type == "string" and field.default not in (None, "null", '""') and not field.nullable:
        return f" = {field.default}"
    return ""


def is_set(field, value):
    """A C++ condition: `value` is not what the field is when nobody sets it."""
    if empty_by_default(field):
        if field.array:
            return f"!{value} || !{value}->empty()"
        return f"!{value} || *{value} != std::decay_t<decltype(*{value})>()"
    if field.nullable or field.type == "records":
        return value
    if field.array or field.type in ("string", "bytes"):
        if field.default in (None, '""', "null"):
            return f"!{value}.empty()"
        return f"{value} != {field.default}"
    number = literal(field)
    if number is None:
        return f"{value} != decltype({value})()"
    if field.type == "bool":
        return f"!{value}" if number == "true" else value
    if field.strong and field.strong != "ErrorCode":
        return f"{value} != {field.strong}({number})"
    return f"{value} != {number}"


def condition(versions, outer):
    """True for `versions` among `outer`; empty if that is always so."""
    terms = []
    if versions.low > outer.low:
        terms.append(f"version >= {versions.low}")
    if versions.high < outer.high:
        terms.append(f"version <= {versions.high}")
    return " && ".join(terms)


def opposite(versions, outer):
    """True outside of `versions`; empty if that is never so."""
    terms = []
    if versions.low > outer.low:
        terms.append(f"version < {versions.low}")
    if versions.high < outer.high:
        terms.append(f"version > {versions.high}")
    return " || ".join(terms)


def conjunction(*conditions):
    found = [text for text in conditions if text]
    return " && ".join(f"({text})" if " || " in text and len(found) > 1 else text for text in found)


def comment(doc, indent):
    if not doc:
        return []
    words, lines, line = doc.split(), [], ""
    for word in words:
        if line and len(indent) + 3 + len(line) + 1 + len(word) > 100:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}".strip()
    return [f"{indent}// {line}" for line in [*lines, line]]


def least_bytes(struct):
    """The fewest bytes that any version of this struct takes."""
    total = 0
    for field in struct.fields:
        if field.versions != struct.versions or field.tag is not None:
            continue
        if field.array or field.nullable:
            total += 1
        elif field.struct:
            total += least_bytes(field.struct)
        else:
            total += SCALARS[field.type]
    return max(total, 1)


def declare_fields(fields, indent, prefix=""):
    lines = []
    for field in fields:
        notes = ""
        declaration = f"{indent}{member_type(field, prefix)} {field.name}{initialiser(field)};"
        if field.doc:
            note = f"  // {field.doc[:1].upper()}{field.doc[1:]}"
            if len(declaration) + len(note) <= 100:
                notes = note
            else:
                lines += comment(field.doc[:1].upper() + field.doc[1:], indent)
        lines.append(declaration + notes)
    return lines


def declare_struct(struct, indent, prefix=""):
    lines = comment(struct.doc, indent)
    lines.append(f"{indent}struct {prefix}{struct.name} {{")
    lines += declare_fields(struct.fields, indent + "    ", prefix)
    equal = f"bool operator==(const {prefix}{struct.name}&) const = default;"
    return [*lines, "", f"{indent}    {equal}", f"{indent}}};", ""]


def stands_outside(message):
    """Whether the structs of a message are declared before it and named in it: what std::optional
    holds must be complete, and a nested struct is not while the one around it is still open."""
    owners = [message.fields, *(struct.fields for struct in message.structs)]
    return any(field.struct and field.nullable and not field.array
               for fields in owners for field in fields)


def declare_message(message):
    lines, nested = [], []
    if stands_outside(message):
        for struct in message.structs:
            lines += declare_struct(struct, "", message.name)
            nested.append(f"    using {struct.name} = {message.name}{struct.name};")
        nested.append("")
    else:
        for struct in message.structs:
            nested += declare_struct(struct, "    ")
    lines += comment(message.doc, "")
    lines.append(f"struct {message.name} {{")
    if message.kind in ("request", "response"):
        lines.append(f"    static constexpr ApiKey api_key{{{message.key}}};")
    elif message.key is not None:
        lines.append(f"    static constexpr int api_key = {message.key};")
    flexible = NEVER if message.flexible is None else message.flexible
    lines += [
        f"    static constexpr int min_version = {message.versions.low};",
        f"    static constexpr int max_version = {message.versions.high};",
        f"    static constexpr int first_flexible = {flexible};",
        "",
    ]
    lines += nested
    lines += declare_fields(message.fields, "    ")
    lines += ["", f"    bool operator==(const {message.name}&) const = default;", "};"]
    lines += [
        f"void encode(Writer& writer, const {message.name}& message, int version);",
        "// Into a message as it is when made.",
        f"[[nodiscard]] Status decode(Reader& reader, {message.name}& message, int version);",
    ]
    return "\n".join(lines)


def header(messages):
    body = "\n\n".join(declare_message(message) for message in messages)
    folder = "" if "/" in messages[0].source else "messages/"
    return f"""// {generated_from(folder + messages[0].source)}
#pragma once

#include "wire/message.h"

namespace pabal::wire {{

{body}

}}  // namespace pabal::wire
"""


class Codec:
    """Writes the two functions of each struct of one message."""

    def __init__(self, message):
        self.message = message
        self.lines = []

    def line(self, text, depth=1):
        self.lines.append("    " * depth + text)

    def null_allowed(self, field):
        if not field.nullable:
            return "false"
        return condition(field.nullable, field.versions) or "true"

    def read_value(self, field, depth):
        name, out = f'"{field.name}"', f"out.{field.name}"
        if field.array:
            call = "nullable_array" if field.nullable else "array"
            null = f", {self.null_allowed(field)}" if field.nullable else ""
            if field.struct:
                self.line(f"read_{call}(reader, {out}, version, {least_bytes(field.struct)}, "
                          f"{name}{null});", depth)
            else:
                self.line(f"reader.{call}({out}, {name}{null});", depth)
        elif field.struct:
            call = "read_struct"
            if field.nullable:
                call = "read_nullable_struct" if field.tag is None else "read_tagged_struct"
            self.line(f"{call}(reader, {out}, version, {name});", depth)
        elif field.type == "records":
            self.line(f"reader.records({out}, {name}, {self.null_allowed(field)});", depth)
        elif field.type in ("string", "bytes"):
            if field.nullable:
                self.line(f"reader.nullable_{field.type}({out}, {name}, "
                          f"{self.null_allowed(field)});", depth)
            else:
                self.line(f"reader.{field.type}({out}, {name});", depth)
        else:
            value = f"reader.{METHOD.get(field.type, field.type)}({name})"
            if field.strong:
                value = f"{field.strong}{{{value}}}"
            self.line(f"{out} = {value};", depth)

    def write_value(self, field, depth):
        value = f"in.{field.name}"
        if field.array:
            call = "nullable_array" if field.nullable else "array"
            null = f", {self.null_allowed(field)}" if field.nullable else ""
            if field.struct:
                self.line(f"write_{call}(writer, {value}, version{null});", depth)
            else:
                self.line(f"writer.{call}({value}{null});", depth)
        elif field.struct:
            call = "write"
            if field.nullable:
                call = "write_nullable_struct" if field.tag is None else "write_tagged_struct"
            self.line(f"{call}(writer, {value}, version);", depth)
        elif field.type == "records":
            self.line(f"writer.records({value}, {self.null_allowed(field)});", depth)
        elif field.type in ("string", "bytes"):
            if field.nullable:
                self.line(f"writer.nullable_{field.type}({value}, {self.null_allowed(field)});",
                          depth)
            else:
                self.line(f"writer.{field.type}({value});", depth)
        else:
            if field.strong == "ErrorCode":
                value = f"static_cast<std::int16_t>({value})"
            elif field.strong:
                value += ".value()"
            self.line(f"writer.{METHOD.get(field.type, field.type)}({value});", depth)

    def never_compact(self, field, who, make, depth):
        if not field.never_compact:
            make(field, depth)
            return
        self.line(f"const bool flexible = {who}.flexible();", depth)
        self.line(f"{who}.set_flexible(false);", depth)
        make(field, depth)
        self.line(f"{who}.set_flexible(flexible);", depth)

    def read_fields(self, fields, outer):
        for field in fields:
            if field.tag is not None:
                continue
            when = condition(field.versions, outer)
            if when:
                self.line(f"if ({when}) {{")
            self.never_compact(field, "reader", self.read_value, 2 if when else 1)
            if when:
                self.line("}")
        if self.message.flexible is None:
            return
        tagged = [field for field in fields if field.tag is not None]
        if not tagged:
            self.line("reader.skip_tags();")
            return
        self.line("for (std::uint32_t count = reader.tag_count(); count > 0 && reader.ok(); "
                  "--count) {")
        self.line("const auto tag = reader.begin_tag();", 2)
        for index, field in enumerate(tagged):
            when = conjunction(f"tag.number == {field.tag}", condition(field.tag_versions, outer))
            self.line(f"{'} else ' if index else ''}if ({when}) {{", 2)
            self.read_value(field, 3)
        self.line("} else {", 2)
        self.line("reader.skip();", 3)
        self.line("}", 2)
        self.line("reader.end_tag(tag);", 2)
        self.line("}")

    def lost(self, field, owner, when, depth):
        when = conjunction(when, is_set(field, "in." + field.name))
        self.line(f"if ({when})", depth)
        self.line(f"field_lost({cpp_string(owner)}, {cpp_string(field.name)}, version);", depth + 1)

    def write_fields(self, fields, outer, owner):
        for field in fields:
            if field.tag is not None:
                continue
            when = condition(field.versions, outer)
            if not when:
                self.never_compact(field, "writer", self.write_value, 1)
                continue
            self.line(f"if ({when}) {{")
            self.never_compact(field, "writer", self.write_value, 2)
            if not field.ignorable:
                self.line("} else {")
                self.lost(field, owner, "", 2)
            self.line("}")
        tagged = sorted((field for field in fields if field.tag is not None),
                        key=lambda field: field.tag)
        for field in tagged:
            elsewhere = opposite(field.tag_versions, outer)
            if elsewhere and not field.ignorable:
                self.lost(field, owner, elsewhere, 1)
        if self.message.flexible is None:
            return
        if not tagged:
            self.line("writer.no_tags();")
            return
        self.line("if (writer.flexible()) {")
        self.line("const auto tags = writer.begin_tags();", 2)
        for field in tagged:
            when = conjunction(condition(field.tag_versions, outer),
                               is_set(field, "in." + field.name))
            self.line(f"if ({when}) {{", 2)
            self.line(f"const auto start = writer.begin_tag(tags, {field.tag});", 3)
            self.write_value(field, 3)
            self.line("writer.end_tag(start);", 3)
            self.line("}", 2)
        self.line("}")

    def functions(self, name, fields, outer):
        self.lines.append(f"static void read(Reader& reader, {name}& out, {VERSION}) {{")
        if not fields:
            self.line("(void)out;")
        self.read_fields(fields, outer)
        self.lines.append("}")
        self.lines.append(f"static void write(Writer& writer, const {name}& in, {VERSION}) {{")
        if not fields:
            self.line("(void)in;")
        self.write_fields(fields, outer, name.split("::")[-1])
        self.lines.append("}")

    def text(self):
        message = self.message
        for struct in message.structs:
            self.functions(f"{message.name}::{struct.name}", struct.fields, struct.versions)
        self.functions(message.name, message.fields, message.versions)
        flexible = NEVER if message.flexible is None else message.flexible
        about = (f'"{message.name}", version, {message.versions.low}, {message.versions.high}, '
                 f"{flexible}")
        self.lines += [
            f"void encode(Writer& writer, const {message.name}& message, int version) {{",
            f"    writer.begin({about});",
            "    write(writer, message, version);",
            "}",
            f"Status decode(Reader& reader, {message.name}& message, int version) {{",
            f"    if (reader.begin({about}))",
            "        read(reader, message, version);",
            "    return reader.status();",
            "}",
        ]
        return "\n".join(self.lines)


def weight(message):
    return 3 + len(message.fields) + sum(4 + len(struct.fields) for struct in message.structs)


def parts(messages, count):
    """Runs of messages of about the same weight; a header's messages stay together."""
    groups = {}
    for message in messages:
        groups.setdefault(header_path(message), []).append(message)
    total = sum(map(weight, messages))
    made, now, so_far = [], [], 0
    for group in groups.values():
        now += group
        so_far += sum(map(weight, group))
        if so_far * count >= total * (len(made) + 1):
            made.append(now)
            now = []
    return [*made, now] if now else made


def source(messages):
    includes = "\n".join(f'#include "{path}"' for path in
                         sorted({header_path(message) for message in messages}))
    body = "\n\n".join(Codec(message).text() for message in messages)
    return f"""// {generated_from("messages and cpp/schema/records")}
{includes}
#include "wire/struct_array.h"

namespace pabal::wire {{

{body}

}}  // namespace pabal::wire
"""


def all_messages(apis, records):
    messages = []
    for api in apis:
        if api.versions:
            messages += [api.request, api.response]
    return messages + records


def outputs(apis, records):
    messages = all_messages(apis, records)
    made, by_header = {}, {}
    for message in messages:
        by_header.setdefault(header_path(message), []).append(message)
    for path, group in by_header.items():
        made[path] = header(group)
    for index, part in enumerate(parts(messages, PARTS)):
        made[f"wire/messages_{index:02}.cc"] = source(part)
    return made
