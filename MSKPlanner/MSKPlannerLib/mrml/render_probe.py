"""Whether pictures can be made on this machine, tried once in a process of its own.

Where neither EGL nor OSMesa exists, VTK does not say so: it ends the process. What would end this one ends the
probe instead.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache

#: An empty value of this variable makes VTK's window factory end the process.
_WINDOW_VARIABLE = "VTK_DEFAULT_OPENGL_WINDOW"
_SECONDS = 60.0

_PROBE = """
import vtk
window = vtk.vtkRenderWindow()
window.SetOffScreenRendering(1)
window.SetSize(16, 16)
renderer = vtk.vtkRenderer()
renderer.SetBackground(0.0, 1.0, 0.0)
window.AddRenderer(renderer)
window.Render()
reader = vtk.vtkWindowToImageFilter()
reader.SetInput(window)
reader.ReadFrontBufferOff()
reader.Update()
image = reader.GetOutput()
if image.GetScalarComponentAsDouble(8, 8, 0, 1) != 255:
    raise SystemExit(3)
print(window.GetClassName())
"""


def clear_window_variable() -> None:
    """Remove the environment's window class where it is set to nothing, so that VTK picks one itself."""
    if os.environ.get(_WINDOW_VARIABLE) == "":
        del os.environ[_WINDOW_VARIABLE]


def can_render() -> bool:
    """Tell whether VTK can draw off screen here; tried once, the answer is kept for the life of the process."""
    return working_window_class() is not None


@cache
def working_window_class() -> str | None:
    """Return the class of render window that draws here, or None where there is none."""
    clear_window_variable()
    try:
        probe = subprocess.run(
            [sys.executable, "-c", _PROBE],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = probe.stdout.split()
    return lines[-1] if probe.returncode == 0 and lines else None
