"""The steps of the demo that take seconds: a line each, and on a terminal a clock while they run."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


@contextmanager
def step(console: Console, text: str) -> Iterator[Callable[[str], None]]:
    """Print the step, and show that it runs until the context ends. Returns what tells how far it is."""
    console.print(text)
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("")
        yield lambda so_far: progress.update(task, description=so_far)
