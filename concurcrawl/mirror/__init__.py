"""The site of the comparison, offline: made from facts and a grammar, served here."""
