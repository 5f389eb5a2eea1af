"""Workers on other machines: what any engine that places them shares, and Dask."""
