"""Questions without a network: from sentences, lists, tables, headings and terms."""
