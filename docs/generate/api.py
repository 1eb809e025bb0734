"""docs/api.md: the public API of the client, and what engines and other ink paths need of the server.

Reads the source with griffe, which also finds the docstrings of fields; imports nothing.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import griffe

_ROOT = Path(__file__).parents[2]

MODULES = (
    "inkstream",
    "inkstream.ink",
    "inkstream.pictures",
    "inkstream.tablet",
    "inkstream.mnist",
    "inkstream_server.ink",
    "inkstream_server.engines",
)
"""The public modules; everything else may change without notice."""

_INTERNAL = ("For clients only:", "For the connection:")
"""Docstrings of methods that only the package itself calls begin with one of these."""

_OPENING = """\
# API

Generated from the docstrings by `make docs`. Names that are not here, and names that begin with `_`, may
change without notice. The contract on the wire is
[protos/](../protos/inkstream/v1/recognition_service.proto); the commands explain themselves with `--help`.
"""


def page() -> str:
    """Return the page as Markdown."""
    loader = griffe.GriffeLoader(search_paths=[_ROOT / "client", _ROOT / "server"])
    for package in sorted({module.partition(".")[0] for module in MODULES}):
        loader.load(package)
    loader.resolve_aliases(implicit=True)
    lines = [_OPENING]
    for name in MODULES:
        module = loader.modules_collection[name]
        lines += [f"## {name}", "", *_docstring(module)]
        for member in _public(module):
            lines += _member(member, module)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).rstrip() + "\n"


def _public(module: griffe.Object) -> Iterator[griffe.Object]:
    """Yield the public members of a module: its `__all__`, or all that it defines without `_`."""
    names = module.exports or [name for name in module.members if not name.startswith("_")]
    for name in sorted(map(str, names)):
        member = module.members[name]
        if isinstance(member, griffe.Module) and name in member.members:
            # A function hides the module of the same name.
            member = member.members[name]
        is_theirs = member.is_alias and not module.exports
        if name != "__version__" and not is_theirs and not member.is_module:
            yield member.final_target if isinstance(member, griffe.Alias) else member


def _member(member: griffe.Object, module: griffe.Object) -> list[str]:
    lines = [f"### {module.path}.{member.name}", ""]
    if isinstance(member, griffe.Class):
        bases = [str(base) for base in member.bases if not str(base).startswith("_")]
        signature = f"class {member.name}" + (f"({', '.join(bases)})" if bases else "")
        lines += [*_code(signature), *_docstring(member)]
        members = {**member.members, **member.inherited_members}
        for name in sorted(members, key=lambda it: it != "__init__"):
            lines += _part(members[name], name)
        return lines
    return [*lines, *_code(_declaration(member)), *_docstring(member)]


def _part(part: Any, name: str) -> list[str]:
    """Return a method or a field of a class, or nothing unless it is public and has a docstring."""
    if isinstance(part, griffe.Alias):
        part = part.final_target
    if (name.startswith("_") and name != "__init__") or part.docstring is None:
        return []
    if part.docstring.value.startswith(_INTERNAL):
        return []
    if isinstance(part, griffe.Attribute):
        text = " ".join(part.docstring.value.split())
        return [f"- `{_declaration(part)}`: {text}"]
    ways = getattr(part, "overloads", None) or [part]
    return ["", *_code("\n".join(map(_declaration, ways))), *_docstring(part)]


def _declaration(it: griffe.Object) -> str:
    """Return the signature of a function, or the type and value of a field."""
    if isinstance(it, griffe.Function):
        head = "async def " if "async" in it.labels else "def "
        drop = 1 if isinstance(it.parent, griffe.Class) and "staticmethod" not in it.labels else 0
        return head + _signature(it, drop)
    if isinstance(it, griffe.Attribute):
        kind = f": {it.annotation}" if it.annotation else ""
        value = "" if it.value is None or "property" in it.labels else str(it.value)
        if value.startswith("field("):  # A dataclass's field; only its default is shown.
            value = (re.search(r"\bdefault=([^,()]+|\(\))", value) or ["", ""])[1]
        given = f" = {value}" if value else ""
        return f"{it.name}{kind}{given}" if len(kind + given) < 80 else f"{it.name}{kind}"
    return it.name


def _parameters(function: griffe.Function) -> list[griffe.Parameter]:
    """Return its parameters: the fields of `Options` if it is decorated with `@takes(Options)`."""
    for decorator in function.decorators:
        call = decorator.value
        if isinstance(call, griffe.ExprCall) and str(call.function) == "takes":
            options = function.modules_collection[function.resolve(str(call.arguments[0]))]
            return [*options.parameters]
    return [*function.parameters]


def _signature(function: griffe.Function, drop: int) -> str:
    shown = []
    star = False
    for parameter in _parameters(function)[drop:]:
        text = parameter.name + (f": {parameter.annotation}" if parameter.annotation else "")
        if parameter.kind is griffe.ParameterKind.keyword_only and not star:
            shown.append("*")
            star = True
        if parameter.kind is griffe.ParameterKind.var_positional:
            text, star = f"*{text}", True
        elif parameter.kind is griffe.ParameterKind.var_keyword:
            text = f"**{text}"
        elif parameter.default is not None:
            text += f" = {parameter.default}"
        shown.append(text)
    returns = f" -> {function.returns}" if function.returns else ""
    flat = f"{function.name}({', '.join(shown)}){returns}"
    if len(flat) <= 90:
        return flat
    return f"{function.name}(\n    " + ",\n    ".join(shown) + f",\n){returns}"


def _code(text: str) -> list[str]:
    return ["```python", text, "```", ""]


def _docstring(it: griffe.Object) -> list[str]:
    """Turn a docstring in Google's style into Markdown; indented examples become code."""
    if it.docstring is None:
        return []
    lines: list[str] = []
    # Join the section to one line, or the parser takes its first line for a title and drops it.
    text = re.sub(r"(?m)^(Returns|Yields): .+(?:\n +\S.*)+", _flat_match, it.docstring.value)
    for section in griffe.Docstring(text, parent=it).parse("google", warnings=False):
        if isinstance(section, griffe.DocstringSectionText):
            lines += [_fenced(section.value), ""]
        elif isinstance(
            section, griffe.DocstringSectionParameters | griffe.DocstringSectionAttributes
        ):
            lines += [
                f"- `{_default(it, entry.name)}`: {_flat(entry.description)}"
                for entry in section.value
            ]
            lines.append("")
        elif isinstance(section, griffe.DocstringSectionReturns | griffe.DocstringSectionYields):
            word = section.kind.value.capitalize()
            lines += [f"{word} {_flat(entry.description)}" for entry in section.value]
            lines.append("")
        elif isinstance(section, griffe.DocstringSectionRaises):
            lines += [f"- raises `{e.annotation}`: {_flat(e.description)}" for e in section.value]
            lines.append("")
        else:
            raise ValueError(f"{it.path}: no rendering for a section of kind {section.kind}")
    return lines


def _default(it: griffe.Object, name: str) -> str:
    """Return a field with its type and default if the class gives them, else the name alone."""
    field = it.members.get(name)
    is_given = isinstance(field, griffe.Attribute) and "class-attribute" in field.labels
    return _declaration(field) if isinstance(field, griffe.Attribute) and is_given else name


def _flat_match(found: re.Match[str]) -> str:
    return _flat(found[0])


def _flat(text: str) -> str:
    return " ".join(text.split())


def _fenced(text: str) -> str:
    """Put lines that are indented by four or more into fences."""
    return re.sub(
        r"(?m)(?:^ {4}.*\n?(?:\n(?= {4}))*)+",
        lambda it: "```python\n" + re.sub(r"(?m)^ {4}", "", it[0]).rstrip() + "\n```\n",
        text,
    )
