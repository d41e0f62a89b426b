"""Checks for authors of plugins: what gankit relies on and does not say twice.

In a plugin's tests::

    from gankit.testing import check_variant, parametrize_checks

    @parametrize_checks(check_variant("hinge"))
    def test_hinge(check):
        check()

From the shell `gankit plugins check hinge`. Each check has a name; one that fails says what is wrong, why that matters
and what to change. gankit's own plugins pass the same ones.
"""

from gankit.testing.checks import Check, CheckFailed, parametrize_checks
from gankit.testing.others import check_architecture, check_dataset, check_extractor, check_metric
from gankit.testing.variants import check_variant

__all__ = [
    "Check", "CheckFailed", "check_architecture", "check_dataset", "check_extractor", "check_metric", "check_variant",
    "parametrize_checks",
]  # fmt: skip
