"""The corridor: what every room of the house shares, and the command line."""

__version__ = "0.1.0"
