"""Compiles what answers a request, wherever a wheel is built: setup.cfg says all else.

An editable install runs the same modules as they are, so that a change counts at once; so does an install without a C
compiler. LARDER_PURE=1 leaves the compiler out.
"""

import os
import sys

from setuptools import setup

COMPILED = [
    f"lookup/{name}.py"
    for name in (
        *("admission", "answering", "app", "breakers", "generic", "http", "journal", "metrics"),
        *("questions", "records", "release", "rendering", "routing", "scenes", "wire"),
    )
]
CHECKED = ["--config-file=", "--ignore-missing-imports", "--follow-imports=silent"]


def compiled() -> list:
    if "bdist_wheel" not in sys.argv or os.environ.get("LARDER_PURE") == "1":
        return []
    from mypyc.build import mypycify

    extensions = mypycify([*CHECKED, *COMPILED], opt_level="3")
    for extension in extensions:
        extension.optional = True  # no compiler, no extension: the modules do without
    return extensions


setup(ext_modules=compiled())
