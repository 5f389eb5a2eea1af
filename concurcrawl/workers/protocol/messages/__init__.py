"""The messages between a supervisor and its workers, by subject.

Messages that are sent for each page are named tuples, which pickle fastest.
"""
