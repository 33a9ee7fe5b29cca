"""Proposals read back from a file as a stream: dead letters, and what our `file` sink or DataHub's own has written.

These forms differ in what stands between the proposals (line ends, commas, brackets) and in how many lines one takes,
so all are read as one JSON object after the other. Behind a broken one, reading goes on at the next line that begins
with a proposal, which ends before the next such line that is not indented deeper. Nothing but the object at hand is
held.
"""

import json
import re
from collections.abc import Iterator

import msgspec

from crawler.proposal_files.proposal_json import FiledProposal, NoProposal, decode_proposal

MAX_OBJECT_BYTES = 32_000_000
"""DataHub takes half as much in one request."""

MAX_LINE_BYTES = 1_000_000
"""Bytes of a line that wait for its end; a longer line is read in parts."""

FIRST_SCAN_BYTES = 4_000
"""Bytes in which the end of an object is looked for first. json counts the lines of a text that it finds broken, so one
broken line of a long text would cost as much as all lines of it."""

_CUT_OFF = "the file ends within it, so whoever wrote it was cut off"
_LIST_CUT_OFF = "the list has no end, so whoever wrote it was cut off: some may be missing"

# The bytes of UTF-8's byte order mark may stand between objects too: some files begin with it.
_BETWEEN = re.compile("(?:[ \t\r\n\f\v,\\[\\]]++|\xef\xbb\xbf)*+")
_BLANK_REST = re.compile(r"[ \t\r\n]*\Z")
_LINE_WITH_OBJECT = re.compile(r"\n[ \t,\[]*(?=\{|\Z)")
# Only the end of an object matters here. As floats, integers may have any number of digits.
_scan = json.JSONDecoder(parse_int=float).raw_decode


class UnreadablePart(msgspec.Struct, frozen=True):
    """A part of the file in which no proposal can be read: where it is, and why."""

    where: str
    reason: str


class _Broken(msgspec.Struct):
    """An unreadable part whose end may still move."""

    line: int
    byte: int
    reason: str
    last_line: int

    def part(self) -> UnreadablePart:
        lines = f"line {self.line}" if self.last_line <= self.line else f"lines {self.line} to {self.last_line}"
        return UnreadablePart(f"{lines} (from byte {self.byte} on)", self.reason)


