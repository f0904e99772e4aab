"""Output formats: their content types, and which of them can be sent in pieces."""

import numpy as np

from deploy.embedded.clickhouse.cursor import Cursor

DEFAULT = "TabSeparated"
_TEXT = "text/plain; charset=UTF-8"
_ROWS_OF_JSON = "application/x-ndjson; charset=UTF-8"
_BINARY = ("Native", "RowBinary", "Parquet", "Arrow", "ORC", "Avro", "MsgPack", "BSON")
# Formats whose pieces make one whole when put together; the number of lines that stand above the rows.
_LINES = {
    **dict.fromkeys(("TabSeparated", "TSV", "TabSeparatedRaw", "TSVRaw", "Raw", "CSV", "LineAsString"), 0),
    **dict.fromkeys(("JSONEachRow", "JSONLines", "NDJSON", "JSONStringsEachRow"), 0),
    **dict.fromkeys(("JSONCompactEachRow", "JSONCompactStringsEachRow"), 0),
    **dict.fromkeys(("TabSeparatedWithNames", "TSVWithNames", "CSVWithNames"), 1),
    **dict.fromkeys(("TabSeparatedWithNamesAndTypes", "TSVWithNamesAndTypes", "CSVWithNamesAndTypes"), 2),
    **dict.fromkeys(("JSONCompactEachRowWithNames", "JSONCompactStringsEachRowWithNames"), 1),
    "JSONCompactEachRowWithNamesAndTypes": 2,
    "JSONCompactStringsEachRowWithNamesAndTypes": 2,
    **dict.fromkeys(("Native", "RowBinary"), 0),
}
# The same, where texts with their length in front stand above the rows: how many for each column.
_TEXTS = {"RowBinaryWithNames": 1, "RowBinaryWithNamesAndTypes": 2}


def content_type(name: str) -> str:
    """The value of Content-Type for a format."""
    if name.startswith(_BINARY):
        return "application/octet-stream"
    if name.startswith("CSV"):
        return f"text/csv; charset=UTF-8; header={'present' if 'WithNames' in name else 'absent'}"
    if name.startswith(("TabSeparated", "TSV", "Raw")):
        return "text/tab-separated-values; charset=UTF-8"
    if name.startswith("JSON") or name == "NDJSON":
        return (
            _ROWS_OF_JSON
            if "EachRow" in name or name in ("NDJSON", "JSONLines")
            else "application/json; charset=UTF-8"
        )
    return {"XML": "application/xml; charset=UTF-8", "Markdown": "text/markdown; charset=UTF-8"}.get(
        name, _TEXT
    )


def in_pieces(name: str) -> bool:
    """Whether a result in this format may be made and sent piece by piece."""
    return name in _LINES or name in _TEXTS


def has_head(name: str) -> bool:
    """Whether something stands above the rows, which every piece repeats."""
    return bool(_LINES.get(name) or _TEXTS.get(name))


def head_size(name: str, piece: memoryview) -> int:
    """The bytes above the rows of a piece."""
    if name in _TEXTS:
        return _texts_size(piece, _TEXTS[name])
    position = 0
    for _ in range(_LINES[name]):
        position = _line_end(piece, position, quoted=name.startswith("CSV"))
    return position


def _line_end(piece: memoryview, position: int, quoted: bool) -> int:
    """The place behind the next line end; in CSV not one between quotes."""
    inside = False
    while position < len(piece):
        byte = piece[position]
        position += 1
        if byte == 0x22 and quoted:
            inside = not inside
        elif byte == 0x0A and not inside:
            break
    return position


def _texts_size(piece: memoryview, times: int) -> int:
    cursor = Cursor(np.frombuffer(piece, np.uint8), len(piece))
    for _ in range(cursor.varint() * times):
        cursor.skip(cursor.varint())
    return cursor.position
