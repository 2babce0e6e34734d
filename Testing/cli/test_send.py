"""`mskplanner send` to a real OpenIGTLink peer: pyigtl's server in a process of its own, on loopback."""

import json
import socket
import struct
import subprocess
import sys
import threading

import numpy as np
import pytest

from MSKFusionLib.errors import GeometryError, InputError
from MSKFusionLib.frames import flip_ras_lps, rigid, rotation_about, transform_points
from MSKFusionLib.registration.result import Verdict
from MSKPlannerLib.cli.send import parse_address
from MSKPlannerLib.export.navigation import (
    Trajectory,
    device_names,
    navigation_messages,
    path_trajectories,
    send_messages,
    tip_to_ras,
)
from MSKPlannerLib.plan import Plan, Screw
from MSKPlannerLib.plan_file import plan_to_json

pytest.importorskip("pyigtl", reason="navigation needs pyigtl: pip install 'mskplanner[navigation]'")

FIXED_TO_MOVING_RAS = rigid(rotation_about([1.0, 2.0, 3.0], 20.0), [12.0, -7.0, 31.0])
LEFT = Screw("L4 left", "pedicle", "L4", "left", (-15.5, -30.0, 4.0), (-10.0, 10.0, 0.5), 6.5, 40.5, 1.0, "A")
RIGHT = Screw("L4 right", "pedicle", "L4", "right", (15.5, -30.0, 4.0), (10.0, 10.0, 0.5), 6.5, 40.5, 1.0, "A")
BAD = Screw("L5 left", "pedicle", "L5", "left", (-15.5, -30.0, -40.0), (-10.0, 10.0, -44.0), 6.5, 40.5, -3.0, "D",
            verdict=Verdict.REJECTED, reasons=("breach",))  # fmt: skip
REGISTRATION = {"method": "rigid: x", "verdict": "accepted", "fixed_to_moving_ras": FIXED_TO_MOVING_RAS.tolist()}

