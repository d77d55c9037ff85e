"""Writes the self-contained HTML pages that all look alike (`page.html.jinja`); their plots are drawn by `svg`."""

from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from recsys.files import replacing


def write_page(path: Path, template: str, package: str = "recsys.evaluation", **content: Any) -> Path:
    """Fill the template, which extends `page.html.jinja`, and write it to `path`.

    Args:
        path: of the page.
        template: file name of the template.
        package: where the template lies.
        content: what the template speaks of; anything in it is escaped unless it is `Markup`.
    """
    loader = ChoiceLoader([PackageLoader(name, ".") for name in dict.fromkeys((package, "recsys.evaluation"))])
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"number": number, "words": words}
    page = environment.get_template(template).render(content)
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


def number(value: float | None) -> str:
    """Counts with thousands separators, other values with four decimals, a dash for none."""
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


def words(name: str) -> str:
    """A name without its underscores."""
    return name.replace("_", " ")
