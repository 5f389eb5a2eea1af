"""What the spider of the countries knows: list pages, country pages, file names."""
