"""Compiles what answers a request, wherever a wheel is built: setup.cfg says all else.

An editable install runs the same modules as they are, so that a change counts at once; so does an install without a C
compiler. LARDER_PURE=1 leaves the compiler out; LARDER_OPTIMISATION=0 compiles in a third of the time, to slower code.
"""

import os
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_ext import build_ext

OF_LOOKUP = """
    answer/answering answer/exploration answer/rendering answer/routes answer/routing answer/scenes answer/treatment
    experiments/treatment_plan number_formatting http/admission http/answer_future http/application http/connections
    http/http_connection http/query http/repeated_request http/request http/request_parts http/token_bucket
    json_text operations/journal operations/metrics redis/circuit_breaker redis/link redis/redis_commands
    redis/redis_connection release/generic_lists release/record_cache release/record_decoding release/served_release
"""
COMPILED = ["larder/journey/served.py", *(f"larder/lookup/{name}.py" for name in OF_LOOKUP.split())]
CHECKED = ["--config-file=", "--ignore-missing-imports", "--follow-imports=silent"]


def compiled() -> list:
    if "bdist_wheel" not in sys.argv or os.environ.get("LARDER_PURE") == "1":
        return []
    from mypyc.build import mypycify

    return mypycify([*CHECKED, *COMPILED], opt_level=os.environ.get("LARDER_OPTIMISATION", "3"))


class AllOrNone(build_ext):
    """The modules are compiled into one library; without it each of them must stay what it is."""

    def build_extensions(self) -> None:
        try:
            super().build_extensions()
        except Exception as error:
            print(f"warning: nothing is compiled, and lookups take more than twice the time: {error}", file=sys.stderr)
            for extension in self.extensions:
                Path(self.get_ext_fullpath(extension.name)).unlink(missing_ok=True)
            self.extensions = []


setup(ext_modules=compiled(), cmdclass={"build_ext": AllOrNone})
