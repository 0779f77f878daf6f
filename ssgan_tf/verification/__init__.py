"""Does all that needs a GPU work here: the checks and how results are compared."""
