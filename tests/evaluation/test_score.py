"""Which scores can be compared, and what a record of them may hold."""

from __future__ import annotations

import pytest

from gankit.core.errors import DamagedFile
from gankit.evaluation.score import PROTOCOL, Score, differences


def test_scores_of_older_versions_load_and_are_compared_with_each_other():
    protocol = {name: None for name in PROTOCOL if name != "class shares"}
    line = {"metric": "fid", "value": 2.0, "better": "lower", "protocol": protocol, "step": 3, "by": "training"}
    one, two = Score.from_dict(line), Score.from_dict({**line, "value": 1.0})
    assert two.beats(one)
    new = Score.from_dict({**line, "protocol": {**protocol, "class shares": "data"}})
    assert differences(one, new) == ["class shares None, data"]


def test_a_model_without_classes_is_compared_with_one_whose_classes_are_as_in_the_data():
    protocol = dict.fromkeys(PROTOCOL)
    line = {"metric": "fid", "value": 2.0, "better": "lower", "protocol": protocol, "step": 3, "by": "training"}
    plain = Score.from_dict(line)
    told, even = (
        Score.from_dict({**line, "protocol": {**protocol, "class shares": shares}}) for shares in ("data", "even")
    )
    assert differences(plain, told) == []
    assert differences(plain, even) == ["class shares data, even"]


@pytest.mark.parametrize("wrong", [{"value": "low"}, {"value": [1]}, {"protocol": 3}, {"protocol": None}, {"more": 1}])
def test_a_line_of_another_shape_is_named_as_damaged(wrong):
    line = {"metric": "fid", "value": 2.0, "better": "lower", "protocol": {}, "step": 3, "by": "training"}
    with pytest.raises(DamagedFile, match="the-run: a line of its evaluations"):
        Score.from_dict({**line, **wrong}, "the-run")
