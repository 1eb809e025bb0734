"""Draws results for people, in the terminal and as pictures.

Talks to no server.
"""
