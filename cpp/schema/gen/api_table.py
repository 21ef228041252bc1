"""The `api` lines → wire/api_key.h, wire/api_table.cc and wire/served_apis.inc."""

from text import generated_from, snake


def api_key(apis):
    rows = "\n".join(f"    {snake(api.name)} = {api.key}," for api in apis)
    return f"""// {generated_from("messages")}
// Kafka's API keys; a number outside of these is an API of a newer peer.
#pragma once

#include <cstdint>

namespace pabal::wire {{

enum class ApiKey : std::int16_t {{
{rows}
}};

}}  // namespace pabal::wire
"""


def braces(versions):
    return f"{{{versions.low}, {versions.high}}}" if versions else "{0, -1}"


def table(apis):
    rows = []
    for api in apis:
        flexible = "never_flexible" if api.flexible is None else api.flexible
        header = -1 if api.response_header is None else api.response_header
        rows.append(
            f'    {{ApiKey::{snake(api.name)}, "{api.name}", {braces(api.versions)}, '
            f"{braces(api.advertised)},\n     {braces(api.accepted)}, {flexible}, "
            f"{str('broker' in api.listeners).lower()}, "
            f"{str('controller' in api.listeners).lower()}, Served::{api.to}, {header}}},"
        )
    text = "\n".join(rows)
    return f"""// {generated_from("messages")}
#include "wire/api_table.h"

#include "wire/message.h"

namespace pabal::wire {{
namespace {{

// By key; the keys have no gaps.
constexpr ApiRow rows[] = {{
{text}
}};

}}  // namespace

std::span<const ApiRow> api_table() {{ return rows; }}

const ApiRow* find_api(ApiKey key) {{
    const int index = static_cast<int>(key);
    return index >= 0 && index < {len(apis)} ? &rows[index] : nullptr;
}}

}}  // namespace pabal::wire
"""


def served(apis):
    rows = "\n".join(
        f"PABAL_SERVED_API({api.name}, {snake(api.name)})" for api in apis if api.to != "none"
    )
    return f"""// {generated_from("messages")}
// The APIs that the schema says we serve. Define PABAL_SERVED_API(Name, name), include this: an API
// without a handler then does not link.
{rows}
#undef PABAL_SERVED_API
"""


def outputs(apis):
    for index, api in enumerate(apis):
        assert api.key == index, f"the key {index} is missing"
    return {
        "wire/api_key.h": api_key(apis),
        "wire/api_table.cc": table(apis),
        "wire/served_apis.inc": served(apis),
    }
