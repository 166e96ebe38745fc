"""Producers: webhook and backfill turn outside reviews into stored, queued ones."""
