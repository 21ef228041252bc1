"""Random messages of every kind, for tests alone: wire_samples/*.cc, over unit/wire/sample.h."""

from cpp_messages import all_messages, condition, header_path, parts
from text import generated_from

PARTS = 10


def fill(message, name, fields, outer):
    lines = [f"static void fill([[maybe_unused]] Sampler& sampler, [[maybe_unused]] {name}& out, "
             "[[maybe_unused]] int version) {"]
    for field in fields:
        terms = condition(field.tag_versions or field.versions, outer)
        if field.tag is not None:
            terms = " && ".join(filter(None, [terms, "sampler.chance(1, 2)"]))
        null = "false"
        if field.nullable:
            null = condition(field.nullable, field.versions) or "true"
        where = f"sampler, out.{field.name}"
        if field.struct:
            kind = "array" if field.array else "struct"
            optional = "nullable_" if field.nullable else ""
            also = f", {null}" if field.nullable else ""
            call = f"fill_{optional}{kind}({where}, version{also});"
        elif field.nullable or field.type == "records":
            call = f"sampler.nullable(out.{field.name}, {null});"
        else:
            call = f"sampler.value(out.{field.name});"
        lines.append(f"    if ({terms}) {call}" if terms else f"    {call}")
    return "\n".join([*lines, "}"])


def source(messages):
    includes = "\n".join(f'#include "{path}"' for path in
                         sorted({header_path(message) for message in messages}))
    body = []
    for message in messages:
        for struct in message.structs:
            body.append(fill(message, f"{message.name}::{struct.name}", struct.fields,
                             struct.versions))
        body.append(fill(message, message.name, message.fields, message.versions))
        key = -1 if message.key is None else message.key
        body.append(f"Sample sample_of_{message.name}() {{\n"
                    f'    return sample_of<{message.name}>("{message.name}", "{message.kind}", '
                    f"{key});\n}}")
    text = "\n".join(body)
    return f"""// {generated_from("messages and cpp/schema/records")}
{includes}
#include "tests/unit/wire/sample.h"

namespace pabal::wire {{

{text}

}}  // namespace pabal::wire
"""


def table(messages):
    declared = "\n".join(f"Sample sample_of_{message.name}();" for message in messages)
    listed = "\n".join(f"        sample_of_{message.name}()," for message in messages)
    return f"""// {generated_from("messages and cpp/schema/records")}
#include "tests/unit/wire/sample.h"

namespace pabal::wire {{

{declared}

const std::vector<Sample>& samples() {{
    static const std::vector<Sample> all = {{
{listed}
    }};
    return all;
}}

}}  // namespace pabal::wire
"""


def outputs(apis, records):
    messages = all_messages(apis, records)
    made = {"wire_samples/samples.cc": table(messages)}
    for index, part in enumerate(parts(messages, PARTS)):
        made[f"wire_samples/samples_{index:02}.cc"] = source(part)
    return made
