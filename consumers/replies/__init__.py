"""Public answers to reviews: composed of written parts, guarded, edited and approved by a person.

Never posted from here.
"""
