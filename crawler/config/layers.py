"""What each place says about the settings of a server, and which place counts.

A layer is what one place says: the flags, the recipe, the environment, a file in the home folder. Layers come with the
most important one first, and the first that names an option counts. docs/decisions/0014-whose-settings-count.md says
why, and what the official clients do.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import structs

RECIPE = "recipe"
DEFAULT = "default"
GROUPS = (
    frozenset({"ca_certificate_path", "disable_ssl_verification"}),
    frozenset({"client_certificate_path", "client_key_path"}),
    frozenset({"workspace", "workspace_pattern"}),
)
"""Options that belong together: the first place that names one of them counts for all."""

Section = TypeVar("Section", bound=msgspec.Struct)


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """What one place says.

    Attributes:
        place: how `--show-config` names the place.
        options: values by option, under the option's name in a recipe; None for an option that is not given.
        names: what the place calls an option, a variable or a flag, where it is called otherwise than in a recipe.
        path: the path of the options in a recipe or file, by which messages name the others.
    """

    place: str
    options: Mapping[str, Any] = {}
    names: Mapping[str, str] = {}
    path: str = ""

    def __getitem__(self, option: str) -> Any:
        """Return the value of an option; None if it is not given."""
        return self.options.get(option)

    def origin(self, option: str) -> str:
        """Return how `--show-config` says where an option is from."""
        return self.names.get(option, self.place)

    def name_of(self, option: str) -> str:
        """Return how messages name an option."""
        return self.names.get(option) or f"{self.path}.{option}"

    def without(self, options: Collection[str]) -> "Layer":
        """Return the layer without some options."""
        kept = {option: value for option, value in self.options.items() if option not in options}
        return structs.replace(self, options=kept)


class Merged(msgspec.Struct, Generic[Section], frozen=True):
    """The options that count, and where each is from; an option that no place names is not among the origins.

    `sign_ins` are where the credentials of each server are from, by how `--show-config` names the server.
    """

    section: Section
    origins: Mapping[str, str]
    sign_ins: Mapping[str, str] = {}


def merge(struct: type[Section], layers: Iterable[Layer]) -> Merged[Section]:
    """Return the first value of each option; defaults are those of the struct."""
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for layer in layers:
        decided = {*values, *(option for group in GROUPS if group & values.keys() for option in group)}
        for option in struct.__struct_fields__:
            if option not in decided and layer[option] is not None:
                values[option] = layer[option]
                origins[option] = layer.origin(option)
    return Merged(struct(**values), origins)


def recipe_layer(section: msgspec.Struct, given: Mapping[Any, Any], path: str) -> Layer:
    """Return what a recipe says: of its section, the options that it names."""
    # A key without a value, and the empty text of `${NAME:-}`, count as left out: the section has the default then.
    options = {
        field.name: getattr(section, field.name)
        for field in structs.fields(section)
        if given.get(field.name) is not None and getattr(section, field.name) is not None
    }
    return Layer(place=RECIPE, options=options, path=path)


def variables_layer(given: Mapping[str, tuple[str, Any]]) -> Layer:
    """Return what variables of the environment say: by option, the variable and its value."""
    return Layer(
        place="environment",
        options={option: value for option, (_, value) in given.items()},
        names={option: name for option, (name, _) in given.items()},
    )
