"""What a run says: sections of data, and the same as text, JSON, page and figures."""
