"""From web pages and PDFs to a served domain assistant, on one 6 GB GPU."""

__version__ = "0.1.0"
