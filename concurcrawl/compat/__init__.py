"""The private parts of other libraries that we touch."""
