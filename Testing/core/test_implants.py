"""The implant table that comes with the project, and tables of one's own."""

import pytest

from MSKFusionLib.errors import InputError
from MSKPlannerLib.screws.implants import ImplantTable, load_implants


def test_the_generic_table_spans_what_the_plan_may_choose_from():
    table = load_implants()
    assert table.diameters_mm == (4.0, 4.5, 5.0, 5.5, 6.0, 6.5, 7.0, 7.5, 8.0, 8.5)
    lengths = {length for _, length in table.sizes_mm}
    assert lengths == {20.0, 25.0, 30.0, 35.0, 40.0, 45.0, 50.0, 55.0, 60.0, 65.0}
    assert all(table.lengths_mm(d) for d in table.diameters_mm)
    assert table.lengths_mm(9.0) == ()


def test_a_table_of_ones_own(tmp_path):
    file = tmp_path / "mine.csv"
    file.write_text("# my screws\nmaker, diameter_mm ,length_mm\n\nx,6.0,45\nx,5.0,40\nx,6.0,45\n# last\nx,6.0,40\n")
    assert load_implants(file).sizes_mm == ((5.0, 40.0), (6.0, 40.0), (6.0, 45.0))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("diameter_mm,len\n5,40\n", "length_mm"),
        ("diameter_mm,length_mm\n5,forty\n", "line 2"),
        ("diameter_mm,length_mm\n\n# c\n5,40\n0.5,40\n", "line 5"),
        ("diameter_mm,length_mm\n5\n", "line 2"),
        ("diameter_mm,length_mm\n", "no screw"),
        ("", "lacks the column"),
        ("diameter_mm,length_mm\n5,nan\n", "cannot be"),
    ],
)
def test_a_broken_table_is_refused_with_its_place(tmp_path, text, words):
    file = tmp_path / "t.csv"
    file.write_text(text)
    with pytest.raises(InputError, match=words):
        load_implants(file)


def test_a_missing_or_binary_table(tmp_path):
    with pytest.raises(InputError, match="no such"):
        load_implants(tmp_path / "none.csv")
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(InputError, match="not a text file"):
        load_implants(tmp_path / "b.csv")
    with pytest.raises(InputError, match="no screw"):
        ImplantTable("empty", ())
