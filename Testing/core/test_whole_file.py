"""A file is written whole or not at all."""

import numpy as np
import pytest

from MSKFusionLib.errors import InputError
from MSKFusionLib.volume import Modality, Volume, read_image, write_image
from MSKFusionLib.whole_file import whole_file


def test_a_file_appears_whole_and_takes_the_place_of_another(tmp_path):
    path = tmp_path / "a.txt"
    for text in ("one", "two"):
        with whole_file(path) as draft:
            assert draft.name == "a.txt"
            draft.write_text(text)
        assert path.read_text() == text
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_what_goes_wrong_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), whole_file(path) as draft:
        draft.write_text("half")
        _ = 1 / 0
    with pytest.raises(InputError, match=r"cannot be written .*No space left"), whole_file(path) as draft:
        draft.write_text("half")
        raise OSError(28, "No space left on device")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="cannot be written"), whole_file(tmp_path / "missing" / "a.txt"):
        pytest.fail("the block must not be entered")


@pytest.mark.parametrize("ending", [".mhd", ".hdr"])
def test_formats_of_two_files_come_whole(tmp_path, ending):
    volume = Volume(np.arange(60, dtype=np.int16).reshape(3, 4, 5), np.zeros(3), np.ones(3), np.eye(3))
    write_image(volume, tmp_path / f"a{ending}")
    assert np.array_equal(read_image(tmp_path / f"a{ending}", Modality.MR).voxels, volume.voxels)
    assert len(list(tmp_path.iterdir())) == 2


def test_an_image_in_no_format_is_refused_in_words(tmp_path):
    volume = Volume(np.arange(60, dtype=np.int16).reshape(3, 4, 5), np.zeros(3), np.ones(3), np.eye(3))
    with pytest.raises(InputError, match="cannot be written"):
        write_image(volume, tmp_path / "a.docx")
    assert not list(tmp_path.iterdir())
