"""The report: what happened in a period, on a page that an owner prints."""
