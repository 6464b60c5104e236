#!/usr/bin/python3
"""Turns setup.sql into C: embed.py setup.sql setup_sql.c"""
import pathlib
import sys

ESCAPES = {'"': '\\"', "\\": "\\\\", "\t": "\\t"}
text = pathlib.Path(sys.argv[1]).read_text(encoding="ascii")
lines = ["".join(ESCAPES.get(c, c) for c in line) for line in text.splitlines()]
pathlib.Path(sys.argv[2]).write_text(
    '#include "proxy/origin/setup.h"\n\nconst char setup_sql[] =\n'
    + "\n".join(f'\t"{line}\\n"' for line in lines) + ";\n")
