"""The README's own recipe loads, and its first two shell blocks are one line each."""

import re
from pathlib import Path

from crawler.config.flags import Flags
from crawler.config.load import load
from crawler.settings.sinks import RestSettings

README = (Path(__file__).parents[2] / "README.md").read_text()


def test_the_recipe_of_the_readme_loads(tmp_path: Path) -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    (tmp_path / "recipe.yml").write_text(block)
    settings = load(tmp_path / "recipe.yml", {"MLFLOW_PASSWORD": "p", "DATAHUB_TOKEN": "t"}, Flags(), home=tmp_path)
    assert isinstance(settings.sink, RestSettings)
    assert settings.mapping.platform_instance == "team-a"


def test_the_two_commands_are_one_line_each() -> None:
    demo, tests = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    assert demo.count("\n") == tests.count("\n") == 1
    assert demo.rstrip().endswith("mlflow-datahub-crawler demo")
    assert tests.rstrip().endswith("pytest")
