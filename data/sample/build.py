"""Build the sample corpus: ``source/*.md`` into ``html/``, ``pdf/`` and ``manifest.json``.

    python data/sample/build.py            # write the files
    python data/sample/build.py --check    # exit 1 and name each file that differs from its source

The build is deterministic: the same sources give the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path

from blocks import Source, read_sources
from layouts import render_pdf
from pages import render_page

HERE = Path(__file__).resolve().parent
NUM_RELATED = 4


def build(sources: list[Source]) -> dict[str, bytes]:
    """Return the built corpus as relative path to bytes, the manifest included."""
    files = {f"{s.meta['kind']}/{s.file_name}": _render(s, sources) for s in sources}
    return {**files, "manifest.json": _manifest(sources, files)}


def _render(source: Source, sources: list[Source]) -> bytes:
    if source.meta["kind"] == "pdf":
        return render_pdf(source)
    return render_page(source, _related(source, sources)).encode()


def _related(source: Source, sources: list[Source]) -> list[Source]:
    """Name the documents of the same category that follow in the alphabet, going round."""
    same = [s for s in sources if s.meta["category"] == source.meta["category"]]
    start = same.index(source) + 1
    return (same[start:] + same[: start - 1])[:NUM_RELATED]


def _manifest(sources: list[Source], files: dict[str, bytes]) -> bytes:
    rows = [
        {
            "file": f"{s.meta['kind']}/{s.file_name}",
            "source": f"source/{s.stem}.md",
            "title": s.meta["title"],
            "category": s.meta["category"],
            "split": s.split,
            "layout": s.meta["layout"],
            "canonical": s.meta["canonical"],
            "published": s.meta["published"],
            "license": s.meta["license"],
            "num_words": len(s.body.split()),
            "sha256": hashlib.sha256(files[f"{s.meta['kind']}/{s.file_name}"]).hexdigest(),
        }
        for s in sources
    ]
    return (json.dumps({"documents": rows}, indent=1, ensure_ascii=False) + "\n").encode()


def differences(files: dict[str, bytes], folder: Path) -> list[str]:
    """Name what is missing, stale or left over in a folder, compared with a fresh build."""
    stale = [
        name
        for name, content in files.items()
        if not (folder / name).is_file() or (folder / name).read_bytes() != content
    ]
    present = {
        f"{p.parent.name}/{p.name}" for kind in ("html", "pdf") for p in (folder / kind).glob("*")
    }
    return sorted([*stale, *(present - set(files))])


def write(files: dict[str, bytes], folder: Path) -> None:
    """Write the built files and remove pages and PDFs that no source names any more."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    for name in differences(files, folder):
        (folder / name).unlink()


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(description="Build the sample corpus from its sources.")
    parser.add_argument("--check", action="store_true", help="compare only, write nothing")
    parser.add_argument("--folder", type=Path, default=HERE, help="where the built files lie")
    options = parser.parse_args(arguments)
    files = build(read_sources(HERE / "source"))
    if not options.check:
        write(files, options.folder)
        return 0
    stale = differences(files, options.folder)
    for name in stale:
        print(f"differs from its source: {name}", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
