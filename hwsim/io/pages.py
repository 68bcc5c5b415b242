"""The door to Jinja2: HTML pages that need nothing else."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

__all__ = ["Markup", "page"]


def page(template: str, **values: Any) -> str:
    """A template of hwsim/io/ filled in; text is escaped, `Markup` is not."""
    environment = Environment(loader=PackageLoader("hwsim", "io"), autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.get_template(template).render(**values)
