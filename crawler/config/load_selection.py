"""The settings of what is crawled, from `source.config` of a recipe."""

import re

import msgspec

from crawler.config.patterns import AllowDeny
from crawler.config.remarks import Remarks
from crawler.config.sections import IncludeOptions, MlflowSource, Options, PatternOptions
from crawler.config.selection import Include, Selection
from crawler.config.strict import section
from crawler.errors import SettingsError


def load_selection(source: MlflowSource, remarks: Remarks) -> Selection:
    """Return what is chosen. Errors are added to `remarks`."""
    include = section(source.include, "source.config.include", IncludeOptions, remarks=remarks)
    return Selection(
        include=Include(**msgspec.structs.asdict(include)),
        workspaces=load_pattern(source.workspace_pattern, "source.config.workspace_pattern", remarks),
    )


def load_pattern(options: Options | None, path: str, remarks: Remarks) -> AllowDeny:
    """Return the pattern of the section at `path`. Errors are added to `remarks`."""
    pattern = section(options, path, PatternOptions, remarks=remarks)
    for key in ("allow", "deny"):
        for number, text in enumerate(getattr(pattern, key)):
            try:
                re.compile(text)
            except re.error as error:
                remarks.error(SettingsError(f"{path}.{key}[{number}]: no regular expression: {error}."))
    return AllowDeny(allow=tuple(pattern.allow), deny=tuple(pattern.deny), ignore_case=pattern.ignoreCase)
