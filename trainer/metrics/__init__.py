"""METEOR, BERTScore and BLEURT per pair, as local modules of Hugging Face `evaluate`.

`evaluate.load("meteor")` fetches a script from the hub and returns one mean; these are loaded by
path and return a list.
"""
