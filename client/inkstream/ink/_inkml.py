"""Ink as W3C InkML (Recommendation of 20 September 2011), read as a stream.

A <traceGroup> with traces is one ink; all traces outside of groups are one ink together. Annotations of
type "truth", "writer", "contributor" and "index" become the ink's fields; writer and contributor of the
document apply to its groups. y grows down unless the channel's orientation is "-ve". Not supported: views,
continued traces, intermittent channels, transformations.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from xml.etree.ElementTree import ParseError
from xml.parsers.expat import ErrorString

from inkstream.ink._errors import InvalidInk
from inkstream.ink._formats import Format, FormatBuilder
from inkstream.ink._ink import Ink, Stroke
from inkstream.ink._lines import Source
from inkstream.ink._traces import points_of

_CHUNK = 1 << 16
_DEEPEST = 64
_INDEX = re.compile(r"\s*-?\d{1,18}\s*", re.ASCII)
#: The attribute xml:id, as expat gives it.
_XML_ID = "{http://www.w3.org/XML/1998/namespace}id"


def read(source: Source) -> Iterator[Ink]:
    """Read ink by ink.

    Raises:
        InvalidInk: the file is not InkML, or declares entities.
        ModuleNotFoundError: defusedxml is not installed; `pip install inkstream[inkml]`.
    """
    try:
        from defusedxml.common import DefusedXmlException
        from defusedxml.ElementTree import DefusedXMLParser
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "InkML needs defusedxml: pip install 'inkstream[inkml]'", name=error.name
        ) from None
    document = _Document(source)
    parser = DefusedXMLParser(target=document, forbid_dtd=True)
    expat = document.expat = parser.parser
    fed = 0
    refusal: InvalidInk | None = None
    while refusal is None:
        try:
            piece = source.chunk(_CHUNK)
            fed += len(piece)
            if not piece:
                parser.close()
                break
            parser.feed(piece)
            if fed - expat.CurrentByteIndex > source.limits.line_bytes + _CHUNK:
                refusal = document.refuse(f"a tag longer than {source.limits.line_bytes} bytes")
        except InvalidInk as error:
            refusal = error if error.line else document.refuse(error.reason)
        except ParseError as error:
            line, column = error.position
            what = ErrorString(error.code)
            refusal = document.refuse(f"expected well-formed XML ({what} at column {column})", line)
        except DefusedXmlException as error:
            refusal = document.refuse(f"expected no DTD and no entities ({type(error).__name__})")
        except (ValueError, LookupError) as error:
            # expat raises these for encodings that it does not know.
            refusal = document.refuse(f"the XML cannot be read ({error})")
        yield from document.taken()
    if refusal:
        raise refusal
    yield from document.taken()


class _Group:
    """The ink of a group, or of the document."""

    def __init__(self, parent: _Group | None, context: Format) -> None:
        self.parent, self.context = parent, context
        self.notes: dict[str, str] = {}
        self.strokes: list[Stroke] = []
        self.drawn: Format | None = None
        self.has_groups = False

    def inherited(self, kind: str) -> str | None:
        """The text of an annotation of this group or of one around it."""
        group: _Group | None = self
        while group is not None:
            if kind in group.notes:
                return group.notes[kind]
            group = group.parent
        return None

    def ink(self) -> Ink:
        """The ink of the traces so far."""
        drawn = self.drawn or self.context
        index = self.notes.get("index", "")
        return Ink(
            tuple(self.strokes),
            y=drawn.y,
            units=drawn.units,
            per_mm=drawn.per_mm,
            points_per_second=drawn.points_per_second,
            label=self.notes.get("truth"),
            writer=self.inherited("writer"),
            contributor=self.inherited("contributor"),
            index=int(index) if _INDEX.fullmatch(index) else None,
        )


class _Document:
    """Turns the parser's events into ink."""

    def __init__(self, source: Source) -> None:
        self.expat: Any = None
        self._source = source
        self._path: list[str] = []
        self._contexts: dict[str, Format] = {}
        self._builders: list[tuple[FormatBuilder, str | None]] = []
        self._group = _Group(None, Format())
        self._text: list[str] | None = None
        self._text_bytes = 0
        self._trace: tuple[Format, int] | None = None
        self._note = ""
        self._inks: list[Ink] = []

    def taken(self) -> list[Ink]:
        """Give the inks that are complete."""
        inks, self._inks = self._inks, []
        return inks

    def refuse(self, reason: str, line: int = 0) -> InvalidInk:
        """Make the error for the place that is being parsed, or for `line`."""
        line = line or self.expat.CurrentLineNumber
        return self._source.refuse(reason, self._source.passed + line)

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        """An element begins."""
        name = tag.rpartition("}")[2]
        if not self._path and name != "ink":
            raise self.refuse(f"expected the element <ink>, got <{name[:80]}>")
        if len(self._path) >= _DEEPEST:
            raise self.refuse(f"nested deeper than {_DEEPEST} elements")
        self._path.append(name)
        if name in ("traceView", "intermittentChannels"):
            raise self.refuse(f"<{name}> is not supported")
        begin = self._BEGIN.get(name)
        if begin:
            begin(self, attributes)

    def data(self, text: str) -> None:
        """Text inside an element."""
        if self._text is not None:
            self._text_bytes += len(text)
            if self._text_bytes > self._source.limits.line_bytes:
                raise self.refuse(f"a text longer than {self._source.limits.line_bytes} bytes")
            self._text.append(text)

    def end(self, tag: str) -> None:
        """An element ends."""
        finish = self._FINISH.get(self._path.pop())
        if finish:
            finish(self)

    def close(self) -> None:
        """The file ends."""

    def _begin_format(self, attributes: Mapping[str, str]) -> None:
        base = self._referred(attributes, self._group.context)
        if self._builders:
            # An <inkSource> or <traceFormat> inside a <context> extends that.
            builder = self._builders[-1][0]
            if "contextRef" in attributes or "traceFormatRef" in attributes:
                builder.rebase(base)
        else:
            builder = FormatBuilder(base)
        self._builders.append((builder, attributes.get(_XML_ID) or attributes.get("id")))

    def _finish_format(self) -> None:
        builder, name = self._builders.pop()
        made = builder.build()
        if name is not None:
            self._contexts[name] = made
        if not self._builders and self._path and self._path[-1] == "ink":
            # Outside of <definitions> it applies to all that follows.
            self._group.context = made

    def _begin_channel(self, attributes: Mapping[str, str]) -> None:
        if self._builders:
            self._builders[-1][0].channel(attributes)

    def _begin_property(self, attributes: Mapping[str, str]) -> None:
        if self._builders:
            self._builders[-1][0].channel_property(attributes)

    def _begin_rate(self, attributes: Mapping[str, str]) -> None:
        if self._builders:
            self._builders[-1][0].sample_rate(attributes)

    def _begin_group(self, attributes: Mapping[str, str]) -> None:
        self._group.has_groups = True
        self._group = _Group(self._group, self._referred(attributes, self._group.context))

    def _finish_group(self) -> None:
        group = self._group
        if group.strokes or not group.has_groups:
            self._inks.append(group.ink())
        if group.parent:
            self._group = group.parent

    def _finish_document(self) -> None:
        if self._group.strokes:
            self._inks.append(self._group.ink())

    def _begin_trace(self, attributes: Mapping[str, str]) -> None:
        if self._trace or attributes.get("continuation"):
            raise self.refuse("a trace inside or continuing another is not supported")
        if attributes.get("type", "penDown") == "penUp":
            return
        self._trace = (
            self._referred(attributes, self._group.context),
            self.expat.CurrentLineNumber,
        )
        self._text, self._text_bytes = [], 0

    def _finish_trace(self) -> None:
        if self._trace is None:
            return
        (drawn, line), self._trace = self._trace, None
        text, self._text = "".join(self._text or ()), None
        group, limits = self._group, self._source.limits
        if group.drawn and not group.drawn.same_ink(drawn):
            raise self.refuse("traces of one ink in different units or directions", line)
        if len(group.strokes) >= limits.strokes:
            raise self.refuse(f"more than {limits.strokes} strokes", line)
        group.drawn = drawn
        try:
            table = points_of(text, len(drawn.channels), limits.points)
            group.strokes.append(drawn.stroke(table))
        except InvalidInk as error:
            raise self.refuse(f"stroke {len(group.strokes)}: {error.reason}", line) from None

    def _begin_annotation(self, attributes: Mapping[str, str]) -> None:
        # Annotations of single traces do not apply to the ink.
        if self._path[-2:-1] in (["ink"], ["traceGroup"]):
            self._note = attributes.get("type", "")
            self._text, self._text_bytes = [], 0

    def _finish_annotation(self) -> None:
        if self._text is not None and self._trace is None:
            self._group.notes[self._note] = "".join(self._text)
            self._text = None

    def _referred(self, attributes: Mapping[str, str], default: Format) -> Format:
        """The format that attributes refer to, "#name" in this document."""
        for key in ("contextRef", "traceFormatRef"):
            name = attributes.get(key, "").removeprefix("#")
            if name and name != "DefaultTraceFormat":
                if name not in self._contexts:
                    raise self.refuse(f"{key}: nothing before has the id {name[:80]!r}")
                return self._contexts[name]
        return default

    _BEGIN: Mapping[str, Callable[[_Document, Mapping[str, str]], None]] = {
        "context": _begin_format,
        "inkSource": _begin_format,
        "traceFormat": _begin_format,
        "channel": _begin_channel,
        "channelProperty": _begin_property,
        "sampleRate": _begin_rate,
        "traceGroup": _begin_group,
        "trace": _begin_trace,
        "annotation": _begin_annotation,
    }
    _FINISH: Mapping[str, Callable[[_Document], None]] = {
        "context": _finish_format,
        "inkSource": _finish_format,
        "traceFormat": _finish_format,
        "traceGroup": _finish_group,
        "trace": _finish_trace,
        "annotation": _finish_annotation,
        "ink": _finish_document,
    }
