"""Turns the tables of cpp/schema/ into C++ and Python. One run makes everything; a file whose text
would not change is not touched, so that nothing is compiled twice.

    generate.py --schema DIR --out DIR            write the files
    generate.py --schema DIR --out DIR --list     name them, one a line, and write nothing
"""

import argparse
import pathlib
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import api_table  # noqa: E402
import configs  # noqa: E402
import cpp_messages  # noqa: E402
import cpp_samples  # noqa: E402
import errors  # noqa: E402
import grammar  # noqa: E402
import record_layouts  # noqa: E402
from text import TableError  # noqa: E402


def all_outputs(schema):
    """Every generated file: its path below the output directory, and its text."""
    outputs = {}
    outputs.update(errors.outputs(schema / "errors.table"))
    outputs.update(configs.outputs(schema / "configs.table"))
    apis, records = grammar.read_schema(schema)
    outputs.update(cpp_messages.outputs(apis, records))
    outputs.update(cpp_samples.outputs(apis, records))
    outputs.update(api_table.outputs(apis))
    outputs.update(record_layouts.outputs(records))
    return outputs


def write_changed(out, outputs):
    for name, text in outputs.items():
        path = out / name
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--schema", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--stamp", type=pathlib.Path, help="touched at the end of a good run")
    parser.add_argument("--list", action="store_true")
    arguments = parser.parse_args()
    try:
        outputs = all_outputs(arguments.schema)
    except TableError as error:
        sys.exit(str(error))
    if arguments.list:
        print("\n".join(sorted(outputs)))
        return
    write_changed(arguments.out, outputs)
    if arguments.stamp:
        arguments.stamp.touch()


if __name__ == "__main__":
    main()
