"""A plan sent to a real archive (Orthanc) by C-STORE and fetched again: filed in the CT's study, not one element changed."""

import json
import shutil
import socket
import subprocess
import time
import urllib.request

import pydicom
import pytest
from core.dicom_plan import make_dicom_plan
from pydicom.uid import EncapsulatedSTLStorage, SegmentationStorage, SpatialRegistrationStorage

from MSKPlannerLib.cli.arguments import build_parser
from MSKPlannerLib.cli.export import export

pytestmark = pytest.mark.slow
#: Debian puts the archive where only root's path looks.
ORTHANC = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin")
STORESCU = shutil.which("storescu")


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Archive:
    """A running Orthanc of its own, with its DICOM and its REST port."""

    def __init__(self, folder):
        self.http, self.dicom = free_port(), free_port()
        settings = {"Name": "test", "StorageDirectory": str(folder / "s"), "IndexDirectory": str(folder / "s"),
                    "HttpPort": self.http, "DicomPort": self.dicom, "RemoteAccessAllowed": False,
                    "DicomAet": "ARCHIVE", "Plugins": []}  # fmt: skip
        (folder / "orthanc.json").write_text(json.dumps(settings))
        self.log = (folder / "log").open("wb")
        self.process = subprocess.Popen([ORTHANC, folder / "orthanc.json"], stdout=self.log, stderr=self.log)

    def wait(self, seconds=60.0):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                return self.get("/system")
            except OSError:
                assert self.process.poll() is None, "Orthanc ended"
                time.sleep(0.2)
        raise AssertionError("Orthanc does not answer")

    def fetch(self, path) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}{path}", timeout=20) as answer:
            return answer.read()

    def get(self, path):
        return json.loads(self.fetch(path))

    def find(self, level, **query):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.http}/tools/find", json.dumps({"Level": level, "Query": query}).encode()
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.loads(answer.read())

    def stop(self):
        self.process.terminate()
        self.process.wait(20)
        self.log.close()


@pytest.fixture
def archive(tmp_path):
    if ORTHANC is None or STORESCU is None:
        pytest.skip("Orthanc and storescu are not installed: apt-get install orthanc dcmtk")
    (tmp_path / "archive").mkdir()
    running = Archive(tmp_path / "archive")
    try:
        running.wait()
        yield running
    finally:
        running.stop()


def send(archive, *paths):
    # -R: propose what the files need and no more; an association holds 128 kinds at most
    command = [STORESCU, "-R", "-aec", "ARCHIVE", "127.0.0.1", str(archive.dicom), *map(str, paths)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("with_patient", [False, True])
def test_the_archive_files_a_plan_and_gives_it_back_unchanged(archive, tmp_path, with_patient):
    pytest.importorskip("highdicom", reason="labels as DICOM need highdicom: pip install 'mskplanner[dicom]'")
    source = make_dicom_plan(tmp_path)
    words = ["export", source.plan_folder, "--format", "dicom", "--what", "guides,bones,screws,labels,registration",
             "--ct", source.ct_folder, "--mr", source.mr_folder, "--out", tmp_path / "out"]  # fmt: skip
    words += ["--with-patient"] if with_patient else []
    assert export(build_parser().parse_args([str(w) for w in words]), lambda *_: None) == 0
    files = sorted((tmp_path / "out").glob("*.dcm"))
    assert len(files) == 6
    images = sorted(source.ct_folder.iterdir())
    send(archive, *images)
    send(archive, *files)
    send(archive, *files)  # a second time nothing is new
    assert archive.get("/statistics")["CountInstances"] == len(images) + len(files)
    for path in files:
        sent = pydicom.dcmread(path)
        (key,) = archive.find("Instance", SOPInstanceUID=str(sent.SOPInstanceUID))
        (tmp_path / "back.dcm").write_bytes(archive.fetch(f"/instances/{key}/file"))
        back = pydicom.dcmread(tmp_path / "back.dcm")
        assert back == sent
        assert back.file_meta.MediaStorageSOPClassUID == sent.SOPClassUID
    classes = {str(pydicom.dcmread(p).SOPClassUID) for p in files}
    assert classes == {EncapsulatedSTLStorage, SegmentationStorage, SpatialRegistrationStorage}
    # With the patient everything is one study of one patient; without, the study's UID stands under another patient.
    studies = archive.find("Study", StudyInstanceUID=source.study_uid)
    assert len(studies) == (1 if with_patient else 2)
    assert archive.get("/statistics")["CountPatients"] == (1 if with_patient else 2)
    together = max((archive.get(f"/studies/{s}/instances") for s in studies), key=len)
    assert len(together) == len(images) + (len(files) if with_patient else 0)
