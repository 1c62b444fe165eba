"""How the documentation is built: `sphinx-build -W --keep-going -n docs docs/_build`.

Nothing is fetched. Tables of options, planes, instruments and the like are written into the pages
by ``tables.py``; the Python reference comes from docstrings.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

from astroclean import __version__

project = "astroclean"
author = "The astroclean developers"
copyright = f"2026, {author}"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "numpydoc", "contents", "short_references"]
exclude_patterns = ["_build"]
root_doc = "index"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4

html_theme = "furo"
html_title = f"astroclean {version}"
html_copy_source = False

default_role = "code"
nitpicky = True
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_default_options = {"exclude-members": "model_config"}
numpydoc_show_class_members = False
