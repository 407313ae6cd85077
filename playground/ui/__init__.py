"""The page: theme, text in two languages, shared rows, one module per tab."""
