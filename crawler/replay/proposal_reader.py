"""Proposals read back from a file as a stream: dead letters, and what our `file` sink or DataHub's own has written.

These forms differ in what stands between the proposals (line ends, commas, brackets) and in how many lines one takes,
so they are all read as one object after the other, whatever is between. Nothing but the object at hand is held.
"""

import re
from collections.abc import Iterator

import msgspec

from crawler.datahub.proposals import Proposal

MAX_OBJECT_BYTES = 32_000_000
"""DataHub takes half as much in one request."""

MAX_LINE_BYTES = 1_000_000
"""What may wait for the end of its line; of a longer line the parts are read as they come."""

_LINES = re.compile(rb"[^\n]*\n|[^\n]+")
_BETWEEN = re.compile(rb"(?:[\s,\[\]]|\xef\xbb\xbf)*")
# A text without an end in its line is a mere quote.
_TOKENS = re.compile(rb'"(?:[^"\\\n]++|\\.)*+"|["{}]')
_INDENTED = re.compile(rb'\{[ \t]*\r?\n([ \t]*)"')
_BRACE_ALONE = re.compile(rb"([ \t]*)\{\s*")
_NAME = re.compile("[A-Za-z][A-Za-z0-9]*")


class DeadLetter(msgspec.Struct, frozen=True):
    """A proposal, and the code of why it was not delivered where the file tells that."""

    proposal: Proposal
    code: str = ""


class Unreadable(msgspec.Struct, frozen=True):
    """A part of the file in which no proposal can be read: where it is, and why."""

    where: str
    reason: str


class _Aspect(msgspec.Struct, rename="camel"):
    json: msgspec.Raw = msgspec.Raw()
    value: str | None = None
    content_type: str = "application/json"


class _Object(msgspec.Struct, rename="camel"):
    """A proposal, or a dead letter around one."""

    entity_type: str = ""
    entity_urn: str = ""
    change_type: str = "UPSERT"
    aspect_name: str = ""
    aspect: _Aspect | None = None
    proposal: "_Object | None" = None
    code: str = ""


class _NoProposal(ValueError):
    """An object that is none that can be sent; says why."""


_decode = msgspec.json.Decoder(_Object).decode
_decode_raw = msgspec.json.Decoder(msgspec.Raw).decode