#: Waits until all devices have spoken, and prints what it was told.
_PEER = """
import json, sys, time, pyigtl
if sys.argv[3] == "listens":
    server = pyigtl.OpenIGTLinkServer(port=int(sys.argv[1]), local_server=True)
else:
    server = pyigtl.OpenIGTLinkClient(host="127.0.0.1", port=int(sys.argv[1]))
print("ready", flush=True)
wanted, found, until = int(sys.argv[2]), {}, time.time() + 60
while len(found) < wanted and time.time() < until:
    for m in server.get_latest_messages():
        found[m.device_name] = {"type": m.message_type, "string": getattr(m, "string", None),
            "matrix": m.matrix.tolist() if m.message_type == "TRANSFORM" else None,
            "positions": getattr(m, "positions", None), "names": getattr(m, "names", None),
            "diameters": getattr(m, "diameters", None), "colours": getattr(m, "rgba_colors", None)}
    time.sleep(0.02)
print(json.dumps(found), flush=True)
"""


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Peer:
    """A process with pyigtl's server (``listens``) or client (``calls``)."""

    def __init__(self, devices, how="listens"):
        self.port = free_port()
        self.process = subprocess.Popen(
            [sys.executable, "-c", _PEER, str(self.port), str(devices), how], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout.readline() == "ready\n"

    def heard(self):
        out, _ = self.process.communicate(timeout=90)
        return json.loads(out.splitlines()[-1])


@pytest.fixture
def plan_folder(tmp_path):
    plan = Plan("p", "2026-11-21T10:20:30+00:00", {}, screws=(LEFT, RIGHT, BAD), registration=REGISTRATION)
    (tmp_path / "plan.json").write_text(plan_to_json(plan), encoding="utf-8")
    return tmp_path


def test_a_peer_hears_screws_and_registration_in_ras(mskplanner, plan_folder):
    peer = Peer(6)
    run = mskplanner("send", plan_folder, f"127.0.0.1:{peer.port}", "--registration", "--json")
    heard = peer.heard()
    assert run.status == 3, run.err  # one screw is rejected and was left out
    assert json.loads(run.out)["left_out"] == ["L5 left"]
    assert set(heard) == {"MSKPlanner", "L4 left", "L4 left pose", "L4 right", "L4 right pose", "MrToCt"}
    for screw in (LEFT, RIGHT):
        points, pose = heard[screw.name], np.array(heard[f"{screw.name} pose"]["matrix"])
        assert points["type"] == "POINT"
        assert np.array(points["positions"]) == pytest.approx(np.array([screw.entry_ras, screw.tip_ras]), abs=1e-4)
        assert points["names"] == [f"{screw.name} entry", f"{screw.name} tip"]
        assert points["diameters"] == [6.5, 6.5]
        # The tip is the pose's origin; the entry lies behind it along z.
        length = np.linalg.norm(np.subtract(screw.tip_ras, screw.entry_ras))
        assert transform_points(pose, [0, 0, 0]) == pytest.approx(np.array(screw.tip_ras), abs=1e-4)
        assert transform_points(pose, [0, 0, -length]) == pytest.approx(np.array(screw.entry_ras), abs=1e-4)
        assert np.linalg.det(pose[:3, :3]) == pytest.approx(1.0, abs=1e-5)
    ct_ras = np.array([31.0, -17.0, -212.0])
    mr_ras = transform_points(FIXED_TO_MOVING_RAS, ct_ras)
    assert transform_points(heard["MrToCt"]["matrix"], mr_ras) == pytest.approx(ct_ras, abs=1e-3)
    said = json.loads(heard["MSKPlanner"]["string"])
    assert said["frame"] == "RAS"
    assert len(said["plan_sha256"]) == 64
    assert [t["name"] for t in said["trajectories"]] == ["L4 left", "L4 right"]


def test_lps_and_rejected_ones_only_on_demand(mskplanner, plan_folder):
    peer = Peer(7)
    run = mskplanner("send", plan_folder, f"127.0.0.1:{peer.port}", "--frame", "lps", "--allow-rejected")
    heard = peer.heard()
    assert run.status == 3
    assert np.array(heard["L5 left"]["positions"][1]) == pytest.approx(flip_ras_lps(BAD.tip_ras), abs=1e-4)
    pose = np.array(heard["L4 left pose"]["matrix"])
    length = np.linalg.norm(np.subtract(LEFT.tip_ras, LEFT.entry_ras))
    assert transform_points(pose, [0, 0, -length]) == pytest.approx(flip_ras_lps(LEFT.entry_ras), abs=1e-4)
    assert heard["L5 left"]["colours"] != heard["L4 left"]["colours"]
    assert json.loads(heard["MSKPlanner"]["string"])["trajectories"][2]["verdict"] == "rejected"


def test_needle_paths_are_sent_to_a_peer_that_calls(mskplanner, tmp_path):
    document = {"schema": "mskplanner-paths/1", "verdict": "accepted", "request": {"needle_mm": 1.8},
                "paths": [{"entry_ras": [1, 2, 3], "target_ras": [1, 80, 3]}]}  # fmt: skip
    (tmp_path / "paths.json").write_text(json.dumps(document))
    peer = Peer(3, "calls")
    run = mskplanner("send", tmp_path, f"127.0.0.1:{peer.port}", "--listen", "--timeout", "60")
    heard = peer.heard()
    assert run.status == 0, run.err
    assert heard["path 1"]["positions"] == [[1, 2, 3], [1, 80, 3]]
    assert heard["path 1"]["diameters"][0] == pytest.approx(1.8)


def test_the_bytes_are_those_of_the_protocol():
    """Taken apart by the protocol's own tables: header of 58 bytes, TRANSFORM as columns of float32, big end first."""
    line = Trajectory("L4 left", (10.0, 20.0, 30.0), (10.0, 20.0, 70.0), 5.0)
    said, points, pose = (m.pack() for m in navigation_messages([line]))
    for content, kind, name in ((said, b"STRING", b"MSKPlanner"), (points, b"POINT", b"L4 left")):
        version, found, device, _, size, _ = struct.unpack(">H12s20sQQQ", content[:58])
        assert (version, found.rstrip(b"\0"), device.rstrip(b"\0"), size) == (1, kind, name, len(content) - 58)
    assert len(points) == 58 + 2 * 136
    assert struct.unpack(">3f", points[58 + 100 : 58 + 112]) == (10.0, 20.0, 30.0)
    numbers = struct.unpack(">12f", pose[58:])
    assert numbers[9:] == (10.0, 20.0, 70.0)
    assert numbers[6:9] == pytest.approx((0.0, 0.0, 1.0))


def test_a_receiver_that_talks_back_still_gets_everything():
    """A line that is closed with words unread is reset, and what was sent may be lost on the way."""
    lines = [Trajectory(f"s{n}", (0, 0, 0), (0, 0, 10.0 + n)) for n in range(300)]
    messages = navigation_messages(lines)
    got = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def receive():
            with server.accept()[0] as line:
                line.sendall(b"\0" * 5000)
                while part := line.recv(1000):
                    got.append(part)

        listener = threading.Thread(target=receive)
        listener.start()
        send_messages(messages, "127.0.0.1", server.getsockname()[1])
        listener.join(20)
    assert b"".join(got) == b"".join(m.pack() for m in messages)


def test_nobody_there_is_said_in_one_line(mskplanner, plan_folder):
    run = mskplanner("send", plan_folder, f"127.0.0.1:{free_port()}")
    assert run.status == 2
    assert "nothing could be sent" in run.error
    assert "OpenIGTLinkIF" in run.error


def test_nobody_who_calls_is_said_too():
    with pytest.raises(InputError, match=r"timed out.*connector as Client"):
        send_messages([], "127.0.0.1", free_port(), listen=True, timeout_s=0.1)


def test_names_of_devices_are_short_ascii_and_different():
    names = device_names(["Iliosacral S1 left of 2 pose", "Iliosacral S1 left of 2 tip", "Hüfte", "Hüfte", ""])
    assert len(set(names)) == 5
    assert all(len(n) <= 20 and n.isascii() and n for n in names)
    assert names[2:4] == ["H?fte", "H?fte~2"]


@pytest.mark.parametrize(
    ("text", "found"),
    [("localhost:18945", ("localhost", 18945)), ("10.0.0.7", ("10.0.0.7", 18944)), ("[::1]:5", ("::1", 5)), ("[::1]", ("::1", 18944))],
)  # fmt: skip
def test_addresses(text, found):
    assert parse_address(text) == found


@pytest.mark.parametrize("text", ["", ":", "host:", "host:x", "host:0", "host:70000"])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(InputError, match="no address"):
        parse_address(text)


@pytest.mark.parametrize(
    "change", [{"schema": "x"}, {"paths": 3}, {"paths": [{}]}, {"paths": [{"entry_ras": [1, 2], "target_ras": [1, 2, 3]}]},
               {"paths": [{"entry_ras": [1, 2, float("nan")], "target_ras": [1, 2, 3]}]}]
)  # fmt: skip
def test_broken_paths_are_refused(change):
    document = {"schema": "mskplanner-paths/1", "verdict": "accepted", "paths": [], **change}
    with pytest.raises(InputError):
        path_trajectories(document)


def test_a_trajectory_without_length_is_refused():
    with pytest.raises(GeometryError):
        tip_to_ras((1, 2, 3), (1, 2, 3))
    with pytest.raises(InputError, match="one place"):
        navigation_messages([Trajectory("a", (1, 2, 3), (1, 2, 3))])
