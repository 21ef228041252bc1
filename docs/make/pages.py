"""The documents as pages to click through, with an API reference from the docstrings.

`make docs` writes them to build/docs: what stands in docs/, the notebooks with their outputs, and
one page for each public module of the package, as it is installed.
"""

from __future__ import annotations

import html
import importlib
import importlib.util
import inspect
import json
import posixpath
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]

# The public modules, in the order of the menu; some come with later versions.
MODULES = (
    "pabal",
    "pabal.admin",
    "pabal.aio",
    "pabal.serializers",
    "pabal.schemas",
    "pabal.explore",
    "pabal.simulation",
    "pabal.data_files",
    "pabal.pytest_plugin",
    "pabal.errors",
    "pabal.config",
)
FIRST = (
    "install",
    "tutorial",
    "kafka-users",
    "clusters",
    "clients",
    "testing",
    "migrating",
    "simulation",
    "notebooks",
    "cli",
)
SECTIONS = ("Parameters", "Attributes", "Returns", "Yields", "Raises", "Examples", "Notes")

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --line: #d8dee4; --code: #f4f6f8;
  --link: #0a58ca; --dim: #57606a; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --paper: #0d1117; --line: #30363d;
  --code: #161b22; --link: #6cb0ff; --dim: #9da7b1; } }
body { margin: 0; font: 16px/1.55 system-ui, sans-serif; color: var(--ink);
  background: var(--paper);
  display: flex; }
nav { width: 15rem; flex: none; padding: 1.5rem; border-right: 1px solid var(--line);
  position: sticky; top: 0; height: 100vh; overflow-y: auto; box-sizing: border-box; }
nav a { display: block; padding: .1rem 0; } nav b { display: block; margin-top: 1rem; }
main { max-width: 52rem; padding: 1.5rem 2.5rem; min-width: 0; flex: 1; }
a { color: var(--link); text-decoration: none; } a:hover { text-decoration: underline; }
code, pre { font: 14px/1.45 ui-monospace, monospace; background: var(--code); border-radius: 4px; }
code { padding: .1em .25em; } pre { padding: .8rem 1rem; overflow-x: auto; }
pre code { padding: 0; }
table { border-collapse: collapse; display: block; overflow-x: auto; margin: 1rem 0; }
h1 code { font-size: 1em; background: none; padding: 0; }
th, td { border: 1px solid var(--line); padding: .3rem .6rem; text-align: left;
  vertical-align: top; }
