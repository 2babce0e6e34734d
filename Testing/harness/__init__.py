"""Slicer's module panels without the application, for tests only.

The real MRML scene (`slicer-core`) with PySide6 off screen under it, dressed up to behave as PythonQt does in Slicer:

* `pythonqt`: Qt classes with PythonQt's habits (properties as attributes, ``connect('clicked(bool)', f)``);
* `widgets`: stand-ins for the ctk and qMRML widgets that the panels use; `ui_loader` reads ``.ui`` files with them;
* `scripted_module`, `parameter_node`: stand-ins for the Qt-dependent Python parts of Slicer that no package ships;
* `session`: puts all of it in place for a test, loads a module file, opens its panel, and takes everything away again.

What it cannot show is said in ``docs/developer.md``.
"""
