"""Labels given by a person: a page in the browser, and the server behind it."""
