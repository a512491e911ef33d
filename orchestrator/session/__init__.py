"""One sitting at a run: start, resume, meters, progress, end."""
