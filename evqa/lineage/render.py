"""A trace as text for the terminal, as JSON for programs, and as one self-contained page."""

from dataclasses import asdict
from html import escape
from typing import Any

from evqa.lineage.trace import Evidence, Trace

STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem;"
    "color:#1b1b1f;background:#fff}h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}"
    "li{margin:.3rem 0}.bad{color:#b3001b;font-weight:600}.ok{color:#1a6b35}.note{color:#6b5900}"
    "blockquote{margin:.5rem 0;padding:.5rem 1rem;border-left:4px solid #8aa;background:#f3f6f6;"
    "overflow-wrap:anywhere}code{overflow-wrap:anywhere}.meta{color:#555;font-size:.9rem}"
)


def as_text(trace: Trace) -> str:
    """Return the trace as lines for a terminal."""
    lines = [
        f"{_mark(link.problem, link.note)} {link.name:<10} {link.what}"
        + (f"\n             {link.problem or link.note}" if link.problem or link.note else "")
        for link in trace.links
    ]
    lines += [f"  {name:<12} {value}" for name, value in trace.facts.items() if value is not None]
    if trace.answer is not None:
        lines += ["", f"answer: {trace.answer}"]
    if trace.evidence:
        lines += ["", "nearest training pairs (near in words; not the cause of the answer):"]
    for number, evidence in enumerate(trace.evidence, start=1):
        lines += ["", *_evidence_lines(number, evidence)]
    return "\n".join(lines) + "\n"


def _mark(problem: str | None, note: str | None) -> str:
    return "✗" if problem else "?" if note else "✓"


def _evidence_lines(number: int, evidence: Evidence) -> list[str]:
    lines = [
        f"{number}. similarity {evidence.similarity:.2f}  {evidence.pair.id}",
        f"   question  {evidence.pair.question}",
        f"   answer    {evidence.pair.answer}",
    ]
    if evidence.pair.quote:
        lines.append(f"   quote     {evidence.pair.quote}")
    lines += [f"   {name:<9} {value}" for name, value in _origin(evidence).items()]
    return lines


def _origin(evidence: Evidence) -> dict[str, Any]:
    """Return where a pair comes from; what is not known is left out."""
    document = evidence.document
    if document is None:
        return {"origin": "imported pair, no document"}
    told = {
        "document": document.title,
        "source": document.url or document.source,
        "page": evidence.page,
        "licence": document.license or "unknown",
        "author": ", ".join(document.authors) or None,
        "date": document.published,
        "chunk": evidence.chunk.id if evidence.chunk else None,
    }
    return {name: value for name, value in told.items() if value is not None}


def as_json(trace: Trace) -> dict[str, Any]:
    """Return the trace as plain values."""
    return {
        "request": trace.request,
        "links": [asdict(link) for link in trace.links],
        "problems": trace.problems,
        "answer": trace.answer,
        "facts": trace.facts,
        "evidence": [
            {
                "similarity": round(evidence.similarity, 4),
                "pair": evidence.pair.to_dict(),
                "origin": _origin(evidence),
            }
            for evidence in trace.evidence
        ],
    }


def as_html(trace: Trace) -> str:
    """Return the trace as one page without scripts or outside requests."""
    title = f"Trace of {trace.request.get('id')}"
    links = "".join(
        f'<li><span class="{_tone(link.problem, link.note)}">{_mark(link.problem, link.note)}'
        f"</span> <b>{escape(link.name)}</b> <code>{escape(link.what)}</code>"
        + (f"<br>{escape(link.problem or link.note or '')}" if link.problem or link.note else "")
        + "</li>"
        for link in trace.links
    )
    facts = "".join(
        f"<li>{escape(name)}: <code>{escape(str(value))}</code></li>"
        for name, value in trace.facts.items()
        if value is not None
    )
    answer = f"<h2>Answer</h2>{_quoted(trace.answer)}" if trace.answer else ""
    evidence = "".join(_evidence_html(each) for each in trace.evidence)
    heading = (
        "<h2>Nearest training pairs</h2><p class=meta>Near in words; not the cause of the "
        "answer.</p>"
        if evidence
        else ""
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style><h1>{escape(title)}</h1>"
        f"<ul>{links}</ul><h2>Run</h2><ul>{facts}</ul>{answer}{heading}{evidence}</html>\n"
    )


def _quoted(text: str) -> str:
    return f"<blockquote>{escape(text)}</blockquote>"


def _tone(problem: str | None, note: str | None) -> str:
    return "bad" if problem else "note" if note else "ok"


def _evidence_html(evidence: Evidence) -> str:
    origin = " · ".join(
        f"{escape(name)}: {escape(str(value))}" for name, value in _origin(evidence).items()
    )
    quote = _quoted(evidence.pair.quote) if evidence.pair.quote else ""
    return (
        f"<p><b>{escape(evidence.pair.question)}</b><br>{escape(evidence.pair.answer)}</p>{quote}"
        f"<p class=meta>similarity {evidence.similarity:.2f} · {origin}</p>"
    )
