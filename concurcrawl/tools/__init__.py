"""Commands around the add-on, which nothing else imports."""
