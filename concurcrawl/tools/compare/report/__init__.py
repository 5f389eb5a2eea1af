"""Writers of a comparison's results: page, tables, trace."""
