"""Private parts of Scrapy, Twisted and the standard library that the add-on touches.

Each is one function, whose docstring says what is touched, in which release it was
read, and what fails if it moves.
"""