class ProposalReader:
    """Takes a file's bytes with `feed`, in pieces of any size, then `end`; both give what can be read by then."""

    def __init__(self) -> None:
        self._rest = b""
        """The beginning of a line whose end is still to come."""
        self._text = bytearray()
        """The object at hand, from its brace on; empty between two objects."""
        self._offset = 0
        """Where the text is in the file, in bytes."""
        self._scanned = self._depth = 0
        """How much of the text was looked at, and how many objects were open there."""
        self._line = self._begun = 1
        """The line that is being read, and the one in which the object at hand begins."""
        self._line_starts = True
        self._in_list = False
        # What is left of an object that could not be read: the rest of its line, or all lines indented so far.
        self._skips_line = self._names_junk = False
        self._skipped_indent = 0

    def feed(self, piece: bytes) -> Iterator[DeadLetter | Unreadable]:
        """Takes the next bytes."""
        lines = _LINES.findall(self._rest + piece)
        self._rest = b""
        if lines and not lines[-1].endswith(b"\n") and len(lines[-1]) < MAX_LINE_BYTES:
            self._rest = lines.pop()
        for line in lines:
            yield from self._take(line)

    def end(self) -> Iterator[DeadLetter | Unreadable]:
        """To be called once, when all bytes have been fed."""
        if self._rest:
            yield from self._take(self._rest)
        if self._text:
            yield self._give_up("the file ends within it, so whoever wrote it was cut off")
        elif self._in_list:
            yield Unreadable(self._where(), "the list has no end, so whoever wrote it was cut off: some may be missing")

    def _take(self, line: bytes) -> Iterator[DeadLetter | Unreadable]:
        """Takes a line, or a part of a very long one."""
        if self._line_starts:
            self._skips_line, self._names_junk = False, True
        if self._text and self._begins_anew(line):
            yield self._give_up("it does not end before another one begins", self._line - 1)
        if self._skips_line or self._is_left_over(line):
            self._offset += len(line)
        elif not self._text and (letter := _whole(line)):
            self._offset += len(line)
            self._note_brackets(line[line.rindex(b"}") :])
            yield letter
        else:
            self._text += line
            yield from self._objects()
        self._line_starts = line.endswith(b"\n")
        self._line += self._line_starts

    def _objects(self) -> Iterator[DeadLetter | Unreadable]:
        """All that ends within the text at hand."""
        while self._finds_object():
            try:
                end = self._find_end()
            except _NoProposal as torn:
                yield self._give_up(str(torn))
                return
            if end is None:
                break
            yield self._read(end)
        if self._scanned and len(self._text) > MAX_OBJECT_BYTES:
            yield self._give_up(f"it takes more than {MAX_OBJECT_BYTES} bytes")
            self._skips_line = True
        elif self._text and not self._scanned:
            named = self._names_junk
            junk = self._give_up("no proposal begins here")
            self._skips_line = True
            if named:
                yield junk

    def _finds_object(self) -> bool:
        """Whether the text at hand is an object, once what may be between two objects is dropped."""
        if not self._scanned and (between := _BETWEEN.match(self._text)):
            self._note_brackets(between.group())
            self._drop(between.end())
            self._begun = self._line
        return self._text.startswith(b"{")

    def _find_end(self) -> int | None:
        """Where the object at hand ends, None if that is further on. Raises _NoProposal for a text without an end."""
        for token in _TOKENS.finditer(self._text, self._scanned):
            match token.group():
                case b"{":
                    self._depth += 1
                case b"}":
                    self._depth -= 1
                    if not self._depth:
                        return token.end()
                case b'"':
                    if self._text.endswith(b"\n"):
                        raise _NoProposal("a text in it does not end in its line")
                    self._scanned = token.start()
                    return None
        self._scanned = len(self._text)
        return None

    def _read(self, end: int) -> DeadLetter | Unreadable:
        text, where = bytes(self._text[:end]), self._where()
        self._drop(end)
        try:
            return _letter(text)
        except _NoProposal as error:
            self._leave_over(text)
            return Unreadable(where, str(error))

    def _begins_anew(self, line: bytes) -> bool:
        """Whether a line cannot belong to the object at hand: it is a whole proposal, or a brace further left than what
        is in that object.
        """
        if not self._line_starts or not line.lstrip().startswith(b"{"):
            return False
        alone = _BRACE_ALONE.fullmatch(line)
        indented = _INDENTED.match(self._text)
        if alone and indented:
            return len(alone[1]) < len(indented[1])
        return _whole(line) is not None

    def _give_up(self, reason: str, last_line: int | None = None) -> Unreadable:
        """Names the text at hand as unreadable and drops it."""
        unreadable = Unreadable(self._where(last_line), reason)
        self._leave_over(self._text)
        self._drop(len(self._text))
        return unreadable

    def _leave_over(self, text: bytes | bytearray) -> None:
        """What follows may belong to what cannot be read: it shall not be named as well."""
        self._names_junk = self._in_list = False
        indented = _INDENTED.match(text)
        self._skipped_indent = len(indented[1]) if indented else 0

    def _is_left_over(self, line: bytes) -> bool:
        if self._text or not self._skipped_indent:
            return False
        inner = len(line) - len(line.lstrip(b" \t")) >= self._skipped_indent
        if not inner:
            self._skipped_indent = 0
        return inner or line.lstrip().startswith(b"}")

    def _note_brackets(self, between: bytes) -> None:
        opened, closed = between.rfind(b"["), between.rfind(b"]")
        if opened != closed:
            self._in_list = opened > closed

    def _drop(self, count: int) -> None:
        del self._text[:count]
        self._offset += count
        self._scanned = self._depth = 0

    def _where(self, last_line: int | None = None) -> str:
        first = self._begun if self._text else self._line
        last = max(first, last_line or self._line)
        lines = f"line {first}" if first == last else f"lines {first} to {last}"
        return f"{lines} (from byte {self._offset + 1} on)"


def _whole(line: bytes) -> DeadLetter | None:
    """The proposal that a line is, if it is one and nothing else: that is so for most lines of most files."""
    text = line.rstrip(b" \t\r\n,]")
    if not text.startswith(b"{") or not text.endswith(b"}"):
        return None
    try:
        return _letter(text)
    except _NoProposal:
        return None


def _letter(text: bytes) -> DeadLetter:
    """Raises _NoProposal."""
    try:
        outer = _decode(text)
        inner = outer.proposal or outer
        proposal = Proposal(inner.entity_type, inner.entity_urn, inner.aspect_name, _aspect(inner.aspect))
    except UnicodeDecodeError:
        raise _NoProposal("it is not UTF-8") from None
    except msgspec.DecodeError as error:
        raise _NoProposal(f"it is no proposal: {error}") from None
    except RecursionError:
        raise _NoProposal("it is nested too deeply") from None
    if not _NAME.fullmatch(proposal.entity_type) or not _NAME.fullmatch(proposal.aspect_name):
        raise _NoProposal("it is no proposal: it names no entityType and aspectName as DataHub has them")
    if inner.change_type != "UPSERT":
        raise _NoProposal(f"its changeType is {inner.change_type}, and only UPSERT can be sent again")
    return DeadLetter(proposal, outer.code)


def _aspect(aspect: _Aspect | None) -> bytes:
    """The aspect's JSON as it stands in the file."""
    if aspect is None or aspect.content_type != "application/json":
        raise _NoProposal("it holds no aspect as JSON")
    raw = aspect.json if aspect.value is None else _decode_raw(aspect.value.strip())
    data = bytes(raw)
    if not data.startswith(b"{"):
        raise _NoProposal("its aspect is no JSON object")
    if not data.isascii():
        data.decode()
    return data
