"""Collect web pages, PDFs and text files and read them into `evqa.records.Document`."""
