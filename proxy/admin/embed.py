#!/usr/bin/python3
"""Turns page.html into C: embed.py page.html page_html.c

The content security policy names the hashes of the page's own <style> and <script>, so that nothing else runs.
"""
import base64
import hashlib
import pathlib
import re
import sys


def hashes(html, tag):
    parts = re.findall(rb"<%s>(.*?)</%s>" % (tag, tag), html, re.S)
    return " ".join("'sha256-%s'" % base64.b64encode(hashlib.sha256(part).digest()).decode() for part in parts)


def main():
    html = pathlib.Path(sys.argv[1]).read_bytes()
    policy = ("default-src 'none'; style-src %s; script-src %s; connect-src 'self'; img-src data:; base-uri 'none'; "
              "form-action 'none'; frame-ancestors 'none'" % (hashes(html, b"style"), hashes(html, b"script")))
    rows = [", ".join(str(byte) for byte in html[i:i + 20]) for i in range(0, len(html), 20)]
    pathlib.Path(sys.argv[2]).write_text(
        '#include "proxy/admin/page.h"\n\nconst unsigned char page_html[] = {\n\t%s\n};\n'
        'const size_t page_html_n = sizeof page_html;\n'
        'const char page_policy[] = "%s";\n' % (",\n\t".join(rows), policy))


main()
