"""Diagnostics of settings: all their errors at once, and notes."""

from crawler.errors import SettingsError


class Diagnostics:
    """Collects errors and notes while settings are loaded: `with diagnostics:` keeps the error of a part."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self._errors: list[SettingsError] = []

    def note(self, text: str) -> None:
        """Keep what the user should know, once."""
        if text not in self.notes:
            self.notes.append(text)

    def error(self, error: SettingsError) -> None:
        """Keep an error, so that those that follow it are found too."""
        self._errors.append(error)

    def has_error_at(self, *paths: str) -> bool:
        """True if something at one of the paths is wrong, so that what it says only seems to be missing."""
        return any(error.message.startswith(paths) for error in self._errors)

    def __enter__(self) -> None:
        """Begin a context: the SettingsError that ends it is kept, and what follows goes on."""

    def __exit__(self, _: object, error: BaseException | None, __: object) -> bool:
        """Keep a SettingsError; others pass."""
        if isinstance(error, SettingsError):
            self.error(error)
        return isinstance(error, SettingsError)

    def raise_errors(self) -> None:
        """Raise SettingsError with all errors, one a line."""
        distinct = list({str(error): error for error in self._errors}.values())
        if len(distinct) == 1:
            raise distinct[0]
        if distinct:
            raise SettingsError(
                "\n".join((f"{len(distinct)} settings are wrong:", *(f"- {each}" for each in distinct)))
            )
