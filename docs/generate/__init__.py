"""Pages of docs/ that are generated from the code: `python -m docs.generate` writes them, `--check` compares.

Each module makes one page as text; `__main__` writes the files.
"""
