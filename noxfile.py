"""The project's tasks: `.venv/bin/uvx nox -l` lists them, `.venv/bin/uvx nox -s fast` runs one.

nox and not just: it comes from PyPI like all else here, its sessions are Python, and it makes the environments that
`lowest` and other Python versions need. uv, which the extra `test` installs, is its backend. CI runs `.ci/run`.
"""

import nox

PYTHONS = ["3.11", "3.12", "3.13"]

nox.needs_version = ">=2025.2"
nox.options.default_venv_backend = "uv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["lint", "types", "fast"]


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the whole test suite; arguments go to pytest."""
    session.install("-e", ".[test]")
    session.run("pytest", *session.posargs)


@nox.session(python=PYTHONS[0])
def fast(session: nox.Session) -> None:
    """Run the tests that are not marked slow; arguments go to pytest."""
    session.install("-e", ".[test]")
    session.run("pytest", "-m", "not slow", *session.posargs)


@nox.session(python=PYTHONS[0])
def lint(session: nox.Session) -> None:
    """Check the format and the style."""
    session.install("-e", ".[test]")
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")


@nox.session(python=PYTHONS[0])
def types(session: nox.Session) -> None:
    """Check the types with mypy, in strict mode."""
    session.install("-e", ".[test]")
    session.run("mypy")


@nox.session(python=[PYTHONS[0], PYTHONS[-1]])
def lowest(session: nox.Session) -> None:
    """Run the fast tests with the lowest versions of all dependencies that pyproject.toml allows."""
    session.install("--resolution", "lowest-direct", "-e", ".[test]")
    session.run("pytest", "-m", "not slow", *session.posargs)


@nox.session(python=PYTHONS[0])
def benchmarks(session: nox.Session) -> None:
    """Run a benchmark, such as `nox -s benchmarks -- pipeline --quick`; see benchmarks/README.md."""
    session.install("-e", ".[test,bench]")
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session(python=PYTHONS[0])
def build(session: nox.Session) -> None:
    """Build the source distribution and the wheel into dist/."""
    session.install("uv")
    session.run("uv", "build")