class ProposalReader:
    """Reads a file whose bytes are given to `feed` in pieces of any size."""

    def __init__(self) -> None:
        """Start at the beginning of a file."""
        self._text = ""
        """Bytes in memory as Latin-1, which has one character for each byte."""
        self._at = 0
        """How much of the text has been read."""
        self._text_byte = 0
        """Where the text is in the file."""
        self._line = 1
        """The line of `_at`."""
        self._last_line_end = -1
        """The last line end in the text."""
        self._scanned = 0
        """Size of the object at `_at` when it was last found to be incomplete."""
        self._ended = False
        self._in_list = False
        self._broken: _Broken | None = None
        """The unreadable part before `_at` that has not been named yet."""
        self._lost = False
        """Whether that part goes on until a line begins with a proposal."""

    def feed(self, piece: bytes) -> Iterator[FiledProposal | UnreadablePart]:
        """Yield what can be read with these bytes."""
        self._text_byte += self._at
        self._text = self._text[self._at :] + piece.decode("latin-1")
        self._at = 0
        self._last_line_end = self._text.rfind("\n")
        yield from self._read()

    def end(self) -> Iterator[FiledProposal | UnreadablePart]:
        """Yield the rest, once all bytes have been fed."""
        self._ended = True
        self._text_byte += self._at
        self._text = self._text[self._at :].rstrip(" \t\r\n")
        self._at = 0
        yield from self._read()
        if self._broken is None and self._in_list:
            self._broken = self._broken_here(_LIST_CUT_OFF)
        yield from self._name_broken(self._line if self._lost else 0)

    def _read(self) -> Iterator[FiledProposal | UnreadablePart]:
        while (begin := self._next_object()) is not None:
            if not self._lost:
                yield from self._name_broken()
            if whole_line := self._whole_line(begin):
                yield from self._go_behind(*whole_line)
                continue
            if not self._is_worth_a_scan():
                return
            limit = self._limit(begin) if self._lost else len(self._text)
            try:
                end = self._find_end(begin, limit)
            except RecursionError:
                self._lose_way("it is nested too deeply", begin)
            except json.JSONDecodeError as error:
                if limit < len(self._text) or _is_broken(error, ended=self._ended):
                    self._lose_way(f"it is no JSON: {error.msg}", begin)
                elif self._ended:
                    self._lose_way(_CUT_OFF, begin)
                elif self._size > MAX_OBJECT_BYTES:
                    self._lose_way(f"it takes more than {MAX_OBJECT_BYTES} bytes", begin)
                    yield from self._name_broken()
                else:
                    self._scanned = self._size
                    return
            else:
                yield from self._take_object(begin, end)

    @property
    def _size(self) -> int:
        return len(self._text) - self._at

    def _next_object(self) -> int | None:
        """Return where the next object begins, or may begin; None if that is not in memory yet."""
        if not self._lost:
            if between := _BETWEEN.match(self._text, self._at):
                self._pass(between)
            if not self._size:
                return None
            if self._text[self._at] == "{":
                return self._at
            self._lose_way("no proposal begins here", self._at)
        found = _LINE_WITH_OBJECT.search(self._text, self._at)
        self._go_to(found.start() if found else len(self._text))
        return found.end() if found and found.end() < len(self._text) else None

    def _is_worth_a_scan(self) -> bool:
        """Whether the object at hand may have its end. To scan it once it has doubled costs little, all in all."""
        if self._ended:
            return True
        has_line_end = self._last_line_end > self._at or self._size >= MAX_LINE_BYTES
        return has_line_end and self._size >= min(2 * self._scanned, MAX_OBJECT_BYTES)

    def _whole_line(self, begin: int) -> tuple[FiledProposal, int] | None:
        """Return the proposal that the rest of the line is, and its end. Most files are lines of proposals."""
        line_end = self._text.find("\n", begin, begin + FIRST_SCAN_BYTES)
        end = self._text.rfind("}", begin, max(line_end, begin)) + 1
        if not end:
            return None
        try:
            return decode_proposal(self._text[begin:end].encode("latin-1")), end
        except NoProposal:
            return None

    def _limit(self, begin: int) -> int:
        """Return where an object within an unreadable part ends at the latest."""
        size = len(self._text)
        for line in _LINE_WITH_OBJECT.finditer(self._text, begin):
            if line.end() - line.start() <= begin - self._at and line.end() < size:
                return line.start()
        return size

    def _find_end(self, begin: int, limit: int) -> int:
        """Return where the object ends that begins there. Raises JSONDecodeError and RecursionError."""
        size = FIRST_SCAN_BYTES
        while True:
            end = min(begin + size, limit)
            try:
                return begin + _scan(self._text[begin:end])[1]
            except json.JSONDecodeError as error:
                if end == limit or _is_broken(error):
                    raise
            size *= 4

    def _take_object(self, begin: int, end: int) -> Iterator[FiledProposal | UnreadablePart]:
        """Read a JSON object. One within an unreadable part need not be a proposal."""
        try:
            found = decode_proposal(self._text[begin:end].encode("latin-1"))
        except NoProposal as error:
            broken = self._broken_here(str(error))
            self._go_to(end)
            if not self._lost:
                broken.last_line = self._line
                self._broken = broken
        else:
            yield from self._go_behind(found, end)

    def _go_behind(self, found: FiledProposal, end: int) -> Iterator[FiledProposal | UnreadablePart]:
        """Go on behind a proposal, with which an unreadable part ends."""
        if self._lost:
            self._lost = False
            yield from self._name_broken(self._line)
        self._go_to(end)
        yield found

    def _lose_way(self, reason: str, begin: int) -> None:
        """Make what begins there a part of what is unreadable."""
        if not self._lost:
            self._broken = self._broken or self._broken_here(reason)
        self._lost, self._in_list = True, False
        self._go_to(begin)

    def _broken_here(self, reason: str) -> _Broken:
        return _Broken(self._line, self._text_byte + self._at + 1, reason, self._line)

    def _name_broken(self, last_line: int = 0) -> Iterator[UnreadablePart]:
        if self._broken is not None:
            self._broken.last_line = max(self._broken.last_line, last_line)
            yield self._broken.part()
            self._broken = None

    def _pass(self, between: re.Match[str]) -> None:
        """Go on behind what stands between two objects."""
        opened, closed = between[0].rfind("["), between[0].rfind("]")
        if opened != closed:
            self._in_list = opened > closed
        self._go_to(between.end())

    def _go_to(self, to: int) -> None:
        if to > self._at:
            self._scanned = 0
        self._line += self._text.count("\n", self._at, to)
        self._at = to


def _is_broken(error: json.JSONDecodeError, *, ended: bool = False) -> bool:
    """Whether a text is no JSON, whatever may follow it."""
    line_ends = error.doc.find("\n", error.pos) >= 0 or (ended and error.doc.endswith("}"))
    return line_ends and not _BLANK_REST.match(error.doc, error.pos)
