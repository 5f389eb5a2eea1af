"""Places where requests wait until they are done."""
