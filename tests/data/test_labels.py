"""Labels in a file beside the pictures: labels.csv, and StyleGAN's dataset.json."""

from __future__ import annotations

import json

import pytest
from published import bmp, load, write

from gankit import DamagedFile, UsageError

NAMES = ("a.png", "b.png", "sub/c.png", "sub/d,e.png")


@pytest.fixture
def pictures(tmp_path):
    return write(tmp_path / "set", {name: bmp((10 * i, 0, 0)) for i, name in enumerate(NAMES)})


def read(root, **options):
    found = load(f"folder:{root}", size=8, **options)
    assert found.images[:, 0, 0, 0].tolist() == [0, 10, 20, 30]
    return [found.classes[i] for i in found.labels]


ROWS = {
    "plain": 'a.png,dog\nb.png,Dog\nsub/c.png,dog\n"sub/d,e.png",a cat\n',
    "with a heading": 'file,class\na.png,dog\nb.png,Dog\nsub/c.png,dog\n"sub/d,e.png",a cat\n',
    "another order": '"sub/d,e.png",a cat\nsub/c.png,dog\nb.png,Dog\na.png,dog\n',
    "dots and backslashes": './a.png,dog\r\n.\\b.png,Dog\r\nsub\\c.png,dog\r\n"sub\\d,e.png",a cat',
    "blanks": '\n  a.png , dog\n\nb.png,Dog\nsub/c.png,dog\n"sub/d,e.png",a cat\n\n\n',
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("how", ROWS)
def test_a_table_gives_each_picture_the_class_of_its_row(how, encoding, pictures):
    (pictures / "labels.csv").write_text(ROWS[how], encoding)
    assert read(pictures) == ["dog", "Dog", "dog", "a cat"]
    assert load(f"folder:{pictures}", size=8).classes == ("Dog", "a cat", "dog")
    assert load(f"folder:{pictures}", size=8).passed_over == ()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_stylegans_file_gives_each_picture_its_class_by_number_or_name(encoding, pictures):
    for classes in ([2, 0, 10, 2], ["two", "nil", "ten", "two"]):
        rows = list(map(list, zip(NAMES, classes, strict=True)))
        (pictures / "dataset.json").write_text(json.dumps({"labels": rows}), encoding)
        assert read(pictures) == list(map(str, classes))
    rows = list(map(list, zip(NAMES, (2, 0, 10, 2), strict=True)))
    (pictures / "dataset.json").write_text(json.dumps({"labels": rows}))
    assert load(f"folder:{pictures}", size=8).classes == ("0", "2", "10")  # by value
    (pictures / "dataset.json").write_text('{"labels": null}')
    assert load(f"folder:{pictures}", size=8).labels is None


def test_names_like_01_and_1_stay_apart(pictures):
    (pictures / "labels.csv").write_text('a.png,1\nb.png,01\nsub/c.png,10\n"sub/d,e.png",1\n')
    assert read(pictures) == ["1", "01", "10", "1"]


def test_a_file_of_labels_wins_over_class_folders_and_works_in_a_zip_with_a_top_folder(tmp_path):
    files = {f"set/{kind}/{i}.png": bmp((i, 0, 0)) for kind in ("cat", "dog") for i in range(2)}
    files["set/labels.csv"] = b"cat/0.png,x\ncat/1.png,y\ndog/0.png,x\ndog/1.png,y\n"
    write(tmp_path, files)
    write(tmp_path, files, "set.zip")
    for path in (tmp_path / "set", tmp_path / "set.zip"):
        found = load(f"folder:{path}", size=8)
        assert found.classes == ("x", "y")
        assert found.labels.tolist() == [0, 1, 0, 1]


def test_parts_have_the_same_classes_whether_each_has_a_file_or_all_have_one(tmp_path):
    files = {f"{part}/{i}.png": bmp((i, 0, 0)) for part in ("train", "test") for i in range(2)}
    write(tmp_path / "one", {**files, "labels.csv": b"train/0.png,a\ntrain/1.png,b\ntest/0.png,b\ntest/1.png,c\n"})
    write(
        tmp_path / "two", {**files, "train/labels.csv": b"0.png,a\n1.png,b\n", "test/labels.csv": b"0.png,b\n1.png,c\n"}
    )
    for root in ("one", "two"):
        for split, labels in (("train", [0, 1]), ("test", [1, 2])):
            found = load(f"folder:{tmp_path / root}", size=8, split=split)
            assert found.classes == ("a", "b", "c")
            assert found.labels.tolist() == labels


GOOD = 'a.png,x\nb.png,x\nsub/c.png,y\n"sub/d,e.png",y\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD + "gone.png,x\n", r"labels\.csv: line 5: no picture gone\.png"),
        (GOOD + "../set/a.png,x\n", "line 5: no picture"),
        (GOOD + "./a.png,y\n", r"line 5: \./a\.png has a row already"),
        (GOOD + "b.png\n", "line 5: 'b.png' is not FILE,CLASS"),
        (GOOD.replace("b.png,x", "b.png,x,y"), "line 2: 'b.png,x,y' is not FILE,CLASS"),
        (GOOD.replace("b.png,x", "b.png,"), "line 2: 'b.png,' is not FILE,CLASS"),
        (GOOD.replace("b.png,x\n", ""), r"1 of 4 pictures have no row, b\.png the first"),
        (GOOD + 'b.png,"x', "line 5"),
    ],
)
def test_a_wrong_table_is_named_with_its_line(text, said, pictures):
    (pictures / "labels.csv").write_text(text)
    with pytest.raises(DamagedFile, match=said):
        read(pictures)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ('{"labels": [["gone.png", 0]]}', r"labels\[0\]: no picture gone\.png"),
        ('{"labels": [["a.png", 0], ["a.png", 1]]}', r"labels\[1\]: a\.png has a row already"),
        ('{"labels": [["a.png", [0, 1]]]}', r'labels\[0\]: \["a\.png", \[0, 1\]\] is not \[FILE, CLASS\]'),
        ('{"labels": [["a.png", 1.5]]}', r"is not \[FILE, CLASS\]"),
        ('{"labels": [["a.png", null]]}', r"is not \[FILE, CLASS\]"),
        ('{"labels": [["a.png"]]}', r"is not \[FILE, CLASS\]"),
        ('{"labels": ["a.png"]}', r"is not \[FILE, CLASS\]"),
        ('{"labels": {"a.png": 0}}', 'holds no "labels"'),
        ("[]", 'holds no "labels"'),
        ('{"labels": [', "cannot be read as JSON"),
        ('{"labels": [["a.png", 0]]}', r"3 of 4 pictures have no row, b\.png the first"),
    ],
)
def test_a_wrong_json_of_labels_is_named_with_its_row(value, said, pictures):
    (pictures / "dataset.json").write_text(value)
    with pytest.raises(DamagedFile, match=said):
        read(pictures)


def test_two_files_of_labels_and_bytes_that_are_no_text_are_errors(pictures):
    (pictures / "labels.csv").write_bytes(b"a.png,\xff\n")
    with pytest.raises(DamagedFile, match=r"labels\.csv: cannot be read"):
        read(pictures)
    (pictures / "dataset.json").write_text("{}")
    with pytest.raises(UsageError, match=r"labels\.csv and dataset\.json"):
        read(pictures)
