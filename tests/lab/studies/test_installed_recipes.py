"""Every recipe that comes with gankit can be run at each of its scales."""

from __future__ import annotations

import pytest

from gankit.lab.studies.description import described
from gankit.lab.studies.recipe import PAPER, read
from gankit.lab.studies.scale import scaled
from gankit.studies import RECIPES

CASES = [(path, scale) for path in RECIPES for scale in (PAPER, *read(path).scales)]


@pytest.mark.parametrize(("path", "scale"), CASES, ids=[f"{path.stem}-{scale}" for path, scale in CASES])
def test_every_recipe_has_runs_figures_and_claims_that_fit_together_at_each_scale(path, scale):
    plan = scaled(read(path), scale)
    words = described(plan, path.stem)  # which checks all of it
    assert plan.recipe.claims
    assert plan.scale.says
    assert all(claim.says in " ".join(words.split()) for claim in plan.recipe.claims)
    assert all(name in words for name in plan.names)


@pytest.mark.parametrize("path", RECIPES, ids=[path.stem for path in RECIPES])
def test_every_recipe_can_be_run_small(path):
    assert {"ci", "laptop"} <= set(read(path).scales)
