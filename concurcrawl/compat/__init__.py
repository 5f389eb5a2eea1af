"""Private parts of Scrapy, Twisted and the standard library that the add-on touches.

Each is one function or one class, whose docstring says what it touches, in which
release it was read, what fails if it moves, and what public name is wished for.
``docs/scrapy-internals.md`` is made from these docstrings.
"""
