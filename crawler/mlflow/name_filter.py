"""MLflow's filter for the versions of one model. Pure."""


def name_filter(name: str) -> str:
    """Return the filter that selects the rows of this name, and perhaps some more.

    MLflow knows no escape for a quote, so a name that has both kinds is looked for by a pattern, in which `_` is any
    character.
    """
    if "'" not in name:
        return f"name = '{name}'"
    if '"' not in name:
        return f'name = "{name}"'
    return "name LIKE '{}'".format(name.replace("'", "_"))
