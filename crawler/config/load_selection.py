"""The settings of what is crawled, from `source.config` of a recipe."""

import msgspec

from crawler.config.remarks import Remarks
from crawler.config.sections import IncludeOptions, MlflowSource
from crawler.config.selection import Include, Selection
from crawler.config.strict import section


def load_selection(source: MlflowSource, remarks: Remarks) -> Selection:
    """Return what is chosen. Errors are added to `remarks`."""
    include = section(source.include, "source.config.include", IncludeOptions, remarks=remarks)
    return Selection(include=Include(**msgspec.structs.asdict(include)))
