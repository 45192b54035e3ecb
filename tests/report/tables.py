"""Reads the tables of a page as text, the way a reader does."""

from html.parser import HTMLParser


class Tables(HTMLParser):
    """Collects every table: its attributes, its lines of cells, and the heading or fold title before it."""

    def __init__(self, text):
        super().__init__()
        self.tables, self.before, self._cell, self._title = [], [], None, None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag == "table":
            self.tables.append((dict(attrs), []))
            self.before.append(self._last)
        elif tag == "tr":
            self.tables[-1][1].append([])
        elif tag in ("td", "th"):
            self._cell = ""
        elif tag == "br" and self._cell is not None:
            self._cell += "\n"
        elif tag in ("h2", "h3", "summary"):
            self._title = ""

    def handle_data(self, data):
        if self._cell is not None:
            self._cell += data
        elif self._title is not None:
            self._title += data

    def handle_endtag(self, tag):
        if tag in ("td", "th") and self._cell is not None:
            self.tables[-1][1][-1].append(self._cell.strip())
            self._cell = None
        elif tag in ("h2", "h3", "summary") and self._title is not None:
            self._last, self._title = self._title.strip(), None

    def one(self, **attributes):
        """The lines of the only table with these attributes; `class_` stands for `class`."""
        wanted = {name.rstrip("_"): value for name, value in attributes.items()}
        (lines,) = [lines for own, lines in self.tables if wanted.items() <= own.items()]
        return lines

    def below(self, title, **attributes):
        """The lines of the first table with these attributes whose heading or fold begins with `title`."""
        wanted = {name.rstrip("_"): value for name, value in attributes.items()}
        return next(
            lines
            for (own, lines), before in zip(self.tables, self.before, strict=True)
            if before.startswith(title) and wanted.items() <= own.items()
        )
