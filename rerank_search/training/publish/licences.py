"""Licences that allow texts of the training data to be repeated."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rerank_search.training.data.groups import TrainingSet

_MAY_BE_QUOTED = re.compile(
    r"(cc0|cc-by(-sa|-nc|-nc-sa|-nd|-nc-nd)?|mit|apache(-license)?|bsd(-[234]-clause)?"
    r"|public-domain)(-v?\d(\.\d)?)?(-universal)?(-licen[cs]e)?"
)


def may_be_quoted(licence: str) -> bool:
    """Whether texts under ``licence``, as a recipe states it, are known to be free to repeat."""
    return bool(_MAY_BE_QUOTED.fullmatch(re.sub(r"[\s_-]+", "-", licence.strip().lower())))


def unquotable(sets: Sequence[TrainingSet]) -> list[TrainingSet]:
    """The sets whose texts may not be repeated, as far as their licences say."""
    return [each for each in sets if not may_be_quoted(each.licence)]
