"""Private parts of Scrapy, Twisted and the standard library, one function each.

Every docstring says what is touched, in which release it was read, and what fails if
the part moves.
"""
