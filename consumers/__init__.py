"""The reading side: status, show, export."""
