"""What the fields of a section mean, as the text under each says it: the reference and the JSON Schema have it."""

import ast
import inspect
import itertools

import msgspec


def descriptions(struct: type[msgspec.Struct]) -> dict[str, str]:
    """Return the text under each field, in the order of the source; a class's own fields come before inherited ones."""
    found: dict[str, str] = {}
    for part in struct.__mro__[: struct.__mro__.index(msgspec.Struct)]:
        body = getattr(ast.parse(inspect.getsource(part)).body[0], "body", [])
        for field, text in itertools.pairwise(body):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                found.setdefault(ast.unparse(field.target), str(text.value.value))
    return found
