"""Two outputs of each test, line by line; what the file `reasons` explains is counted, the rest printed."""
import difflib
import pathlib
import re

HERE = pathlib.Path(__file__).resolve().parent


def reasons():
    """[(test, regex, reason)] of the file `reasons`."""
    rows = []
    for line in (HERE / "reasons").read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            test, regex, reason = (part.strip() for part in line.split(" ;; "))
            rows.append((re.compile(test), re.compile(regex), reason))
    return rows


def compare(outputs):
    """outputs: {test: (directly, through pgweir)}. Prints the differences; how many lines no reason explains."""
    known, used, bad = reasons(), {}, 0
    for test, both in outputs.items():
        left = []
        for line in difflib.unified_diff(*(text.splitlines() for text in both), "direct", "pgweir", n=3, lineterm=""):
            if line[:1] in "+-" and line[:3] not in ("+++", "---"):
                why = next((reason for name, regex, reason in known
                            if name.fullmatch(test) and regex.search(line[1:])), None)
                if why:
                    used[why] = used.get(why, 0) + 1
                    continue
                bad += 1
            left.append(line)
        if any(line[:1] in "+-" and line[:3] not in ("+++", "---") for line in left):
            print(f"--- {test}")
            print("\n".join(left), flush=True)
    for why, n in sorted(used.items()):
        print(f"known, {n} lines: {why}")
    print(f"{len(outputs)} tests, {bad} lines differ without a known reason")
    return bad
