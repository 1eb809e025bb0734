"""Starts servers, each pinned to one core, and reads their processor time and memory. Sends no load."""
