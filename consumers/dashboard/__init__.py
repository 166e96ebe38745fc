"""The dashboard: one process that serves the API under /v1 and the pages, both out of the record."""
