"""Orders what waits for the engine: urgent classes first, and within a class the streams in turn.

Knows rows, what they cost and the streams they belong to; nothing of time, arrays or futures. With one stream
and one class it is an ordinary first-in-first-out.
"""

from collections import deque
from collections.abc import Callable
from enum import IntEnum
from typing import Final, Generic, Protocol, TypeVar

QUANTUM: Final = 64
"""Rows that a stream may take of a class before the next one's turn: a fourth of the largest batch, so that
four streams at full speed share each batch, and so that few blocks are cut."""


class Priority(IntEnum):
    """Classes, the most urgent first."""

    GLYPH = 0
    """A provisional or final answer to ink: the writer is waiting for it."""
    TENSOR = 1
    """An image."""
    INTERIM = 2
    """An answer to ink that is still being written; the next one replaces it."""


class Block(Protocol):
    """Rows that were submitted together."""

    taken: int
    """Rows that have left the queue; the queue adds to it."""

    @property
    def row_ns(self) -> int:
        """Work of a row, in nanoseconds."""

    @property
    def network(self) -> object:
        """Computes the rows. A batch is of one network, compared by identity."""

    @property
    def batch_rows(self) -> int:
        """Most rows in a batch of that network."""

    @property
    def rows_left(self) -> int:
        """Rows that have not."""


BlockT = TypeVar("BlockT", bound=Block)


class Flow(Generic[BlockT]):
    """The blocks of one stream in a queue. Make one for each stream, and use it with one queue."""

    __slots__ = ("blocks", "credit", "rows")

    def __init__(self) -> None:
        """Start empty."""
        self.blocks: tuple[deque[BlockT], ...] = tuple(deque() for _ in Priority)
        """Waiting blocks by class, oldest first."""
        self.rows: list[int] = [0 for _ in Priority]
        """Their rows by class."""
        self.credit: list[int] = [0 for _ in Priority]
        """Rows that are left of its turn, by class; 0 when its turn has not begun."""


class FairQueue(Generic[BlockT]):
    """Strict priority between classes, deficit round robin between the streams of a class.

    Deficit round robin: Shreedhar and Varghese, "Efficient Fair Queuing Using Deficit Round-Robin" (1996).
    A block may be cut, so that no turn exceeds its quantum and no deficit is carried over.
    """

    def __init__(self) -> None:
        """Start empty."""
        self.rows = 0
        """Rows that wait. May be read from any thread."""
        self.work = 0
        """Their work, in nanoseconds."""
        self.class_rows: list[int] = [0 for _ in Priority]
        """Rows by class."""
        self.class_work: list[int] = [0 for _ in Priority]
        """Work by class."""
        self._turns: tuple[deque[Flow[BlockT]], ...] = tuple(deque() for _ in Priority)

    def push(self, block: BlockT, flow: Flow[BlockT], priority: Priority) -> None:
        """Put a block behind those of the same stream and class."""
        blocks = flow.blocks[priority]
        if not blocks:
            self._turns[priority].append(flow)
        blocks.append(block)
        self.grow(block, flow, priority, block.rows_left)

    def grow(self, block: BlockT, flow: Flow[BlockT], priority: int, rows: int) -> None:
        """Count so many rows more in a block that waits; a negative number if rows leave."""
        work = rows * block.row_ns
        flow.rows[priority] += rows
        self.class_rows[priority] += rows
        self.rows += rows
        self.class_work[priority] += work
        self.work += work

    def take(self, room: int, is_over: Callable[[BlockT], bool]) -> list[tuple[BlockT, int, int]]:
        """Take what goes into the next batch: rows of the network whose turn it is.

        The batch ends at the first block of another network, so that no network's rows overtake those that
        are more urgent or were before them.

        Args:
            room: most rows of it.
            is_over: whether the block at the head of its stream need not be computed; if so, it is dropped.

        Returns: blocks, each with the first and last-plus-one of its rows that were taken.
        """
        parts: list[tuple[BlockT, int, int]] = []
        network: object = None
        for priority, turns in enumerate(self._turns):
            if not turns:
                continue
            while room and turns:
                flow = turns[0]
                blocks = flow.blocks[priority]
                credit = flow.credit[priority] or QUANTUM
                is_alone = len(turns) == 1
                if is_alone:
                    credit = room  # No other stream waits for a turn.
                while room and credit and blocks:
                    block = blocks[0]
                    if is_over(block):
                        self.grow(block, flow, priority, -block.rows_left)
                        blocks.popleft()
                        continue
                    if block.network is not network:
                        if parts:
                            room = 0
                            break
                        network, room = block.network, min(room, block.batch_rows)
                    rows = min(room, credit, block.rows_left)
                    parts.append((block, block.taken, block.taken + rows))
                    block.taken += rows
                    room -= rows
                    credit -= rows
                    self.grow(block, flow, priority, -rows)
                    if not block.rows_left:
                        blocks.popleft()
                if not blocks:
                    turns.popleft()
                    credit = 0
                elif is_alone or not credit:
                    turns.rotate(-1)
                    credit = 0
                flow.credit[priority] = credit
            if not room:
                break
        return parts

    def sweep(self, is_over: Callable[[BlockT], bool]) -> None:
        """Drop all blocks that need not be computed, wherever they wait."""
        for priority, turns in enumerate(self._turns):
            # Taken off and put back, each once: to remove one from the middle looks at all before it.
            for _ in range(len(turns)):
                flow = turns.popleft()
                blocks = flow.blocks[priority]
                for _ in range(len(blocks)):
                    block = blocks.popleft()
                    if is_over(block):
                        self.grow(block, flow, priority, -block.rows_left)
                    else:
                        blocks.append(block)
                if blocks:
                    turns.append(flow)
                else:
                    flow.credit[priority] = 0

    def streams(self, priority: Priority, flow: Flow[BlockT]) -> int:
        """Count the streams that share a class if `flow` is one of them."""
        return len(self._turns[priority]) + (not flow.blocks[priority])

    def own_work(self, flow: Flow[BlockT], priority: Priority) -> int:
        """Give the work of a stream in a class, in nanoseconds; a row counts at the mean of its class."""
        rows = self.class_rows[priority]
        return self.class_work[priority] * flow.rows[priority] // rows if rows else 0

    def ahead(self, rows: int, flow: Flow[BlockT], priority: Priority) -> int:
        """Give the most work that can leave before the last of so many more rows of a stream, in nanoseconds.

        These are all rows of more urgent classes, all that the stream has waiting, and of each other stream
        of its class as many rows as it may take in the turns that this stream needs. A row counts at the mean
        of its class.
        """
        urgent, own, all_rows = (
            sum(self.class_work[:priority]),
            flow.rows[priority],
            self.class_rows[priority],
        )
        if not all_rows:
            return urgent
        others = self.streams(priority, flow) - 1
        before = own + min(all_rows - own, others * (own + rows + QUANTUM))
        return urgent + self.class_work[priority] * before // all_rows
