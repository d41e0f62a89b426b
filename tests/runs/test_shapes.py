"""A file of a run that holds something else than gankit wrote: one line that names the file and the key."""

from __future__ import annotations

import json
import shutil

import pytest

import gankit
from gankit.core.errors import GankitError
from gankit.core.files import append_lines, read_lines


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    from tiny import TINY

    root = tmp_path_factory.mktemp("judged") / "run"
    gankit.train("dcgan", out=root, steps=4, evaluate_every=2, metric="swd", evaluate_images=20, **TINY)
    return root


@pytest.fixture
def run(judged, tmp_path):
    return shutil.copytree(judged, tmp_path / "run")


def spoil(path, keys, value):
    """Put ``value``, as JSON text, at ``keys`` of JSON file ``path``, or of its last line."""
    text = path.read_text()
    first, last = (
        ("", text) if path.suffix == ".json" else (text[: text.rstrip().rfind("\n") + 1], text.splitlines()[-1])
    )
    values = json.loads(last)
    at = values
    for key in keys[:-1]:
        at = at[key]
    if keys:
        at[keys[-1]] = "SPOILED"
        last = json.dumps(values).replace('"SPOILED"', value)
    else:
        last = value
    path.write_text(first + last + "\n")


HUGE = "1" + "0" * 400
CASES = [
    ("config.json", [], "[]", "config.json"),
    ("config.json", [], "7", "config.json"),
    ("config.json", [], "[" * 100_000, "config.json"),
    ("config.json", ["variant"], "[1]", "'variant'"),
    ("config.json", ["train"], "[]", "[train]"),
    ("config.json", ["train", "steps"], '"many"', "--steps"),
    ("config.json", ["train", "steps"], HUGE, "--steps"),
    ("config.json", ["train", "steps"], "1" * 5000, "config.json"),
    ("config.json", ["options", "lr_g"], HUGE, "--lr-g"),
    ("config.json", ["options", "lr_g"], "{}", "--lr-g"),
    ("config.json", ["spec"], "[]", "'spec'"),
    ("config.json", ["spec", "size"], '"8"', "'size'"),
    ("config.json", ["spec", "channels"], HUGE, "'channels'"),
    ("config.json", ["spec", "names"], "5", "'names'"),
    ("config.json", ["machine"], "[]", "'machine'"),
    ("config.json", ["legs"], "{}", "'legs'"),
    ("config.json", ["legs"], '[{"from": "2"}]', "'from'"),
    ("config.json", ["legs"], "[3]", "'legs'"),
    ("checkpoints/index.json", [], "[]", "index.json"),
    ("checkpoints/index.json", ["best"], "4", "'best'"),
    ("checkpoints/index.json", ["best", "step"], "null", "'step'"),
    ("checkpoints/index.json", ["best", "step"], HUGE, "'step'"),
    ("metrics.jsonl", [], "[1]", "metrics.jsonl"),
    ("metrics.jsonl", ["generator/loss"], '"low"', "'generator/loss'"),
    ("samples.jsonl", ["diversity"], "[]", "'diversity'"),
    ("samples.jsonl", ["images"], HUGE, "'images'"),
    ("evaluations.jsonl", ["protocol"], "5", "'protocol'"),
    ("evaluations.jsonl", ["value"], '"low"', "'value'"),
]


@pytest.mark.parametrize(("name", "keys", "value", "says"), CASES, ids=lambda each: str(each)[:24])
def test_a_value_of_another_shape_is_named_in_one_line(name, keys, value, says, run, cli):
    path = run / name
    if "legs" in keys:
        values = json.loads(path.read_text())
        path.write_text(json.dumps({**values, "legs": []}))
    spoil(path, keys, value)
    if name == "checkpoints/index.json":
        done = cli("sample", run, "--checkpoint", "best", "-n", 4, "-o", run / "s.png")
    else:
        done = cli("resume", run, "--steps", 6, "-q")
    assert done.exit_code in (1, 2), done.output
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    said = [line for line in done.stderr.splitlines() if line.startswith("Error")]
    assert len(said) == 1, done.stderr
    assert says in said[0]
    assert len(said[0]) < 600


@pytest.mark.parametrize("torn", ['{"step": 9, "swd/va', '{"step": 9', "\x00" * 20, '{"a": [1, '], ids=repr)
@pytest.mark.parametrize(
    "name", ["metrics.jsonl", "evaluations.jsonl", "health.jsonl", "timing.jsonl", "samples.jsonl"]
)
def test_a_torn_last_line_is_closed_off_and_named_and_what_follows_is_read(name, torn, run, capsys):
    path = run / name
    before = read_lines(path)
    with path.open("a") as file:
        file.write(torn)
    append_lines(path, ['{"step": 10}'])
    assert name in capsys.readouterr().err
    assert read_lines(path) == [*before, {"step": 10}]


def test_a_last_line_that_only_lost_its_end_still_counts(run, capsys):
    path = run / "evaluations.jsonl"
    before = read_lines(path)
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    append_lines(path, ['{"step": 10}'])
    assert read_lines(path) == [*before, {"step": 10}]


def test_a_run_with_torn_records_is_taken_up_and_they_are_named(run, judged, capsys):
    for name in ("metrics.jsonl", "evaluations.jsonl", "samples.jsonl", "timing.jsonl"):
        with (run / name).open("a") as file:
            file.write('{"step": 4, "to')
    gankit.resume(run, steps=5, quiet=True)
    said = capsys.readouterr().err
    for name in ("metrics.jsonl", "evaluations.jsonl", "samples.jsonl", "timing.jsonl"):
        assert f"{name}: 1 torn line" in said
    assert [row["step"] for row in gankit.Run(run).metrics()] == [1, 2, 3, 4, 5]


def test_a_damaged_record_does_not_keep_a_whole_run_from_being_drawn_from(run):
    (run / "metrics.jsonl").write_text("[1]\n")
    assert gankit.Run(run).sample(4).shape[0] == 4
    with pytest.raises(GankitError, match=r"metrics.jsonl: line 1 must hold a JSON object, not \[1\]"):
        gankit.Run(run).metrics()
