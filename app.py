"""Spaces entry: build the page and launch it."""

from playground.app import main

if __name__ == "__main__":
    main()