dt { margin-top: .5rem; } dd { margin-left: 1.5rem; } dd p { margin: .2rem 0; }
section { border-top: 1px solid var(--line); margin-top: 2rem; } h3 { margin-top: 1.6rem; }
.signature { font: 600 15px/1.5 ui-monospace, monospace; overflow-wrap: anywhere; }
.signature span { font-weight: 400; color: var(--dim); } img { max-width: 100%; background: #fff; }
@media (max-width: 50rem) { body { display: block; }
  nav { width: auto; height: auto; position: static; } }
"""


class Site:
    """All pages, by their names without ``.html``."""

    def __init__(self) -> None:
        self.pages: dict[str, tuple[str, str]] = {}  # Title and content.
        self.anchors: dict[str, str] = {}  # Of the names of the package.
        self.markdown = MarkdownIt("commonmark", {"html": True}).enable("table")

    def add_document(self, name: str, path: Path) -> None:
        """A document in Markdown."""
        text = path.read_text(encoding="utf-8")
        title = re.search(r"^# (.*)", text, re.MULTILINE)
        content = self.markdown.render(text)
        content = re.sub(
            r"<h([23])>(.*?)</h\1>",
            lambda found: f'<h{found[1]} id="{slug(found[2])}">{found[2]}</h{found[1]}>',
            content,
        )
        folder = path.parent.relative_to(ROOT)
        content = re.sub(
            r'(href|src)="([^":#]+)(#[^"]*)?"',
            lambda found: f'{found[1]}="{page_of(folder, found[2], name)}{found[3] or ""}"',
            content,
        )
        self.pages[name] = (title[1] if title else name, content)

    def add_notebook(self, path: Path) -> None:
        """A notebook as it was run."""
        parts, title = [], path.stem
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            source = joined(cell["source"])
            if cell["cell_type"] == "markdown":
                heading = re.match(r"# (.*)", source)
                title = heading[1] if heading else title
                parts.append(self.markdown.render(source))
                continue
            parts.append(f"<pre><code>{html.escape(source)}</code></pre>")
            parts += [output_of(output) for output in cell["outputs"]]
        self.pages[f"notebooks/{path.stem}"] = (title, "\n".join(parts))

    def add_module(self, module: ModuleType) -> None:
        """The reference of one module."""
        name = module.__name__
        parts = [f"<h1><code>{name}</code></h1>", self.prose(module.__doc__ or "")]
        if name == "pabal.config":
            parts.append(config_table(module))
        for public in getattr(module, "__all__", ()):
            value = getattr(module, public)
            if isinstance(value, ModuleType) or not callable(value):
                continue
            parts.append(self.entry(f"{name}.{public}", value))
        self.pages[f"reference/{name}"] = (name, "\n".join(parts))

    def entry(self, path: str, value: Any) -> str:
        """A class with its methods, or a function."""
        self.anchors[path.rpartition(".")[2]] = path
        is_class = inspect.isclass(value)
        kind = "class " if is_class else ""
        document = inspect.getdoc(value) or ""
        # Others are made by what returns them.
        shown = signature(value) if not is_class or "Parameters\n---" in document else ""
        parts = [
            f'<section id="{path}"><p class="signature">{kind}{path.rpartition(".")[2]}'
            f"<span>{html.escape(shown)}</span></p>",
            self.prose(document),
        ]
        if is_class:
            for name, member in public_members(value):
                document = self.prose(inspect.getdoc(member) or "")
                function = getattr(member, "__func__", member)
                shown = "" if isinstance(member, property) else signature(function)
                parts.append(
                    f'<h3 class="signature" id="{path}.{name}">{name}'
                    f"<span>{html.escape(shown)}</span></h3>{document}"
                )
        return "\n".join([*parts, "</section>"])

    def prose(self, text: str) -> str:
        """A docstring in numpydoc's form."""
        text = inspect.cleandoc(text)
        heads = "|".join(SECTIONS)
        pieces = re.split(rf"^({heads})\n-+\n", text, flags=re.MULTILINE)
        parts = [paragraphs(pieces[0])]
        for head, body in zip(pieces[1::2], pieces[2::2], strict=True):
            parts.append(f"<p><b>{head}</b></p>")
            parts.append(paragraphs(body) if head in ("Examples", "Notes") else terms(body))
        return "\n".join(parts)

    def write(self, directory: Path) -> None:
        """Write every page, each with the menu."""
        for name, (title, content) in self.pages.items():
            up = "../" * name.count("/")
            content = re.sub(
                r'<a data-name="(\w+)"></a>',
                lambda found: self.link(found[1], up),
                content,
            )
            page = (
                "<!doctype html><html lang=en><meta charset=utf-8>"
                '<meta name=viewport content="width=device-width">'
                f"<title>{html.escape(title)} – pabal</title><style>{STYLE}</style>"
                f"<nav>{self.menu(up)}</nav><main>{content}</main></html>\n"
            )
            path = directory / f"{name}.html"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(page, encoding="utf-8")

    def link(self, name: str, up: str) -> str:
        path = self.anchors.get(name)
        if path is None:
            return f"<code>{name}</code>"
        module = path.rpartition(".")[0]
        return f'<a href="{up}reference/{module}.html#{path}"><code>{name}</code></a>'

    def menu(self, up: str) -> str:
        groups: dict[str, list[str]] = {"": [], "Notebooks": [], "Reference": [], "Inside": []}
        for name, (title, _) in self.pages.items():
            folder = name.partition("/")[0]
            group = {"notebooks": "Notebooks", "reference": "Reference"}.get(folder, "")
            if not group and name not in ("index", *FIRST):
                group = "Inside"
            shown = title.removeprefix("pabal.") if group == "Reference" else title
            groups[group].append(f'<a href="{up}{name}.html">{html.escape(shown)}</a>')
        return "".join(
            (f"<b>{group}</b>" if group else "") + "".join(links)
            for group, links in groups.items()
            if links
        )


def page_of(folder: Path, target: str, page: str) -> str:
    """Where a link of a document leads on the site."""
    path = posixpath.normpath(posixpath.join(folder.as_posix(), target))
    if path in ("README.md", "."):
        path = "index.html"
    elif path.startswith("docs/") and path.endswith(".md"):
        path = path[len("docs/") : -len(".md")] + ".html"
    elif path.startswith("notebooks/") and path.endswith(".ipynb"):
        path = path[: -len(".ipynb")] + ".html"
    else:
        return (ROOT / path).as_uri()
    return posixpath.relpath(path, posixpath.dirname(page) or ".")


def slug(heading: str) -> str:
    """The anchor of a heading, as the places that show Markdown make it."""
    words = re.sub(r"<[^>]*>|&\w+;|[^\w\s-]", "", heading).lower()
    return re.sub(r"\s+", "-", words.strip())


def signature(value: Any) -> str:
    try:
        text = str(inspect.signature(value))
    except (TypeError, ValueError):
        return "(…)"
    text = text.replace("self, ", "").replace("(self)", "()")
    return re.sub(r"'([^']*)'(?=[,)\s]|$)", r"\1", text)


def public_members(owner: type) -> Iterator[tuple[str, Any]]:
    """What a class defines itself, in the order of the source, without data that its text tells."""
    for name, member in vars(owner).items():
        is_shown = isinstance(member, property | staticmethod | classmethod) or callable(member)
        if not name.startswith("_") and is_shown and inspect.getdoc(member):
            yield name, member


def paragraphs(text: str) -> str:
    parts = []
    for block in re.split(r"\n{2,}", text.strip("\n")):
        if not block.strip():
            continue
        if block.startswith(">>>") or re.match(r"=+ ", block) or block.startswith("    "):
            parts.append(f"<pre><code>{html.escape(block)}</code></pre>")
        else:
            parts.append(f"<p>{inline(block)}</p>")
    return "\n".join(parts)


def terms(text: str) -> str:
    """``name : type`` and what is indented below."""
    parts = []
    for block in re.split(r"\n(?=\S)", text.strip("\n")):
        term, _, rest = block.partition("\n")
        name, _, kind = term.partition(" : ")
        kind = f" <i>{inline(kind)}</i>" if kind else ""
        parts.append(
            f"<dt><code>{html.escape(name)}</code>{kind}</dt>"
            f"<dd>{paragraphs(inspect.cleandoc(rest))}</dd>"
        )
    return f"<dl>{''.join(parts)}</dl>"


def inline(text: str) -> str:
    text = html.escape(text, quote=False)
    text = re.sub(r"``(.+?)``", r"<code>\1</code>", text, flags=re.DOTALL)
    return re.sub(
        r"`([\w.]+)`",
        lambda found: (
            f'<a data-name="{found[1]}"></a>'
            if found[1].isidentifier()
            else f"<code>{found[1]}</code>"
        ),
        text,
    )


def config_table(module: ModuleType) -> str:
    """All settings, those of topics and those of brokers."""
    parts = []
    for title, rows in (("Topics", module.TOPIC), ("Brokers", module.BROKER)):
        cells = "".join(
            f"<tr><td><code>{row.name}</code></td><td>{row.type}</td>"
            f"<td>{html.escape(str(row.default))}</td>"
            f"<td>{html.escape(' '.join(filter(None, (row.doc, row.reason))))}</td></tr>"
            for row in rows.values()
        )
        parts.append(
            f"<h2>{title}</h2><table><tr><th>setting</th><th>type</th><th>default</th>"
            f"<th>what it does</th></tr>{cells}</table>"
        )
    return "".join(parts)


def output_of(output: dict[str, Any]) -> str:
    data = output.get("data", {})
    if "image/png" in data:
        return f'<img alt="" src="data:image/png;base64,{joined(data["image/png"]).strip()}">'
    if "text/html" in data:
        return joined(data["text/html"])
    text = joined(data.get("text/plain", output.get("text", "")))
    return f"<pre>{html.escape(text)}</pre>"


def joined(text: str | list[str]) -> str:
    return text if isinstance(text, str) else "".join(text)


def build(directory: Path) -> Site:
    """Make the whole site."""
    site = Site()
    site.add_document("index", ROOT / "README.md")
    documents = {path.stem: path for path in sorted((ROOT / "docs").glob("*.md"))}
    for name in sorted(documents, key=lambda one: (FIRST.index(one) if one in FIRST else 99, one)):
        site.add_document(name, documents[name])
    for path in sorted((ROOT / "docs" / "decisions").glob("*.md")):
        site.add_document(f"decisions/{path.stem}", path)
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        site.add_notebook(path)
    for name in MODULES:
        if importlib.util.find_spec(name) is not None:
            site.add_module(importlib.import_module(name))
    site.write(directory)
    return site


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "docs"
    built = build(target)
    print(f"{len(built.pages)} pages: {target / 'index.html'}")
