"""Replies to reviews: asked for, edited and approved by people; a worker writes them.

Never posted from here.
"""
