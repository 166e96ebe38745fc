"""The record: a SQL database for reading, kept by the feed.

It can be made again from the store at any time.
"""
