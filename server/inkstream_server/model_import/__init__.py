"""Turns the files of networks that others trained into versions of a store.

Leaves serving them, and the trial before it, to `model_store`.
"""
