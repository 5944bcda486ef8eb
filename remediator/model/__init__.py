"""The nouns every room knows. Standard library only; nothing here reads a clock, a file or a socket."""
