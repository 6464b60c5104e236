"""The stats port's /metrics as numbers."""
import re

LINE = re.compile(r"^([A-Za-z_:][A-Za-z0-9_:]*)(?:\{(.*)\})?\s+(\S+)")
LABEL = re.compile(r'([A-Za-z_][A-Za-z0-9_]*)="((?:[^"\\]|\\.)*)"')


class Metrics(dict):
    """name -> sum over its label sets; .rows holds (name, labels, value)."""

    def __init__(self, text):
        super().__init__()
        self.rows = []
        for line in text.splitlines():
            found = LINE.match(line)
            if not found or line.startswith("#"):
                continue
            name, labels, value = found.groups()
            self.rows.append((name, dict(LABEL.findall(labels or "")), float(value)))
            self[name] = self.get(name, 0.0) + float(value)

    def one(self, name, **labels):
        """The sum of the rows of `name` that carry these labels."""
        return sum(value for row, have, value in self.rows
                   if row == name and all(have.get(key) == want for key, want in labels.items()))

    def count(self, counter):
        """A row of counters.def: `cache_hits` is pgweir_cache_hits_total."""
        return self.get(f"pgweir_{counter}_total", 0.0)
