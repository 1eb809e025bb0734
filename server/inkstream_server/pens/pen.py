"""One pen: a state machine that turns events into glyphs, and says which answers each glyph should get.

Has no clock: every event brings its time. Leaves event loops, the wire and the batcher to others. The
caller makes two calls for each event: the event's method, then `take_changes`.
"""

from collections.abc import Sequence
from typing import Final

from inkstream_server.pens import segmentation
from inkstream_server.pens.faults import InkFault
from inkstream_server.pens.final_strokes import FinalStrokes
from inkstream_server.pens.limits import PenLimits
from inkstream_server.pens.memory import Held, InkMemory
from inkstream_server.pens.points import require_points
from inkstream_server.pens.settings import PenSettings
from inkstream_server.pens.strokes import GLYPH_BYTES, STROKE_BYTES, Columns, Glyph, Stroke
from inkstream_server.pens.wanted import State, Wanted

PEN_BYTES: Final = 760
"""A pen without ink, with all that its stream keeps for it."""


class Pen(Held):
    """Strokes in, glyphs out.

    At most one glyph is open. Every stroke that is begun and not refused ends in exactly one final glyph,
    unless it is erased or cleared. A method that raises `InkFault` may have changed the pen, too.
    """

    __slots__ = (
        *("_box", "_finals", "_glyph", "_glyphs", "_glyphs_taken", "_is_placed", "_is_refusing"),
        *("_limits", "_memory", "_next_interim", "_points", "_settings", "_stroke", "_wanted"),
    )

    def __init__(self, settings: PenSettings, limits: PenLimits, memory: InkMemory) -> None:
        """Start with no ink.

        Args:
            settings: its own.
            limits: the server's.
            memory: what the pens of its stream may hold.
        """
        super().__init__(memory.account, PEN_BYTES)
        self._settings = settings
        self._limits = limits
        self._memory = memory
        self._glyph: Glyph | None = None
        self._stroke: Stroke | None = None
        # Whether it is decided if the stroke belongs to the open glyph.
        self._is_placed = False
        # The box of the stroke, and that of the glyph for which it was found; None where it is not known.
        self._box: tuple[int, int | None] | None = None
        # The tip is down, but its stroke is refused. The caller gets one fault for all of it.
        self._is_refusing = False
        self._glyphs = 0
        # The strokes that have a final answer; None where there are none.
        self._finals: FinalStrokes | None = None
        self._next_interim = 0.0
        # The changes that `take_changes` gives next.
        self._wanted: tuple[Wanted, ...] = ()
        self._glyphs_taken = 0
        self._points = 0

    def take_changes(self) -> tuple[Sequence[Wanted], int, int, float | None]:
        """Give what has changed since the last call. To be called after every event.

        Returns: the answers that are asked for, in order; how many glyphs were begun; how many more points
            the pen holds, negative for fewer; and when it is due, see `due`.
        """
        changes = self._wanted, self._glyphs - self._glyphs_taken, self._points, self.due()
        self._wanted, self._glyphs_taken, self._points = (), self._glyphs, 0
        return changes

    def due(self) -> float | None:
        """When `tick` has something to do, in seconds on the clock of the events; None for never."""
        glyph, stroke = self._glyph, self._stroke
        if glyph is None:
            return None if stroke is None else self._oldest(stroke.began)
        age = self._oldest(glyph.began)
        quiet = glyph.inked + segmentation.quiet_seconds(self._settings.quiet, glyph.digit)
        if stroke is None:
            return min(age, quiet)
        if not self._is_placed and segmentation.lies_away(glyph, stroke):
            return min(age, max(quiet, stroke.began + segmentation.AWAY_SECONDS))
        return age

    def begin(self, number: int, time_ms: int, now: float) -> None:
        """The tip touches.

        Args:
            number: the caller's number of the stroke.
            time_ms: on the caller's clock; 0 where unknown.
            now: the time, in seconds.

        Raises:
            InkFault: the stroke is refused, and its points will be ignored.
        """
        if before := self.stop(now):
            wrong = (
                f"stroke {before} had not ended: it was ended here, and stroke {number} is not read; "
                "end a stroke before the next"
            )
            raise InkFault("stroke_begin", wrong, stroke=number)
        self._is_refusing = True
        glyph = self._glyph
        if not number:
            raise InkFault("stroke_begin.stroke", "expected a number that is not 0, got 0")
        if self._final_glyph(number) or (glyph and number in glyph.strokes):
            wrong = f"expected a new number, got {number} again"
            raise InkFault("stroke_begin.stroke", wrong, stroke=number)
        most = self._limits.strokes_per_glyph
        if glyph and len(glyph.strokes) >= most:
            wrong = (
                f"a glyph may have {most} strokes, got {most + 1}; stroke {number} is not read: "
                "end the glyph first"
            )
            raise InkFault("stroke_begin", wrong, glyph=glyph.number, stroke=number)
        size = STROKE_BYTES if glyph else STROKE_BYTES + GLYPH_BYTES
        self._memory.require(size, "stroke_begin", stroke=number)
        self._is_refusing = False
        self._is_placed = False
        self._box = None
        self._stroke = Stroke(number, now, time_ms, self._account)

    def move(self, points: Columns, now: float, room: int) -> None:
        """The tip moves.

        Args:
            points: where it was.
            now: the time, in seconds.
            room: points that the stream still has room for.

        Raises:
            InkFault: the points are refused, and so is the rest of the stroke, since each point is a
                difference to the one before. Earlier points stay.
        """
        stroke = self._stroke
        if stroke is None:
            if self._is_refusing:
                return
            self._is_refusing = True
            raise InkFault("points", "no stroke is open: begin one first")
        glyph = self._glyph
        held = glyph.points if glyph is not None else 0
        if not self._is_placed:
            held += len(stroke)
        try:
            require_points(points, stroke.number, held, self._limits, room)
            if size := stroke.growth(len(points[0])):
                self._memory.require(size, "points", stroke=stroke.number)
        except InkFault as fault:
            self.stop(now)
            fault.message += "; the rest of the stroke is not read"
            raise
        if not points[0]:
            return
        self._points += len(points[0])
        if self._is_placed:
            assert glyph is not None, "a stroke that is placed has a glyph"
            glyph.grow(stroke, points)
        else:
            stroke.add(points)
            self._place(stroke, now, is_up=False)
        if self._is_placed:
            self._ink_added(now)

    def stop(self, now: float) -> int:
        """Read no more of the open stroke; its points so far stay. Gives its number; 0 for none."""
        stroke = self._stroke
        if stroke is not None:
            self.lift(now)
            self._is_refusing = True
        return stroke.number if stroke is not None else 0

    def _ink_added(self, now: float) -> None:
        """Note that the open glyph has more ink."""
        glyph = self._glyph
        assert glyph is not None, "a stroke that is placed has a glyph"
        glyph.changed(now)
        if self._settings.interim_seconds and now >= self._next_interim:
            self._next_interim = now + self._settings.interim_seconds
            self._want(glyph, "interim")

    def lift(self, now: float) -> None:
        """The tip lifts.

        Raises:
            InkFault: no stroke is open.
        """
        stroke, self._stroke = self._stroke, None
        if stroke is None:
            if self._is_refusing:
                self._is_refusing = False
                return
            raise InkFault("stroke_end", "no stroke is open: begin one first")
        if not self._is_placed:
            self._place(stroke, now, is_up=True)
        glyph = self._glyph
        assert glyph is not None, "a stroke that is placed has a glyph"
        glyph.changed(now)
        self._want(glyph, "provisional")

    def skip_stroke(self, now: float) -> None:
        """Lift the tip if it is down, and ignore the rest of the stroke."""
        if self._stroke is not None:
            self.lift(now)
            self._is_refusing = True

    def erase(self, number: int, now: float) -> None:
        """The pen erases a stroke; it may be the one that is being drawn.

        Args:
            number: the caller's number of the stroke.
            now: the time, in seconds.

        Raises:
            InkFault: the stroke already has its final answer, or is unknown.
        """
        glyph, stroke = self._glyph, self._stroke
        if stroke is not None and stroke.number == number:
            self._stroke = None
            self._is_refusing = True
            if not self._is_placed:
                self._points -= len(stroke)
                return
        if glyph is not None and number in glyph.strokes:
            self._points -= len(glyph.drop(number))
            glyph.changed(now)
            self._want(glyph, "provisional")
        elif final := self._final_glyph(number):
            wrong = f"stroke {number} belongs to glyph {final}, whose answer is final"
            raise InkFault("stroke_remove.stroke", wrong, glyph=final, stroke=number)
        else:
            wrong = f"expected a stroke of this pen, got {number}"
            raise InkFault("stroke_remove.stroke", wrong, stroke=number)

    def end_glyph(self, now: float) -> None:
        """The digit is complete. Does nothing where no glyph is open: the quiet time may have ended it."""
        self.stop(now)
        self._finish()

    def clear(self) -> None:
        """Drop all ink that has no final answer."""
        glyph, self._glyph = self._glyph, None
        stroke, self._stroke = self._stroke, None
        if stroke is not None:
            self._is_refusing = True
            if not self._is_placed:
                self._points -= len(stroke)
        if glyph is not None:
            self._points -= glyph.points
            self._want(glyph, "dropped")
            glyph.let_go()

    def tick(self, now: float) -> None:
        """Time has passed: end a glyph that has been quiet, or open, for long enough.

        Raises:
            InkFault: a glyph was open for too long and was ended; names its last stroke.
        """
        due = self.due()
        if due is None or now < due:
            return
        glyph, stroke = self._glyph, self._stroke
        if glyph is not None and now < self._oldest(glyph.began):
            self._finish()
            if stroke is not None:
                self._join(stroke, 0)
                self._ink_added(now)
            return
        last, what = next(reversed(glyph.strokes), 0) if glyph else 0, "it was ended"
        if stroke is not None:
            last, what = stroke.number, f"{what}, and the rest of the stroke is not read"
        self.end_glyph(now)
        if last:
            wrong = f"a glyph may stay open for {self._limits.glyph_seconds:g} s: {what}"
            raise InkFault("stroke_begin", wrong, glyph=self._glyphs, stroke=last)

    def recognized(self, glyph: Glyph, edition: int, digit: int | None) -> None:
        """Take in what an edition of a glyph looks like, which may change `due`.

        Args:
            glyph: as in `Wanted`.
            edition: as in `Wanted`; an edition that is not the latest changes nothing.
            digit: None where it is unsure.
        """
        if glyph.edition == edition:
            glyph.digit = digit

    def _oldest(self, began: float) -> float:
        """Give the time at which ink that began then has been open for as long as it may."""
        return began + self._limits.glyph_seconds

    def _place(self, stroke: Stroke, now: float, *, is_up: bool) -> None:
        """Decide which glyph a stroke belongs to, if that can be decided; at pen-up it always can."""
        glyph, quiet = self._glyph, self._settings.quiet
        if not len(stroke):
            self._join(stroke, None)
            return
        box = self._box_of(stroke)
        if glyph is not None:
            begins = segmentation.begins_another(quiet, glyph, stroke, box, now=now, is_up=is_up)
            if begins is None:
                return
            if begins:
                self._finish()
        self._join(stroke, box)

    def _box_of(self, stroke: Stroke) -> int:
        """Give the number of the box that a stroke with points belongs to, 0 for none."""
        current = self._glyph.box if self._glyph is not None else None
        if self._box is None or self._box[1] != current:
            boxes = self._settings.boxes
            self._box = boxes.at(*stroke.first, current) if boxes else 0, current
        return self._box[0]

    def _join(self, stroke: Stroke, box: int | None) -> None:
        """Put a stroke into the open glyph, opening one where none is."""
        glyph = self._glyph
        if glyph is None:
            self._glyphs += 1
            glyph = self._glyph = Glyph(self._glyphs, stroke.began, self._account)
        if glyph.box is None:
            glyph.box = box
        glyph.join(stroke)
        self._is_placed = True

    def _finish(self) -> None:
        """Ask for the final answer to the open glyph, if one is open."""
        glyph, self._glyph = self._glyph, None
        if glyph is None:
            return
        self._points -= glyph.points
        self._want(glyph, "final")
        if self._finals is None:
            self._finals = FinalStrokes(self._account)
        self._finals.add(glyph.strokes, glyph.number, self._memory.remembered_strokes)
        glyph.let_go()

    def _final_glyph(self, stroke: int) -> int:
        """Give the number of the glyph whose final answer has a stroke; 0 for none."""
        return self._finals.glyph_of(stroke) if self._finals is not None else 0

    def _want(self, glyph: Glyph, state: State) -> None:
        strokes = tuple(glyph.strokes)
        wanted = Wanted(
            glyph, state, glyph.edition, glyph.sketch(), strokes, glyph.box or 0, glyph.inked
        )
        self._wanted = (*self._wanted, wanted)
