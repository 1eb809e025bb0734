"""Holds one module for each command of `inkstream`.

Leaves shared options and output to the modules of `cli`.
"""
